//! Kernels of decoders and of losses at every exit.

use super::*;

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
    // And the other way round: a learned tensor may multiply one that is not.
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
fn gradients_of_norms_rotation_and_silu_products_of_decoders() {
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
        // The rotated tensor is a product that nothing else holds.
        compare!(
            "rotation in place",
            [x],
            kernels::rotate(x.clone() * 2.0, &rotary) * x.clone(),
            plain::rotate(x.clone() * 2.0, &rotary) * x.clone()
        );
        compare!(
            "silu product",
            [x, r],
            kernels::silu_product(x.clone(), r.clone()),
            plain::silu_product(x.clone(), r.clone())
        );
    }
}

#[test]
fn head_losses_and_their_gradients() {
    let labels: Vec<u32> = (0..30).map(|row| row * 7 % 57).collect();
    let states = random([30, 20], 1).inner();
    let weight = |bias| Weight { matrix: random([57, 20], 2).inner(), bias };
    let bias = random([57], 3).inner();
    for (bias, smoothing) in [(None, 0.0), (Some(bias), 0.2)] {
        let run = |body: fn(_, &_, &[u32], _, Option<&mut HeadGradients>) -> HeadLoss| {
            let mut gradients = HeadGradients {
                matrix: Some(random([57, 20], 4).inner()),
                bias: bias.as_ref().map(|_| random([57], 5).inner()),
            };
            let weight = weight(bias.clone());
            let scoring = |factor| Scoring { smoothing, factor };
            let watched = body(states.clone(), &weight, &labels, scoring(None), None);
            assert!(watched.of_states.is_none());
            let read =
                body(states.clone(), &weight, &labels, scoring(Some(0.3)), Some(&mut gradients));
            assert_eq!((watched.loss, watched.smoothed), (read.loss, read.smoothed));
            assert_eq!(watched.right, read.right);
            (read, gradients)
        };
        let ((ours, our_gradients), (theirs, their_gradients)) =
            (run(kernels::head_loss), run(plain::head_loss));
        assert!((ours.loss - theirs.loss).abs() < 1e-4 * theirs.loss);
        assert!((ours.smoothed - theirs.smoothed).abs() < 1e-4 * theirs.smoothed);
        assert_eq!(ours.smoothed == ours.loss, smoothing == 0.0);
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

/// Where nothing is tracked; a sum and its norm are then one pass.
#[test]
fn norms_rotation_and_silu_products_of_decoders() {
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
        let product = kernels::silu_product(x.clone(), r.clone());
        same_tensor("silu product", product, plain::silu_product(x, r));
    }
}

#[test]
fn statistics_of_what_is_not_finite() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [0, 5, 56] {
            let mut numbers = values(random([3, 57], 1));
            numbers[57 + place] = wrong;
            let logits = Tensor::<2>::from_data(TensorData::new(numbers, [3, 57]), &Device::flex());
            for given in [None, Some(&[1, 2, 3][..])] {
                let finite = |rows: Vec<RowStatistics>| {
                    rows.iter().map(RowStatistics::is_finite).collect::<Vec<_>>()
                };
                let ours = finite(kernels::row_statistics(logits.clone(), given));
                let theirs = finite(plain::row_statistics(logits.clone(), given));
                assert_eq!(ours, [true, false, true], "{wrong} at {place}");
                assert_eq!(theirs, ours, "{wrong} at {place}");
            }
        }
    }
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
