//! Elementary functions without branches, for loops that the compiler vectorises.
//!
//! The coefficients are least-maximum fits made for these ranges; the tests state the errors found. `FUSED`
//! says whether the instructions that a function is compiled for multiply and add in one rounding: elsewhere
//! that is a call of the C library per number, tens of times the cost.

/// a · b + c, in one rounding if `FUSED`.
#[inline(always)]
pub(super) fn fused<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Σ coefficients\[i\] xⁱ by Horner's rule.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: &[f32; N]) -> f32 {
    let mut value = coefficients[N - 1];
    for &coefficient in coefficients[..N - 1].iter().rev() {
        value = fused::<FUSED>(value, x, coefficient);
    }
    value
}

/// eˣ; relative error ≤ 2e-7 for −87 ≤ x ≤ 88, 0 below and e⁸⁸ above.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the nearest whole number in the low bits
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = fused::<FUSED>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let rest = fused::<FUSED>(n, -0.693_359_4, clamped);
    let rest = fused::<FUSED>(n, 2.121_944_4e-4, rest);
    let tail = polynomial::<FUSED, _>(
        rest,
        &[0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_721, 0.001_381_456],
    );
    let fraction = fused::<FUSED>(rest * rest, tail, rest) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3F80_0000));
    if x < -87.0 { 0.0 } else { fraction * power }
}

/// erf(x); absolute error ≤ 4e-7.
#[inline(always)]
pub(super) fn erf<const FUSED: bool>(x: f32) -> f32 {
    const LIMIT: f32 = 3.7; // 1 − erf(3.7) = 1.7e-7
    let size = x.abs();
    let clamped = size.min(LIMIT);
    let centred = fused::<FUSED>(clamped * clamped, 2.0 / (LIMIT * LIMIT), -1.0);
    let ratio = polynomial::<FUSED, _>(
        centred,
        &[
            0.382_137_54,
            -0.190_467_73,
            0.140_789_54,
            -0.112_645_57,
            0.090_624_89,
            -0.070_436_634,
            0.051_475_32,
            -0.036_200_29,
            0.025_146_227,
            -0.014_151_61,
            0.005_223_141_5,
            -0.003_647_439_6,
            0.003_927_444_6,
            -0.001_504_634_9,
        ],
    );
    let value = if size < LIMIT { clamped * ratio } else { 1.0 };
    value.copysign(x)
}

/// tanh(x); absolute error ≤ 2e-7, relative error ≤ 4e-7 around 0.
#[inline(always)]
pub(super) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let tail = polynomial::<FUSED, _>(
        square,
        &[-0.333_333, 0.133_319_24, -0.053_783_793, 0.020_795_824, -0.005_894_967_4],
    );
    let near = fused::<FUSED>(size * square, tail, size);
    let far = 1.0 - 2.0 / (exp::<FUSED>(2.0 * size) + 1.0);
    (if size < 0.6 { near } else { far }).copysign(x)
}

/// The largest number; `LANES` at a time.
#[inline(always)]
pub(super) fn largest<const LANES: usize>(row: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            most[lane] = if block[lane] > most[lane] { block[lane] } else { most[lane] };
        }
    }
    most.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// Σ a·b; `LANES` partial sums.
#[inline(always)]
pub(super) fn dot<const LANES: usize>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((blocks_a, rest_a), (blocks_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *sum += a * b;
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error of `found` against `expected` over `low..high`, measured by `error`.
    fn worst(
        low: f64,
        high: f64,
        found: fn(f32) -> f32,
        expected: fn(f64) -> f64,
        relative: bool,
    ) -> f64 {
        (0..=200_000)
            .map(|i| {
                let x = (low + (high - low) * f64::from(i) / 200_000.0) as f32;
                let exact = expected(f64::from(x));
                let scale = if relative { exact.abs().max(1e-30) } else { 1.0 };
                (f64::from(found(x)) - exact).abs() / scale
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_ten_millionths() {
        for exp in [exp::<true>, exp::<false>] {
            let error = worst(-87.0, 88.0, exp, f64::exp, true);
            assert!(error <= 2e-7, "{error:e}");
            assert_eq!(exp(0.0), 1.0);
            assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        }
    }

    #[test]
    fn erf_is_within_four_ten_millionths() {
        for erf in [erf::<true>, erf::<false>] {
            let error = worst(-6.0, 6.0, erf, crate::reference::erf, false);
            assert!(error <= 4e-7, "{error:e}");
            assert_eq!(erf(0.0), 0.0);
            assert_eq!(erf(-50.0), -1.0);
        }
    }

    #[test]
    fn tanh_is_within_four_ten_millionths() {
        for tanh in [tanh::<true>, tanh::<false>] {
            let error = worst(-20.0, 20.0, tanh, f64::tanh, false);
            assert!(error <= 2e-7, "{error:e}");
            let error = worst(1e-4, 1.0, tanh, f64::tanh, true);
            assert!(error <= 4e-7, "{error:e}");
        }
    }
}
