//! The binomial distribution.

/// P(Bin(n, chance) ≤ most).
pub(crate) fn binomial_tail(most: usize, n: usize, chance: f64) -> f64 {
    // (1 − δ)ⁿ underflows for some thousand examples: it is kept as a logarithm, and the sum of the terms
    // as multiples of it, scaled down where they grow too large.
    const SCALE: f64 = 1e250;
    let odds = chance / (1.0 - chance);
    let mut logarithm = n as f64 * (-chance).ln_1p();
    let (mut term, mut sum) = (1.0, 1.0);
    for hits in 0..most.min(n) {
        term *= (n - hits) as f64 / (hits + 1) as f64 * odds;
        sum += term;
        if sum > SCALE {
            (term, sum, logarithm) = (term / SCALE, sum / SCALE, logarithm + SCALE.ln());
        }
    }
    (logarithm + sum.ln()).exp().min(1.0)
}
