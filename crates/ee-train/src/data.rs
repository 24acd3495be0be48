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
    /// What an encoder reads beside each row, where there is one.
    sources: Option<Vec<Encoding>>,
    lengths: Vec<usize>,
    padding_id: u32,
}

/// A text and what is to be said of it, in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// What the encoder reads, its end token included; not empty.
    pub(crate) source: Vec<u32>,
    /// What the decoder is to say, its end token included.
    pub(crate) target: Vec<u32>,
}

/// What is asked of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// The label, of the first token's state.
    Label(usize),
    /// These tokens, each of the state before it.
    Tokens(Vec<Range<usize>>),
    /// A token of every state.
    Answer(Vec<u32>),
}

impl Split {
    /// Rows to classify.
    pub(crate) fn labelled(encodings: Vec<Encoding>, labels: &[usize], padding_id: u32) -> Self {
        assert_eq!(encodings.len(), labels.len(), "one label per example");
        let asked = labels.iter().map(|&label| Asked::Label(label)).collect();
        let lengths = batch::lengths(&encodings);
        Self { encodings, asked, sources: None, lengths, padding_id }
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
        Self { encodings, asked, sources: None, lengths, padding_id: 0 }
    }

    /// Rows of an encoder and a decoder, which begins with the tokens of `opening`: it reads its first token and every
    /// token of the answer but the last, and is asked for all that follow the first. Padding is masked, whatever
    /// its id.
    ///
    /// # Panics
    /// When there is no opening.
    pub(crate) fn pairs(pairs: Vec<Pair>, opening: &[u32]) -> Self {
        let (start, forced) = opening.split_first().expect("a decoder begins with some token");
        let whole = |ids: Vec<u32>| Encoding { type_ids: vec![0; ids.len()], ids };
        let (mut encodings, mut asked, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for Pair { source, target } in pairs {
            let answer = [forced, &target].concat();
            let input = std::iter::once(*start).chain(answer.iter().copied());
            encodings.push(whole(input.take(answer.len()).collect()));
            sources.push(whole(source));
            asked.push(Asked::Answer(answer));
        }
        let lengths = batch::lengths(&encodings);
        Self { encodings, asked, sources: Some(sources), lengths, padding_id: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.encodings.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.encodings.is_empty()
    }

    /// Tokens of some rows, without padding; of pairs those of both sides.
    pub(crate) fn tokens(&self, rows: &[usize]) -> usize {
        rows.iter().map(|&row| self.sizes(row).into_iter().sum::<usize>()).sum()
    }

    /// Tokens of a row's source, if it has one, and of the row.
    fn sizes(&self, row: usize) -> [usize; 2] {
        let source = self.sources.as_ref().map_or(0, |sources| sources[row].ids.len());
        [source, self.lengths[row]]
    }

    /// Tokens of the longest row; of pairs, of the longer side. 0 where there are none.
    pub(crate) fn longest(&self) -> usize {
        (0..self.len()).flat_map(|row| self.sizes(row)).max().unwrap_or(0)
    }

    /// Gold labels, in the order of the split.
    pub(crate) fn labels(&self) -> Vec<usize> {
        let label = |asked: &Asked| match asked {
            Asked::Label(label) => *label,
            _ => panic!("rows of text have no labels"),
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
            _ => batch::training_order(&self.longer(), batch_size, seed, epoch),
        }
    }

    /// Batches of one epoch of training as [`batch::token_order`] groups them.
    pub(crate) fn token_order(&self, tokens: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        let sizes: Vec<[usize; 2]> = (0..self.len()).map(|row| self.sizes(row)).collect();
        batch::token_order(&sizes, tokens, seed, epoch)
    }

    /// The length of every row's longer side.
    fn longer(&self) -> Vec<usize> {
        (0..self.len()).map(|row| self.sizes(row).into_iter().max().expect("two")).collect()
    }

    /// Batches for validation, as indices of rows.
    pub(crate) fn evaluation_order(&self, batch_size: usize) -> Vec<Vec<usize>> {
        batch::evaluation_order(&self.longer(), batch_size)
    }

    /// The padded batch of some rows, and its targets.
    pub(crate) fn batch(&self, rows: &[usize]) -> Result<MicroBatch> {
        let gathered = batch::Batch::gather(rows, &self.encodings, self.padding_id);
        let width = gathered.width;
        let (mut places, mut labels) = (Vec::new(), Vec::new());
        for (place, &row) in rows.iter().enumerate() {
            let first = place * width;
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
                Asked::Answer(answer) => {
                    places.extend(first..first + answer.len());
                    labels.extend(answer);
                }
            }
        }
        let batch = padded(gathered)?;
        let batch = match &self.sources {
            Some(sources) => {
                let source = batch::Batch::gather(rows, sources, self.padding_id);
                batch.with_source(padded(source)?)?
            }
            None => batch,
        };
        Ok(MicroBatch { batch, targets: Targets::new(places, labels) })
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
                Asked::Answer(answer) => {
                    answer.iter().for_each(|id| hash.update(id.to_le_bytes()));
                }
            }
        }
        for source in self.sources.iter().flatten() {
            hash.update((source.ids.len() as u64).to_le_bytes());
            source.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A batch as models take it.
fn padded(batch: batch::Batch) -> Result<Batch> {
    Ok(Batch::new(batch.token_ids, batch.type_ids, batch.lengths, batch.width)?)
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

    #[test]
    fn a_decoder_reads_its_answer_shifted_by_its_start() {
        let pairs = vec![
            Pair { source: vec![11, 12, 1], target: vec![5, 6, 1] },
            Pair { source: vec![13, 1], target: vec![1] },
        ];
        let split = Split::pairs(pairs.clone(), &[9]);
        let MicroBatch { batch, targets } = split.batch(&[1, 0]).unwrap();
        assert_eq!(batch.token_ids(), [9, 0, 0, 9, 5, 6]);
        assert_eq!((targets.places(), targets.labels()), (&[0, 3, 4, 5][..], &[1, 5, 6, 1][..]));
        let source = batch.source().unwrap();
        assert_eq!(source.token_ids(), [13, 1, 0, 11, 12, 1]);
        assert_eq!(source.lengths()[..], [2, 3]);
        assert_eq!((split.tokens(&[0, 1]), split.longest()), (3 + 3 + 2 + 1, 3));
        // A forced first token is learned, too, as in transformers.
        let forced = Split::pairs(pairs, &[9, 8]);
        let MicroBatch { batch, targets } = forced.batch(&[0]).unwrap();
        assert_eq!(batch.token_ids(), [9, 8, 5, 6]);
        assert_eq!(targets.labels(), [8, 5, 6, 1]);
        assert_ne!(split.fingerprint(), forced.fingerprint());
    }
}
