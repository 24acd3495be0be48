//! The CPU bodies of the kernels against their default bodies, values and gradients alike.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use ee_models::kernels::{
    self, Activation, AdamW, AdamWTensors, AttentionShape, CachePlace, Dropout, HeadGradients,
    HeadLoss, Rotary, RowStatistics, Rows, Scoring, Weight, plain,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Relative to the largest value, or to 0.01 where all are smaller.
const TOLERANCE: f32 = 5e-5;

/// Drawn from a generator of its own: the device's is shared with the tests of other threads.
fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let numbers = ChaCha8Rng::seed_from_u64(seed).sample_iter::<f32, _>(StandardNormal);
    let values: Vec<f32> = numbers.take(shape.iter().product()).collect();
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), &device).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[track_caller]
fn same(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(0.01_f32, |a, b| a.max(b.abs()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE * scale, "{what}: {worst} of {scale}");
}

/// Runs both bodies under an uneven loss and compares outputs and the gradients of every input.
macro_rules! compare {
    ($what:expr, [$($input:ident),+], $ours:expr, $theirs:expr) => {{
        let run = |output: Tensor<2>| {
            let shape = output.dims();
            let weights = random(shape, 99).detach();
            let gradients = (output.clone() * weights).sum().backward();
            (values(output), vec![$(values($input.grad(&gradients).unwrap())),+])
        };
        let (ours, our_gradients) = run($ours);
        let (theirs, their_gradients) = run($theirs);
        same($what, &ours, &theirs);
        for (number, (a, b)) in our_gradients.iter().zip(&their_gradients).enumerate() {
            same(&format!("{}, gradient {number}", $what), a, b);
        }
    }};
}

mod attention;
mod decoders;

#[test]
fn linear() {
    for [rows, d_input, d_output] in [[1, 3, 2], [5, 16, 7], [33, 65, 50], [130, 96, 200]] {
        let (x, w, b) =
            (random([rows, d_input], 1), random([d_output, d_input], 2), random([d_output], 3));
        let weights = || [Weight { matrix: w.clone(), bias: Some(b.clone()) }];
        let [ours] = kernels::project(x.clone(), weights(), Rows::Many);
        let [theirs] = plain::project(x.clone(), weights());
        compare!("linear", [x, w, b], ours, theirs);
    }
}

#[test]
fn feed_forward() {
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh] {
        for [rows, d, inner] in [[1, 8, 32], [37, 24, 50]] {
            let x = random([rows, d], 1);
            let (up_weight, up_bias) = (random([inner, d], 2), random([inner], 3));
            let (down_weight, down_bias) = (random([d, inner], 4), random([d], 5));
            let up = Weight { matrix: up_weight.clone(), bias: Some(up_bias.clone()) };
            let down = Weight { matrix: down_weight.clone(), bias: Some(down_bias.clone()) };
            compare!(
                &format!("feed-forward with {activation:?}"),
                [x, up_weight, up_bias, down_weight, down_bias],
                kernels::feed_forward(x.clone(), up.clone(), down.clone(), activation),
                plain::feed_forward(x.clone(), up.clone(), down.clone(), activation)
            );
        }
    }
}

#[test]
fn activations_alone() {
    let all = [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu];
    for activation in all.into_iter().chain([Activation::QuickGelu, Activation::Tanh]) {
        let x = random([37, 50], 1);
        compare!(
            &format!("{activation:?}"),
            [x],
            kernels::activate(x.clone(), activation),
            plain::activate(x.clone(), activation)
        );
    }
}

#[test]
fn layer_norm() {
    let (x, g, b) = (random([7, 33], 1), random([33], 2), random([33], 3));
    let nothing = Tensor::zeros([7, 33], &x.device());
    compare!(
        "layer norm",
        [x, g, b],
        kernels::layer_norm(x.clone(), g.clone(), b.clone(), 1e-5),
        plain::residual_norm(x.clone(), nothing, g.clone(), b.clone(), 1e-5, Dropout::NONE)
    );
}

/// Asserts that the CPU body and the plain body give the same.
#[track_caller]
fn same_tensor(what: &str, ours: Tensor<2>, theirs: Tensor<2>) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    same(what, &values(ours), &values(theirs));
}

#[test]
fn residual_norm() {
    for [rows, d] in [[1, 4], [7, 33], [130, 96]] {
        let (x, r) = (random([rows, d], 1), random([rows, d], 2));
        let (g, b) = (random([d], 3), random([d], 4));
        compare!(
            "residual norm",
            [x, r, g, b],
            kernels::residual_norm(x.clone(), r.clone(), g.clone(), b.clone(), 1e-5, Dropout::NONE),
            plain::residual_norm(x.clone(), r.clone(), g.clone(), b.clone(), 1e-5, Dropout::NONE)
        );
    }
}

#[test]
fn embedding() {
    let table = random([9, 5], 1);
    let ids = Tensor::<1, Int>::from_data([3, 0, 3, 8], &table.device());
    compare!(
        "embedding",
        [table],
        kernels::embedding(table.clone(), ids.clone()),
        plain::embedding(table.clone(), ids.clone())
    );
}

#[test]
fn dropout_keeps_its_share_and_repeats_its_mask() {
    let x = random([200, 50], 1);
    let dropout = Dropout { probability: 0.25, seed: 11 };
    let output = kernels::dropout(x.clone(), dropout);
    let gradients = output.clone().sum().backward();
    let gradient = values(x.grad(&gradients).unwrap());
    let kept = gradient.iter().filter(|&&value| value != 0.0).count();
    assert!((7200..7800).contains(&kept), "{kept} of 10000 kept at probability 0.75");
    for ((y, x), g) in values(output).iter().zip(values(x)).zip(gradient) {
        assert!(g == 0.0 || (g - 1.0 / 0.75).abs() < 1e-6);
        assert!((y - x * g).abs() <= 1e-5, "the same mask forwards and backwards");
    }
}

#[test]
fn dropout_within_norm_and_attention_has_consistent_gradients() {
    let dropout = Dropout { probability: 0.3, seed: 4 };
    let shape = AttentionShape { dropout, ..AttentionShape::whole(6, 2, 4, &[6, 4]) };
    let [q, k, v] = [1, 2, 3].map(|seed| random([12, 8], seed));
    // Attention is linear in V: the gradient's product with V is the output's product with its weights.
    let weights = random([12, 8], 9).detach();
    let output = kernels::attention(q, k, v.clone(), None, &shape) * weights;
    let gradients = output.clone().sum().backward();
    let left = values((v.grad(&gradients).unwrap() * v.inner()).sum())[0];
    let right = values(output.sum())[0];
    assert!((left - right).abs() < 1e-3, "{left} and {right}");

    let (x, r) = (random([6, 16], 1), random([6, 16], 2));
    let (g, b) = (random([16], 3), random([16], 4));
    let output = kernels::residual_norm(x.clone(), r.clone(), g.clone(), b.clone(), 1e-5, dropout);
    // The same sum by hand: dropout alone, then the norm without.
    let dropped = kernels::dropout(x.clone(), dropout);
    let by_hand = kernels::residual_norm(dropped, r.clone(), g, b, 1e-5, Dropout::NONE);
    let weights = random([6, 16], 9).detach();
    let [ours, theirs] = [output, by_hand].map(|output| {
        let gradients = (output.clone() * weights.clone()).sum().backward();
        (values(output), values(x.grad(&gradients).unwrap()), values(r.grad(&gradients).unwrap()))
    });
    same("output", &ours.0, &theirs.0);
    same("gradient of the input", &ours.1, &theirs.1);
    same("gradient of the residual", &ours.2, &theirs.2);
}

#[test]
fn adamw_and_sum_of_squares() {
    let tensor = |seed| random([300, 70], seed).inner();
    let gradient = tensor(4);
    let expected = plain::sum_of_squares(&gradient);
    assert!((kernels::sum_of_squares(&gradient) / expected - 1.0).abs() < 1e-5);
    let start = || AdamWTensors {
        parameter: tensor(1),
        first_moment: tensor(2),
        second_moment: tensor(3).abs(),
    };
    let step = AdamW {
        learning_rate: 1e-2,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 3,
        gradient_scale: 0.5,
    };
    let ours = kernels::adamw(start(), gradient.clone(), step);
    let theirs = plain::adamw(start(), gradient, step);
    same("parameter", &values(ours.parameter), &values(theirs.parameter));
    same("first moment", &values(ours.first_moment), &values(theirs.first_moment));
    same("second moment", &values(ours.second_moment), &values(theirs.second_moment));
}
