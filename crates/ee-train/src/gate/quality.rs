//! How well a gate tells the exits that agree from those that do not.

use serde::Serialize;

use super::fit::Fitted;
use super::states::Observed;

/// Quality of one exit's gate on tokens that it was not fitted on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Quality {
    /// The exit, from 1.
    pub(crate) exit: usize,
    /// Share of the tokens whose prediction is the last exit's: what a constant gate would guess.
    pub(crate) agreement: f64,
    /// Share of the tokens on which the gate, at 1/2, is right.
    pub(crate) accuracy: f64,
    /// Probability that an agreeing token gets more than another; absent where all tokens are of one kind.
    pub(crate) auc: Option<f64>,
    /// Mean −log of the probability given to the true outcome, in nats.
    pub(crate) log_loss: f64,
}

pub(super) fn quality(fitted: &Fitted, observed: &Observed) -> Vec<Quality> {
    let exits = observed.features.iter().zip(&observed.agrees).enumerate();
    exits
        .map(|(exit, (features, agrees))| {
            let (weight, bias) = fitted.of(exit);
            let values: Vec<f32> = features.clone().into_data().iter::<f32>().collect();
            let logits: Vec<f64> = values
                .chunks_exact(weight.len())
                .map(|state| {
                    let dot: f32 = state.iter().zip(weight).map(|(x, w)| x * w).sum();
                    f64::from(dot + bias)
                })
                .collect();
            of_exit(exit + 1, &logits, agrees)
        })
        .collect()
}

fn of_exit(exit: usize, logits: &[f64], agrees: &[f32]) -> Quality {
    let n = logits.len() as f64;
    let pairs = || logits.iter().zip(agrees.iter().map(|&agree| agree == 1.0));
    let right = pairs().filter(|&(&logit, agree)| (logit > 0.0) == agree).count();
    // −log sigmoid(±z) = log(1 + e^∓z), without overflow.
    let surprise = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
    let loss: f64 = pairs().map(|(&z, agree)| surprise(if agree { -z } else { z })).sum();
    Quality {
        exit,
        agreement: pairs().filter(|(_, agree)| *agree).count() as f64 / n,
        accuracy: right as f64 / n,
        auc: auc(&pairs().map(|(&z, agree)| (z, agree)).collect::<Vec<_>>()),
        log_loss: loss / n,
    }
}

/// The area under the ROC curve, by ranks; equal numbers count half (Mann & Whitney 1947).
fn auc(pairs: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, agree)| *agree).count() as f64;
        let negative = tied.len() as f64 - positive;
        area += positive * (below + negative / 2.0);
        below += negative;
    }
    let positive = pairs.len() as f64 - below;
    (positive > 0.0 && below > 0.0).then(|| area / (positive * below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_four_tokens() {
        let quality = of_exit(3, &[2.0, -1.0, 1.0, -3.0], &[1.0, 1.0, 0.0, 0.0]);
        assert_eq!((quality.exit, quality.agreement, quality.accuracy), (3, 0.5, 0.5));
        // Of the four pairs three are in order.
        assert_eq!(quality.auc, Some(0.75));
        let expected = [-2.0_f64, 1.0, 1.0, -3.0].map(|z| (1.0 + z.exp()).ln());
        assert!((quality.log_loss - expected.iter().sum::<f64>() / 4.0).abs() < 1e-12);
    }

    #[test]
    fn ties_count_half_and_one_kind_alone_has_no_area() {
        assert_eq!(auc(&[(1.0, true), (1.0, false)]), Some(0.5));
        assert_eq!(auc(&[(1.0, true), (2.0, true)]), None);
        assert_eq!(of_exit(1, &[1e4], &[0.0]).log_loss, 1e4);
    }
}
