//! The tables: one in the paper's shape for people, one with a column per figure for scripts.

use super::{Generated, MetricScore, Summary};
use crate::report::table::{Cell, Table};
use crate::trace::facts::objective::word;

/// One line per trace, in the shape of the paper's Tables 1, 2, 7 and 8.
pub(crate) fn table(summaries: &[Summary]) -> Table {
    Table::of(
        "ideal",
        "Ideal exits (the paper's Tables 1, 2, 7 and 8)",
        "The ideal exit is the shallowest that already gives the last exit's answer: Max and Avg are the deepest and \
         the mean one in layers, Perc the share of predictions that leave before the last exit. Predictions are \
         new tokens of generated text, else examples. Scores are the full model's, \
         beside them those of the most frequent gold label given to every example; length is new tokens per \
         example, end tokens included.",
        summaries,
        &[
            ("task", &task),
            ("split", &split),
            ("mode", &mode),
            ("model", &model),
            ("exits", &|summary| Cell::count(summary.layers)),
            ("Max", &|summary| Cell::count(summary.ideal.max)),
            ("Avg", &|summary| Cell::number(summary.ideal.average, 2)),
            ("Perc", &|summary| Cell::percent(summary.ideal.perc)),
            ("score", &|summary| scores(&summary.scores, |score| score.score)),
            ("constant", &|summary| scores(&summary.scores, |score| score.constant)),
            ("length", &length),
        ],
    )
}

/// What the ideal exits rest on and should be compared with.
pub(super) fn details(summaries: &[Summary]) -> Table {
    Table::of(
        "details",
        "What was counted",
        "By chance is the mean ideal exit if every exit's answers were shuffled over the predictions; saturation is the \
         exit from which the answer no longer changes. Lengths are tokens per example. Ended is the share of texts \
         that the model ended itself, before the limit of new tokens.",
        summaries,
        &[
            ("task", &task),
            ("split", &split),
            ("mode", &mode),
            ("model", &model),
            ("trained", &trained),
            ("examples", &|summary| Cell::count(summary.examples)),
            ("predictions", &|summary| Cell::count(summary.tokens)),
            ("ideal exit", &|summary| Cell::number(summary.ideal.average, 2)),
            ("by chance", &|summary| Cell::number(summary.ideal.chance_average, 2)),
            ("saturation", &|summary| Cell::number(summary.ideal.saturation_average, 2)),
            ("prompt length", &prompt_length),
            ("length", &length),
            ("ended", &|summary| {
                generated(summary, |generated| generated.ended.map_or(Cell::Absent, Cell::percent))
            }),
        ],
    )
}

/// Every score with its interval and signature.
pub(super) fn all_scores(summaries: &[Summary]) -> Table {
    let items = summaries
        .iter()
        .flat_map(|summary| summary.scores.iter().map(move |score| (summary, score)));
    Table::of(
        "scores",
        "Scores of the full model",
        "Intervals are percentiles of scores of resampled examples. The constant answer is the most frequent gold label of \
         these examples, given to all of them. BLEU and chrF are in 0 to 100, others in 0 to 1.",
        items,
        &[
            ("task", &|(summary, _)| task(summary)),
            ("split", &|(summary, _)| split(summary)),
            ("mode", &|(summary, _)| mode(summary)),
            ("model", &|(summary, _)| model(summary)),
            ("metric", &|(_, score)| Cell::text(&score.name)),
            ("score", &|(_, score)| optional(score.score)),
            ("95 % interval", &|(_, score)| {
                score.interval.map_or(Cell::Absent, |[low, high]| {
                    Cell::text(format!("{} to {}", rounded(low), rounded(high)))
                })
            }),
            ("constant answer", &|(_, score)| optional(score.constant)),
            ("examples", &|(_, score)| Cell::count(score.examples)),
            ("signature", &|(_, score)| Cell::text(&score.signature)),
        ],
    )
}

/// `ideal.csv`: one line per trace, one column per figure, unrounded; a metric, its 95 % interval and the
/// constant answer's score have four.
pub(crate) fn columns(summaries: &[Summary]) -> Table {
    let mut table = Table::of(
        "ideal",
        "",
        "",
        summaries,
        &[
            ("task", &task),
            ("split", &split),
            ("mode", &mode),
            ("model", &model),
            ("objective", &trained),
            ("exits", &|summary| Cell::count(summary.layers)),
            ("max", &|summary| Cell::count(summary.ideal.max)),
            ("average", &|summary| Cell::number(summary.ideal.average, 2)),
            ("perc", &|summary| Cell::number(summary.ideal.perc, 4)),
            ("chance_average", &|summary| Cell::number(summary.ideal.chance_average, 2)),
            ("saturation_average", &|summary| Cell::number(summary.ideal.saturation_average, 2)),
            ("tokens", &|summary| Cell::count(summary.tokens)),
            ("examples", &|summary| Cell::count(summary.examples)),
            ("length", &length),
            ("prompt_length", &prompt_length),
            ("ended", &|summary| generated(summary, |generated| optional(generated.ended))),
        ],
    );
    let mut metrics: Vec<&str> = Vec::new();
    for score in summaries.iter().flat_map(|summary| &summary.scores) {
        if !metrics.contains(&score.name.as_str()) {
            metrics.push(&score.name);
            let ends = ["", "_low", "_high", "_constant"];
            table.columns.extend(ends.map(|end| format!("{}{end}", score.name)));
        }
    }
    for (row, summary) in table.rows.iter_mut().zip(summaries) {
        row.extend(metrics.iter().flat_map(|name| {
            let found = summary.scores.iter().find(|score| score.name == *name);
            let [low, high] =
                found.and_then(|score| score.interval).map_or([None; 2], |ends| ends.map(Some));
            let constant = found.and_then(|score| score.constant);
            [found.and_then(|score| score.score), low, high, constant].map(optional)
        }));
    }
    table
}

fn task(summary: &&Summary) -> Cell {
    Cell::text(&summary.task)
}

fn split(summary: &&Summary) -> Cell {
    Cell::text(&summary.split)
}

fn mode(summary: &&Summary) -> Cell {
    Cell::text(summary.mode.name())
}

fn model(summary: &&Summary) -> Cell {
    Cell::text(&summary.model)
}

fn trained(summary: &&Summary) -> Cell {
    Cell::text(word(summary.objective))
}

fn length(summary: &&Summary) -> Cell {
    generated(summary, |generated| Cell::number(generated.average_length, 2))
}

fn prompt_length(summary: &&Summary) -> Cell {
    generated(summary, |generated| Cell::number(generated.average_prompt_length, 2))
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

fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Absent, |value| Cell::Number { value, text: rounded(value) })
}

/// Four digits of a share, two decimals of a score out of 100.
fn rounded(score: f64) -> String {
    let decimals = if score.abs() <= 1.0 { 4 } else { 2 };
    format!("{score:.decimals$}")
}
