//! Values by the formula in f64, gradients by differences of that formula.

use super::*;
use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

struct Case {
    queries: usize,
    keys: usize,
    heads: usize,
    head_dim: usize,
    query_lengths: Vec<usize>,
    key_lengths: Vec<usize>,
    dropout: Dropout,
    inputs: [Vec<f32>; 3],
    out_gradient: Vec<f32>,
}

impl Case {
    fn new(
        queries: usize,
        keys: usize,
        heads: usize,
        head_dim: usize,
        lengths: &[(usize, usize)],
    ) -> Self {
        let [of_queries, of_keys] = [queries, keys].map(|n| n * lengths.len() * heads * head_dim);
        let (query_lengths, key_lengths) = lengths.iter().copied().unzip();
        let inputs = [numbers(of_queries, 1), numbers(of_keys, 2), numbers(of_keys, 3)];
        let out_gradient = numbers(of_queries, 4);
        let dropout = Dropout::NONE;
        Self {
            queries,
            keys,
            heads,
            head_dim,
            query_lengths,
            key_lengths,
            dropout,
            inputs,
            out_gradient,
        }
    }

    fn shape(&self) -> AttentionShape<'_> {
        AttentionShape {
            queries: self.queries,
            keys: self.keys,
            heads: self.heads,
            head_dim: self.head_dim,
            query_lengths: &self.query_lengths,
            key_lengths: &self.key_lengths,
            scale: 0.7,
            dropout: self.dropout,
        }
    }

    fn views(&self) -> AttentionInputs<'_> {
        let [query, key, value] = &self.inputs;
        AttentionInputs { query, key, value }
    }

    fn forward(&self) -> [Vec<f32>; 2] {
        let mut out = vec![f32::NAN; self.inputs[0].len()];
        let mut log_sum_exp = vec![f32::NAN; self.key_lengths.len() * self.heads * self.queries];
        attention_forward(&self.shape(), self.views(), &mut out, &mut log_sum_exp);
        [out, log_sum_exp]
    }

    fn backward(&self) -> [Vec<f32>; 3] {
        let [out, log_sum_exp] = self.forward();
        let mut found = self.inputs.clone().map(|input| vec![f32::NAN; input.len()]);
        let [query, key, value] = &mut found;
        attention_backward(
            &self.shape(),
            self.views(),
            &out,
            &log_sum_exp,
            &self.out_gradient,
            AttentionGradients { query, key, value },
        );
        found
    }

    /// Output, dQ, dK, dV by the formulas, element by element.
    fn expected(&self) -> [Vec<f64>; 4] {
        let shape = self.shape();
        let mut found = [&self.inputs[0], &self.inputs[0], &self.inputs[1], &self.inputs[2]]
            .map(|input| vec![0.0; input.len()]);
        for task in 0..self.key_lengths.len() * self.heads {
            let (row, head) = (task / self.heads, task % self.heads);
            for query in 0..self.query_lengths[row] {
                self.expected_query(&shape, row, head, query, &mut found);
            }
        }
        found
    }

    fn expected_query(
        &self,
        shape: &AttentionShape<'_>,
        row: usize,
        head: usize,
        query: usize,
        found: &mut [Vec<f64>; 4],
    ) {
        let [out, dq, dk, dv] = found;
        let q_at = shape.offset(self.queries, row, query, head);
        let k_at = |key| shape.offset(self.keys, row, key, head);
        let d = self.head_dim;
        let [q, k, v] = &self.inputs;
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let scale = f64::from(shape.scale);
        let n = self.key_lengths[row];
        let e: Vec<f64> = (0..n)
            .map(|key| (scale * dot(&q[q_at..q_at + d], &k[k_at(key)..k_at(key) + d])).exp())
            .collect();
        let z: f64 = e.iter().sum();
        let factor = |key: usize| -> f64 {
            shape.mask(row, head, query).map_or(1.0, |mask| f64::from(mask.factor(key as u32)))
        };
        let dy = &self.out_gradient[q_at..q_at + d];
        let dp: Vec<f64> =
            (0..n).map(|key| factor(key) * dot(dy, &v[k_at(key)..k_at(key) + d])).collect();
        let along: f64 = (0..n).map(|key| dp[key] * e[key] / z).sum();
        for key in 0..n {
            let p = e[key] / z;
            let ds = scale * p * (dp[key] - along);
            for i in 0..d {
                out[q_at + i] += factor(key) * p * f64::from(v[k_at(key) + i]);
                dq[q_at + i] += ds * f64::from(k[k_at(key) + i]);
                dk[k_at(key) + i] += ds * f64::from(q[q_at + i]);
                dv[k_at(key) + i] += factor(key) * p * f64::from(dy[i]);
            }
        }
    }

    fn check(&self) {
        let [out, dq, dk, dv] = self.expected();
        assert_close(&self.forward()[0], &out, 2e-6);
        let [found_dq, found_dk, found_dv] = self.backward();
        assert_close(&found_dq, &dq, 5e-6);
        assert_close(&found_dk, &dk, 5e-6);
        assert_close(&found_dv, &dv, 5e-6);
    }
}

#[test]
fn values_and_gradients_equal_the_formulas() {
    Case::new(1, 1, 1, 1, &[(1, 1)]).check();
    Case::new(5, 7, 2, 3, &[(5, 7), (2, 1), (0, 4)]).check();
    Case::new(130, 75, 3, 17, &[(130, 33), (65, 75)]).check();
    for head_dim in [32, 64, 128] {
        Case::new(33, 33, 2, head_dim, &[(33, 33), (9, 9)]).check();
    }
}

#[test]
fn dropout_makes_the_same_mask_backward() {
    let mut case = Case::new(70, 41, 2, 16, &[(70, 41), (30, 30)]);
    case.dropout = Dropout { probability: 0.2, seed: 11 };
    case.check();
    let dropped = case.forward();
    case.dropout = Dropout::NONE;
    assert_ne!(dropped[0], case.forward()[0]);
    assert_eq!(dropped[1], case.forward()[1]);
}

#[test]
fn keys_beyond_the_length_change_nothing() {
    let mut case = Case::new(9, 9, 2, 8, &[(9, 9), (4, 4)]);
    let before = case.forward();
    let from = case.shape().offset(9, 1, 4, 0);
    case.inputs[1][from..].fill(f32::NAN);
    case.inputs[2][from..].fill(f32::NAN);
    assert_eq!(before, case.forward());
}

#[test]
fn no_keys_give_zero() {
    let case = Case::new(3, 2, 1, 4, &[(3, 0)]);
    assert!(case.forward()[0].iter().all(|&value| value == 0.0));
    assert!(case.backward().concat().iter().all(|&value| value == 0.0));
}

#[test]
fn threads_do_not_change_attention() {
    let mut case = Case::new(70, 70, 3, 20, &[(70, 70), (50, 50)]);
    case.dropout = Dropout { probability: 0.1, seed: 2 };
    assert_same_on_any_threads(|| [case.forward()[0].clone(), case.backward().concat()].concat());
}
