//! How probable it is to see this little loss if the true risk were above its bound: p-values that hold for any
//! number of examples.
//!
//! Losses lie in [0, 1] and examples are independent; nothing else is assumed. Bates, Angelopoulos, Lei,
//! Malik & Jordan 2021, "Distribution-free, risk-controlling prediction sets", and Angelopoulos, Bates,
//! Candès, Jordan & Lei 2021, "Learn then test". The binomial tail is summed, not approximated: O(n), which
//! is nothing beside reading a trace.

use crate::exits::binomial::binomial_tail;

/// A rounded sum of shares may lie this much above the whole number that it is.
const ROUNDING: f64 = 1e-9;

/// The Hoeffding–Bentkus p-value of the hypothesis that the risk is above `risk`, after losses of this sum
/// over `n` examples: min(exp(−n·h₁(R̂ ∧ δ, δ)), e·P(Bin(n, δ) ≤ ⌈nR̂⌉)), at most 1.
///
/// # Panics
/// When `n` is 0 or `risk` does not lie between 0 and 1.
pub(super) fn p_value(sum_of_losses: f64, n: usize, risk: f64) -> f64 {
    assert!(n > 0 && 0.0 < risk && risk < 1.0, "{n} examples, risk {risk}");
    hoeffding(sum_of_losses / n as f64, n, risk).min(bentkus(sum_of_losses, n, risk)).min(1.0)
}

/// exp(−n·h₁(R̂ ∧ δ, δ)): Hoeffding's inequality in its tighter form.
fn hoeffding(mean: f64, n: usize, risk: f64) -> f64 {
    (-(n as f64) * divergence(mean.min(risk), risk)).exp()
}

/// h₁(a, b) = a ln(a/b) + (1 − a) ln((1 − a)/(1 − b)), between coins of these chances, in nats.
fn divergence(a: f64, b: f64) -> f64 {
    let term = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    term(a, b) + term(1.0 - a, 1.0 - b)
}

/// e·P(Bin(n, δ) ≤ ⌈nR̂⌉): Bentkus' inequality.
fn bentkus(sum_of_losses: f64, n: usize, risk: f64) -> f64 {
    let most = (sum_of_losses - ROUNDING).ceil().max(0.0) as usize;
    std::f64::consts::E * binomial_tail(most, n, risk)
}

/// The fewest examples from which on losses of this mean give a p-value of at most `level`; none where the
/// mean is not below the bound, whatever their number. Of no loss: ⌈ln ε / ln(1 − δ)⌉.
///
/// # Panics
/// When `risk` or `level` does not lie between 0 and 1.
pub(super) fn examples_needed(mean: f64, risk: f64, level: f64) -> Option<usize> {
    assert!(0.0 < risk && risk < 1.0 && 0.0 < level && level < 1.0, "risk {risk}, level {level}");
    // Bentkus' bound may need fewer, but it goes up and down with n as ⌈nR̂⌉ jumps.
    let enough = -level.ln() / divergence(mean.min(risk), risk);
    enough.is_finite().then(|| (enough - ROUNDING).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Relative; the worst measured is 1.4e-11, of a tail of 3e-25.
    const TOLERANCE: f64 = 1e-9;

    #[derive(Deserialize)]
    struct Case {
        n: usize,
        risk: f64,
        sum_of_losses: f64,
        binomial_tail: f64,
        hoeffding: f64,
        p_value: f64,
    }

    #[test]
    fn p_values_are_those_of_scipys_distributions() {
        let golden = include_str!("../../../../tests/golden/hoeffding_bentkus.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        assert!(cases.len() > 50);
        for case in cases {
            let Case { n, risk, sum_of_losses, .. } = case;
            let found = [
                (binomial_tail(sum_of_losses.ceil() as usize, n, risk), case.binomial_tail),
                (hoeffding(sum_of_losses / n as f64, n, risk), case.hoeffding),
                (p_value(sum_of_losses, n, risk), case.p_value),
            ];
            for (found, expected) in found {
                let gap = (found - expected).abs() / expected;
                assert!(gap < TOLERANCE, "{n} {risk} {sum_of_losses}: {found} {expected}");
            }
        }
    }

    #[test]
    fn no_loss_on_one_example_of_two_chances() {
        // Both bounds are exact here: (1 − δ)ⁿ, of which Bentkus takes e times.
        assert_eq!(p_value(0.0, 1, 0.5), 0.5);
        assert!((p_value(0.0, 3, 0.5) - 0.125).abs() < 1e-15);
        // Losses at the bound or above it prove nothing.
        assert_eq!((p_value(2.0, 4, 0.5), p_value(4.0, 4, 0.5)), (1.0, 1.0));
    }

    #[test]
    fn a_sum_of_shares_is_the_whole_number_that_it_means() {
        let thirds = [1.0 / 3.0; 6].iter().sum::<f64>() + 1e-15;
        assert_eq!(bentkus(thirds, 40, 0.2), bentkus(2.0, 40, 0.2));
    }

    #[test]
    fn so_many_examples_are_needed_and_no_fewer() {
        assert_eq!(examples_needed(0.0, 0.05, 0.05), Some(59));
        assert!(p_value(0.0, 59, 0.05) <= 0.05 && p_value(0.0, 58, 0.05) > 0.05);
        let n = examples_needed(0.02, 0.05, 0.05).unwrap();
        let p = |n: usize| hoeffding(0.02, n, 0.05);
        assert!(p(n) <= 0.05 && p(n - 1) > 0.05, "{n}");
        assert_eq!(examples_needed(0.05, 0.05, 0.05), None);
        assert_eq!(examples_needed(0.4, 0.05, 0.05), None);
    }
}
