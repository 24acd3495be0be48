//! The two splits of a run as token ids, their targets, and the order in which training visits
//! them.

use std::ops::Range;

use ee_models::Batch;
use ee_models::loss::Targets;
use ee_tasks::causal::CausalRow;
use ee_tasks::{Encoding, batch};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::step::MicroBatch;

/// The rows of one split, tokenized.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    encodings: Vec<Encoding>,
    asked: Vec<Asked>,
    lengths: Vec<usize>,
    padding_id: u32,
}

/// What is asked of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// The label, of the first token's state.
    Label(usize),
    /// These tokens, each of the state before it.
    Tokens(Vec<Range<usize>>),
}

impl Split {
    /// Rows to classify.
    pub(crate) fn labelled(encodings: Vec<Encoding>, labels: &[usize], padding_id: u32) -> Self {
        assert_eq!(encodings.len(), labels.len(), "one label per example");
        let asked = labels.iter().map(|&label| Asked::Label(label)).collect();
        let lengths = batch::lengths(&encodings);
        Self { encodings, asked, lengths, padding_id }
    }

    /// Rows to continue. Padding is masked, whatever its id.
    pub(crate) fn causal(rows: Vec<CausalRow>) -> Self {
        let (encodings, asked) = rows
            .into_iter()
            .map(|CausalRow { ids, learned }| {
                let type_ids = vec![0; ids.len()];
                (Encoding { ids, type_ids }, Asked::Tokens(learned))
            })
            .collect::<(Vec<_>, Vec<_>)>();
        let lengths = batch::lengths(&encodings);
        Self { encodings, asked, lengths, padding_id: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.encodings.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.encodings.is_empty()
    }

    /// Tokens of some rows, without padding.
    pub(crate) fn tokens(&self, rows: &[usize]) -> usize {
        rows.iter().map(|&row| self.lengths[row]).sum()
    }

    /// Gold labels, in the order of the split.
    pub(crate) fn labels(&self) -> Vec<usize> {
        let label = |asked: &Asked| match asked {
            Asked::Label(label) => *label,
            Asked::Tokens(_) => panic!("rows of text have no labels"),
        };
        self.asked.iter().map(label).collect()
    }

    /// Batches of one epoch of training, counted from 0, as indices of rows: labelled rows among others of
    /// like length, texts mixed.
    pub(crate) fn training_order(
        &self,
        batch_size: usize,
        seed: u64,
        epoch: u64,
    ) -> Vec<Vec<usize>> {
        match self.asked.first() {
            Some(Asked::Tokens(_)) => batch::mixed_order(self.len(), batch_size, seed, epoch),
            _ => batch::training_order(&self.lengths, batch_size, seed, epoch),
        }
    }

    /// Batches for validation, as indices of rows.
    pub(crate) fn evaluation_order(&self, batch_size: usize) -> Vec<Vec<usize>> {
        batch::evaluation_order(&self.lengths, batch_size)
    }

    /// The padded batch of some rows, and its targets.
    pub(crate) fn batch(&self, rows: &[usize]) -> Result<MicroBatch> {
        let batch = batch::Batch::gather(rows, &self.encodings, self.padding_id);
        let (mut places, mut labels) = (Vec::new(), Vec::new());
        for (place, &row) in rows.iter().enumerate() {
            let first = place * batch.width;
            match &self.asked[row] {
                Asked::Label(label) => {
                    places.push(first);
                    labels.push(*label as u32);
                }
                Asked::Tokens(spans) => {
                    for token in spans.iter().cloned().flatten() {
                        places.push(first + token - 1);
                        labels.push(self.encodings[row].ids[token]);
                    }
                }
            }
        }
        Ok(MicroBatch {
            batch: Batch::new(batch.token_ids, batch.type_ids, batch.lengths, batch.width)?,
            targets: Targets::new(places, labels),
        })
    }

    /// The batch of a step, cut into micro-batches of at most `micro_batch` rows.
    pub(crate) fn micro_batches(
        &self,
        rows: &[usize],
        micro_batch: usize,
    ) -> Result<Vec<MicroBatch>> {
        rows.chunks(micro_batch).map(|rows| self.batch(rows)).collect()
    }

    /// SHA-256 of the token ids and of the targets: a resumed run must see the same data.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (encoding, asked) in self.encodings.iter().zip(&self.asked) {
            hash.update((encoding.ids.len() as u64).to_le_bytes());
            let ids = encoding.ids.iter().chain(&encoding.type_ids);
            ids.for_each(|id| hash.update(id.to_le_bytes()));
            match asked {
                Asked::Label(label) => hash.update((*label as u64).to_le_bytes()),
                Asked::Tokens(spans) => spans.iter().for_each(|span| {
                    hash.update((span.start as u64).to_le_bytes());
                    hash.update((span.end as u64).to_le_bytes());
                }),
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_asked_for_the_token_after_it() {
        let rows = vec![
            CausalRow { ids: vec![1, 5, 6, 7], learned: std::iter::once(2..4).collect() },
            CausalRow { ids: vec![1, 8], learned: std::iter::once(1..2).collect() },
        ];
        let split = Split::causal(rows);
        let MicroBatch { batch, targets } = split.batch(&[1, 0]).unwrap();
        assert_eq!(batch.token_ids(), [1, 8, 0, 0, 1, 5, 6, 7]);
        assert_eq!(targets.places(), [0, 5, 6]);
        assert_eq!(targets.labels(), [8, 6, 7]);
        assert_eq!(split.tokens(&[0, 1]), 6);
    }

    #[test]
    fn a_label_is_asked_of_the_first_state() {
        let encoding = |ids: &[u32]| Encoding { ids: ids.to_vec(), type_ids: vec![0; ids.len()] };
        let split = Split::labelled(vec![encoding(&[2, 3]), encoding(&[2])], &[1, 0], 9);
        let MicroBatch { batch, targets } = split.batch(&[0, 1]).unwrap();
        assert_eq!(batch.token_ids(), [2, 3, 2, 9]);
        assert_eq!((targets.places(), targets.labels()), (&[0, 2][..], &[1, 0][..]));
    }
}
