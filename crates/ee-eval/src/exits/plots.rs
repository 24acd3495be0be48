//! The plot of ideal exits.

use super::oracle::Ideal;
use crate::report::plot::{BarChart, Plot};

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
    Plot {
        file,
        note: format!(
            "The share of {what} whose shallowest agreeing exit is this one. Dashes show what shuffled answers would \
             give: only what lies beyond them is knowledge."
        ),
        svg: BarChart {
            title: title.clone(),
            x: "ideal exit (layers)".into(),
            y: format!("{what} (%)"),
            groups: (1..=layers).map(|exit| exit.to_string()).collect(),
            series: bars.collect(),
            reference: Some(("by chance".into(), chance.collect())),
        }
        .svg(),
        title,
    }
}
