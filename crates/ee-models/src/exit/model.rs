use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::{Batch, Block, DropoutKey, Stream};
use crate::cache::{KvCache, LayerKv};
use crate::kernels::{self, Rows, Weight};

/// A part of a layer with a residual sum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sublayer {
    /// Attention of the tokens to each other.
    SelfAttention,
    /// Attention to an encoder's states, the stream's memory.
    CrossAttention,
    /// The feed-forward network.
    FeedForward,
}

/// The embedding and the layers of a model, without a head.
pub trait Backbone {
    /// N: the number of layers, hence of exits.
    fn n_layers(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> Device;

    /// Depth 0: the embedded batch.
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream;

    /// What every layer consists of, in the order in which it runs.
    fn sublayers(&self) -> &'static [Sublayer];

    /// Runs one part of layer `index`: the stream's state becomes the residual sum after it, normalised where
    /// the model normalises sums.
    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream;

    /// Leads from depth `index` to depth `index + 1`.
    fn layer(&self, index: usize, stream: Stream) -> Stream {
        let run = |stream, &part: &Sublayer| self.sublayer(index, part, stream);
        self.sublayers().iter().fold(stream, run)
    }
}

/// A model whose every layer can answer through the one shared head.
pub trait ExitModel {
    /// The model without its head.
    fn backbone(&self) -> &dyn Backbone;

    /// [`Backbone::n_layers`]
    fn n_layers(&self) -> usize {
        self.backbone().n_layers()
    }

    /// [`Backbone::device`]
    fn device(&self) -> Device {
        self.backbone().device()
    }

    /// [`Backbone::embed`]
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        self.backbone().embed(batch, dropout)
    }

    /// [`Backbone::layer`]
    fn layer(&self, index: usize, stream: Stream) -> Stream {
        self.backbone().layer(index, stream)
    }

    /// What the head reads of a state: for a classifier the first position of each row, `[batch, d_model]`.
    fn exit_state(&self, stream: &Stream) -> Tensor<2>;

    /// What the head's last product takes of states of any depth: their final norm, or a classifier's pooler,
    /// `[rows, d_model]` → the same.
    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2>;

    /// The head's last product, `[outputs, d_model]`: logits are its product with [`ExitModel::head_state`].
    fn head_weight(&self) -> Weight;

    /// The shared head on states of any depth, `[rows, d_model]` → logits `[rows, outputs]`. As [`Rows::Few`]
    /// the head's weight is read once for all rows.
    fn read(&self, state: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [logits] = kernels::project(self.head_state(state, None), [self.head_weight()], rows);
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
        self.read(Tensor::cat(self.exit_states(batch, None), 0), Rows::Many)
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
