//! The tables and figures of the paper that a comparison of texts has the shape of.
//!
//! A decoder alone stands in its Table 1 and Figure 9, an encoder-decoder in Table 2 and Figure 8, where layers are the
//! encoder's and the decoder's and exits the decoder's.

use super::results::{TextComparison, TextResults};
use crate::exits::ideal::MetricScore;
use crate::report::table::{Cell, Table};
use crate::trace::facts::objective::word;

/// The figure in which the paper has distance and speed-up of gates.
pub(super) fn figure(comparison: &TextComparison) -> &'static str {
    if has_encoder(comparison) { "the paper's Figure 8" } else { "the paper's Figure 9" }
}

/// Whether the models are encoder-decoders.
pub(super) fn has_encoder(comparison: &TextComparison) -> bool {
    comparison.models.values().any(|results| results.encoder_layers().is_some())
}

/// Layers, mean ideal exit, share of tokens that could leave and scores of every model.
pub(super) fn ideal_exits(comparison: &TextComparison) -> Table {
    let (file, title) = match has_encoder(comparison) {
        true => ("table2", "Ideal exits of the decoder (the paper's Table 2)"),
        false => ("table1", "Ideal exits (the paper's Table 1)"),
    };
    let mut metrics: Vec<&MetricScore> = Vec::new();
    for score in comparison.models.values().flat_map(|results| &results.summary.scores) {
        if metrics.iter().all(|known| known.name != score.name) {
            metrics.push(score);
        }
    }
    let row = |(name, results): (&String, &TextResults)| {
        let summary = &results.summary;
        let mut cells = vec![
            Cell::text(name),
            Cell::text(word(summary.objective)),
            Cell::text(&comparison.task),
            Cell::text(results.layers()),
            Cell::number(summary.ideal.average, 2),
            Cell::Number {
                value: summary.ideal.perc,
                text: format!("{:.2} %", 100.0 * summary.ideal.perc),
            },
        ];
        cells.extend(metrics.iter().map(|metric| {
            let score = summary.scores.iter().find(|score| score.name == metric.name);
            Cell::optional(score.and_then(|score| score.score), 2)
        }));
        cells
    };
    let header = ["model", "trained", "task", "layer", "avg", "perc"].into_iter();
    let header = header.chain(metrics.iter().map(|metric| &*metric.name));
    let signatures = metrics.iter().map(|metric| format!("{} {}", metric.name, metric.signature));
    Table {
        file,
        title: title.to_owned(),
        note: format!(
            "avg is the mean ideal exit of all new tokens of the trace, perc the share of them whose ideal exit is before the last. \
             Scores are the full model's, greedily decoded: {}.",
            signatures.collect::<Vec<_>>().join("; "),
        ),
        columns: header.map(str::to_owned).collect(),
        rows: comparison.models.iter().map(row).collect(),
    }
}
