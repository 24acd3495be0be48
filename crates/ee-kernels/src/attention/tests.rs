#![expect(
    clippy::single_range_in_vec_init,
    reason = "one range for each row, and there is one row"
)]

use super::formulas::Case;
use super::*;
use crate::gemm::DEPTH;
use crate::reference::assert_same_on_any_threads;

/// Heads, heads of keys, columns of a head.
const GROUPED: [usize; 3] = [6, 2, 20];
/// Numbers of a query.
const ROW: usize = 6 * 20;

#[test]
fn whole_rows_equal_the_formulas() {
    Case::whole([1, 1], [1, 1, 1], &[(1, 1)]).check_within(5e-6);
    Case::whole([5, 7], [2, 2, 3], &[(5, 7), (2, 1), (0, 4)]).check_within(5e-6);
    Case::whole([130, 75], [3, 3, 17], &[(130, 33), (65, 75)]).check_within(5e-6);
    Case::whole([9, 70], GROUPED, &[(9, 70), (1, 3)]).check();
    for head_dim in [32, 64, 128] {
        Case::whole([33, 33], [2, 2, head_dim], &[(33, 33), (9, 9)]).check_within(5e-6);
    }
}

#[test]
fn causal_rows_equal_the_formulas() {
    for (queries, first, held, window) in [
        (1, 0, [0..1, 0..1], None),
        (1, 99, [0..100, 40..100], None),
        (130, 0, [0..130, 17..130], None),
        (130, 0, [0..130, 0..75], None),
        (70, 80, [3..150, 0..150], Some(33)),
        (1, 99, [0..100, 90..100], Some(20)),
    ] {
        let mut case = Case::causal([queries, 150], GROUPED, first, window, &held);
        case.check();
        // Smaller scores are rounded less.
        case.shape.scale = 1.0 / (GROUPED[2] as f32).sqrt();
        case.check_values(1e-6);
    }
}

#[test]
fn a_bias_equals_the_formulas() {
    Case::whole([70, 41], [2, 2, 16], &[(70, 41), (30, 30)]).with_bias().check();
    Case::whole([3, 90], GROUPED, &[(3, 90), (1, 7), (0, 5)]).with_bias().check();
    Case::causal([70, 150], GROUPED, 80, Some(33), &[3..150, 0..150]).with_bias().check();
    Case::causal([1, 30], GROUPED, 20, None, &[3..21, 9..21]).with_bias().check();
}

#[test]
fn dropout_makes_the_same_mask_backward() {
    let dropout = Dropout { probability: 0.2, seed: 11 };
    for (case, of_keys) in [
        (Case::whole([70, 41], [2, 2, 16], &[(70, 41), (30, 30)]), 5e-6),
        (Case::whole([70, 41], [2, 2, 16], &[(70, 41), (30, 30)]).with_bias(), 1e-5),
        (Case::causal([70, 90], GROUPED, 15, Some(40), &[3..85, 20..85]), 1e-5),
        (Case::causal([1, 90], GROUPED, 80, None, &[3..81, 20..81]), 1e-5),
    ] {
        let dropped = case.clone().with_dropout(dropout);
        dropped.check_within(of_keys);
        let [dropped, plain] = [dropped.forward(), case.forward()];
        assert_ne!(dropped[0], plain[0]);
        assert_eq!(dropped[1], plain[1]);
    }
}

#[test]
fn keys_beyond_the_length_change_nothing() {
    let mut case = Case::whole([9, 9], [2, 2, 8], &[(9, 9), (4, 4)]);
    let before = case.forward();
    let from = case.shape.key_at(1, 4, 0);
    case.inputs[1][from..].fill(f32::NAN);
    case.inputs[2][from..].fill(f32::NAN);
    assert_eq!(before, case.forward());
}

#[test]
fn no_keys_give_zero() {
    let case = Case::whole([3, 2], [1, 1, 4], &[(3, 0)]);
    assert!(case.forward()[0].iter().all(|&value| value == 0.0));
    assert!(case.backward().concat().iter().all(|&value| value == 0.0));
}

#[test]
fn threads_do_not_change_attention() {
    let dropout = Dropout { probability: 0.1, seed: 2 };
    for case in [
        Case::whole([70, 70], [3, 3, 20], &[(70, 70), (50, 50)]),
        Case::whole([70, 70], [3, 3, 20], &[(70, 70), (50, 50)]).with_bias(),
        Case::causal([70, 70], GROUPED, 0, None, &[0..70, 0..33]),
    ] {
        let case = case.with_dropout(dropout);
        assert_same_on_any_threads(|| {
            [case.forward()[0].clone(), case.backward().concat()].concat()
        });
    }
}

/// The output of `n` queries that stand at the slots from `slot` on, alone.
fn alone(case: &Case, slot: usize, n: usize) -> Vec<f32> {
    let Sight::Causal { first, window } = case.shape.sight else { panic!("a causal attention") };
    let Range { start, end } = case.shape.held[0];
    let held = start..end.min(slot + n);
    let mut part = Case::causal([n, case.shape.slots], GROUPED, slot, window, &[held]);
    let here = (slot - first) * ROW..(slot - first + n) * ROW;
    let [query, key, value, bias] = case.inputs.clone();
    part.inputs = [query[here].to_vec(), key, value, bias];
    part.forward()[0].clone()
}

#[test]
fn a_query_has_the_same_bits_alone_and_among_others() {
    let wide = 5 + DEPTH + 600 - 5;
    for (case, slots) in [
        (Case::causal([150, 150], GROUPED, 0, None, &[0..150]), vec![0, 1, 63, 64, 100, 149]),
        // The window begins `DEPTH` steps after the row's first slot within this block.
        (
            Case::causal([8, 1300], GROUPED, wide, Some(600), &[5..wide + 8]),
            (wide..wide + 8).collect(),
        ),
    ] {
        let Sight::Causal { first, .. } = case.shape.sight else { unreachable!() };
        let [together, _] = case.forward();
        for slot in slots {
            let here = (slot - first) * ROW..(slot - first + 1) * ROW;
            assert_eq!(alone(&case, slot, 1), together[here], "slot {slot}");
        }
    }
}

/// Row 0 begins before the keys: its first slots hold no token and have no place.
#[test]
fn rows_that_lie_elsewhere_equal_rows_one_behind_the_other() {
    let (queries, slot) = (70, GROUPED[1] * GROUPED[2]);
    let case = Case::causal([queries, queries], GROUPED, 0, None, &[9..queries, 0..queries]);
    let (out, plain) = (case.forward(), case.backward());
    // Row 1 first, then row 0 without its nine slots of padding.
    let moved = |data: &[f32]| {
        let (first, second) = data.split_at(queries * slot);
        [second, &first[9 * slot..], &vec![0.0; 9 * slot]].concat()
    };
    let [query, key, value, bias] = case.inputs.clone();
    let mut elsewhere = case.clone();
    elsewhere.shape.origins = Some([queries as isize - 9, 0].into());
    elsewhere.inputs = [query.clone(), moved(&key), moved(&value), bias];
    let found = elsewhere.backward();
    assert_eq!(elsewhere.forward(), out);
    assert_eq!(found[0], plain[0]);
    assert_eq!(found[1], moved(&plain[1]));
    assert_eq!(found[2], moved(&plain[2]));
    // Before the beginning: row 0 alone, at place −9.
    let of_first = |data: &[f32]| data[9 * slot..queries * slot].to_vec();
    let n = queries * ROW;
    elsewhere.shape = AttentionShape {
        origins: Some([-9].into()),
        ..elsewhere.shape.causal(queries, 0, None, [9..queries].into())
    };
    elsewhere.inputs = [query[..n].to_vec(), of_first(&key), of_first(&value), Vec::new()];
    elsewhere.out_gradient.truncate(n);
    let found = elsewhere.backward();
    assert_eq!(elsewhere.forward()[0], out[0][..n]);
    assert_eq!(found[1], of_first(&plain[1]));
    assert_eq!(found[2], of_first(&plain[2]));
}

/// Row 1 begins at slot 37, which is slot 7 of its own memory.
#[test]
fn a_row_that_lies_elsewhere_equals_one_numbered_from_its_place_in_memory() {
    let case = |first, held: [Range<usize>; 2]| Case::causal([4, 150], GROUPED, first, None, &held);
    let mut moved = case(90, [3..94, 37..94]);
    moved.shape.origins = Some([0, 120].into());
    let [moved, first, second] =
        [moved, case(90, [3..94, 7..94]), case(60, [3..64, 7..64])].map(|case| {
            let [out, _] = case.forward();
            out
        });
    assert_eq!(moved[..4 * ROW], first[..4 * ROW]);
    assert_eq!(moved[4 * ROW..], second[4 * ROW..]);
}

#[test]
fn rows_may_share_what_they_see() {
    let apart = Case::whole([4, 30], GROUPED, &[(4, 30), (4, 30)]);
    let memory = 30 * GROUPED[1] * GROUPED[2];
    let [query, key, value, bias] = apart.inputs.clone();
    let twice = |data: &[f32]| [&data[..memory], &data[..memory]].concat();
    let inputs = [query.clone(), twice(&key), twice(&value), bias.clone()];
    let expected = Case { inputs, ..apart.clone() }.forward();
    let mut shared = apart;
    shared.inputs = [query, key[..memory].to_vec(), value[..memory].to_vec(), bias];
    shared.shape.origins = Some([0, 0].into());
    assert_eq!(shared.forward(), expected);
}
