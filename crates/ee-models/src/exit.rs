//! The spine: a model gives its state at every depth, and one shared head reads it.
//!
//! Hidden states are 2-D, `[batch * width, d_model]`, because every linear layer wants them so: on the
//! CPU backend a 3-D input costs a copy of the weight at each call. A [`Stream`] carries the shape that
//! the flat state no longer shows.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::cache::{KvCache, LayerKv};
use crate::error::{Error, Result};
use crate::kernels::{self, Rotary, Rows, Weight};

/// Right-padded token ids of one batch, on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    token_ids: Vec<u32>,
    type_ids: Vec<u32>,
    lengths: Arc<[usize]>,
    width: usize,
}

impl Batch {
    /// Checks and takes the rows of one batch.
    ///
    /// # Shapes
    /// `token_ids` and `type_ids`: `lengths.len() * width`, row after row, padded on the right.
    ///
    /// # Errors
    /// When the sizes disagree, a row is empty or longer than `width`.
    pub fn new(
        token_ids: Vec<u32>,
        type_ids: Vec<u32>,
        lengths: Vec<usize>,
        width: usize,
    ) -> Result<Self> {
        let expected = lengths.len() * width;
        if token_ids.len() != expected || type_ids.len() != expected {
            return Err(Error::Batch(format!(
                "a batch of {} rows of width {width} needs {expected} token ids and type ids, found {} and {}",
                lengths.len(),
                token_ids.len(),
                type_ids.len()
            )));
        }
        if let Some(row) = lengths.iter().position(|&length| length == 0 || length > width) {
            return Err(Error::Batch(format!(
                "row {row} of a batch of width {width} has length {}",
                lengths[row]
            )));
        }
        Ok(Self { token_ids, type_ids, lengths: lengths.into(), width })
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// Tokens per row, padding included.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Tokens of each row, padding not included.
    pub fn lengths(&self) -> &Arc<[usize]> {
        &self.lengths
    }

    /// Token ids, row after row.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// Segment ids, row after row.
    pub fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }
}

/// From which every dropout mask of one forward pass follows, so that a resumed run draws the same masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey(u64);

impl DropoutKey {
    /// The key of one forward pass, for example of `(seed, step)`.
    pub fn new(parts: &[u64]) -> Self {
        Self(parts.iter().fold(0x9e37_79b9_7f4a_7c15, |key, &part| mix(key ^ mix(part))))
    }

    /// The seed of one place of the model, told apart by the layer's index and a number within it.
    pub fn site(self, layer: usize, number: u64) -> u64 {
        Self::new(&[self.0, layer as u64, number]).0
    }

    /// The key of one part of what shares this one.
    pub fn part(self, number: usize) -> Self {
        Self::new(&[self.0, number as u64])
    }
}

/// The finalizer of splitmix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What a batch is while it travels through the layers.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The state, `[batch * width, d_model]`, row after row.
    pub hidden: Tensor<2>,
    /// Tokens of each row, padding not included.
    pub lengths: Arc<[usize]>,
    /// Tokens per row, padding included.
    pub width: usize,
    /// Where the dropout masks come from; `None` outside training.
    pub dropout: Option<DropoutKey>,
    /// Where a decoder's tokens stand; `None` for an encoder.
    pub placement: Option<Placement>,
}

/// Where the tokens of a decoder's block stand.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Slot of the first token of each row.
    pub start: usize,
    /// Per row, slots at the beginning of the cache that hold no token.
    pub padding: Arc<[usize]>,
    /// The angles of each token's position.
    pub rotary: Rotary,
    /// How weights are read.
    pub rows: Rows,
    /// The row of the cache that each row belongs to; its own if absent.
    pub cache_rows: Option<Arc<[usize]>>,
}

/// A block of tokens on its way into a decoder.
#[derive(Clone, Debug)]
pub struct Block {
    /// Tokens per row.
    pub width: usize,
    /// Slot of the first token of each row.
    pub start: usize,
    /// Per row, slots at the beginning of the cache that hold no token; the position of a token is its
    /// slot less this.
    pub padding: Arc<[usize]>,
    /// Per row, tokens of the block before padding on the right.
    pub lengths: Arc<[usize]>,
    /// How weights are read: [`Rows::Few`] for steps, [`Rows::Many`] for whole texts.
    pub rows: Rows,
}

impl Stream {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.lengths.len()
    }

    /// The state of each row's first token, `[batch, d_model]`.
    pub fn first_positions(&self) -> Tensor<2> {
        let [_, d_model] = self.hidden.dims();
        let rows = self.n_rows();
        self.hidden.clone().reshape([rows, self.width * d_model]).slice([0..rows, 0..d_model])
    }

    /// The state of each row's last token, `[batch, d_model]`.
    pub fn last_positions(&self) -> Tensor<2> {
        let last = self.lengths.iter().enumerate().map(|(row, &n)| row * self.width + n - 1);
        self.select(&last.collect::<Vec<_>>())
    }

    /// The same, as of the given rows of the cache.
    ///
    /// # Panics
    /// When this is an encoder's stream.
    pub fn in_cache_rows(mut self, rows: Arc<[usize]>) -> Self {
        let placement = self.placement.as_mut().expect("an encoder has no cache");
        placement.cache_rows = Some(rows);
        self
    }

    /// The rows of the cache that the rows of a decoder's stream belong to.
    pub fn cache_rows(&self) -> Arc<[usize]> {
        match self.placement.as_ref().and_then(|placement| placement.cache_rows.clone()) {
            Some(rows) => rows,
            None => (0..self.n_rows()).collect(),
        }
    }

    /// A decoder's stream of the given rows alone, in the given order; each stays with its row of the cache.
    ///
    /// # Panics
    /// When a row is not there, or this is an encoder's stream.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let placement = self.placement.as_ref().expect("an encoder has no cache");
        let cache_rows = self.cache_rows();
        let tokens: Vec<i64> = rows
            .iter()
            .flat_map(|row| (row * self.width..(row + 1) * self.width).map(|token| token as i64))
            .collect();
        let tokens = TensorData::new(tokens, [rows.len() * self.width]);
        let tokens = Tensor::<1, Int>::from_data(tokens, &self.hidden.device());
        let of_tokens = |tensor: &Tensor<2>| tensor.clone().select(0, tokens.clone());
        let placement = Placement {
            start: placement.start,
            padding: rows.iter().map(|&row| placement.padding[row]).collect(),
            rotary: Rotary {
                cos: of_tokens(&placement.rotary.cos),
                sin: of_tokens(&placement.rotary.sin),
            },
            rows: placement.rows,
            cache_rows: Some(rows.iter().map(|&row| cache_rows[row]).collect()),
        };
        Self {
            hidden: of_tokens(&self.hidden),
            lengths: rows.iter().map(|&row| self.lengths[row]).collect(),
            width: self.width,
            dropout: self.dropout,
            placement: Some(placement),
        }
    }

    /// The states of some tokens, named by row · width + place, `[n, d_model]`.
    pub fn select(&self, tokens: &[usize]) -> Tensor<2> {
        // As many as there are, each once and in order: all of them. A token may be named twice.
        if tokens.len() == self.hidden.dims()[0] && tokens.is_sorted_by(|a, b| a < b) {
            return self.hidden.clone();
        }
        let indices: Vec<i64> = tokens.iter().map(|&token| token as i64).collect();
        let indices = TensorData::new(indices, [tokens.len()]);
        self.hidden.clone().select(0, Tensor::<1, Int>::from_data(indices, &self.hidden.device()))
    }

    /// An encoder's stream of the given rows alone, in the given order, cut to the longest of them.
    ///
    /// # Panics
    /// When `rows` is empty or names a row that is not there, or for a decoder's stream.
    pub fn keep(&self, rows: &[usize]) -> Self {
        assert!(self.placement.is_none(), "a decoder's rows go with their cache");
        let [_, d_model] = self.hidden.dims();
        let lengths: Arc<[usize]> = rows.iter().map(|&row| self.lengths[row]).collect();
        let width = lengths.iter().copied().max().expect("a stream keeps at least one row");
        let n_kept = rows.len();
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices =
            Tensor::<1, Int>::from_data(TensorData::new(indices, [n_kept]), &self.hidden.device());
        let hidden = self
            .hidden
            .clone()
            .reshape([self.n_rows(), self.width * d_model])
            .slice([0..self.n_rows(), 0..width * d_model])
            .select(0, indices)
            .reshape([n_kept * width, d_model]);
        Self { hidden, lengths, width, dropout: self.dropout, placement: None }
    }
}

/// A model whose every layer can answer through the one shared head.
pub trait ExitModel {
    /// N: the number of layers, hence of exits.
    fn n_layers(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> Device;

    /// Depth 0: the embedded batch.
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream;

    /// Leads from depth `index` to depth `index + 1`.
    fn layer(&self, index: usize, stream: Stream) -> Stream;

    /// What the head reads of a state: for a classifier the first position of each row, `[batch, d_model]`.
    fn exit_state(&self, stream: &Stream) -> Tensor<2>;

    /// What the head's last product takes of states of any depth: their final norm, or a classifier's pooler,
    /// `[rows, d_model]` → the same.
    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2>;

    /// The head's last product, `[outputs, d_model]`: logits are its product with [`ExitModel::head_state`].
    fn head_weight(&self) -> Weight;

    /// The shared head on states of any depth, `[rows, d_model]` → logits `[rows, outputs]`.
    fn read(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        let state = self.head_state(state, dropout);
        let [logits] = kernels::project(state, [self.head_weight()], Rows::Many);
        logits
    }

    /// The states that the head reads at the exits 1..=N, in that order.
    fn exit_states(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Vec<Tensor<2>> {
        let mut stream = self.embed(batch, dropout);
        (0..self.n_layers())
            .map(|index| {
                stream = self.layer(index, stream.clone());
                self.exit_state(&stream)
            })
            .collect()
    }

    /// Logits of every exit in one product with the head, `[exits * batch, outputs]`, exit after exit.
    fn exit_logits(&self, batch: &Batch) -> Tensor<2> {
        self.read(Tensor::cat(self.exit_states(batch, None), 0), None)
    }
}

/// A model that continues texts token by token.
///
/// Exits are read at the last token of each row. [`ExitModel::embed`] takes rows padded on the right and
/// [`ExitModel::layer`] runs them whole, without a cache; the methods here go on from a cache.
pub trait Decoder: ExitModel {
    /// Entries of the vocabulary.
    fn vocabulary_size(&self) -> usize;

    /// Positions that the model was made for.
    fn max_positions(&self) -> usize;

    /// A cache with room for `capacity` slots, for rows whose first `padding[r]` slots hold no token.
    fn empty_cache(&self, padding: Arc<[usize]>, capacity: usize) -> KvCache;

    /// Depth 0 of a block of tokens, row after row.
    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream;

    /// A block of tokens whose states at some depth are known, `[batch * width, d_model]`.
    fn resume_block(&self, hidden: Tensor<2>, block: &Block) -> Stream;

    /// Leads from depth `index` to depth `index + 1`, attending to the cache and appending to it.
    fn layer_with(&self, index: usize, stream: Stream, cache: &mut LayerKv) -> Stream;

    /// Appends to the cache of layer `index` the keys and values that it projects from the stream's state,
    /// with its own norm, and computes nothing else of the layer.
    fn write_kv(&self, index: usize, stream: &Stream, cache: &mut LayerKv);

    /// What a step has to read of the weights.
    fn weight_bytes(&self) -> WeightBytes;

    /// [`ExitModel::read`] for a step's few rows, the head's weight read once for all of them.
    fn read_step(&self, state: Tensor<2>) -> Tensor<2>;
}

/// Sizes of a decoder's matrices in bytes, in their format in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightBytes {
    /// All of one layer.
    pub layer: usize,
    /// Those of one layer that keys and values are projected by.
    pub key_value: usize,
    /// The head.
    pub head: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_checks_its_sizes() {
        assert!(Batch::new(vec![1; 6], vec![0; 6], vec![3, 2], 3).is_ok());
        let wrong = Batch::new(vec![1; 5], vec![0; 6], vec![3, 2], 3).unwrap_err();
        assert!(wrong.to_string().contains("needs 6"), "{wrong}");
        let empty = Batch::new(vec![1; 6], vec![0; 6], vec![3, 0], 3).unwrap_err();
        assert!(empty.to_string().contains("row 1"), "{empty}");
    }

    #[test]
    fn tokens_are_selected_as_often_as_they_are_named() {
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..6, &device).float().reshape([3, 2]);
        let lengths = Arc::from([3].as_slice());
        let stream = Stream { hidden, lengths, width: 3, dropout: None, placement: None };
        let selected = |tokens: &[usize]| -> Vec<f32> {
            stream.select(tokens).into_data().try_into_vec().unwrap()
        };
        assert_eq!(selected(&[0, 1, 2]), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(selected(&[0, 0, 2]), [0., 1., 0., 1., 4., 5.]);
        assert_eq!(selected(&[1, 1]), [2., 3., 2., 3.]);
        assert_eq!(selected(&[2, 0, 1]), [4., 5., 0., 1., 2., 3.]);
    }

    #[test]
    fn keep_reorders_and_cuts() {
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..12, &device).float().reshape([6, 2]);
        let lengths = Arc::from([3, 2].as_slice());
        let stream = Stream { hidden, lengths, width: 3, dropout: None, placement: None };
        let kept = stream.keep(&[1]);
        assert_eq!((kept.width, &kept.lengths[..]), (2, &[2][..]));
        let values: Vec<f32> = kept.hidden.into_data().try_into_vec().unwrap();
        assert_eq!(values, [6., 7., 8., 9.]);
    }

    #[test]
    fn dropout_keys_differ_by_step_layer_and_site() {
        let (a, b) = (DropoutKey::new(&[1, 2]), DropoutKey::new(&[1, 3]));
        assert_ne!(a, b);
        assert_ne!(a.site(0, 0), a.site(0, 1));
        assert_ne!(a.site(0, 1), a.site(1, 0));
        assert_eq!(a.site(1, 1), DropoutKey::new(&[1, 2]).site(1, 1));
    }
}
