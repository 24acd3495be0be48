//! The vectors of sinusoidal positions, and the biases of relative ones.

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::options::Positions;
use crate::indices::indices;
use crate::kernels;

/// Positions whose sinusoids are kept at most: a configuration may state any number of them.
const KEPT: usize = 4096;

/// Sinusoids: those of the positions that the model was made for are kept, up to [`KEPT`] of them.
#[derive(Clone, Debug)]
pub(super) struct Sinusoids {
    kind: Positions,
    d_model: usize,
    padding: usize,
    /// The kept ones, made when they are first asked for.
    usual: Arc<OnceLock<Vec<f32>>>,
    n_kept: usize,
}

impl Sinusoids {
    /// None where positions are of another kind.
    pub(super) fn new(
        kind: Positions,
        d_model: usize,
        padding: usize,
        max_positions: usize,
    ) -> Option<Self> {
        let is_sinusoidal = matches!(kind, Positions::Marian | Positions::Fairseq);
        let (usual, n_kept) = (Arc::new(OnceLock::new()), max_positions.min(KEPT));
        is_sinusoidal.then_some(Self { kind, d_model, padding, usual, n_kept })
    }

    /// The vectors of some tokens; one without a position has 0.
    pub(super) fn at(
        &self,
        positions: impl Iterator<Item = Option<usize>>,
        device: &Device,
    ) -> Tensor<2> {
        let d = self.d_model;
        let usual = self.usual.get_or_init(|| {
            let mut table = vec![0.0; self.n_kept * d];
            for (position, vector) in table.chunks_exact_mut(d).enumerate() {
                self.fill(position, vector);
            }
            table
        });
        let mut values = Vec::new();
        for position in positions {
            let from = values.len();
            values.resize(from + d, 0.0);
            let Some(position) = position else { continue };
            match usual.chunks_exact(d).nth(position) {
                Some(known) => values[from..].copy_from_slice(known),
                None => self.fill(position, &mut values[from..]),
            }
        }
        let rows = values.len() / d;
        Tensor::from_data(TensorData::new(values, [rows, d]), device)
    }

    /// The vector of one position. The arithmetic is that of the references: Marian's in f64, fairseq's in f32.
    fn fill(&self, position: usize, vector: &mut [f32]) {
        let d = self.d_model;
        if self.kind == Positions::Marian {
            let sines = d.div_ceil(2);
            for (at, value) in vector.iter_mut().enumerate() {
                let pair = if at < sines { at } else { at - sines };
                let turns = 10_000_f64.powf((2 * pair) as f64 / d as f64);
                let angle = position as f64 / turns;
                *value = if at < sines { angle.sin() } else { angle.cos() } as f32;
            }
            return;
        }
        let half = d / 2;
        let step = (10_000_f64.ln() / (half.max(2) - 1) as f64) as f32;
        for pair in 0..half {
            let frequency = (pair as f32 * -step).exp();
            let angle = (position + self.padding + 1) as f32 * frequency;
            (vector[pair], vector[half + pair]) = (angle.sin(), angle.cos());
        }
    }
}

/// A bias of every head's scores that depends on how far a key is from a query, one table for a stack's layers.
#[derive(Module, Debug)]
pub(super) struct RelativeBias {
    /// `[buckets, heads]`
    pub(super) table: Param<Tensor<2>>,
    #[module(skip)]
    numbers: Buckets,
}

#[derive(Clone, Copy, Debug)]
struct Buckets {
    n: usize,
    distance: usize,
    /// Whether keys after a query are told apart from those before it.
    is_bidirectional: bool,
}

impl RelativeBias {
    /// `table` may have no values yet.
    pub(super) fn new(
        table: Param<Tensor<2>>,
        n: usize,
        distance: usize,
        is_bidirectional: bool,
    ) -> Self {
        Self { table, numbers: Buckets { n, distance, is_bidirectional } }
    }

    /// The bias of `queries` queries, which stand at the slots from `first` on, for the first `keys` slots.
    ///
    /// # Shapes
    /// `[heads, queries, keys]`
    pub(super) fn of(&self, first: usize, queries: usize, keys: usize) -> Tensor<3> {
        let table = self.table.val();
        let [_, heads] = table.dims();
        // Of every distance once, from that of the last query and the first key on.
        let last = (first + queries).saturating_sub(1);
        let distances = 0..(last + keys).saturating_sub(first);
        let of_distances: Vec<usize> =
            distances.map(|at| self.numbers.of(at as i64 - last as i64)).collect();
        let of_query = |query: usize| &of_distances[last - query..][..keys];
        let buckets = (first..first + queries).flat_map(of_query).copied();
        let buckets = indices(buckets, &table.device());
        kernels::embedding(table, buckets).transpose().reshape([heads, queries, keys])
    }
}

impl Buckets {
    /// The bucket of a key that stands `relative` slots after the query: half of the buckets are of one distance
    /// each, the others grow with its logarithm.
    fn of(self, relative: i64) -> usize {
        let (n, after) = match self.is_bidirectional {
            true => (self.n / 2, if relative > 0 { self.n / 2 } else { 0 }),
            false => (self.n, 0),
        };
        let far = if self.is_bidirectional { relative.abs() } else { (-relative).max(0) } as usize;
        let exact = n / 2;
        if far < exact {
            return after + far;
        }
        // In f32, as the reference: where a bucket ends depends on it.
        let share = (far as f32 / exact as f32).ln();
        let whole = (self.distance as f64 / exact as f64).ln() as f32;
        let bucket = exact + (share / whole * (n - exact) as f32) as usize;
        after + bucket.min(n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_buckets_of_their_own_and_far_ones_share_them() {
        let of =
            |is_bidirectional| move |at| Buckets { n: 32, distance: 128, is_bidirectional }.of(at);
        let back = of(false);
        assert_eq!([0, -1, -15, 5].map(back), [0, 1, 15, 0]);
        assert_eq!([-16, -20, -127, -128, -9000].map(back), [16, 17, 31, 31, 31]);
        let both = of(true);
        assert_eq!([0, -1, 1, -7, 7].map(both), [0, 1, 17, 7, 23]);
        assert_eq!([-8, -16, 16, -9000, 9000].map(both), [8, 10, 26, 15, 31]);
    }

    #[test]
    fn sinusoids_are_those_of_the_formulas() {
        let of = |kind, position| {
            let vectors = Sinusoids::new(kind, 4, 1, 8).unwrap();
            let at = vectors.at([Some(position), None].into_iter(), &Device::flex());
            at.into_data().try_into_vec::<f32>().unwrap()
        };
        let marian = of(Positions::Marian, 3);
        let angles = [3.0_f32, 3.0 / 100.0];
        let expected = [angles[0].sin(), angles[1].sin(), angles[0].cos(), angles[1].cos()];
        assert!(marian[..4].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(marian[4..], [0.0; 4]);
        // The first position is 2, and so is that of the last pair's frequency 1 / 10000.
        let fairseq = of(Positions::Fairseq, 0);
        let angles = [2.0_f32, 2.0 / 10_000.0];
        let expected = [angles[0].sin(), angles[1].sin(), angles[0].cos(), angles[1].cos()];
        assert!(fairseq[..4].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
        let far = of(Positions::Marian, 20);
        assert!((far[0] - 20_f32.sin()).abs() < 1e-6, "beyond the usual ones");
    }

    #[test]
    fn a_model_of_any_number_of_positions_keeps_a_few_sinusoids() {
        let many = Sinusoids::new(Positions::Marian, 4, 1, i32::MAX as usize).unwrap();
        let asked = [Some(3), Some(KEPT)];
        let at = many.at(asked.into_iter(), &Device::flex()).into_data();
        assert_eq!(many.usual.get().unwrap().len(), KEPT * 4);
        let few = Sinusoids::new(Positions::Marian, 4, 1, 2).unwrap();
        assert_eq!(few.at(asked.into_iter(), &Device::flex()).into_data(), at);
    }

    #[test]
    fn a_bias_is_that_of_the_distance_of_its_query_and_key() {
        let numbers = Buckets { n: 8, distance: 16, is_bidirectional: true };
        let table: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let table = Tensor::<2>::from_data(TensorData::new(table, [8, 2]), &Device::flex());
        let bias = RelativeBias { table: Param::from_tensor(table), numbers };
        for (first, queries, keys) in [(0, 5, 5), (3, 2, 5), (7, 1, 8), (0, 1, 1)] {
            let found: Vec<f32> = bias.of(first, queries, keys).into_data().try_into_vec().unwrap();
            for head in 0..2 {
                for (query, key) in (0..queries).flat_map(|q| (0..keys).map(move |k| (q, k))) {
                    let bucket = numbers.of(key as i64 - (first + query) as i64);
                    let expected = (2 * bucket + head) as f32;
                    assert_eq!(found[(head * queries + query) * keys + key], expected);
                }
            }
        }
    }
}
