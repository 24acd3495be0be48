//! Plots over exits: ideal ones, and what is said about each.

use super::oracle::Ideal;
use crate::report::plot::{Across, BarChart, LineChart, Look, Plot, Series, at_exits};

/// The share of predictions at each ideal exit, of several models; `what` counts the predictions.
pub(crate) fn ideal_exits(
    file: String,
    title: String,
    what: &str,
    models: &[(&str, &Ideal)],
) -> Plot {
    let percent = |values: &[f64]| values.iter().map(|share| 100.0 * share).collect::<Vec<_>>();
    let shares = |ideal: &Ideal| {
        let n = ideal.histogram.iter().sum::<usize>() as f64;
        ideal.histogram.iter().map(|&count| count as f64 / n).collect::<Vec<_>>()
    };
    let bars = models.iter().map(|(name, ideal)| ((*name).to_owned(), percent(&shares(ideal))));
    let chance = models.iter().map(|(_, ideal)| percent(&ideal.chance_histogram));
    let layers = models.iter().map(|(_, ideal)| ideal.histogram.len()).max().unwrap_or(1);
    let chart = BarChart {
        title,
        x: "ideal exit (layers)".into(),
        y: format!("{what} (%)"),
        groups: (1..=layers).map(|exit| exit.to_string()).collect(),
        series: bars.collect(),
        reference: Some(("by chance".into(), chance.collect())),
    };
    let note = format!(
        "The share of {what} whose shallowest agreeing exit is this one. Dashes show what shuffled answers would \
         give: only what lies beyond them is knowledge."
    );
    chart.plot(file, note)
}

/// A line per model over its exits 1..=N.
pub(crate) fn per_exit<'a>(
    file: &str,
    title: &str,
    (y, note): (&str, &str),
    models: impl Iterator<Item = (&'a str, Vec<f64>)>,
) -> Plot {
    let models: Vec<(&str, Vec<f64>)> = models.collect();
    let layers = models.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    let series = models.iter().enumerate().map(|(colour, (name, values))| Series {
        name: (*name).to_owned(),
        colour,
        look: Look::Marked,
        points: at_exits(values),
    });
    let chart = LineChart {
        title: title.to_owned(),
        x: "exit (layers run)".into(),
        y: y.to_owned(),
        across: Across::Exits(layers),
        series: series.collect(),
    };
    chart.plot(file, note)
}

/// How often each exit's token is the last one's, of several models; `which` tokens, where not all.
pub(crate) fn agreement_per_exit<'a>(
    which: &str,
    models: impl Iterator<Item = (&'a str, &'a [f64])>,
) -> Plot {
    let note =
        format!("The share of tokens that an exit already gives as the last one does{which}.");
    let percent = |shares: &[f64]| shares.iter().map(|share| 100.0 * share).collect();
    per_exit(
        "agreement_per_exit",
        "Agreement of every exit with the last",
        ("equal tokens (%)", &note),
        models.map(|(name, shares)| (name, percent(shares))),
    )
}

/// How sure every exit is.
pub(crate) fn confidence_per_exit<'a>(
    title: &str,
    models: impl Iterator<Item = (&'a str, Vec<f64>)>,
) -> Plot {
    let note = "The mean highest probability. Where it rises steadily a threshold on it separates the exits.";
    per_exit("confidence_per_exit", title, ("mean confidence (probability)", note), models)
}
