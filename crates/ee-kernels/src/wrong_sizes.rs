//! Every kernel that writes through pointers, called with sizes that do not fit, and with sizes whose products
//! wrap to ones that do: each call panics and says which sizes it found.

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

/// Forward and backward of one row of `n` numbers for queries and for keys.
fn attend(shape: AttentionShape<'_>, [of_queries, of_keys, sums]: [usize; 3]) {
    let (query, key) = (vec![0.5; of_queries], vec![0.5; of_keys]);
    let inputs = AttentionInputs { query: &query, key: &key, value: &key, bias: None };
    let (mut out, mut log_sum_exp) = (query.clone(), vec![0.0; sums]);
    attention_forward(&shape, inputs, &mut out, &mut log_sum_exp);
    let [mut of_query, mut of_key, mut of_value] = [query.clone(), key.clone(), key.clone()];
    let (query, key, value) = (&mut of_query[..], &mut of_key[..], &mut of_value[..]);
    let gradients = AttentionGradients { query, key, value, bias: None };
    attention_backward(&shape, inputs, &out, &log_sum_exp, inputs.query, gradients);
}

const WHOLE: AttentionShape<'_> = AttentionShape {
    queries: 2,
    slots: 2,
    heads: 1,
    kv_heads: 1,
    head_dim: 3,
    live: &[0..2],
    held: &[0..2],
    origins: None,
    sight: Sight::Whole,
    scale: 1.0,
    dropout: Dropout::NONE,
};

#[test]
fn attention_holds_what_its_shape_says() {
    attend(WHOLE, [6, 6, 2]);
    let [live, held]: [&[_]; 2] = [&[0..0], &[0..0]];
    let empty = AttentionShape { live, held, head_dim: 1, heads: 4, kv_heads: 4, ..WHOLE };
    let (queries, slots) = (HALF / 2, HALF / 2);
    let wide = AttentionShape { queries, slots: 0, ..empty };
    refuses("more numbers", || attend(wide, [0, 0, 0]));
    refuses("more numbers", || attend(AttentionShape { slots, queries: 0, ..empty }, [0, 0, 0]));
    refuses("heads with numbers", || attend(AttentionShape { head_dim: 0, ..WHOLE }, [0, 0, 2]));
    refuses("on 2 heads of keys", || attend(AttentionShape { kv_heads: 2, ..WHOLE }, [6, 6, 2]));
    refuses("in the queries", || attend(AttentionShape { queries: 3, ..WHOLE }, [6, 6, 3]));
    refuses("in the keys", || attend(AttentionShape { slots: 3, ..WHOLE }, [6, 6, 2]));
    refuses("one log-sum-exp", || attend(WHOLE, [6, 6, 1]));
    refuses("queries within", || attend(AttentionShape { live: &[0..3], ..WHOLE }, [6, 6, 2]));
    let two = AttentionShape { live: &[0..2, 0..2], held: &[0..3, 0..2], ..WHOLE };
    refuses("keys within", || attend(two, [12, 12, 4]));
    refuses("does not lie", || attend(AttentionShape { held: &[0..3], ..WHOLE }, [6, 6, 2]));
    let data = [1.0; 6];
    let inputs = AttentionInputs { query: &data, key: &data, value: &data, bias: Some(&data[..3]) };
    let (mut out, mut sums) = (data, [0.0; 2]);
    refuses("in the bias", || attention_forward(&WHOLE, inputs, &mut out, &mut sums));
    let inputs = AttentionInputs { bias: Some(&data[..2]), ..inputs };
    refuses("a bias for 1", || attention_forward(&WHOLE, inputs, &mut out, &mut sums));
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
        let query = |slot: usize| slot.clamp(first, first.saturating_add(queries)) - first;
        let live: Vec<_> = held.iter().map(|held| query(held.start)..query(held.end)).collect();
        let sight = Sight::Causal { first, window: None };
        let (live, head_dim) = (&live[..], 2);
        let shape =
            AttentionShape { queries, slots, live, held, origins, sight, head_dim, ..WHOLE };
        let n = held.len() * queries;
        attend(shape, [2 * n, 2 * places, n]);
    }
    causal([1, 1, 2], &[1..2], Some(&[-1]), 1);
    causal([2, 1, 3], &[1..3, 0..3], Some(&[-1, 2]), 5);
    for origin in [-2, 0] {
        refuses("does not lie in 1 places", || causal([1, 1, 2], &[1..2], Some(&[origin]), 1));
    }
    for origin in [isize::MAX, isize::MIN] {
        refuses("does not lie in 1 places", || causal([1, 0, 1], &[0..1], Some(&[origin]), 1));
    }
    refuses("in 2 slots", || causal([1, 2, 2], &[0..1], None, 2));
    refuses("in 2 slots", || causal([1, usize::MAX, 2], &[0..1], None, 2));
    refuses("in the keys", || causal([1, 0, 2], &[0..1], None, 3));
    // Rows may read the same keys, but two tasks would write to the same gradients.
    refuses("share the keys from 1 on", || causal([2, 0, 2], &[0..2, 0..2], Some(&[0, 1]), 4));
    let live: &[_] = &[0..2];
    let shape = AttentionShape {
        live,
        held: &[1..2],
        sight: Sight::Causal { first: 0, window: None },
        ..WHOLE
    };
    refuses("whose slots hold a token", || attend(shape, [6, 6, 2]));
    let sight = Sight::Causal { first: 0, window: Some(0) };
    refuses("its own slot", || attend(AttentionShape { sight, ..WHOLE }, [6, 6, 2]));
}

#[test]
fn rows_hold_what_their_norm_and_their_labels_say() {
    let x = [1.0; 6];
    let mut out = [0.0; 6];
    refuses("in rows of 4", || rotate(4, &x, &x, &mut out));
    refuses("angles", || rotate(0, &x, &x, &mut out));
    refuses("angles", || rotate(1, &[], &[], &mut out));
    refuses("more numbers", || cross_entropy(&mut [], HALF, &[0, 0], None));
    refuses("there is none", || cross_entropy(&mut [], 0, &[0], None));
    refuses("more numbers", || row_statistics(&[], HALF, Some(&[0, 0])));
    refuses("rows of 6", || {
        let statistics = NormStatistics { mean: &mut [0.0; 2], inverse_deviation: &mut [0.0; 2] };
        let parameters = NormParameters { gamma: &x, beta: &x, epsilon: 1e-5 };
        residual_norm(parameters, Dropout::NONE, &x, &x, &mut [0.0; 6], &mut out, statistics);
    });
}
