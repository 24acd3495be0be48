//! The encoder-decoders of tests/golden and their batches (`scripts/goldens_seq2seq.py`).
#![allow(dead_code, reason = "each test takes what it needs")]

use ee_models::Batch;
use ee_models::loss::Targets;
use serde::Deserialize;

pub(crate) const GOLDENS: [&str; 8] = [
    "marian-tiny",
    "marian-two-tiny",
    "bart-tiny",
    "mbart-tiny",
    "m2m100-tiny",
    "fsmt-tiny",
    "t5-tiny",
    "t5-gated-tiny",
];

/// Right-padded sources and what the decoder reads of the targets.
#[derive(Deserialize)]
pub(crate) struct GoldenBatch {
    pub(crate) input_ids: Vec<Vec<u32>>,
    attention_mask: Vec<Vec<usize>>,
    decoder_input_ids: Vec<Vec<u32>>,
    decoder_attention_mask: Vec<Vec<usize>>,
    /// Row, position and the token that it predicts.
    targets: Vec<[usize; 3]>,
}

fn padded(ids: &[Vec<u32>], mask: &[Vec<usize>]) -> Batch {
    let lengths = mask.iter().map(|row| row.iter().sum()).collect();
    let ids_of_all = ids.concat();
    Batch::new(ids_of_all.clone(), vec![0; ids_of_all.len()], lengths, ids[0].len()).unwrap()
}

impl GoldenBatch {
    pub(crate) fn batch(&self) -> Batch {
        let source = padded(&self.input_ids, &self.attention_mask);
        padded(&self.decoder_input_ids, &self.decoder_attention_mask).with_source(source).unwrap()
    }

    /// Where the predicting tokens lie in the padded batch.
    pub(crate) fn places(&self) -> Vec<usize> {
        let width = self.decoder_input_ids[0].len();
        self.targets.iter().map(|[row, at, _]| row * width + at).collect()
    }

    pub(crate) fn targets(&self) -> Targets {
        let labels = self.targets.iter().map(|&[_, _, label]| label as u32);
        Targets::new(self.places(), labels.collect())
    }

    /// Source and decoder's tokens of a row, without padding.
    pub(crate) fn row(&self, row: usize) -> [&[u32]; 2] {
        let n: usize = self.attention_mask[row].iter().sum();
        let of_decoder: usize = self.decoder_attention_mask[row].iter().sum();
        [&self.input_ids[row][..n], &self.decoder_input_ids[row][..of_decoder]]
    }
}
