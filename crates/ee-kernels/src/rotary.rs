//! Rotary position embedding (Su et al. 2021), halves rotated as Hugging Face checkpoints expect it: number i
//! of a head's first half and number i of its second are one point of a plane.

use rayon::prelude::*;

use super::instructions::vectorised;

/// Rows that a thread takes at a time; fewer stay on the calling thread.
const ROWS: usize = 32;

/// Rotates every head of every row by the row's angles, in place.
///
/// # Shapes
/// `state` `[rows, heads * 2 * half]`, `cos` and `sin` `[rows, half]`.
pub fn rotate(half: usize, cos: &[f32], sin: &[f32], state: &mut [f32]) {
    assert_eq!(cos.len(), sin.len(), "one sine per cosine");
    if state.is_empty() {
        return;
    }
    assert!(half > 0 && !cos.is_empty(), "angles for what is rotated");
    assert_eq!(cos.len() % half, 0, "angles in rows of {half}");
    let rows = cos.len() / half;
    assert_eq!(state.len() % rows, 0, "numbers in {rows} rows");
    let width = state.len() / rows;
    assert_eq!(width % (2 * half), 0, "heads of {} numbers", 2 * half);
    if rows <= ROWS {
        return rotate_rows(half, width, cos, sin, state);
    }
    state
        .par_chunks_mut(ROWS * width)
        .zip(cos.par_chunks(ROWS * half).zip(sin.par_chunks(ROWS * half)))
        .for_each(|(state, (cos, sin))| rotate_rows(half, width, cos, sin, state));
}

vectorised! {
    fn rotate_rows(half: usize, width: usize, cos: &[f32], sin: &[f32], state: &mut [f32]) {
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in state.chunks_exact_mut(width).zip(angles) {
            for head in row.chunks_exact_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, numbers};

    #[test]
    fn a_quarter_turn_exchanges_the_halves() {
        let mut state = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        rotate(2, &[0.0, 0.0], &[1.0, 1.0], &mut state);
        assert_eq!(state, [-3.0, -4.0, 1.0, 2.0, -7.0, -8.0, 5.0, 6.0]);
    }

    #[test]
    fn rows_have_their_own_angles_and_lengths_stay() {
        let (rows, half, heads) = (70, 5, 3);
        let angles: Vec<f32> = (0..rows * half).map(|i| i as f32).collect();
        let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
        let before = numbers(rows * heads * 2 * half, 1);
        let mut after = before.clone();
        rotate(half, &cos, &sin, &mut after);
        let squares = |x: &[f32]| -> Vec<f64> {
            let heads = x.chunks_exact(2 * half);
            heads.map(|head| head.iter().map(|x| f64::from(*x).powi(2)).sum()).collect()
        };
        let lengths: Vec<f32> = squares(&after).iter().map(|&x| x as f32).collect();
        assert_close(&lengths, &squares(&before), 1e-5);
        let (row, head, i) = (41, 2, 3);
        let at = row * heads * 2 * half + head * 2 * half + i;
        let (x, y) = (f64::from(before[at]), f64::from(before[at + half]));
        let angle = f64::from(angles[row * half + i]);
        let expected = [x * angle.cos() - y * angle.sin(), y * angle.cos() + x * angle.sin()];
        assert_close(&[after[at], after[at + half]], &expected, 1e-6);
    }
}
