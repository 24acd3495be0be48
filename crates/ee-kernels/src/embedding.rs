//! Rows of a table, and the scatter-add that is its backward pass.

use rayon::prelude::*;

use super::disjoint::Disjoint;
use super::sizes::product;

/// Columns that a thread takes at a time in the backward pass.
const COLUMNS: usize = 64;
/// Rows that a thread takes at a time in the forward pass.
const ROWS: usize = 32;

/// `out[i]` = `table[ids[i]]`.
///
/// # Shapes
/// `table` `[entries, d]`, `out` `[ids.len(), d]`.
///
/// # Panics
/// If an id is outside the table or sizes do not fit together.
pub fn embedding_forward(table: &[f32], d: usize, ids: &[usize], out: &mut [f32]) {
    assert_eq!(out.len(), product([ids.len(), d]), "numbers in the embeddings");
    if out.is_empty() {
        return;
    }
    check(ids, d, table.len());
    out.par_chunks_mut(ROWS * d).zip(ids.par_chunks(ROWS)).for_each(|(out, ids)| {
        for (out, &id) in out.chunks_exact_mut(d).zip(ids) {
            out.copy_from_slice(&table[id * d..(id + 1) * d]);
        }
    });
}

/// `table_gradient[ids[i]] += output_gradient[i]` for every i in order.
///
/// Threads take columns, so that rows that share an id are added in one order.
///
/// # Shapes
/// `output_gradient` `[ids.len(), d]`, `table_gradient` `[entries, d]`.
///
/// # Panics
/// If an id is outside the table or sizes do not fit together.
pub fn embedding_backward(
    ids: &[usize],
    d: usize,
    output_gradient: &[f32],
    table_gradient: &mut [f32],
) {
    let numbers = product([ids.len(), d]);
    assert_eq!(output_gradient.len(), numbers, "numbers in the gradient of the embeddings");
    if output_gradient.is_empty() {
        return;
    }
    check(ids, d, table_gradient.len());
    let table = Disjoint::new(table_gradient);
    (0..d.div_ceil(COLUMNS)).into_par_iter().for_each(|chunk| {
        let first = chunk * COLUMNS;
        let n = COLUMNS.min(d - first);
        for (row, &id) in output_gradient.chunks_exact(d).zip(ids) {
            // SAFETY: this task alone touches these columns, one row at a time.
            let target = unsafe { table.part(id * d + first, n) };
            for (target, value) in target.iter_mut().zip(&row[first..first + n]) {
                *target += value;
            }
        }
    });
}

/// Asserts that a table of rows of `d` numbers has an entry for every id.
fn check(ids: &[usize], d: usize, table: usize) {
    assert_eq!(table % d, 0, "rows of {d} numbers in a table of {table}");
    let entries = table / d;
    for &id in ids {
        assert!(id < entries, "id {id} of a table of {entries} entries");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, assert_same_on_any_threads, numbers};

    const D: usize = 131;
    const ENTRIES: usize = 7;

    fn ids() -> Vec<usize> {
        (0..90).map(|i| (i * i + 3) % ENTRIES).collect()
    }

    #[test]
    fn rows_are_taken_and_gradients_are_added_to_them() {
        let (ids, table) = (ids(), numbers(ENTRIES * D, 1));
        let mut out = vec![0.0; ids.len() * D];
        embedding_forward(&table, D, &ids, &mut out);
        let dy = numbers(ids.len() * D, 2);
        let mut found = table.clone();
        embedding_backward(&ids, D, &dy, &mut found);
        let mut expected: Vec<f64> = table.iter().map(|&x| f64::from(x)).collect();
        for (i, &id) in ids.iter().enumerate() {
            for column in 0..D {
                assert_eq!(out[i * D + column], table[id * D + column]);
                expected[id * D + column] += f64::from(dy[i * D + column]);
            }
        }
        assert_close(&found, &expected, 1e-5);
    }

    #[test]
    fn ids_outside_the_table_panic() {
        // The last two wrap to entries that are there when multiplied by the width.
        for id in [ENTRIES, usize::MAX, 1 << 63, usize::MAX / 2 + 1] {
            for d in [2, D] {
                let complains = |result: std::thread::Result<()>| {
                    let message = *result.unwrap_err().downcast::<String>().unwrap();
                    assert!(message.contains(&format!("id {id} of a table")), "{message}");
                };
                complains(std::panic::catch_unwind(|| {
                    embedding_backward(&[id], d, &vec![0.0; d], &mut vec![0.0; ENTRIES * d]);
                }));
                complains(std::panic::catch_unwind(|| {
                    embedding_forward(&vec![0.0; ENTRIES * d], d, &[id], &mut vec![0.0; d]);
                }));
            }
        }
    }

    #[test]
    fn threads_do_not_change_the_gradient() {
        let (ids, dy) = (ids(), numbers(90 * D, 2));
        assert_same_on_any_threads(|| {
            let mut table = vec![0.0; ENTRIES * D];
            embedding_backward(&ids, D, &dy, &mut table);
            table
        });
    }
}
