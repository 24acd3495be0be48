//! Which drafts stay.

use burn::tensor::Tensor;

use crate::choose::{Choice, Sampling, kept};
use ee_models::signal::{NotFinite, on_host, statistics};

/// A guessed token and, where tokens are drawn, the distribution that it was drawn from.
#[derive(Clone, Debug)]
pub(super) struct Drafted {
    pub(super) token: u32,
    /// The largest probability of the distribution.
    pub(super) confidence: f64,
    /// q; empty where decoding is greedy.
    pub(super) probabilities: Vec<f64>,
}

/// What an exit says at some positions.
pub(super) enum Said {
    /// The best token of each, and its probability.
    Best(Vec<(u32, f64)>),
    /// All logits, position after position.
    Logits { numbers: Vec<f32>, vocabulary: usize, sampling: Sampling },
}

impl Said {
    /// Brings to the host what choosing needs of what an exit says, `[positions, vocabulary]` (one
    /// synchronisation). An error's row is a position.
    pub(super) fn of(logits: Tensor<2>, exit: usize, choice: Choice) -> Result<Self, NotFinite> {
        match choice {
            Choice::Greedy => {
                let rows = statistics(logits, exit)?;
                let best = rows.iter().map(|row| (row.argmax, 1.0 / row.partition));
                Ok(Self::Best(best.collect()))
            }
            Choice::Sample(sampling) => {
                let [_, vocabulary] = logits.dims();
                Ok(Self::Logits { numbers: on_host(logits, exit)?, vocabulary, sampling })
            }
        }
    }

    /// The next token at a position; `point` gives random numbers, 0..1.
    pub(super) fn draw(&self, at: usize, point: impl FnOnce() -> f64) -> Drafted {
        match self {
            Self::Best(best) => {
                let (token, confidence) = best[at];
                Drafted { token, confidence, probabilities: Vec::new() }
            }
            Self::Logits { .. } => {
                let probabilities = self.distribution(at);
                let token = token_at(&probabilities, point());
                Drafted { token, confidence: largest(&probabilities), probabilities }
            }
        }
    }

    /// The tokens of a round of drafts that begins at a position.
    pub(super) fn tokens(
        &self,
        from: usize,
        drafts: &[Drafted],
        point: impl FnMut() -> f64,
    ) -> Vec<u32> {
        match self {
            Self::Best(best) => greedy(drafts, &best[from..]),
            Self::Logits { .. } => drawn(drafts, |at| self.distribution(from + at), point),
        }
    }

    /// How sure `guess` was at its position `at`, and how likely its guess stays where `self` decides at
    /// position `own`.
    pub(super) fn judge(&self, own: usize, guess: &Self, at: usize) -> (f64, f64) {
        match (self, guess) {
            (Self::Best(best), Self::Best(guesses)) => {
                let (token, confidence) = guesses[at];
                (confidence, f64::from(u8::from(token == best[own].0)))
            }
            _ => {
                let q = guess.distribution(at);
                (largest(&q), overlap(&self.distribution(own), &q))
            }
        }
    }

    fn distribution(&self, at: usize) -> Vec<f64> {
        let Self::Logits { numbers, vocabulary, sampling } = self else { return Vec::new() };
        probabilities(&numbers[at * vocabulary..(at + 1) * vocabulary], *sampling)
    }
}

fn largest(probabilities: &[f64]) -> f64 {
    probabilities.iter().copied().fold(0.0, f64::max)
}

/// The probability of every token under the sampling's temperature and cuts.
fn probabilities(logits: &[f32], sampling: Sampling) -> Vec<f64> {
    let kept = kept(logits, sampling);
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut probabilities = vec![0.0; logits.len()];
    for (id, weight) in kept {
        probabilities[id as usize] = weight / total;
    }
    probabilities
}

/// The token at `point` (0..1) of a distribution, whose numbers need not sum to 1.
fn token_at(weights: &[f64], point: f64) -> u32 {
    let total: f64 = weights.iter().sum();
    let mut left = point * total;
    let mut last = 0;
    for (id, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = id;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last as u32
}

/// Σ min(p, q): how often a token drawn from q stays.
fn overlap(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.min(*q)).sum()
}

/// The tokens of a greedy round: drafts as long as they are the full model's choice, and its choice after
/// them.
fn greedy(drafts: &[Drafted], best: &[(u32, f64)]) -> Vec<u32> {
    let agreeing = drafts.iter().zip(best).take_while(|(draft, best)| draft.token == best.0);
    best[..=agreeing.count()].iter().map(|best| best.0).collect()
}

/// The tokens of a drawn round (Leviathan et al. 2023): a draft x of distribution q stays with probability
/// min(1, p(x) / q(x)); the first that does not is replaced by a draw from max(0, p − q), after the
/// last that does one from p. Each token then has the distribution p.
///
/// `target` gives p after the last known token and a number of drafts, `point` the next random number, 0..1.
fn drawn(
    drafts: &[Drafted],
    mut target: impl FnMut(usize) -> Vec<f64>,
    mut point: impl FnMut() -> f64,
) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(drafts.len() + 1);
    for (at, draft) in drafts.iter().enumerate() {
        let (p, q) = (target(at), &draft.probabilities);
        let x = draft.token as usize;
        if point() * q[x] < p[x] {
            tokens.push(draft.token);
            continue;
        }
        let mut rest: Vec<f64> = p.iter().zip(q).map(|(p, q)| (p - q).max(0.0)).collect();
        // A rejection means p(x) < q(x), so p exceeds q elsewhere, if only by less than rounding shows.
        if rest.iter().all(|&weight| weight == 0.0) {
            rest = p;
        }
        tokens.push(token_at(&rest, point()));
        return tokens;
    }
    tokens.push(token_at(&target(drafts.len()), point()));
    tokens
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const P: [f64; 4] = [0.5, 0.2, 0.3, 0.0];
    const Q: [f64; 4] = [0.1, 0.6, 0.2, 0.1];

    fn draft(token: u32) -> Drafted {
        Drafted { token, confidence: 0.6, probabilities: Q.to_vec() }
    }

    #[test]
    fn greedy_keeps_what_agrees_and_one_more() {
        let drafts =
            [5, 6, 7].map(|token| Drafted { token, confidence: 0.5, probabilities: Vec::new() });
        let kept = |drafts: &[Drafted], best: &[u32]| {
            greedy(drafts, &best.iter().map(|&token| (token, 0.5)).collect::<Vec<_>>())
        };
        assert_eq!(kept(&drafts, &[5, 6, 7, 8]), [5, 6, 7, 8]);
        assert_eq!(kept(&drafts, &[5, 9, 7, 8]), [5, 9]);
        assert_eq!(kept(&drafts, &[1, 6, 7, 8]), [1]);
        assert_eq!(kept(&[], &[3]), [3]);
    }

    #[test]
    fn a_draft_stays_by_the_ratio_of_both_probabilities() {
        // 0.2 / 0.6: stays below a third; then the rest is 0.4, 0, 0.1, 0.
        let accept = |points: [f64; 2]| {
            let mut points = points.into_iter();
            drawn(&[draft(1)], |_| P.to_vec(), || points.next().unwrap())
        };
        assert_eq!(accept([0.333, 0.0]), [1, 0]);
        assert_eq!(accept([0.334, 0.79]), [0]);
        assert_eq!(accept([0.334, 0.81]), [2]);
    }

    /// χ² of 100,000 first tokens of rounds against P: 2 degrees of freedom, as the fourth token never comes.
    fn statistic(round: impl Fn(&mut ChaCha8Rng) -> u32) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let n = 100_000;
        let mut counts = [0.0; 4];
        for _ in 0..n {
            counts[round(&mut random) as usize] += 1.0;
        }
        let terms = counts.iter().zip(P).map(|(count, p)| {
            let expected = p * f64::from(n);
            if p == 0.0 { count * 1e9 } else { (count - expected).powi(2) / expected }
        });
        terms.sum()
    }

    /// Of χ² with 2 degrees of freedom one in a million is above.
    const BOUND: f64 = 27.6;

    #[test]
    fn rounds_have_the_target_distribution_and_wrong_rules_have_not() {
        let right = |random: &mut ChaCha8Rng| {
            let x = token_at(&Q, random.random());
            drawn(&[draft(x)], |_| P.to_vec(), || random.random())[0]
        };
        assert!(statistic(right) < BOUND);
        let never_rejected = |random: &mut ChaCha8Rng| token_at(&Q, random.random());
        assert!(statistic(never_rejected) > BOUND);
        let redrawn_from_the_target = |random: &mut ChaCha8Rng| {
            let x = token_at(&Q, random.random());
            let stays = random.random::<f64>() * Q[x as usize] < P[x as usize];
            if stays { x } else { token_at(&P, random.random()) }
        };
        assert!(statistic(redrawn_from_the_target) > BOUND);
    }

    #[test]
    fn cuts_leave_a_distribution() {
        let sampling = Sampling { temperature: 0.5, top_k: Some(2), top_p: None, seed: 0 };
        let found = probabilities(&[0.0, 1.0, -3.0, 0.5], sampling);
        // e² and e¹ of 1 / 0.5 and 0.5 / 0.5.
        let (a, b) = (2_f64.exp(), 1_f64.exp());
        assert_eq!((found[0], found[2]), (0.0, 0.0));
        assert!((found[1] - a / (a + b)).abs() < 1e-12);
        assert!((overlap(&P, &Q) - 0.5).abs() < 1e-12);
    }
}
