//! The CPU bodies of the kernels against their default bodies, values and gradients alike.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use ee_models::kernels::{
    self, Activation, AdamW, AdamWTensors, AttentionShape, CachePlace, CausalShape, Dropout,
    FeedForwardParameters, HeadGradients, HeadLoss, Rotary, RowStatistics, Rows, Weight, plain,
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

#[test]
fn linear() {
    for [rows, d_input, d_output] in [[1, 3, 2], [5, 16, 7], [33, 65, 50], [130, 96, 200]] {
        let (x, w, b) =
            (random([rows, d_input], 1), random([d_output, d_input], 2), random([d_output], 3));
        compare!(
            "linear",
            [x, w, b],
            kernels::linear(x.clone(), w.clone(), b.clone()),
            plain::linear(x.clone(), w.clone(), b.clone())
        );
    }
}

#[test]
fn feed_forward() {
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Tanh] {
        for [rows, d, inner] in [[1, 8, 32], [37, 24, 50]] {
            let x = random([rows, d], 1);
            let (up_weight, up_bias) = (random([inner, d], 2), random([inner], 3));
            let (down_weight, down_bias) = (random([d, inner], 4), random([d], 5));
            let parameters = FeedForwardParameters {
                up_weight: up_weight.clone(),
                up_bias: up_bias.clone(),
                down_weight: down_weight.clone(),
                down_bias: down_bias.clone(),
            };
            compare!(
                &format!("feed-forward with {activation:?}"),
                [x, up_weight, up_bias, down_weight, down_bias],
                kernels::feed_forward(x.clone(), parameters.clone(), activation),
                plain::feed_forward(x.clone(), parameters.clone(), activation)
            );
        }
    }
}

#[test]
fn attention() {
    for (lengths, width, heads, d_head) in [
        (vec![1], 1, 1, 4),
        (vec![5, 3, 1], 5, 2, 8),
        (vec![40, 33], 40, 3, 20),
        (vec![70], 72, 2, 64),
    ] {
        let rows = lengths.len() * width;
        let shape = AttentionShape { width, heads, lengths: Arc::from(lengths.clone()) };
        let [q, k, v] = [1, 2, 3].map(|seed| random([rows, heads * d_head], seed));
        // What padded queries give is nobody's business; only real ones are compared.
        let real: Vec<f32> = lengths
            .iter()
            .flat_map(|&length| (0..width).map(move |t| if t < length { 1.0 } else { 0.0 }))
            .collect();
        let real = Tensor::<2>::from_data(TensorData::new(real, [rows, 1]), &q.device());
        compare!(
            "attention",
            [q, k, v],
            kernels::attention(q.clone(), k.clone(), v.clone(), &shape, Dropout::NONE)
                * real.clone(),
            plain::attention(q.clone(), k.clone(), v.clone(), &shape, Dropout::NONE) * real.clone()
        );
    }
}

/// Asserts that the CPU body and the plain body give the same.
#[track_caller]
fn same_tensor(what: &str, ours: Tensor<2>, theirs: Tensor<2>) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    same(what, &values(ours), &values(theirs));
}

#[test]
fn projections() {
    for rows in [1, 5, 40] {
        let x = random([rows, 70], 1).inner();
        let bias = random([9], 2).inner();
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            // Numbers that every format holds, so that the plain body's product loses nothing.
            let matrix = |outputs, seed| (random([outputs, 70], seed).inner() * 2.0).round() / 2.0;
            let stored = |matrix: Tensor<2>| matrix.cast(dtype);
            let weights = |cast: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                [
                    Weight { matrix: cast(matrix(9, 3)), bias: Some(bias.clone()) },
                    Weight { matrix: cast(matrix(33, 4)), bias: None },
                ]
            };
            let theirs = plain::project(x.clone(), weights(&|matrix| matrix));
            for reading in [Rows::Few, Rows::Many] {
                let ours = kernels::project(x.clone(), weights(&stored), reading);
                for (ours, theirs) in ours.into_iter().zip(theirs.clone()) {
                    same_tensor(&format!("{dtype:?} as {reading:?}"), ours, theirs);
                }
            }
        }
    }
}

/// Sums of projections, so that several weights share the gradient of one input.
#[test]
fn gradients_of_projections() {
    for rows in [1, 40] {
        let (x, bias) = (random([rows, 70], 1), random([9], 2));
        let (v, w) = (random([9, 70], 3), random([9, 70], 4));
        let weights = || {
            [
                Weight { matrix: v.clone(), bias: Some(bias.clone()) },
                Weight { matrix: w.clone(), bias: None },
            ]
        };
        let sum = |[a, b]: [Tensor<2>; 2]| a * b;
        compare!(
            "projections",
            [x, v, w, bias],
            sum(kernels::project(x.clone(), weights(), Rows::Many)),
            sum(plain::project(x.clone(), weights()))
        );
    }
}

#[test]
fn frozen_weights_of_any_format_pass_the_gradient_on() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let matrix = (random([33, 70], 3).inner() * 2.0).round() / 2.0;
        let x = random([5, 70], 1);
        let project = |matrix: Tensor<2>| {
            let [y] = kernels::project(x.clone(), [Weight { matrix, bias: None }], Rows::Many);
            y
        };
        let plain = |matrix: Tensor<2>| {
            let [y] = plain::project(x.clone(), [Weight { matrix, bias: None }]);
            y
        };
        compare!("frozen", [x], project(matrix.clone().cast(dtype)), plain(matrix.clone()));
    }
    // And the other way round: what is learned may multiply what is not.
    let (x, matrix) = (random([5, 70], 1).inner(), random([3, 70], 2));
    let weights = || [Weight { matrix: matrix.clone(), bias: None }];
    compare!(
        "constant input",
        [matrix],
        kernels::project(x.clone(), weights(), Rows::Many).map(|y| y)[0].clone(),
        plain::project(x.clone(), weights()).map(|y| y)[0].clone()
    );
}

#[test]
fn gradients_of_norms_rotation_and_gate_of_decoders() {
    for [rows, heads, half] in [[1, 1, 4], [50, 3, 16]] {
        let d = heads * 2 * half;
        let (x, r, gamma) = (random([rows, d], 1), random([rows, d], 2), random([d], 3));
        let plain_gamma = || gamma.clone();
        compare!(
            "norm",
            [x, gamma],
            kernels::rms_norm(x.clone(), plain_gamma(), 1e-5),
            plain::rms_norm(x.clone(), plain_gamma(), 1e-5)
        );
        let both = |[sum, norm]: [Tensor<2>; 2]| sum * norm;
        compare!(
            "norm of a sum",
            [x, r, gamma],
            both(kernels::add_rms_norm(x.clone(), r.clone(), plain_gamma(), 1e-5)),
            both(plain::add_rms_norm(x.clone(), r.clone(), plain_gamma(), 1e-5))
        );
        let [cos, sin] = [4, 5].map(|seed| random([rows, half], seed).inner());
        let rotary = Rotary { cos, sin };
        compare!(
            "rotation",
            [x],
            kernels::rotate(x.clone(), &rotary),
            plain::rotate(x.clone(), &rotary)
        );
        // What is rotated is somebody's product, and nobody else's.
        compare!(
            "rotation in place",
            [x],
            kernels::rotate(x.clone() * 2.0, &rotary) * x.clone(),
            plain::rotate(x.clone() * 2.0, &rotary) * x.clone()
        );
        compare!(
            "gate",
            [x, r],
            kernels::silu_product(x.clone(), r.clone()),
            plain::silu_product(x.clone(), r.clone())
        );
    }
}

#[test]
fn gradients_of_causal_attention() {
    for (width, starts, ends, window) in [
        (1, [0, 0], [1, 1], None),
        (9, [0, 4], [9, 9], None),
        (70, [0, 0], [70, 33], None),
        (70, [0, 0], [70, 66], Some(7)),
    ] {
        let place = CachePlace { capacity: width, width, start: 0 };
        let (starts, ends) = (Arc::from(starts), Arc::from(ends));
        let shape =
            CausalShape { place, heads: 6, kv_heads: 2, starts, ends, origins: None, window };
        let query = random([2 * width, 48], 1);
        let [key, value] = [2, 3].map(|seed| random([2 * width, 16], seed));
        compare!(
            "causal attention",
            [query, key, value],
            kernels::causal_attention(query.clone(), key.clone(), value.clone(), &shape),
            plain::causal_attention(query.clone(), key.clone(), value.clone(), &shape)
        );
    }
}

#[test]
fn head_losses_and_their_gradients() {
    let labels: Vec<u32> = (0..30).map(|row| row * 7 % 57).collect();
    let states = random([30, 20], 1).inner();
    let weight = |bias| Weight { matrix: random([57, 20], 2).inner(), bias };
    let bias = random([57], 3).inner();
    for bias in [None, Some(bias)] {
        let run = |body: fn(_, &_, &[u32], _, Option<&mut HeadGradients>) -> HeadLoss| {
            let mut gradients = HeadGradients {
                matrix: Some(random([57, 20], 4).inner()),
                bias: bias.as_ref().map(|_| random([57], 5).inner()),
            };
            let weight = weight(bias.clone());
            let watched = body(states.clone(), &weight, &labels, None, None);
            assert!(watched.of_states.is_none());
            let read = body(states.clone(), &weight, &labels, Some(0.3), Some(&mut gradients));
            assert_eq!((watched.loss, watched.right), (read.loss, read.right));
            (read, gradients)
        };
        let ((ours, our_gradients), (theirs, their_gradients)) =
            (run(kernels::head_loss), run(plain::head_loss));
        assert!((ours.loss - theirs.loss).abs() < 1e-4 * theirs.loss);
        assert_eq!(ours.right, theirs.right);
        same_tensor("of states", ours.of_states.unwrap(), theirs.of_states.unwrap());
        same_tensor("of weight", our_gradients.matrix.unwrap(), their_gradients.matrix.unwrap());
        if let (Some(a), Some(b)) = (our_gradients.bias, their_gradients.bias) {
            same("of bias", &values(a), &values(b));
        }
    }
}

#[test]
fn a_pull_begins_a_backward_pass_with_its_gradient() {
    let (x, gradient) = (random([3, 4], 1), random([3, 4], 2).inner());
    let y = || x.clone() * x.clone();
    let expected = values(gradient.clone() * x.clone().inner() * 2.0);
    for number in [kernels::pull(y(), gradient.clone()), plain::pull(y(), gradient)] {
        same("pull", &values(x.grad(&number.backward()).unwrap()), &expected);
    }
}

#[test]
fn norms_rotation_and_gate_of_decoders() {
    for [rows, heads, half] in [[1, 1, 4], [50, 3, 16]] {
        let d = heads * 2 * half;
        let [x, r] = [1, 2].map(|seed| random([rows, d], seed).inner());
        let gamma = random([d], 3).inner();
        let norm = kernels::rms_norm(x.clone(), gamma.clone(), 1e-5);
        same_tensor("norm", norm, plain::rms_norm(x.clone(), gamma.clone(), 1e-5));
        let ours = kernels::add_rms_norm(x.clone(), r.clone(), gamma.clone(), 1e-5);
        let theirs = plain::add_rms_norm(x.clone(), r.clone(), gamma, 1e-5);
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            same_tensor("norm of a sum", ours, theirs);
        }
        let [cos, sin] = [4, 5].map(|seed| random([rows, half], seed).inner());
        let rotary = Rotary { cos, sin };
        let turned = kernels::rotate(x.clone(), &rotary);
        same_tensor("rotation", turned, plain::rotate(x.clone(), &rotary));
        let gated = kernels::silu_product(x.clone(), r.clone());
        same_tensor("gate", gated, plain::silu_product(x, r));
    }
}

#[test]
fn causal_attention() {
    for (width, start, capacity, starts, ends, shifts, window) in [
        (1, 0, 1, [0, 0], [1, 1], [0, 0], None),
        (9, 0, 9, [0, 4], [9, 9], [0, 0], None),
        (9, 0, 12, [0, 0], [9, 3], [0, 0], None),
        (1, 20, 30, [0, 15], [21, 21], [0, 0], None),
        (5, 20, 30, [3, 0], [25, 25], [0, 0], Some(7)),
        (5, 20, 23, [3, 4], [25, 25], [2, 4], None),
        (5, 20, 23, [3, 9], [25, 25], [3, 8], Some(12)),
    ] {
        let place = CachePlace { capacity, width, start };
        let (starts, ends) = (Arc::from(starts), Arc::from(ends));
        let origins: Option<Arc<[isize]>> = (shifts != [0, 0]).then(|| {
            let origin =
                |(row, shift): (usize, &usize)| (row * capacity) as isize - *shift as isize;
            shifts.iter().enumerate().map(origin).collect()
        });
        let shape = CausalShape {
            place,
            heads: 6,
            kv_heads: 2,
            starts,
            ends,
            origins: origins.clone(),
            window,
        };
        let query = random([2 * width, 48], 1).inner();
        let empty = || random([2 * capacity, 16], 2).inner();
        let block = |seed| random([2 * width, 16], seed).inner();
        let [key, value] = [3, 4].map(|seed| {
            let ours = kernels::write_cache(empty(), block(seed), place, origins.as_deref());
            let theirs = plain::write_cache(empty(), block(seed), place, origins.as_deref());
            same_tensor("cache", ours.clone(), theirs);
            ours
        });
        let theirs = plain::causal_attention(query.clone(), key.clone(), value.clone(), &shape);
        let ours = kernels::causal_attention(query, key, value, &shape);
        same_tensor("attention", ours, theirs);
    }
}

#[test]
fn causal_attention_over_some_rows_of_a_cache() {
    let (width, start, capacity) = (3, 20, 30);
    let place = CachePlace { capacity, width, start };
    let (starts, ends) = (Arc::from([3, 0]), Arc::from([23, 22]));
    // The rows 3 and 1 of a cache of four.
    let origins: Option<Arc<[isize]>> = Some(Arc::from([3 * 30, 30]));
    let of_cache = origins.as_deref();
    let [key, value] = [3, 4].map(|seed| {
        let empty = || random([4 * capacity, 16], 2).inner();
        let block = || random([2 * width, 16], seed).inner();
        let ours = kernels::write_cache(empty(), block(), place, of_cache);
        same_tensor("cache", ours.clone(), plain::write_cache(empty(), block(), place, of_cache));
        ours
    });
    let query = random([2 * width, 48], 1).inner();
    let shape = CausalShape {
        place,
        heads: 6,
        kv_heads: 2,
        starts,
        ends,
        origins: origins.clone(),
        window: Some(9),
    };
    let theirs = plain::causal_attention(query.clone(), key.clone(), value.clone(), &shape);
    same_tensor("attention", kernels::causal_attention(query, key, value, &shape), theirs);
}

#[test]
fn row_statistics() {
    // Halves tie often.
    let logits = (random([30, 57], 1).inner() * 2.0).round() / 2.0;
    let given: Vec<u32> = (0..30).map(|row| row * 7 % 57).collect();
    for given in [None, Some(&given[..])] {
        let ours = kernels::row_statistics(logits.clone(), given);
        let theirs = plain::row_statistics(logits.clone(), given);
        for (a, b) in ours.iter().zip(&theirs) {
            let exact = |row: &RowStatistics| (row.argmax, row.max, row.second, row.given_rank);
            assert_eq!(exact(a), exact(b));
            let close =
                |row: &RowStatistics| [row.partition as f32, row.entropy, row.given_probability];
            same("statistics", &close(a), &close(b));
        }
    }
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
    let shape = AttentionShape { width: 6, heads: 2, lengths: Arc::from([6, 4]) };
    let [q, k, v] = [1, 2, 3].map(|seed| random([12, 8], seed));
    // Attention is linear in V: the gradient's product with V is the output's product with its weights.
    let weights = random([12, 8], 9).detach();
    let output = kernels::attention(q, k, v.clone(), &shape, dropout) * weights;
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
