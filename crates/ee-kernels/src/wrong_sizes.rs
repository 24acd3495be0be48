//! Every kernel that writes through pointers, called with sizes that do not fit, and with sizes whose products
//! wrap to ones that do: each call panics and says which sizes it found.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "one range for each row, and there is one row"
)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use half::{bf16, f16};

use super::gemm::{Epilogue, MatrixView, gemm};
use super::*;

/// Asserts that a call panics and that its message holds `expected`.
#[track_caller]
fn refuses<T>(expected: &str, call: impl FnOnce() -> T) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else {
        panic!("a call came back that should say '{expected}'");
    };
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(message.contains(expected), "'{message}' does not say '{expected}'");
}

/// Half of 2⁶⁴: times two it wraps to 0.
const HALF: usize = 1 << 63;
/// Its own product wraps to 0.
const ROOT: usize = 1 << 32;

#[test]
fn views_lie_within_their_numbers() {
    let data = vec![1.0; 64];
    refuses("a matrix of 7 numbers in 6", || MatrixView::new(&data[..6], 2, 3, 4, 1));
    refuses("a matrix of 7 numbers in 6", || MatrixView::new(&data[..6], 3, 2, 1, 4));
    // 3 · stride wraps to 2.
    refuses("have no end", || MatrixView::new(&data, 4, 2, usize::MAX / 3 + 1, 1));
    refuses("have no end", || MatrixView::new(&data, 2, 4, 1, usize::MAX / 3 + 1));
    // Rows that share their numbers would make a product of sizes that no memory has.
    refuses("overlap", || MatrixView::new(&data, HALF, 2, 0, 1));
    refuses("overlap", || MatrixView::new(&data, 3, 3, 1, 1));
    refuses("one stride must be 1", || MatrixView::new(&data, 2, 2, 2, 2));
}

#[test]
fn products_write_within_their_result() {
    let (data, nothing) = ([1.0; 6], [0.0; 0]);
    let [left, right] = [(2, 3), (3, 2)].map(|(m, n)| MatrixView::row_major(&data, m, n));
    let plain = Epilogue::default();
    refuses("numbers in the result", || gemm(left, right, &mut [0.0; 5], plain));
    let biased = Epilogue { bias: Some(&data[..1]), ..plain };
    refuses("numbers in the bias", || gemm(left, right, &mut [0.0; 4], biased));
    // Sums of nothing, whose result would be 2⁶⁴ numbers.
    let tall = MatrixView::row_major(&nothing, ROOT, 0);
    refuses("more numbers", || gemm(tall, tall.transposed(), &mut [], plain));
}

#[test]
fn linear_layers_hold_what_their_shape_says() {
    let x = [1.0; 6];
    let shape = LinearShape { rows: 2, inputs: 3, outputs: 2 };
    let (wide, mut out) = (LinearShape { rows: 0, inputs: ROOT, outputs: ROOT }, [0.0; 4]);
    for (stored, less, none) in [
        (WeightData::F32(&x), WeightData::F32(&x[..5]), WeightData::F32(&[])),
        (WeightData::F16(&[f16::ONE; 6]), WeightData::F16(&[f16::ONE; 5]), WeightData::F16(&[])),
        (
            WeightData::Bf16(&[bf16::ONE; 6]),
            WeightData::Bf16(&[bf16::ONE; 5]),
            WeightData::Bf16(&[]),
        ),
    ] {
        refuses("in the input", || linear_forward(shape, &x[..5], stored, None, &mut out));
        refuses("in the weight", || linear_forward(shape, &x, less, None, &mut out));
        refuses("in the bias", || linear_forward(shape, &x, stored, Some(&x), &mut out));
        refuses("in the result", || linear_forward(shape, &x, stored, None, &mut out[..3]));
        refuses("more numbers", || linear_forward(wide, &[], none, None, &mut []));
        refuses("more numbers", || linear_backward_input(wide, &[], none, &mut []));
    }
    let halves = WeightData::F16(&[f16::ONE; 6]);
    refuses("in the input's", || linear_backward_input(shape, &x[..4], halves, &mut out));
    let tall = LinearShape { rows: ROOT, inputs: 0, outputs: ROOT };
    refuses("more numbers", || linear_backward_weight(tall, &[], &[], false, &mut []));
    refuses("in rows of 4", || bias_backward(&x, &mut out));
}

#[test]
fn projections_hold_what_their_shape_says() {
    fn run(rows: usize, inputs: usize, input: &[f32], weight: WeightData<'_>, out: &mut [f32]) {
        linear_few_rows(rows, inputs, input, &mut [Projection { weight, bias: None, out }]);
    }
    let (x, brains) = ([1.0; 6], [bf16::ONE; 6]);
    refuses("more numbers", || run(ROOT, ROOT, &[], WeightData::F32(&[]), &mut []));
    refuses("at least one number", || run(3, 0, &[], WeightData::F32(&[]), &mut []));
    refuses("in the input", || run(2, 3, &x[..5], WeightData::Bf16(&brains), &mut [0.0; 4]));
    refuses("in the weight", || run(2, 3, &x, WeightData::Bf16(&brains), &mut [0.0; 6]));
    refuses("in the result", || run(2, 3, &x, WeightData::Bf16(&brains), &mut [0.0; 5]));
    refuses("of no rows", || run(0, 3, &[], WeightData::F32(&x), &mut [0.0; 2]));
    run(0, 3, &[], WeightData::F32(&x), &mut []);
    let (weight, bias, mut out) = (WeightData::F32(&x), Some(&x[..3]), [0.0; 4]);
    refuses("in the bias", || {
        linear_few_rows(2, 3, &x, &mut [Projection { weight, bias, out: &mut out }]);
    });
}

/// Forward and backward of these sizes: queries, keys and sums.
fn attend(shape: &AttentionShape, [of_queries, of_keys, sums]: [usize; 3]) {
    let (query, key) = (vec![0.5; of_queries], vec![0.5; of_keys]);
    let inputs = AttentionInputs { query: &query, key: &key, value: &key, bias: None };
    let (mut out, mut log_sum_exp) = (query.clone(), vec![0.0; sums]);
    attention_forward(shape, inputs, &mut out, &mut log_sum_exp);
    let [mut of_query, mut of_key, mut of_value] = [query.clone(), key.clone(), key.clone()];
    let (query, key, value) = (&mut of_query[..], &mut of_key[..], &mut of_value[..]);
    let gradients = AttentionGradients { query, key, value, bias: None };
    attention_backward(shape, inputs, &out, &log_sum_exp, inputs.query, gradients);
}

#[test]
fn attention_holds_what_its_shape_says() {
    let whole = || AttentionShape::whole(2, 1, 3, &[2]);
    attend(&whole(), [6, 6, 2]);
    let empty = |queries, slots| AttentionShape::whole(queries, 4, 1, &[0]).over(slots, &[0]);
    refuses("more numbers", || attend(&empty(HALF / 2, 0), [0, 0, 0]));
    refuses("more numbers", || attend(&empty(0, HALF / 2), [0, 0, 0]));
    for (what, shape, numbers) in [
        ("heads with numbers", AttentionShape { head_dim: 0, ..whole() }, [0, 0, 2]),
        ("on 2 heads of keys", AttentionShape { kv_heads: 2, ..whole() }, [6, 6, 2]),
        ("in the queries", AttentionShape { queries: 3, ..whole() }, [6, 6, 3]),
        ("in the keys", AttentionShape { slots: 3, ..whole() }, [6, 6, 2]),
        ("one log-sum-exp", whole(), [6, 6, 1]),
        ("queries within", AttentionShape::whole(2, 1, 3, &[3]), [6, 6, 2]),
        ("keys within", AttentionShape::whole(2, 1, 3, &[2, 2]).over(2, &[3, 2]), [12, 12, 4]),
        ("does not lie", whole().over(2, &[3]), [6, 6, 2]),
        ("its own slot", whole().causal(2, 0, Some(0), [0..2].into()), [6, 6, 2]),
        (
            "whose slots hold a token",
            AttentionShape { live: [0..2].into(), ..whole().causal(2, 0, None, [1..2].into()) },
            [6, 6, 2],
        ),
    ] {
        refuses(what, || attend(&shape, numbers));
    }
    let data = [1.0; 6];
    for (what, n) in [("in the bias", 3), ("a bias for 1", 2)] {
        let bias = Some(&data[..n]);
        let inputs = AttentionInputs { query: &data, key: &data, value: &data, bias };
        refuses(what, || attention_forward(&whole(), inputs, &mut [0.0; 6], &mut [0.0; 2]));
    }
}

#[test]
fn causal_attention_reads_and_writes_within_its_slots() {
    /// One head of two numbers.
    fn causal(
        [queries, first, slots]: [usize; 3],
        held: &[Range<usize>],
        origins: Option<&[isize]>,
        places: usize,
    ) {
        let shape = AttentionShape::whole(queries, 1, 2, &[]);
        let shape = shape.causal(slots, first, None, held.into());
        let n = held.len() * queries;
        attend(
            &AttentionShape { origins: origins.map(Into::into), ..shape },
            [2 * n, 2 * places, n],
        );
    }
    causal([1, 1, 2], &[1..2], Some(&[-1]), 1);
    causal([2, 1, 3], &[1..3, 0..3], Some(&[-1, 2]), 5);
    for origin in [-2, 0] {
        refuses("does not lie in 1 places", || causal([1, 1, 2], &[1..2], Some(&[origin]), 1));
    }
    for origin in [isize::MAX, isize::MIN] {
        refuses("does not lie in 1 places", || causal([1, 0, 1], &[0..1], Some(&[origin]), 1));
    }
    let reversed = Range { start: usize::MAX, end: 1 };
    refuses("does not lie in 1 places", || {
        causal([1, 0, 1], std::slice::from_ref(&reversed), Some(&[0]), 1)
    });
    refuses("in 2 slots", || causal([1, 2, 2], &[0..1], None, 2));
    refuses("in 2 slots", || causal([1, usize::MAX, 2], &[0..1], None, 2));
    refuses("in the keys", || causal([1, 0, 2], &[0..1], None, 3));
    // Rows may read the same keys, but two tasks would write to the same gradients.
    refuses("share the keys from 1 on", || causal([2, 0, 2], &[0..2, 0..2], Some(&[0, 1]), 4));
}

#[test]
fn rows_hold_what_their_norm_and_their_labels_say() {
    let x = [1.0; 6];
    let mut out = [0.0; 6];
    refuses("in rows of 4", || rotate(4, &x, &x, &mut out));
    refuses("angles", || rotate(0, &x, &x, &mut out));
    refuses("angles", || rotate(1, &[], &[], &mut out));
    refuses("more numbers", || cross_entropy(&mut [], HALF, &[0, 0], 0.0, None));
    refuses("there is none", || cross_entropy(&mut [], 0, &[0], 0.0, None));
    refuses("more numbers", || row_statistics(&[], HALF, Some(&[0, 0])));
    refuses("rows of 6", || {
        let statistics = NormStatistics { mean: &mut [0.0; 2], inverse_deviation: &mut [0.0; 2] };
        let parameters = NormParameters { gamma: &x, beta: &x, epsilon: 1e-5 };
        residual_norm(parameters, Dropout::NONE, &x, &x, &mut [0.0; 6], &mut out, statistics);
    });
}
