//! How often an exit's guesses stay, overall and by how sure it is.

/// One guess and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::speculate) struct Outcome {
    pub(in crate::speculate) exit: usize,
    /// The largest probability of the distribution that it guessed by.
    pub(in crate::speculate) confidence: f64,
    /// 1 where it stayed, 0 where not; of a guess that was looked at but never drawn, how likely it stays.
    pub(in crate::speculate) stays: f64,
}

/// Confidences below which a new class begins.
const EDGES: [f64; 7] = [0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99];
const CLASSES: usize = EDGES.len() + 1;
/// Guesses of a class that its exit's overall rate counts for.
const PRIOR: f64 = 2.0;
/// Standard errors between an estimate and what could still be true.
const DOUBT: f64 = 1.5;

/// What is known of one exit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trust {
    overall: Share,
    classes: [Share; CLASSES],
}

impl Trust {
    pub(super) fn observe(&mut self, outcome: &Outcome) {
        self.overall.observe(outcome.stays);
        self.classes[class(outcome.confidence)].observe(outcome.stays);
    }

    /// Lets everything so far count less by this factor.
    pub(super) fn fade(&mut self, factor: f64) {
        for share in self.classes.iter_mut().chain([&mut self.overall]) {
            share.stayed *= factor;
            share.seen *= factor;
        }
    }

    /// The share of guesses that stay, starting from half a guess that stayed and half a guess that did not.
    pub(super) fn rate(&self) -> f64 {
        (self.overall.stayed + 0.5) / (self.overall.seen + 1.0)
    }

    /// The highest rate consistent with what was seen (Wilson's bound).
    pub(super) fn upper(&self) -> f64 {
        let (rate, n) = (self.rate(), self.overall.seen + 1.0);
        let z2 = DOUBT * DOUBT / n;
        let spread = DOUBT * (rate * (1.0 - rate) / n + z2 / (4.0 * n)).sqrt();
        (rate + z2 / 2.0 + spread) / (1.0 + z2)
    }

    /// The share of guesses of such a confidence that stay.
    pub(super) fn rate_at(&self, confidence: f64) -> f64 {
        let Share { stayed, seen } = self.classes[class(confidence)];
        (stayed + PRIOR * self.rate()) / (seen + PRIOR)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    stayed: f64,
    seen: f64,
}

impl Share {
    fn observe(&mut self, stays: f64) {
        self.stayed += stays;
        self.seen += 1.0;
    }
}

fn class(confidence: f64) -> usize {
    EDGES.iter().take_while(|&&edge| confidence >= edge).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(outcomes: &[(f64, f64)]) -> Trust {
        let mut trust = Trust::default();
        for &(confidence, stays) in outcomes {
            trust.observe(&Outcome { exit: 1, confidence, stays });
        }
        trust
    }

    #[test]
    fn rates_are_shares_of_what_was_seen() {
        assert_eq!(Trust::default().rate(), 0.5);
        let trust = seen(&[(0.3, 0.0), (0.97, 1.0), (0.97, 1.0)]);
        assert_eq!(trust.rate(), 2.5 / 4.0);
        // Two of its class stayed, and two more count as the exit's rate.
        assert_eq!(trust.rate_at(0.96), (2.0 + 2.0 * 0.625) / 4.0);
        assert_eq!(trust.rate_at(0.35), (0.0 + 2.0 * 0.625) / 3.0);
        assert_eq!(trust.rate_at(0.5), 0.625);
    }

    #[test]
    fn doubt_shrinks_as_more_is_seen_and_grows_as_it_fades() {
        let few = seen(&[(0.5, 0.0); 8]);
        let mut many = seen(&[(0.5, 0.0); 200]);
        // By hand for n = 9, p = 0.5 / 9, z = 1.5.
        let (n, p, z): (f64, f64, f64) = (9.0, 0.5 / 9.0, 1.5);
        let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        let bound = (p + z * z / (2.0 * n) + spread) / (1.0 + z * z / n);
        assert!((few.upper() - bound).abs() < 1e-12);
        assert!(many.upper() < 0.05 && few.upper() > 0.2);
        many.fade(0.01);
        assert!(many.upper() > 0.4);
    }
}
