//! The tables and figures of the paper that a comparison of texts has the shape of.
//!
//! A decoder alone stands in its Table 1 and Figure 9, an encoder-decoder in Table 2 and Figure 8, where layers are the
//! encoder's and the decoder's and exits the decoder's. Beside each other they stand in one table, a row each.

use ee_decode::never_leaving;

use super::results::{TextComparison, TextResults};
use crate::exits::ideal::MetricScore;
use crate::report::table::{Cell, Table};
use crate::trace::facts::objective::word;
use crate::trial::on_prompts;

/// What the models are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Decoders,
    EncoderDecoders,
    Both,
}

impl Kind {
    pub(super) fn of(comparison: &TextComparison) -> Self {
        Self::of_models(comparison.models.values().map(|of| of.encoder_layers().is_some()))
    }

    /// Of models that have an encoder or not.
    fn of_models(models: impl Iterator<Item = bool>) -> Self {
        let (with, without): (Vec<bool>, Vec<bool>) = models.partition(|has_encoder| *has_encoder);
        match (with.is_empty(), without.is_empty()) {
            (true, _) => Self::Decoders,
            (false, true) => Self::EncoderDecoders,
            (false, false) => Self::Both,
        }
    }

    /// The figure in which the paper has distance and speed-up of gates.
    pub(super) fn figure(self) -> &'static str {
        match self {
            Self::Decoders => "the paper's Figure 9",
            Self::EncoderDecoders => "the paper's Figure 8",
            Self::Both => "the paper's Figures 8 and 9",
        }
    }

    /// File and title of the table of ideal exits.
    fn table(self) -> [&'static str; 2] {
        match self {
            Self::Decoders => ["table1", "Ideal exits (the paper's Table 1)"],
            Self::EncoderDecoders => ["table2", "Ideal exits of the decoder (the paper's Table 2)"],
            Self::Both => {
                ["tables1and2", "Ideal exits of the decoders (the paper's Tables 1 and 2)"]
            }
        }
    }

    /// How many first tokens of a text never leave, in words.
    pub(super) fn never_leaving(self, min_tokens: usize) -> String {
        let [alone, paired] =
            [false, true].map(|has_encoder| never_leaving(min_tokens, has_encoder));
        match self {
            Self::EncoderDecoders => paired.to_string(),
            Self::Both if paired != alone => format!("{alone}, of an encoder-decoder {paired},"),
            Self::Decoders | Self::Both => alone.to_string(),
        }
    }

    /// What speed-ups with and without prompts are.
    pub(super) fn on_prompts(self) -> String {
        match self {
            Self::Decoders => on_prompts(false).to_owned(),
            Self::EncoderDecoders => on_prompts(true).to_owned(),
            Self::Both => format!(
                "Of a decoder alone: {} Of an encoder-decoder: {}",
                on_prompts(false),
                on_prompts(true)
            ),
        }
    }
}

/// Layers, mean ideal exit, share of tokens that could leave and scores of every model.
pub(super) fn ideal_exits(comparison: &TextComparison) -> Table {
    let [file, title] = Kind::of(comparison).table();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_beside_an_encoder_decoder_is_not_called_one() {
        let kind = |models: &[bool]| Kind::of_models(models.iter().copied());
        assert_eq!(kind(&[false, false]), Kind::Decoders);
        assert_eq!(kind(&[true, true]), Kind::EncoderDecoders);
        for models in [[false, true], [true, false]] {
            let both = kind(&models);
            assert_eq!(both, Kind::Both);
            assert_eq!(both.figure(), "the paper's Figures 8 and 9");
            assert_eq!(both.table()[1], "Ideal exits of the decoders (the paper's Tables 1 and 2)");
            assert!(both.on_prompts().contains("Of a decoder alone: Speed-ups count the prompts"));
            assert!(
                both.on_prompts().contains("Of an encoder-decoder: Speed-ups count the encoder")
            );
            assert_eq!(both.never_leaving(0), "1, of an encoder-decoder 0,");
            assert_eq!(both.never_leaving(2), "2");
        }
    }
}
