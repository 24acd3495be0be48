//! The answer, from what was measured alone.

use serde::{Deserialize, Serialize};

/// Below this a gain is not worth a setting, nor told from noise.
pub const LEAST: f64 = 1.03;

/// One setting that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Whether it leaves texts as they are.
    pub lossless: bool,
    /// Whether it kept the quality.
    pub kept: bool,
    /// Measured.
    pub speed_up: f64,
    /// The lower end of its 95 % interval; none where nothing tells it.
    pub at_least: Option<f64>,
}

impl Finding {
    /// Whether it may be used: it keeps the quality and is faster beyond doubt, by enough.
    fn is_usable(&self) -> bool {
        self.kept && self.speed_up >= LEAST && self.at_least.is_some_and(|low| low > 1.0)
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "use", rename_all = "kebab-case")]
pub enum Verdict {
    /// True early exit, as in this trial.
    EarlyExit {
        /// Its place among the trials.
        trial: usize,
    },
    /// Lossless speculation, as in this trial.
    Speculation {
        /// Its place among the trials.
        trial: usize,
    },
    /// Neither.
    Plain {
        /// The fastest trial that kept the quality, which is not fast enough or not surely faster; none where none
        /// kept it.
        fastest: Option<usize>,
    },
}

/// The fastest setting of those that keep the quality, are faster by [`LEAST`] and whose interval lies above 1;
/// of two that are as fast to within [`LEAST`] the lossless one.
#[must_use]
pub fn decide(findings: &[Finding]) -> Verdict {
    let fastest = |wanted: &dyn Fn(&Finding) -> bool| {
        let wanted = findings.iter().enumerate().filter(|(_, of)| wanted(of));
        wanted
            .max_by(|a, b| a.1.speed_up.total_cmp(&b.1.speed_up))
            .map(|(at, of)| (at, of.speed_up))
    };
    let Some((first, speed_up)) = fastest(&Finding::is_usable) else {
        return Verdict::Plain { fastest: fastest(&|of| of.kept).map(|(at, _)| at) };
    };
    match fastest(&|of| of.lossless && of.is_usable()) {
        Some((trial, lossless)) if lossless * LEAST >= speed_up => Verdict::Speculation { trial },
        _ => Verdict::EarlyExit { trial: first },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(findings: &[(bool, bool, f64)]) -> Verdict {
        let finding = |&(lossless, kept, speed_up): &(bool, bool, f64)| Finding {
            lossless,
            kept,
            speed_up,
            at_least: Some(speed_up - 0.01),
        };
        decide(&findings.iter().map(finding).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_keeps_the_quality_and_is_faster_is_used() {
        let (exit, lossless) = (false, true);
        assert_eq!(decided(&[]), Verdict::Plain { fastest: None });
        assert_eq!(decided(&[(exit, false, 2.0)]), Verdict::Plain { fastest: None });
        assert_eq!(
            decided(&[(exit, false, 2.0), (exit, true, 1.02), (lossless, true, 0.9)]),
            Verdict::Plain { fastest: Some(1) }
        );
        assert_eq!(
            decided(&[(exit, false, 2.0), (exit, true, 1.3), (exit, true, 1.4)]),
            Verdict::EarlyExit { trial: 2 }
        );
        assert_eq!(
            decided(&[(exit, true, 1.2), (lossless, true, 1.4)]),
            Verdict::Speculation { trial: 1 }
        );
    }

    #[test]
    fn of_equals_the_lossless_one_is_used() {
        let (exit, lossless) = (false, true);
        assert_eq!(
            decided(&[(exit, true, 1.42), (lossless, true, 1.40)]),
            Verdict::Speculation { trial: 1 }
        );
        assert_eq!(
            decided(&[(exit, true, 1.5), (lossless, true, 1.4)]),
            Verdict::EarlyExit { trial: 0 }
        );
        // Too slow to be used at all.
        assert_eq!(
            decided(&[(exit, true, 1.04), (lossless, true, 1.02)]),
            Verdict::EarlyExit { trial: 0 }
        );
    }

    #[test]
    fn what_may_be_slower_is_not_used() {
        let finding =
            |lossless, speed_up, at_least| Finding { lossless, kept: true, speed_up, at_least };
        let unsure = finding(false, 1.5, Some(0.99));
        let sure = finding(false, 1.1, Some(1.01));
        assert_eq!(decide(&[unsure]), Verdict::Plain { fastest: Some(0) });
        assert_eq!(decide(&[finding(false, 1.5, Some(1.0))]), Verdict::Plain { fastest: Some(0) });
        assert_eq!(decide(&[finding(false, 1.5, None)]), Verdict::Plain { fastest: Some(0) });
        assert_eq!(decide(&[unsure, sure]), Verdict::EarlyExit { trial: 1 });
        // Sure, and not worth it.
        assert_eq!(
            decide(&[finding(false, 1.02, Some(1.01))]),
            Verdict::Plain { fastest: Some(0) }
        );
        // An unsure lossless one does not take the place of a sure one.
        let lossless = finding(true, 1.1, Some(0.9));
        assert_eq!(decide(&[sure, lossless]), Verdict::EarlyExit { trial: 0 });
        assert_eq!(
            decide(&[sure, finding(true, 1.09, Some(1.05))]),
            Verdict::Speculation { trial: 1 }
        );
    }
}
