//! How a token follows from logits: the best one, or a draw.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// How the next token follows from the last exit's logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The most probable token; on ties the lowest id.
    Greedy,
    /// A draw.
    Sample(Sampling),
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; above 0.
    pub temperature: f64,
    /// How many of the most probable tokens can be drawn; all if absent.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together have at least this probability, if given (Holtzman et
    /// al. 2020).
    pub top_p: Option<f64>,
    /// From which all draws follow.
    pub seed: u64,
}

impl Choice {
    /// The randomness of a prompt: all its draws follow from the seed and its number.
    pub(crate) fn chance(self, number: u64) -> ChaCha8Rng {
        let seed = match self {
            Self::Greedy => 0,
            Self::Sample(sampling) => sampling.seed,
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        random
    }
}

/// The token at `point` (0..1) of the distribution.
pub(crate) fn draw(logits: &[f32], sampling: Sampling, point: f64) -> u32 {
    let kept = kept(logits, sampling);
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = point * total;
    for &(id, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    kept[kept.len() - 1].0
}

/// Tokens among which the most probable ones are looked for before sorting all of them.
const FIRST: usize = 256;

/// The tokens that can be drawn, with their weights: probabilities up to a common factor. Logits are finite.
pub(crate) fn kept(logits: &[f32], sampling: Sampling) -> Vec<(u32, f64)> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let falling =
        |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let top_k = sampling.top_k.unwrap_or(order.len()).clamp(1, order.len());
    if top_k < order.len() {
        order.select_nth_unstable_by(top_k - 1, falling);
        order.truncate(top_k);
    }
    let best = order.iter().map(|&id| logits[id as usize]).fold(f32::NEG_INFINITY, f32::max);
    let weight = |&id: &u32| (f64::from(logits[id as usize] - best) / sampling.temperature).exp();
    if let Some(top_p) = sampling.top_p {
        let total: f64 = order.iter().map(weight).sum();
        let mut in_order = FIRST.min(order.len());
        if in_order < order.len() {
            order.select_nth_unstable_by(in_order - 1, falling);
        }
        order[..in_order].sort_unstable_by(falling);
        if order[..in_order].iter().map(weight).sum::<f64>() < top_p * total {
            order.sort_unstable_by(falling);
            in_order = order.len();
        }
        let mut covered = 0.0;
        let enough = order[..in_order].iter().position(|id| {
            covered += weight(id);
            covered >= top_p * total
        });
        order.truncate(enough.map_or(in_order, |last| last + 1));
    }
    order.into_iter().map(|id| (id, weight(&id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, -1.0];

    fn sampling(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> Sampling {
        Sampling { temperature, top_k, top_p, seed: 0 }
    }

    /// How often each token comes at evenly spread points.
    fn shares(sampling: Sampling) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..10_000 {
            let point = (f64::from(i) + 0.5) / 10_000.0;
            counts[draw(&LOGITS, sampling, point) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let z: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for (found, logit) in shares(sampling(1.0, None, None)).iter().zip(LOGITS) {
            assert!((found - f64::from(logit).exp() / z).abs() < 2e-4, "{found}");
        }
        let z: f64 = LOGITS.iter().map(|&x| (f64::from(x) / 2.0).exp()).sum();
        let halved = shares(sampling(2.0, None, None));
        assert!((halved[1] - 1_f64.exp() / z).abs() < 2e-4);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let two = shares(sampling(1.0, Some(2), None));
        assert_eq!((two[0], two[3]), (0.0, 0.0));
        let e = 1_f64.exp();
        assert!((two[1] - e / (e + 1.0)).abs() < 2e-4);
        // The best has 0.644, the best two 0.881.
        assert!(shares(sampling(1.0, None, Some(0.6)))[1] > 0.9999);
        let pair = shares(sampling(1.0, None, Some(0.7)));
        assert!(pair[2] > 0.2 && pair[0] == 0.0);
        assert!(shares(sampling(1e-3, None, None))[1] > 0.9999);
    }

    #[test]
    fn top_p_looks_beyond_the_first_tokens_where_they_cover_too_little() {
        // All equally probable: ties go to the lowest ids.
        let kept = |n: usize, top_p| kept(&vec![0.5; n], sampling(1.0, None, Some(top_p)));
        let ids = |kept: Vec<(u32, f64)>| kept.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(kept(1024, 0.125)), (0..128).collect::<Vec<_>>());
        assert_eq!(ids(kept(1024, 0.5)), (0..512).collect::<Vec<_>>());
    }
}
