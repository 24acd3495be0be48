//! AdamW and the squared norm that clipping needs.

use rayon::prelude::*;

use super::instructions::vectorised;

/// Numbers that a thread takes at a time, and whose squares make one partial sum.
const CHUNK: usize = 1 << 16;

/// One step of AdamW (Loshchilov & Hutter 2019), as PyTorch counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f64,
    /// β₁
    pub beta_1: f64,
    /// β₂
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// The parameter shrinks by `learning_rate * weight_decay` of itself, apart from the gradient.
    pub weight_decay: f64,
    /// Number of this step, 1 for the first.
    pub step: u64,
    /// The gradient is multiplied by it first: the factor of clipping, or 1.
    pub gradient_scale: f32,
}

/// The factors of a step, in the numbers' own type.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    keep: f32,
    beta_1: f32,
    beta_2: f32,
    rest_1: f32,
    rest_2: f32,
    inverse_root_correction: f32,
    epsilon: f32,
    step_size: f32,
}

/// p ← p (1 − lr·λ) − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε), after m and v took in the gradient.
///
/// # Panics
/// If the slices differ in length or `step` is 0.
pub fn adamw(
    step: AdamW,
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    for len in [gradient.len(), first_moment.len(), second_moment.len()] {
        assert_eq!(len, parameter.len(), "numbers of a parameter");
    }
    assert!(step.step > 0, "steps are counted from 1");
    let power = |beta: f64| 1.0 - beta.powf(step.step as f64);
    let factors = Factors {
        gradient: step.gradient_scale,
        keep: (1.0 - step.learning_rate * step.weight_decay) as f32,
        beta_1: step.beta_1 as f32,
        beta_2: step.beta_2 as f32,
        rest_1: (1.0 - step.beta_1) as f32,
        rest_2: (1.0 - step.beta_2) as f32,
        inverse_root_correction: (1.0 / power(step.beta_2).sqrt()) as f32,
        epsilon: step.epsilon as f32,
        step_size: (step.learning_rate / power(step.beta_1)) as f32,
    };
    parameter
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(first_moment.par_chunks_mut(CHUNK).zip(second_moment.par_chunks_mut(CHUNK)))
        .for_each(|((parameter, gradient), (first, second))| {
            update(factors, parameter, gradient, first, second);
        });
}

vectorised! {
    fn update(
        factors: Factors,
        parameter: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let moments = first.iter_mut().zip(second);
        for ((p, &g), (m, v)) in parameter.iter_mut().zip(gradient).zip(moments) {
            let g = g * factors.gradient;
            *m = factors.beta_1 * *m + factors.rest_1 * g;
            *v = factors.beta_2 * *v + factors.rest_2 * g * g;
            let deviation = v.sqrt() * factors.inverse_root_correction + factors.epsilon;
            *p = factors.keep * *p - factors.step_size * (*m / deviation);
        }
    }
}

/// Σ x² in f64.
///
/// Chunks of fixed size are summed in lanes and added in order.
pub fn sum_of_squares(numbers: &[f32]) -> f64 {
    let partial: Vec<f64> = numbers.par_chunks(CHUNK).map(squares).collect();
    partial.into_iter().sum()
}

vectorised! {
    fn squares(numbers: &[f32]) -> f64 {
        let mut lanes = [0.0_f64; 32];
        let (blocks, rest) = numbers.as_chunks::<32>();
        for block in blocks {
            for (lane, &x) in lanes.iter_mut().zip(block) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(x) * f64::from(x);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    const STEP: AdamW = AdamW {
        learning_rate: 1e-2,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 1,
        gradient_scale: 0.5,
    };

    #[test]
    fn three_steps_equal_the_formula() {
        let n = CHUNK + 7;
        let mut parameter = numbers(n, 1);
        let mut exact: Vec<[f64; 3]> =
            parameter.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
        let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
        for step in 1..=3_u64 {
            let gradient = numbers(n, 10 + step);
            adamw(AdamW { step, ..STEP }, &mut parameter, &gradient, &mut first, &mut second);
            for ([p, m, v], &g) in exact.iter_mut().zip(&gradient) {
                let g = 0.5 * f64::from(g);
                *p *= 1.0 - STEP.learning_rate * STEP.weight_decay;
                *m = STEP.beta_1 * *m + (1.0 - STEP.beta_1) * g;
                *v = STEP.beta_2 * *v + (1.0 - STEP.beta_2) * g * g;
                let [c1, c2] = [STEP.beta_1, STEP.beta_2].map(|beta| 1.0 - beta.powi(step as i32));
                *p -= STEP.learning_rate / c1 * *m / (v.sqrt() / c2.sqrt() + STEP.epsilon);
            }
        }
        assert_close(&parameter, &exact.iter().map(|state| state[0]).collect::<Vec<_>>(), 1e-6);
        assert_close(&first, &exact.iter().map(|state| state[1]).collect::<Vec<_>>(), 1e-6);
    }

    #[test]
    fn squares_are_summed_in_double_precision() {
        let x = numbers(3 * CHUNK + 5, 4);
        let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((sum_of_squares(&x) - exact).abs() < 1e-9 * exact);
        assert_eq!(sum_of_squares(&[]), 0.0);
        assert_eq!(sum_of_squares(&[3.0, -4.0]), 25.0);
    }

    #[test]
    fn threads_do_not_change_a_step_or_a_norm() {
        let n = 5 * CHUNK + 3;
        let gradient = numbers(n, 2);
        assert_same_on_any_threads(|| {
            let mut parameter = numbers(n, 1);
            let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
            adamw(STEP, &mut parameter, &gradient, &mut first, &mut second);
            parameter.extend([sum_of_squares(&gradient) as f32]);
            parameter
        });
    }
}
