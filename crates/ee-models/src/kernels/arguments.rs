//! What operations take and give beside tensors.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
pub use ee_kernels::{Activation, AdamW, Dropout, RowStatistics, Sight};

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

/// The arguments of an attention.
#[derive(Clone, Debug)]
pub struct AttentionShape {
    /// Queries per batch row, padding included.
    pub width: usize,
    /// Slots for keys and values per batch row.
    pub capacity: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Per batch row the queries that are a token's; the others give 0.
    pub live: Arc<[Range<usize>]>,
    /// Per batch row the slots that hold a token.
    pub held: Arc<[Range<usize>]>,
    /// Per batch row where its slot 0 lies in keys and values, counted in slots; before their beginning where
    /// the first slots hold no token. One row behind the other if absent.
    pub origins: Option<Arc<[isize]>>,
    /// Which of the held slots a query sees.
    pub sight: Sight,
    /// What scores are multiplied by; 1 / √head_dim if absent.
    pub scale: Option<f32>,
    /// Of the probabilities.
    pub dropout: Dropout,
}

impl AttentionShape {
    /// Right-padded rows of `width` places whose tokens see each other: an encoder's.
    pub fn whole(heads: usize, width: usize, lengths: &[usize]) -> Self {
        let rows: Arc<[Range<usize>]> = lengths.iter().map(|&length| 0..length).collect();
        Self {
            width,
            capacity: width,
            heads,
            kv_heads: heads,
            live: rows.clone(),
            held: rows,
            origins: None,
            sight: Sight::Whole,
            scale: None,
            dropout: Dropout::NONE,
        }
    }

    /// The same queries over right-padded keys of another text: an encoder's memory.
    pub fn over(self, capacity: usize, lengths: &[usize]) -> Self {
        let held = lengths.iter().map(|&length| 0..length).collect();
        Self { capacity, held, sight: Sight::Whole, ..self }
    }

    /// Tokens that see the slots of a cache up to their own; row r holds tokens from slot `starts[r]` to before
    /// `ends[r]`.
    pub fn causal(
        [heads, kv_heads]: [usize; 2],
        place: CachePlace,
        window: Option<usize>,
        starts: &[usize],
        ends: &[usize],
    ) -> Self {
        let CachePlace { capacity, width, start: first } = place;
        let query = |slot: usize| slot.clamp(first, first + width) - first;
        let live = |(&start, &end): (&usize, &usize)| query(start)..query(end).max(query(start));
        let rows = || starts.iter().zip(ends);
        Self {
            width,
            capacity,
            heads,
            kv_heads,
            live: rows().map(live).collect(),
            held: rows().map(|(&start, &end)| start..end).collect(),
            origins: None,
            sight: Sight::Causal { first, window },
            scale: None,
            dropout: Dropout::NONE,
        }
    }
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

/// What the head says of some labelled states.
#[derive(Debug)]
pub struct HeadLoss {
    /// Σ −log p(label), in nats.
    pub loss: f64,
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
