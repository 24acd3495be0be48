use super::*;
use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

const EPSILON: f32 = 1e-5;

/// Normalised values in f64.
fn normalised(row: &[f32]) -> (Vec<f64>, f64) {
    let d = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / d;
    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / d;
    let inverse = 1.0 / (variance + f64::from(EPSILON)).sqrt();
    (row.iter().map(|&x| (f64::from(x) - mean) * inverse).collect(), inverse)
}

struct Case {
    rows: usize,
    d: usize,
    input: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(rows: usize, d: usize) -> Self {
        let input = numbers(rows * d, 1).iter().map(|x| 3.0 * x + 0.5).collect();
        let (gamma, beta, dy) = (numbers(d, 2), numbers(d, 3), numbers(rows * d, 4));
        Self { rows, d, input, gamma, beta, dy }
    }

    fn parameters(&self) -> NormParameters<'_> {
        NormParameters { gamma: &self.gamma, beta: &self.beta, epsilon: EPSILON }
    }

    fn forward(&self) -> [Vec<f32>; 3] {
        let mut out = vec![0.0; self.rows * self.d];
        let (mut mean, mut inverse_deviation) = (vec![0.0; self.rows], vec![0.0; self.rows]);
        let statistics =
            NormStatistics { mean: &mut mean, inverse_deviation: &mut inverse_deviation };
        let (zeros, mut sum) = (vec![0.0; self.input.len()], vec![0.0; self.input.len()]);
        let parameters = self.parameters();
        let input = &self.input;
        residual_norm(parameters, Dropout::NONE, &zeros, input, &mut sum, &mut out, statistics);
        [out, mean, inverse_deviation]
    }

    fn backward(&self) -> [Vec<f32>; 3] {
        let [_, mean, inverse] = self.forward();
        let mut input = vec![0.0; self.rows * self.d];
        let (mut gamma, mut beta) = (vec![0.0; self.d], vec![0.0; self.d]);
        let gradients = NormGradients { input: &mut input, gamma: &mut gamma, beta: &mut beta };
        layer_norm_backward(&self.gamma, &self.dy, &self.input, &mean, &inverse, gradients);
        [input, gamma, beta]
    }
}

#[test]
fn values_and_gradients_equal_the_formulas() {
    for (rows, d) in [(1, 1), (3, 17), (70, 64), (33, 203)] {
        let case = Case::new(rows, d);
        let (mut out, mut dx) = (Vec::new(), Vec::new());
        let (mut d_gamma, mut d_beta) = (vec![0.0; d], vec![0.0; d]);
        for (row, dy) in case.input.chunks(d).zip(case.dy.chunks(d)) {
            let (x, inverse) = normalised(row);
            let g: Vec<f64> =
                dy.iter().zip(&case.gamma).map(|(&a, &b)| f64::from(a) * f64::from(b)).collect();
            let mean = g.iter().sum::<f64>() / d as f64;
            let along = g.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>() / d as f64;
            for i in 0..d {
                out.push(x[i] * f64::from(case.gamma[i]) + f64::from(case.beta[i]));
                dx.push((g[i] - mean - x[i] * along) * inverse);
                d_gamma[i] += f64::from(dy[i]) * x[i];
                d_beta[i] += f64::from(dy[i]);
            }
        }
        assert_close(&case.forward()[0], &out, 3e-6);
        let [found_dx, found_gamma, found_beta] = case.backward();
        let scale = if d == 1 { 400.0 } else { 1.0 };
        assert_close(&found_dx, &dx, 3e-6 * scale);
        assert_close(&found_gamma, &d_gamma, 2e-5);
        assert_close(&found_beta, &d_beta, 2e-5);
    }
}

#[test]
fn a_residual_norm_is_dropout_then_sum_then_norm() {
    let (rows, d) = (45, 37);
    let case = Case::new(rows, d);
    let residual = numbers(rows * d, 9);
    for dropout in [Dropout::NONE, Dropout { probability: 0.3, seed: 5 }] {
        let mut dropped = vec![0.0; rows * d];
        super::super::dropout(dropout, &case.input, &mut dropped);
        let sum: Vec<f64> =
            dropped.iter().zip(&residual).map(|(&a, &b)| f64::from(a) + f64::from(b)).collect();
        let mut found = [vec![0.0; rows * d], vec![0.0; rows * d]];
        let [found_sum, out] = &mut found;
        let (mut mean, mut inverse_deviation) = (vec![0.0; rows], vec![0.0; rows]);
        let statistics =
            NormStatistics { mean: &mut mean, inverse_deviation: &mut inverse_deviation };
        residual_norm(
            case.parameters(),
            dropout,
            &case.input,
            &residual,
            found_sum,
            out,
            statistics,
        );
        assert_close(found_sum, &sum, 1e-6);
        let normed = Case { input: found_sum.clone(), ..Case::new(rows, d) };
        assert_eq!(normed.forward(), [out.clone(), mean, inverse_deviation]);
    }
}

#[test]
fn threads_do_not_change_a_norm() {
    let case = Case::new(301, 96);
    assert_same_on_any_threads(|| [case.forward().concat(), case.backward().concat()].concat());
}
