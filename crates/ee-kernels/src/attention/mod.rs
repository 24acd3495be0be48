//! Multi-head attention that keeps one number per query for its backward pass.
//!
//! A task is one head of one batch row, and takes its queries in blocks: scores, softmax and the product
//! with V stay in the thread's cache. Forward keeps log Σ exp of each query's scores; backward makes the
//! probabilities again from it (Dao et al. 2022). Keys beyond a row's length are never touched, so padding
//! costs nothing; queries beyond theirs give 0 and no gradient. Heads are columns of `[tokens, heads ·
//! head_dim]`, as the projections leave them, so nothing is moved.

mod backward;
mod causal;
mod causal_backward;
mod forward;
mod rows;

#[cfg(test)]
mod tests;

use super::dropout::{Dropout, Mask};
use super::gemm::MatrixView;
use super::sizes::product;

pub use self::backward::{AttentionGradients, attention_backward};
pub use self::causal::{CausalShape, causal_attention};
pub use self::causal_backward::causal_attention_backward;
pub use self::forward::attention_forward;

/// Queries of a block: their scores against 512 keys are 128 KiB.
const QUERIES: usize = 64;

/// The sizes of an attention over right-padded rows.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape<'a> {
    /// Places for queries per batch row.
    pub queries: usize,
    /// Places for keys and values per batch row.
    pub keys: usize,
    /// Number of heads.
    pub heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// Queries of each batch row that count; beyond them the result is 0.
    pub query_lengths: &'a [usize],
    /// Keys of each batch row that may be attended to.
    pub key_lengths: &'a [usize],
    /// Scores are multiplied by it: 1 / √head_dim.
    pub scale: f32,
    /// Of the probabilities; the element of (batch row b, head h, query q, key k) has the index
    /// `((b * heads + h) * queries + q) * keys + k`.
    pub dropout: Dropout,
}

/// What is attended with and to.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInputs<'a> {
    /// `[batch, queries, heads * head_dim]`
    pub query: &'a [f32],
    /// `[batch, keys, heads * head_dim]`
    pub key: &'a [f32],
    /// `[batch, keys, heads * head_dim]`
    pub value: &'a [f32],
}

impl AttentionShape<'_> {
    fn batch(&self) -> usize {
        self.key_lengths.len()
    }

    fn d_model(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Asserts that sizes fit together.
    fn check(&self, inputs: AttentionInputs<'_>, log_sum_exp: &[f32]) {
        let batch = self.batch();
        let Self { queries, keys, heads, head_dim, .. } = *self;
        let of_queries = product([batch, queries, heads, head_dim]);
        let of_keys = product([batch, keys, heads, head_dim]);
        assert_eq!(self.query_lengths.len(), batch, "query lengths, one per batch row");
        assert!(
            self.query_lengths.iter().all(|&n| n <= self.queries),
            "queries within {}",
            self.queries
        );
        assert!(self.key_lengths.iter().all(|&n| n <= self.keys), "keys within {}", self.keys);
        assert_eq!(inputs.query.len(), of_queries, "numbers in the queries");
        assert_eq!(inputs.key.len(), of_keys, "numbers in the keys");
        assert_eq!(inputs.value.len(), of_keys, "numbers in the values");
        let of_sums = product([batch, heads, queries]);
        assert_eq!(log_sum_exp.len(), of_sums, "one log-sum-exp per query");
    }

    /// Numbers before head `head` of token `token` of row `row`, with `tokens` tokens per row.
    fn offset(&self, tokens: usize, row: usize, token: usize, head: usize) -> usize {
        (row * tokens + token) * self.d_model() + head * self.head_dim
    }

    /// `n` tokens of a head from `token` on, `[n, head_dim]`.
    fn head<'a>(
        &self,
        data: &'a [f32],
        tokens: usize,
        row: usize,
        token: usize,
        head: usize,
        n: usize,
    ) -> MatrixView<'a> {
        let from = self.offset(tokens, row, token, head);
        MatrixView::new(&data[from..], n, self.head_dim, self.d_model(), 1)
    }

    /// The dropout of one query's probabilities.
    fn mask(&self, row: usize, head: usize, query: usize) -> Option<Mask> {
        self.dropout.is_active().then(|| {
            let at = (row * self.heads + head) * self.queries + query;
            self.dropout.mask((at as u64).wrapping_mul(self.keys as u64))
        })
    }
}
