//! The plots: for every task the paper's Figure 1, and for generated text its Figure 5.

use super::length::{Bin, joined_positions};
use super::{Generated, Summary};
use crate::exits::oracle::Ideal;
use crate::exits::plots::ideal_exits;
use crate::report::plot::{Across, LineChart, Look, Plot, Series, file_name};

/// Points of a line over the positions at most.
const POSITION_BINS: usize = 32;
/// A line of more points has no markers.
const MARKED_POINTS: usize = 16;

/// Every plot, task by task.
pub(super) fn all(summaries: &[Summary]) -> Vec<Plot> {
    let mut settings: Vec<String> = Vec::new();
    for summary in summaries {
        if !settings.contains(&summary.setting()) {
            settings.push(summary.setting());
        }
    }
    let of_task = |(number, setting): (usize, &String)| {
        let models: Vec<&Summary> =
            summaries.iter().filter(|summary| summary.setting() == *setting).collect();
        // Numbered, because names may differ in characters that a file name cannot hold.
        of_task(&models, setting, &format!("{number}_{}", file_name(setting)))
    };
    (1..).zip(&settings).flat_map(of_task).collect()
}

fn of_task(models: &[&Summary], setting: &str, file: &str) -> Vec<Plot> {
    let ideals: Vec<(&str, &Ideal)> =
        models.iter().map(|summary| (summary.model.as_str(), &summary.ideal)).collect();
    let generated: Vec<(&str, &Generated)> = models
        .iter()
        .filter_map(|summary| Some((summary.model.as_str(), summary.generated.as_ref()?)))
        .collect();
    let rows = if generated.is_empty() { "examples" } else { "tokens" };
    let title = format!("Ideal exits: {setting}");
    let mut plots = vec![ideal_exits(format!("ideal_exits_{file}"), title, rows, &ideals)];
    if !generated.is_empty() {
        plots
            .extend([by_position(&generated, setting, file), by_length(&generated, setting, file)]);
    }
    plots
}

fn by_position(models: &[(&str, &Generated)], setting: &str, file: &str) -> Plot {
    let points = |generated: &Generated| joined_positions(&generated.by_position, POSITION_BINS);
    let title = format!("By position: {setting}");
    let note = format!(
        "The mean ideal exit of the tokens at each position of the new text. Positions are joined until a point rests \
         on at least one token in {POSITION_BINS}."
    );
    lines(title, "position (new tokens before)", models, points)
        .plot(format!("ideal_exit_by_position_{file}"), note)
}

fn by_length(models: &[(&str, &Generated)], setting: &str, file: &str) -> Plot {
    let points = |generated: &Generated| generated.by_length.clone();
    let title = format!("By length: {setting}");
    let note = "The mean ideal exit of texts against their number of new tokens (the paper's Figure 5); every point rests on an \
                equal share of the texts, or more.";
    lines(title, "length (new tokens)", models, points)
        .plot(format!("ideal_exit_by_length_{file}"), note)
}

/// A line of bins per model.
fn lines(
    title: String,
    x: &str,
    models: &[(&str, &Generated)],
    points: impl Fn(&Generated) -> Vec<Bin>,
) -> LineChart {
    let series = models.iter().enumerate().map(|(colour, (name, generated))| {
        let bins = points(generated);
        Series {
            name: (*name).to_owned(),
            colour,
            look: if bins.len() > MARKED_POINTS { Look::Line } else { Look::Marked },
            points: bins.iter().map(|bin| (bin.average, bin.average_exit)).collect(),
        }
    });
    LineChart {
        title,
        x: x.to_owned(),
        y: "mean ideal exit (layers)".into(),
        across: Across::Numbers,
        series: series.collect(),
    }
}
