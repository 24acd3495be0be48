//! The answer, from measurements alone.
//!
//! The allowed doubt is divided among all choices that were made. A fifth of it goes to speed, in equal parts to
//! all settings that were tried, and the rest to quality, in equal parts to the few that are judged; those are
//! chosen by texts that do not judge them. So "faster" and "kept" are all true at once with the stated confidence,
//! whichever of them is recommended (Bonferroni).

use serde::Serialize;

use crate::trial::quality::Kept;

/// A gain below this is not worth a setting.
pub(crate) const LEAST: f64 = 1.03;

/// The part of the doubt that is spent on speed: few texts are enough to compare times, but not quality.
const SPEED_PART: f64 = 0.2;

/// Settings whose quality is judged at most: each more takes doubt from all.
pub(crate) const JUDGED: usize = 3;

/// The doubt left for each single claim, where all of them together leave 1 − `confidence`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Doubt {
    /// That one setting is no faster.
    pub(crate) speed: f64,
    /// That one setting keeps less.
    pub(crate) quality: f64,
}

impl Doubt {
    /// By the number of settings that are tried, and of those that are judged.
    pub(crate) fn of(confidence: f64, tried: usize, judged: usize) -> Self {
        let all = 1.0 - confidence;
        Self {
            speed: SPEED_PART * all / tried.max(1) as f64,
            quality: (1.0 - SPEED_PART) * all / judged.max(1) as f64,
        }
    }
}

/// One setting that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) lossless: bool,
    /// Whether it kept the quality on the texts that were timed.
    pub(crate) seems_kept: bool,
    /// Whether it keeps the quality on further texts; none where that was not judged.
    pub(crate) kept: Option<Kept>,
    pub(crate) speed_up: f64,
    /// Its lower bound, up to its doubt; none where nothing shows one.
    pub(crate) at_least: Option<f64>,
}

impl Finding {
    /// Whether it is faster beyond doubt, by enough.
    fn is_faster(&self) -> bool {
        self.speed_up >= LEAST && self.at_least.is_some_and(|low| low > 1.0)
    }

    /// Whether it may be used: it is faster and keeps the quality beyond doubt.
    fn is_usable(&self) -> bool {
        self.is_faster() && (self.lossless || self.kept == Some(Kept::Yes))
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "use", rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// True early exit, as in this trial.
    EarlyExit { trial: usize },
    /// Lossless speculation, as in this trial.
    Speculation { trial: usize },
    /// Neither.
    Plain {
        /// The fastest trial that is surely faster and whose quality these texts leave open; else the fastest that
        /// kept it on the timed texts; none where none did.
        fastest: Option<usize>,
    },
}

/// The places of the settings whose quality is worth judging, the fastest first: those that kept it on the timed
/// texts and are surely faster.
pub(crate) fn worth_judging(findings: &[Finding]) -> Vec<usize> {
    let wanted = |of: &Finding| !of.lossless && of.seems_kept && of.is_faster();
    let mut places: Vec<usize> =
        (0..findings.len()).filter(|&place| wanted(&findings[place])).collect();
    places.sort_by(|&a, &b| findings[b].speed_up.total_cmp(&findings[a].speed_up));
    places.truncate(JUDGED);
    places
}

/// The fastest setting of those that may be used; of two that are as fast to within [`LEAST`] the lossless one.
pub(crate) fn decide(findings: &[Finding]) -> Verdict {
    let fastest = |wanted: &dyn Fn(&Finding) -> bool| {
        let wanted = findings.iter().enumerate().filter(|(_, of)| wanted(of));
        wanted
            .max_by(|a, b| a.1.speed_up.total_cmp(&b.1.speed_up))
            .map(|(at, of)| (at, of.speed_up))
    };
    let Some((first, speed_up)) = fastest(&Finding::is_usable) else {
        let open = fastest(&|of| of.is_faster() && of.kept == Some(Kept::Unknown));
        let seeming = || fastest(&|of| of.lossless || of.seems_kept && of.kept != Some(Kept::No));
        return Verdict::Plain { fastest: open.or_else(seeming).map(|(at, _)| at) };
    };
    match fastest(&|of| of.lossless && of.is_usable()) {
        Some((trial, lossless)) if lossless * LEAST >= speed_up => Verdict::Speculation { trial },
        _ => Verdict::EarlyExit { trial: first },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exit that surely keeps the quality.
    fn exit(speed_up: f64) -> Finding {
        let at_least = Some(speed_up - 0.01);
        Finding { lossless: false, seems_kept: true, kept: Some(Kept::Yes), speed_up, at_least }
    }

    /// One that lost it on the timed texts already.
    fn lost(speed_up: f64) -> Finding {
        Finding { seems_kept: false, kept: None, ..exit(speed_up) }
    }

    fn lossless(speed_up: f64) -> Finding {
        Finding { lossless: true, kept: None, ..exit(speed_up) }
    }

    fn plain(fastest: Option<usize>) -> Verdict {
        Verdict::Plain { fastest }
    }

    #[test]
    fn only_what_keeps_the_quality_and_is_faster_is_used() {
        assert_eq!(decide(&[]), plain(None));
        assert_eq!(decide(&[lost(2.0)]), plain(None));
        assert_eq!(decide(&[lost(2.0), exit(1.02), lossless(0.9)]), plain(Some(1)));
        assert_eq!(decide(&[lost(2.0), exit(1.3), exit(1.4)]), Verdict::EarlyExit { trial: 2 });
        assert_eq!(decide(&[exit(1.2), lossless(1.4)]), Verdict::Speculation { trial: 1 });
    }

    #[test]
    fn of_equals_the_lossless_one_is_used() {
        assert_eq!(decide(&[exit(1.42), lossless(1.40)]), Verdict::Speculation { trial: 1 });
        assert_eq!(decide(&[exit(1.5), lossless(1.4)]), Verdict::EarlyExit { trial: 0 });
        // Too slow to be used at all.
        assert_eq!(decide(&[exit(1.04), lossless(1.02)]), Verdict::EarlyExit { trial: 0 });
    }

    #[test]
    fn what_may_be_slower_is_not_used() {
        let at = |speed_up, at_least| Finding { at_least, ..exit(speed_up) };
        let (unsure, sure) = (at(1.5, Some(0.99)), at(1.1, Some(1.01)));
        for refused in [unsure, at(1.5, Some(1.0)), at(1.5, None), at(1.02, Some(1.01))] {
            assert_eq!(decide(&[refused]), plain(Some(0)));
        }
        assert_eq!(decide(&[unsure, sure]), Verdict::EarlyExit { trial: 1 });
        // An unsure lossless one does not take the place of a sure one.
        let lossless = |speed_up, low| Finding { at_least: Some(low), ..lossless(speed_up) };
        assert_eq!(decide(&[sure, lossless(1.1, 0.9)]), Verdict::EarlyExit { trial: 0 });
        assert_eq!(decide(&[sure, lossless(1.09, 1.05)]), Verdict::Speculation { trial: 1 });
    }

    #[test]
    fn what_may_lose_quality_is_not_used() {
        let with = |kept, speed_up| Finding { kept, ..exit(speed_up) };
        let open = with(Some(Kept::Unknown), 1.4);
        for kept in [None, Some(Kept::No), Some(Kept::Unknown)] {
            assert!(matches!(decide(&[with(kept, 2.0)]), Verdict::Plain { .. }), "{kept:?}");
        }
        // What more texts could show is named before what was not judged.
        assert_eq!(decide(&[with(None, 2.0), open]), plain(Some(1)));
        assert_eq!(decide(&[with(Some(Kept::No), 2.0)]), plain(None));
        assert_eq!(decide(&[open, exit(1.2)]), Verdict::EarlyExit { trial: 1 });
    }

    #[test]
    fn few_are_judged_and_all_claims_together_keep_the_confidence() {
        let findings =
            [exit(1.2), lossless(1.9), exit(1.5), lost(1.8), exit(1.4), exit(1.01), exit(1.3)];
        assert_eq!(worth_judging(&findings), [2, 4, 6]);
        let doubt = Doubt::of(0.95, 9, 3);
        assert!((9.0 * doubt.speed + 3.0 * doubt.quality - 0.05).abs() < 1e-12);
    }
}
