//! What the tests compare against and take their inputs from: plain loops in f64.

use rayon::ThreadPoolBuilder;

/// Numbers in −1..1 that follow from `seed`.
pub(super) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / ((1 << 23) as f32) - 1.0
        })
        .collect()
}

/// Asserts that all numbers are within `tolerance` of the expected ones.
#[track_caller]
pub(super) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance, "at {i}: {found} for {expected}, error {error:e}");
    }
}

/// Runs `compute` on 1, 2 and 3 threads and asserts that the results agree bit for bit.
#[track_caller]
pub(super) fn assert_same_on_any_threads(compute: impl Fn() -> Vec<f32> + Sync + Send) {
    let bits = |threads: usize| -> Vec<u32> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(&compute).into_iter().map(f32::to_bits).collect()
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
}

/// erf by its Taylor series, and by the continued fraction of erfc beyond 3.
pub(super) fn erf(x: f64) -> f64 {
    let size = x.abs();
    if size < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let fraction = (1..=60).rev().fold(size, |below, n| size + f64::from(n) / 2.0 / below);
    (1.0 - (-size * size).exp() / fraction / std::f64::consts::PI.sqrt()).copysign(x)
}
