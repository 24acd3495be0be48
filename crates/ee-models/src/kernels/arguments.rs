//! What operations take and give besides tensors.

use burn::tensor::Tensor;
pub use ee_kernels::{Activation, AdamW, AttentionShape, Dropout, RowStatistics, Sight};

/// One of the weights that share an input.
#[derive(Clone, Debug)]
pub struct Weight {
    /// `[out, in]`, F32, F16 or BF16; its gradient is F32.
    pub matrix: Tensor<2>,
    /// `[out]`
    pub bias: Option<Tensor<1>>,
}

/// How many rows a product has, as the caller knows it to be; rows of one computation must be read one way
/// for them to have the same bits in every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A step of decoding: the time is that of reading the weights.
    Few,
    /// A whole text: the time is that of the arithmetic.
    Many,
}

/// Where the rows of a block of tokens go in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePlace {
    /// Slots per batch row.
    pub capacity: usize,
    /// Tokens per batch row in the block.
    pub width: usize,
    /// Slot of the first of them.
    pub start: usize,
}

/// Slots of a cache that are copied from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The first of them.
    pub from: usize,
    /// Where it goes; nothing else is copied from there.
    pub to: usize,
    /// How many.
    pub n: usize,
}

impl CachePlace {
    /// Where the first token of a row of the block lies in memory, in slots; `origins` as in
    /// [`AttentionShape`].
    pub(super) fn memory(&self, row: usize, origins: Option<&[isize]>) -> usize {
        let origin = origins.map_or((row * self.capacity) as isize, |origins| origins[row]);
        let place = usize::try_from(origin.strict_add_unsigned(self.start));
        place.unwrap_or_else(|_| panic!("row {row}: slot {} lies before the cache", self.start))
    }
}

/// The angles of each row's position.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// `[rows, head_dim / 2]`
    pub cos: Tensor<2>,
    /// `[rows, head_dim / 2]`
    pub sin: Tensor<2>,
}

/// How labelled states are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scoring {
    /// The share of the weight that the labels give to the other outputs, in equal parts.
    pub smoothing: f64,
    /// Gradients are those of this times the smoothed sum; none are taken if absent.
    pub factor: Option<f64>,
}

/// What the head says of some labelled states.
#[derive(Debug)]
pub struct HeadLoss {
    /// Σ −log p(label), in nats.
    pub loss: f64,
    /// The same of smoothed labels (see [`ee_kernels::cross_entropy`]).
    pub smoothed: f64,
    /// Rows whose argmax (ties: lowest column) is the label.
    pub right: usize,
    /// The gradient of the states, `[rows, d]`; `None` where no gradient was asked for.
    pub of_states: Option<Tensor<2>>,
}

/// The head's gradients, which are added to; `None` where none is wanted.
#[derive(Debug)]
pub struct HeadGradients {
    /// `[outputs, d]`
    pub matrix: Option<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Tensor<1>>,
}

/// A parameter and its moments.
#[derive(Clone, Debug)]
pub struct AdamWTensors<const D: usize> {
    /// θ
    pub parameter: Tensor<D>,
    /// m
    pub first_moment: Tensor<D>,
    /// v
    pub second_moment: Tensor<D>,
}
