//! Activation functions, forward and backward.

use std::f32::consts::FRAC_1_SQRT_2;

use rayon::prelude::*;

use super::instructions::vectorised;
use super::math::{erf, exp, fused, tanh};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The function between two linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·Φ(x) = x/2·(1 + erf(x/√2)) (Hendrycks & Gimpel 2016).
    Gelu,
    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715 x³))), the former's approximation.
    GeluTanh,
    /// x·σ(1.702 x), a rougher one.
    QuickGelu,
    /// max(x, 0)
    Relu,
    /// x·σ(x), σ(x) = 1 / (1 + e⁻ˣ) (Elfwing et al. 2018).
    Silu,
    /// tanh x
    Tanh,
}

/// What Hugging Face configurations call the functions; some have several names, and several formulas that
/// differ in rounding alone (`ACT2FN` of transformers).
const NAMES: [(&str, Activation); 12] = [
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

impl Activation {
    /// The function of a Hugging Face name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, function)| function)
    }

    /// All names.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(name, _)| *name).collect()
    }
}

/// `out` = f(`input`), number by number.
pub fn activation_forward(activation: Activation, input: &[f32], out: &mut [f32]) {
    assert_eq!(input.len(), out.len(), "numbers before and after an activation");
    out.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).for_each(
        |(out, input)| match activation {
            Activation::Gelu => gelu(input, out),
            Activation::GeluTanh => gelu_tanh(input, out),
            Activation::QuickGelu => quick_gelu(input, out),
            Activation::Relu => relu(input, out),
            Activation::Silu => silu(input, out),
            Activation::Tanh => tanh_all(input, out),
        },
    );
}

/// `input_gradient` = `output_gradient` · f′(`input`), number by number.
pub fn activation_backward(
    activation: Activation,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    assert_eq!(input.len(), output_gradient.len(), "numbers in an activation's gradient");
    assert_eq!(input.len(), input_gradient.len(), "numbers in an activation's gradient");
    let derive = match activation {
        Activation::Gelu => gelu_backward,
        Activation::GeluTanh => gelu_tanh_backward,
        Activation::QuickGelu => quick_gelu_backward,
        Activation::Relu => relu_backward,
        Activation::Silu => silu_backward,
        Activation::Tanh => tanh_backward,
    };
    input_gradient
        .par_chunks_mut(CHUNK)
        .zip(input.par_chunks(CHUNK).zip(output_gradient.par_chunks(CHUNK)))
        .for_each(|(out, (input, gradient))| derive(input, gradient, out));
}

/// `out` = silu(`input`) · `factor` with silu(x) = x / (1 + e⁻ˣ), number by number (Shazeer 2020).
pub fn silu_product(input: &[f32], factor: &[f32], out: &mut [f32]) {
    assert_eq!(input.len(), out.len(), "numbers before and after an activation");
    assert_eq!(factor.len(), out.len(), "numbers before and after an activation");
    if out.len() <= CHUNK {
        return silu_product_all(input, factor, out);
    }
    out.par_chunks_mut(CHUNK)
        .zip(input.par_chunks(CHUNK).zip(factor.par_chunks(CHUNK)))
        .for_each(|(out, (input, factor))| silu_product_all(input, factor, out));
}

/// Gradients of [`silu_product`]: d`factor` = g·silu(`input`), d`input` = g·`factor`·σ(1 + `input`·(1 − σ)), σ the
/// logistic function of `input`.
pub fn silu_product_backward(
    input: &[f32],
    factor: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
    factor_gradient: &mut [f32],
) {
    for len in [input.len(), factor.len(), input_gradient.len(), factor_gradient.len()] {
        assert_eq!(len, output_gradient.len(), "numbers in an activation's gradient");
    }
    input_gradient
        .par_chunks_mut(CHUNK)
        .zip(factor_gradient.par_chunks_mut(CHUNK))
        .zip(input.par_chunks(CHUNK).zip(factor.par_chunks(CHUNK)))
        .zip(output_gradient.par_chunks(CHUNK))
        .for_each(|(((of_input, of_factor), (input, factor)), gradient)| {
            silu_product_derive(input, factor, gradient, of_input, of_factor);
        });
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const FRAC_1_SQRT_2_PI: f32 = 0.398_942_3;
const CUBIC: f32 = 0.044_715;
/// The slope with which the logistic function comes near the normal one's.
const QUICK: f32 = 1.702;

/// σ(x) = 1 / (1 + e⁻ˣ) without overflow.
#[inline(always)]
fn logistic<const FUSED: bool>(x: f32) -> f32 {
    let e = exp::<FUSED>(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// σ(x) + x·σ(x)·(1 − σ(x)), the slope of x·σ(x).
#[inline(always)]
fn logistic_slope<const FUSED: bool>(x: f32) -> f32 {
    // Farther out it is 0 or 1, and infinity times 0 would be NaN.
    let x = x.clamp(-90.0, 90.0);
    let sigma = logistic::<FUSED>(x);
    sigma * fused::<FUSED>(x, 1.0 - sigma, 1.0)
}

/// Defines a function of one number and the gradient of its input, each over slices.
macro_rules! elementwise {
    ($forward:ident, $backward:ident, |$x:ident| $value:expr, |$gradient:ident| $derived:expr) => {
        vectorised! {
            fn $forward(input: &[f32], out: &mut [f32]) {
                for (out, &$x) in out.iter_mut().zip(input) {
                    *out = $value;
                }
            }
        }

        vectorised! {
            fn $backward(input: &[f32], gradient: &[f32], out: &mut [f32]) {
                for ((out, &$x), &$gradient) in out.iter_mut().zip(input).zip(gradient) {
                    *out = $derived;
                }
            }
        }
    };
}

elementwise!(
    gelu,
    gelu_backward,
    |x| fused::<FUSED>(0.5 * x, erf::<FUSED>(x * FRAC_1_SQRT_2), 0.5 * x),
    |gradient| {
        let cumulative = fused::<FUSED>(0.5, erf::<FUSED>(x * FRAC_1_SQRT_2), 0.5);
        let density = FRAC_1_SQRT_2_PI * exp::<FUSED>(-0.5 * x * x);
        gradient * fused::<FUSED>(x, density, cumulative)
    }
);

elementwise!(
    gelu_tanh,
    gelu_tanh_backward,
    |x| {
        let inner = SQRT_2_OVER_PI * x * fused::<FUSED>(CUBIC * x, x, 1.0);
        fused::<FUSED>(0.5 * x, tanh::<FUSED>(inner), 0.5 * x)
    },
    |gradient| {
        let value = tanh::<FUSED>(SQRT_2_OVER_PI * x * fused::<FUSED>(CUBIC * x, x, 1.0));
        let slope = SQRT_2_OVER_PI * fused::<FUSED>(3.0 * CUBIC * x, x, 1.0);
        let change = 0.5 * x * fused::<FUSED>(-value, value, 1.0) * slope;
        gradient * (fused::<FUSED>(0.5, value, 0.5) + change)
    }
);

elementwise!(quick_gelu, quick_gelu_backward, |x| x * logistic::<FUSED>(QUICK * x), |gradient| {
    gradient * logistic_slope::<FUSED>(QUICK * x)
});

// NaN stays.
elementwise!(relu, relu_backward, |x| if x < 0.0 { 0.0 } else { x }, |gradient| if x > 0.0 {
    gradient
} else {
    0.0
});

elementwise!(silu, silu_backward, |x| x * logistic::<FUSED>(x), |gradient| gradient
    * logistic_slope::<FUSED>(x));

elementwise!(tanh_all, tanh_backward, |x| tanh::<FUSED>(x), |gradient| {
    let value = tanh::<FUSED>(x);
    gradient * fused::<FUSED>(-value, value, 1.0)
});

vectorised! {
    fn silu_product_all(input: &[f32], factor: &[f32], out: &mut [f32]) {
        for ((out, &x), &factor) in out.iter_mut().zip(input).zip(factor) {
            let e = exp::<FUSED>(-x.abs());
            *out = factor * x * (if x < 0.0 { e } else { 1.0 }) / (1.0 + e);
        }
    }
}

vectorised! {
    fn silu_product_derive(
        input: &[f32],
        factor: &[f32],
        gradient: &[f32],
        of_input: &mut [f32],
        of_factor: &mut [f32],
    ) {
        let results = of_input.iter_mut().zip(of_factor);
        for (((of_input, of_factor), (&x, &factor)), &g) in results.zip(input.iter().zip(factor)).zip(gradient) {
            let e = exp::<FUSED>(-x.abs());
            let logistic = (if x < 0.0 { e } else { 1.0 }) / (1.0 + e);
            *of_factor = g * x * logistic;
            *of_input = g * factor * logistic * fused::<FUSED>(x, 1.0 - logistic, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, assert_close, assert_same_on_any_threads, numbers};

    const ALL: [Activation; 6] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Relu,
        Activation::Silu,
        Activation::Tanh,
    ];

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => 0.5 * x * (1.0 + reference::erf(x / 2.0_f64.sqrt())),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for activation in ALL {
            let mut out = vec![0.0; 20];
            activation_forward(activation, &[f32::NAN; 20], &mut out);
            assert!(out.iter().all(|value| value.is_nan()), "{activation:?}: {out:?}");
        }
    }

    #[test]
    fn values_and_slopes_equal_the_formulas() {
        let input: Vec<f32> = numbers(20_003, 1).iter().map(|x| 8.0 * x).collect();
        let gradient = numbers(input.len(), 2);
        for activation in ALL {
            let mut out = vec![0.0; input.len()];
            activation_forward(activation, &input, &mut out);
            let values: Vec<f64> = input.iter().map(|&x| exact(activation, f64::from(x))).collect();
            assert_close(&out, &values, 1e-6);
            activation_backward(activation, &input, &gradient, &mut out);
            let slopes: Vec<f64> = input
                .iter()
                .zip(&gradient)
                .map(|(&x, &gradient)| {
                    let (x, step) = (f64::from(x), 1e-5);
                    let rise = exact(activation, x + step) - exact(activation, x - step);
                    f64::from(gradient) * rise / (2.0 * step)
                })
                .collect();
            assert_close(&out, &slopes, 1.5e-6);
        }
    }

    #[test]
    fn gradients_of_silu_products_equal_the_formula() {
        let n = 2 * CHUNK + 9;
        let input: Vec<f32> = numbers(n, 1).iter().map(|x| 12.0 * x).collect();
        let (factor, gradient) = (numbers(n, 2), numbers(n, 3));
        let (mut of_input, mut of_factor) = (vec![0.0; n], vec![0.0; n]);
        silu_product_backward(&input, &factor, &gradient, &mut of_input, &mut of_factor);
        let exact = |i: usize| {
            let (x, u, g) = (f64::from(input[i]), f64::from(factor[i]), f64::from(gradient[i]));
            let logistic = 1.0 / (1.0 + (-x).exp());
            [g * u * logistic * (1.0 + x * (1.0 - logistic)), g * x * logistic]
        };
        assert_close(&of_input, &(0..n).map(|i| exact(i)[0]).collect::<Vec<_>>(), 3e-6);
        assert_close(&of_factor, &(0..n).map(|i| exact(i)[1]).collect::<Vec<_>>(), 6e-6);
    }

    #[test]
    fn silu_products_equal_the_formula() {
        let input: Vec<f32> = numbers(20_003, 1).iter().map(|x| 20.0 * x).collect();
        let factor = numbers(input.len(), 2);
        let mut out = vec![0.0; input.len()];
        silu_product(&input, &factor, &mut out);
        let expected: Vec<f64> = input
            .iter()
            .zip(&factor)
            .map(|(&x, &factor)| f64::from(factor) * f64::from(x) / (1.0 + f64::from(-x).exp()))
            .collect();
        assert_close(&out, &expected, 3e-6);
        silu_product(&[-3e38, 3e38], &[1.0, 1.0], &mut out[..2]);
        assert_eq!(out[..2].iter().map(|x| x.abs()).collect::<Vec<_>>(), [0.0, 3e38]);
    }

    #[test]
    fn far_from_zero_nothing_overflows() {
        let input = [-3e38, -100.0, 100.0, 3e38];
        let saturating =
            [Activation::Gelu, Activation::QuickGelu, Activation::Relu, Activation::Silu];
        for activation in saturating {
            let mut out = [f32::NAN; 4];
            activation_forward(activation, &input, &mut out);
            assert_eq!(out.map(f32::abs), [0.0, 0.0, 100.0, 3e38]);
            activation_backward(activation, &input, &[1.0; 4], &mut out);
            assert_eq!(out.map(f32::abs), [0.0, 0.0, 1.0, 1.0]);
        }
    }

    #[test]
    fn threads_do_not_change_an_activation() {
        let input = numbers(100_001, 1);
        assert_same_on_any_threads(|| {
            let mut out = vec![0.0; input.len()];
            activation_forward(Activation::Gelu, &input, &mut out);
            out
        });
    }
}
