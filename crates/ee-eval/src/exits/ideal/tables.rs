//! The tables: one in the paper's shape for people, one with a column per figure for scripts.

use super::{Generated, MetricScore, Summary};
use crate::report::table::{Cell, Table};
use crate::trace::facts::objective::word;

/// One line per trace, in the shape of the paper's Tables 1, 7 and 8.
#[must_use]
pub fn table(summaries: &[Summary]) -> Table {
    let columns = [
        "task", "split", "mode", "model", "exits", "Max", "Avg", "Perc", "score", "constant",
        "length",
    ];
    let rows = summaries.iter().map(|summary| {
        let ideal = &summary.ideal;
        let figures = [
            Cell::text(&summary.model),
            Cell::number(summary.layers as f64, 0),
            Cell::number(ideal.max as f64, 0),
            Cell::number(ideal.average, 2),
            Cell::percent(ideal.perc),
            scores(&summary.scores, |score| score.score),
            scores(&summary.scores, |score| score.constant),
            generated(summary, |generated| Cell::number(generated.average_length, 2)),
        ];
        setting(summary).into_iter().chain(figures).collect()
    });
    Table {
        file: "ideal",
        title: "Ideal exits (the paper's Tables 1, 7 and 8)".into(),
        note: "The ideal exit is the shallowest that already gives the last exit's answer: Max and Avg are the deepest and \
               the mean one in layers, Perc the share of predictions that leave before the last exit. Predictions are \
               new tokens of generated text, else examples. Scores are the full model's, \
               beside them those of the most frequent gold label given to every example; length is new tokens per \
               example, end tokens included."
            .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// What the ideal exits rest on and should be compared with.
pub(super) fn details(summaries: &[Summary]) -> Table {
    let columns = [
        "task",
        "split",
        "mode",
        "model",
        "trained",
        "examples",
        "predictions",
        "ideal exit",
        "by chance",
        "saturation",
        "prompt length",
        "length",
        "ended",
    ];
    let rows = summaries.iter().map(|summary| {
        let figures = [
            Cell::text(&summary.model),
            Cell::text(word(summary.objective)),
            Cell::number(summary.examples as f64, 0),
            Cell::number(summary.tokens as f64, 0),
            Cell::number(summary.ideal.average, 2),
            Cell::number(summary.ideal.chance_average, 2),
            Cell::number(summary.ideal.saturation_average, 2),
            generated(summary, |generated| Cell::number(generated.average_prompt_length, 2)),
            generated(summary, |generated| Cell::number(generated.average_length, 2)),
            generated(summary, |generated| generated.ended.map_or(Cell::Absent, Cell::percent)),
        ];
        setting(summary).into_iter().chain(figures).collect()
    });
    Table {
        file: "details",
        title: "What was counted".into(),
        note: "By chance is the mean ideal exit if every exit's answers were shuffled over the predictions; saturation is the \
               exit from which the answer no longer changes. Lengths are tokens per example. Ended is the share of texts \
               that the model ended itself, before the limit of new tokens."
            .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Every score with its interval and signature.
pub(super) fn all_scores(summaries: &[Summary]) -> Table {
    let columns = [
        "task",
        "split",
        "mode",
        "model",
        "metric",
        "score",
        "95 % interval",
        "constant answer",
        "examples",
        "signature",
    ];
    let rows = summaries.iter().flat_map(|summary| {
        summary.scores.iter().map(move |score| {
            let interval = score.interval.map_or(Cell::Absent, |[low, high]| {
                Cell::text(format!("{} to {}", rounded(low), rounded(high)))
            });
            let figures = [
                Cell::text(&summary.model),
                Cell::text(&score.name),
                optional(score.score),
                interval,
                optional(score.constant),
                Cell::number(score.examples as f64, 0),
                Cell::text(&score.signature),
            ];
            setting(summary).into_iter().chain(figures).collect()
        })
    });
    Table {
        file: "scores",
        title: "Scores of the full model".into(),
        note: "Intervals are percentiles of scores of resampled examples. The constant answer is the most frequent gold label of \
               these examples, given to all of them. BLEU and chrF are in 0 to 100, others in 0 to 1."
            .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// `ideal.csv`: one line per trace, one column per figure, unrounded; a metric, its 95 % interval and the
/// constant answer's score have four.
#[must_use]
pub fn columns(summaries: &[Summary]) -> Table {
    let mut columns: Vec<String> = [
        "task",
        "split",
        "mode",
        "model",
        "objective",
        "exits",
        "max",
        "average",
        "perc",
        "chance_average",
        "saturation_average",
        "tokens",
        "examples",
        "length",
        "prompt_length",
        "ended",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut metrics: Vec<&str> = Vec::new();
    for score in summaries.iter().flat_map(|summary| &summary.scores) {
        if !metrics.contains(&score.name.as_str()) {
            metrics.push(&score.name);
            let ends = ["", "_low", "_high", "_constant"];
            columns.extend(ends.map(|end| format!("{}{end}", score.name)));
        }
    }
    let rows = summaries.iter().map(|summary| {
        let figures = [
            Cell::text(&summary.model),
            Cell::text(word(summary.objective)),
            Cell::number(summary.layers as f64, 0),
            Cell::number(summary.ideal.max as f64, 0),
            Cell::number(summary.ideal.average, 2),
            Cell::number(summary.ideal.perc, 4),
            Cell::number(summary.ideal.chance_average, 2),
            Cell::number(summary.ideal.saturation_average, 2),
            Cell::number(summary.tokens as f64, 0),
            Cell::number(summary.examples as f64, 0),
            generated(summary, |generated| Cell::number(generated.average_length, 2)),
            generated(summary, |generated| Cell::number(generated.average_prompt_length, 2)),
            generated(summary, |generated| optional(generated.ended)),
        ];
        let metrics = metrics.iter().flat_map(|name| {
            let found = summary.scores.iter().find(|score| score.name == *name);
            let [low, high] =
                found.and_then(|score| score.interval).map_or([None; 2], |ends| ends.map(Some));
            let constant = found.and_then(|score| score.constant);
            [found.and_then(|score| score.score), low, high, constant].map(optional)
        });
        setting(summary).into_iter().chain(figures).chain(metrics).collect()
    });
    Table {
        file: "ideal",
        title: String::new(),
        note: String::new(),
        rows: rows.collect(),
        columns,
    }
}

/// The first three cells of every line.
fn setting(summary: &Summary) -> [Cell; 3] {
    [Cell::text(&summary.task), Cell::text(&summary.split), Cell::text(summary.mode.name())]
}

/// A figure of generated text.
fn generated(summary: &Summary, figure: impl Fn(&Generated) -> Cell) -> Cell {
    summary.generated.as_ref().map_or(Cell::Absent, figure)
}

/// Every score in one cell: `bleu 26.75, chrf 40.10`.
fn scores(scores: &[MetricScore], of: impl Fn(&MetricScore) -> Option<f64>) -> Cell {
    if scores.iter().all(|score| of(score).is_none()) {
        return Cell::Absent;
    }
    let words = scores.iter().map(|score| match of(score) {
        Some(value) => format!("{} {}", score.name, rounded(value)),
        None => format!("{} –", score.name),
    });
    Cell::text(words.collect::<Vec<_>>().join(", "))
}

/// A number where there is one.
fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Absent, |value| Cell::Number { value, text: rounded(value) })
}

/// Four digits of a share, two decimals of a score out of 100.
fn rounded(score: f64) -> String {
    let decimals = if score.abs() <= 1.0 { 4 } else { 2 };
    format!("{score:.decimals$}")
}
