use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::DropoutKey;
use crate::indices::indices;
use crate::kernels::{Rotary, Rows};

/// A batch on its way through the layers.
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
    /// What a decoder attends to besides its own tokens, where it has an encoder.
    pub memory: Option<Memory>,
}

/// An encoder's last states, row by row those that the rows of a decoder's stream attend to.
#[derive(Clone, Debug)]
pub struct Memory {
    /// `[batch * width, d_model]`
    pub hidden: Tensor<2>,
    /// Tokens of each row; what follows them is not attended to.
    pub lengths: Arc<[usize]>,
    /// Tokens per row, padding included.
    pub width: usize,
}

impl Memory {
    /// The same with another tensor of the states.
    pub(crate) fn map(self, change: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self { hidden: change(self.hidden), ..self }
    }

    /// That of the given rows, in the given order; a row may be named twice.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let lengths = rows.iter().map(|&row| self.lengths[row]).collect();
        let tokens = tokens_of(rows, self.width, &self.hidden.device());
        Self { hidden: self.hidden.clone().select(0, tokens), lengths, width: self.width }
    }
}

/// The numbers of all tokens of the given rows.
fn tokens_of(rows: &[usize], width: usize, device: &Device) -> Tensor<1, Int> {
    indices(rows.iter().flat_map(|row| row * width..(row + 1) * width), device)
}

/// Where the tokens of a decoder's block stand.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Slot of the first token of each row.
    pub start: usize,
    /// Per row, slots at the beginning of the cache that hold no token.
    pub padding: Arc<[usize]>,
    /// The angles of each token's position, where positions rotate queries and keys.
    pub rotary: Option<Rotary>,
    /// What is added to the tokens' scores of the slots up to the last of them, where positions are biases and slots are
    /// a cache's, `[heads, width, slots]`; without a cache each layer makes its own.
    pub bias: Option<Tensor<3>>,
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

    /// Where a decoder's tokens stand.
    pub(crate) fn placement(&self) -> &Placement {
        self.placement.as_ref().expect("a decoder's stream knows where its tokens stand")
    }

    /// The state of each row's first token, `[batch, d_model]`.
    pub fn first_positions(&self) -> Tensor<2> {
        let [_, d_model] = self.hidden.dims();
        let rows = self.n_rows();
        self.hidden.clone().reshape([rows, self.width * d_model]).slice([0..rows, 0..d_model])
    }

    /// The mean of each row's states, padding left out, `[batch, d_model]`.
    pub fn mean_positions(&self) -> Tensor<2> {
        let ([_, d_model], [rows, width]) = (self.hidden.dims(), [self.n_rows(), self.width]);
        let share = |length: usize, place| if place < length { 1.0 / length as f32 } else { 0.0 };
        let shares = self.lengths.iter().flat_map(|&n| (0..width).map(move |at| share(n, at)));
        let shares = TensorData::new(shares.collect::<Vec<f32>>(), [rows, width, 1]);
        let shares = Tensor::<3>::from_data(shares, &self.hidden.device());
        let hidden = self.hidden.clone().reshape([rows, width, d_model]);
        (hidden * shares).sum_dim(1).reshape([rows, d_model])
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
        let tokens = tokens_of(rows, self.width, &self.hidden.device());
        let of_tokens = |tensor: &Tensor<2>| tensor.clone().select(0, tokens.clone());
        let placement = Placement {
            start: placement.start,
            padding: rows.iter().map(|&row| placement.padding[row]).collect(),
            rotary: placement
                .rotary
                .as_ref()
                .map(|rotary| Rotary { cos: of_tokens(&rotary.cos), sin: of_tokens(&rotary.sin) }),
            bias: placement.bias.clone(),
            rows: placement.rows,
            cache_rows: Some(rows.iter().map(|&row| cache_rows[row]).collect()),
        };
        Self {
            hidden: of_tokens(&self.hidden),
            lengths: rows.iter().map(|&row| self.lengths[row]).collect(),
            width: self.width,
            dropout: self.dropout,
            placement: Some(placement),
            memory: self.memory.as_ref().map(|memory| memory.rows(rows)),
        }
    }

    /// The states of some tokens, named by row · width + place, `[n, d_model]`.
    pub fn select(&self, tokens: &[usize]) -> Tensor<2> {
        // All of them, when each is named once and in order. A token may be named twice.
        if tokens.len() == self.hidden.dims()[0] && tokens.is_sorted_by(|a, b| a < b) {
            return self.hidden.clone();
        }
        let tokens = indices(tokens.iter().copied(), &self.hidden.device());
        self.hidden.clone().select(0, tokens)
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
        let hidden = self
            .hidden
            .clone()
            .reshape([self.n_rows(), self.width * d_model])
            .slice([0..self.n_rows(), 0..width * d_model])
            .select(0, indices(rows.iter().copied(), &self.hidden.device()))
            .reshape([n_kept * width, d_model]);
        Self { hidden, lengths, width, dropout: self.dropout, placement: None, memory: None }
    }

    /// The same, attending to an encoder's states.
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// An encoder's last states, for a decoder to attend to.
    pub fn into_memory(self) -> Memory {
        Memory { hidden: self.hidden, lengths: self.lengths, width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_selected_as_often_as_they_are_named() {
        let device = Device::flex();
        let hidden = Tensor::<1, Int>::arange(0..6, &device).float().reshape([3, 2]);
        let lengths = Arc::from([3].as_slice());
        let stream =
            Stream { hidden, lengths, width: 3, dropout: None, placement: None, memory: None };
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
        let stream =
            Stream { hidden, lengths, width: 3, dropout: None, placement: None, memory: None };
        let kept = stream.keep(&[1]);
        assert_eq!((kept.width, &kept.lengths[..]), (2, &[2][..]));
        let values: Vec<f32> = kept.hidden.into_data().try_into_vec().unwrap();
        assert_eq!(values, [6., 7., 8., 9.]);
    }
}
