//! Encodings grouped into padded batches.
//!
//! Rows of a batch have similar lengths, so that little is computed on padding; a batch is only
//! as wide as its longest row. For evaluation the examples are sorted by length; for training
//! they are shuffled first and sorted inside buckets of some batches, and the batches are shuffled
//! again. The training order depends on the lengths, the batch size, the seed and the epoch alone.

use std::cmp::Reverse;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::tokenizer::Encoding;

/// Batches per bucket within which training examples are sorted by length.
const BATCHES_PER_BUCKET: usize = 50;

/// Padded rows; what belongs to row `r` lies at `r * width..(r + 1) * width`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The example of each row: its index in the split.
    pub rows: Vec<usize>,
    /// Tokens of the longest row.
    pub width: usize,
    /// `[rows * width]`, padded on the right with the padding id.
    pub token_ids: Vec<u32>,
    /// `[rows * width]`, padded with 0.
    pub type_ids: Vec<u32>,
    /// Tokens of each row without padding.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// Pads the encodings of `rows` to their longest.
    ///
    /// # Panics
    /// If there are no rows or a row is out of range.
    pub fn gather(rows: &[usize], encodings: &[Encoding], padding_id: u32) -> Self {
        let lengths: Vec<usize> = rows.iter().map(|row| encodings[*row].ids.len()).collect();
        let width = *lengths.iter().max().expect("a batch has at least one row");
        let mut token_ids = Vec::with_capacity(rows.len() * width);
        let mut type_ids = Vec::with_capacity(rows.len() * width);
        for (place, row) in rows.iter().enumerate() {
            let end = (place + 1) * width;
            token_ids.extend_from_slice(&encodings[*row].ids);
            token_ids.resize(end, padding_id);
            type_ids.extend_from_slice(&encodings[*row].type_ids);
            type_ids.resize(end, 0);
        }
        Self { rows: rows.to_vec(), width, token_ids, type_ids, lengths }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }
}

/// Groups examples for evaluation: longest first, so that the first batch shows the peak of memory;
/// equal lengths keep their order.
///
/// # Panics
/// If `batch_size` is 0.
pub fn evaluation_order(lengths: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| Reverse(lengths[*row]));
    order.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

/// Groups examples for one epoch of training (0-based); every example occurs once, only the last
/// bucket's last batch may be short, and it may come anywhere.
///
/// # Panics
/// If `batch_size` is 0.
pub fn training_order(
    lengths: &[usize],
    batch_size: usize,
    seed: u64,
    epoch: u64,
) -> Vec<Vec<usize>> {
    let (mut order, mut rng) = shuffled(lengths.len(), seed, epoch);
    let mut batches = Vec::with_capacity(lengths.len().div_ceil(batch_size));
    for bucket in order.chunks_mut(batch_size * BATCHES_PER_BUCKET) {
        bucket.sort_by_key(|row| lengths[*row]);
        batches.extend(bucket.chunks(batch_size).map(<[usize]>::to_vec));
    }
    batches.shuffle(&mut rng);
    batches
}

/// Groups examples for one epoch of training (0-based) at random, whatever their lengths: where long
/// examples are of another kind than short ones, batches of like length would be of one kind each.
///
/// # Panics
/// If `batch_size` is 0.
pub fn mixed_order(n_examples: usize, batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    shuffled(n_examples, seed, epoch).0.chunks(batch_size).map(<[usize]>::to_vec).collect()
}

/// Groups examples for one epoch of training (0-based) into batches of at most `batch_tokens` tokens, padding
/// included: rows times the longest of them. `sizes` are what an example takes of each side, its source and its
/// target; a batch counts the longer of the two. Sorted by source, then by target, as fairseq's `max_tokens` does it;
/// equals are mixed anew in each epoch, so that every epoch has as many batches. An example longer than
/// `batch_tokens` is a batch of its own.
pub fn token_order(
    sizes: &[[usize; 2]],
    batch_tokens: usize,
    seed: u64,
    epoch: u64,
) -> Vec<Vec<usize>> {
    let (mut order, mut rng) = shuffled(sizes.len(), seed, epoch);
    order.sort_by_key(|row| sizes[*row]);
    let (mut batches, mut width): (Vec<Vec<usize>>, usize) = (Vec::new(), 0);
    for row in order {
        let [source, target] = sizes[row];
        let length = source.max(target);
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * width.max(length) <= batch_tokens => {
                batch.push(row);
                width = width.max(length);
            }
            _ => {
                batches.push(vec![row]);
                width = length;
            }
        }
    }
    batches.shuffle(&mut rng);
    batches
}

/// All examples in an order that follows from seed and epoch, and the generator for what comes next.
fn shuffled(n_examples: usize, seed: u64, epoch: u64) -> (Vec<usize>, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Epochs are independent streams of one key: no epoch has to be drawn to reach a later one.
    rng.set_stream(epoch);
    let mut order: Vec<usize> = (0..n_examples).collect();
    order.shuffle(&mut rng);
    (order, rng)
}

/// Lengths of encodings, for the two orders.
pub fn lengths(encodings: &[Encoding]) -> Vec<usize> {
    encodings.iter().map(|encoding| encoding.ids.len()).collect()
}

#[cfg(test)]
mod tests;
