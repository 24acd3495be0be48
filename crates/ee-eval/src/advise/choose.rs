//! The whole choice, from the half that chooses to the verdict, in one function: its guarantee is
//! tested on simulated worlds ([`super::simulation`]) by running this very code.

use super::candidates::{Candidate, Search, candidates};
use super::decide::{Doubt, Finding, Verdict, decide, worth_judging};
use super::shortlist::shortlist;
use crate::error::Result;
use crate::pace::Pace;
use crate::trial::Way;
use crate::trial::quality::{Quality, Worth};

/// Texts of the half that does not choose, on which ways of decoding are tried.
pub(crate) trait Live {
    /// Tries ways beside plain decoding, against the clock, on some texts.
    fn timed(&mut self, ways: &[Way]) -> Result<Vec<Tried>>;

    /// The quality of other texts, which are not timed, decoded in the ways at these places.
    fn further(&mut self, places: &[usize], ways: &[Way]) -> Result<Vec<Worth>>;
}

/// The result of a way on the texts that were timed.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    /// Whether texts are the full model's whatever happens.
    pub(crate) lossless: bool,
    pub(crate) pace: Pace,
    /// The share of the full model's quality that these texts kept.
    pub(crate) share: f64,
}

/// A choice and all that led to it.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Every setting considered, the most promising first.
    pub(crate) candidates: Vec<Candidate>,
    /// The places among them of those that were tried.
    pub(crate) tried: Vec<usize>,
    /// For every setting that was tried.
    pub(crate) findings: Vec<Finding>,
    /// Their quality on further texts, where it was judged.
    pub(crate) judged: Vec<Option<Quality>>,
    pub(crate) doubt: Doubt,
    pub(crate) verdict: Verdict,
}

/// Searches for settings, tries at most `tries`, judges the few that are worth it and decides.
pub(crate) fn choose(search: &Search<'_>, tries: usize, live: &mut impl Live) -> Result<Chosen> {
    let candidates = candidates(search)?;
    let tried = shortlist(&candidates, tries);
    let ways: Vec<Way> = tried.iter().map(|&at| candidates[at].way.clone()).collect();
    let timed = live.timed(&ways)?;
    let speed_doubt = Doubt::of(search.confidence, timed.len(), 1).speed;
    let mut findings: Vec<Finding> = timed
        .iter()
        .map(|tried| Finding {
            lossless: tried.lossless,
            seems_kept: tried.lossless || tried.share >= search.keep,
            kept: None,
            speed_up: tried.pace.speed_up,
            at_least: tried.pace.at_least(speed_doubt),
        })
        .collect();
    let places = worth_judging(&findings);
    let doubt = Doubt::of(search.confidence, timed.len(), places.len());
    let mut judged: Vec<Option<Quality>> = vec![None; findings.len()];
    if !places.is_empty() {
        for (&place, worth) in places.iter().zip(live.further(&places, &ways)?) {
            let quality = worth.judge(search.keep, doubt.quality);
            findings[place].kept = Some(quality.kept);
            judged[place] = Some(quality);
        }
    }
    let verdict = decide(&findings);
    Ok(Chosen { candidates, tried, findings, judged, doubt, verdict })
}
