//! Dropout without a stored mask: whether an element is kept follows from the seed and its index, so that
//! the backward pass makes the same mask again.

use rayon::prelude::*;

use super::instructions::vectorised;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Drops elements with a probability, scaling the rest by 1 / (1 − p).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// p, in 0..1; 0 drops nothing.
    pub probability: f32,
    /// The mask follows from it and from the element's index alone.
    pub seed: u64,
}

impl Dropout {
    /// Drops nothing.
    pub const NONE: Self = Self { probability: 0.0, seed: 0 };

    /// Whether any element can be dropped.
    pub fn is_active(&self) -> bool {
        self.probability > 0.0
    }

    /// The mask of the elements from `first` on, as long as they share the upper half of their index.
    #[inline(always)]
    pub(super) fn mask(&self, first: u64) -> Mask {
        assert!(
            (0.0..1.0).contains(&self.probability),
            "a dropout probability in 0..1, found {}",
            self.probability
        );
        let key = mix_64(self.seed ^ mix_64(first >> 32));
        Mask {
            first: first as u32,
            keys: [key as u32, (key >> 32) as u32],
            threshold: (f64::from(self.probability) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - self.probability),
        }
    }
}

/// The factors of a run of elements: 0 where dropped, 1 / (1 − p) where kept.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    first: u32,
    keys: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl Mask {
    /// The factor of the element `offset` after the first.
    #[inline(always)]
    pub(super) fn factor(&self, offset: u32) -> f32 {
        let hash = mix_32(
            mix_32(self.first.wrapping_add(offset) ^ self.keys[0]).wrapping_add(self.keys[1]),
        );
        if hash >= self.threshold { self.scale } else { 0.0 }
    }
}

/// A bijection of 32 bits whose every output bit depends on every input bit (Wellons' "lowbias32").
#[inline(always)]
fn mix_32(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The output function of SplitMix64 (Steele et al. 2014).
#[inline(always)]
fn mix_64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// `out` = mask · `input`; applied to a gradient it is its own backward pass.
///
/// # Panics
/// If the slices differ in length or p is outside 0..1.
pub fn dropout(dropout: Dropout, input: &[f32], out: &mut [f32]) {
    assert_eq!(input.len(), out.len(), "numbers before and after dropout");
    if !dropout.is_active() {
        out.copy_from_slice(input);
        return;
    }
    out.par_chunks_mut(CHUNK).zip(input.par_chunks(CHUNK)).enumerate().for_each(
        |(chunk, (out, input))| {
            multiply(dropout.mask((chunk * CHUNK) as u64), input, out);
        },
    );
}

vectorised! {
    fn multiply(mask: Mask, input: &[f32], out: &mut [f32]) {
        for (offset, (out, &value)) in (0_u32..).zip(out.iter_mut().zip(input)) {
            *out = value * mask.factor(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::assert_same_on_any_threads;

    fn kept(probability: f32, seed: u64) -> Vec<bool> {
        let mut out = vec![0.0; 200_001];
        dropout(Dropout { probability, seed }, &vec![1.0; 200_001], &mut out);
        let scale = 1.0 / (1.0 - probability);
        assert!(out.iter().all(|&value| value == 0.0 || value == scale));
        out.iter().map(|&value| value != 0.0).collect()
    }

    /// Share of true, and how many standard deviations it is from `expected`.
    fn deviation(flags: impl Iterator<Item = bool>, expected: f64) -> f64 {
        let (mut n, mut count) = (0.0, 0.0);
        for flag in flags {
            n += 1.0;
            count += f64::from(u8::from(flag));
        }
        (count / n - expected).abs() / (expected * (1.0 - expected) / n).sqrt()
    }

    #[test]
    fn the_share_kept_is_as_asked_and_elements_are_independent() {
        for (seed, p) in [(1, 0.1), (2, 0.5), (u64::MAX, 0.9)] {
            let kept = kept(p, seed);
            let keep = 1.0 - f64::from(p);
            assert!(deviation(kept.iter().copied(), keep) < 4.0);
            for lag in [1, 2, 16, 64, 768] {
                let both = kept.iter().zip(&kept[lag..]).map(|(&a, &b)| a && b);
                assert!(deviation(both, keep * keep) < 5.0, "lag {lag}");
            }
        }
    }

    #[test]
    fn seeds_give_unrelated_masks() {
        let (one, two) = (kept(0.5, 7), kept(0.5, 8));
        assert_eq!(one, kept(0.5, 7));
        assert!(deviation(one.iter().zip(&two).map(|(a, b)| a == b), 0.5) < 4.0);
    }

    #[test]
    fn no_probability_copies() {
        let mut out = [0.0; 3];
        dropout(Dropout::NONE, &[1.0, 2.0, 3.0], &mut out);
        assert_eq!(out, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn threads_do_not_change_a_mask() {
        assert_same_on_any_threads(|| {
            let mut out = vec![0.0; 100_001];
            dropout(Dropout { probability: 0.1, seed: 3 }, &vec![1.0; 100_001], &mut out);
            out
        });
    }
}
