//! The answer in a few sentences, with what decided, and the command to type.

use super::decide::{Finding, JUDGED, LEAST, Verdict};
use super::results::Recommendation;
use crate::pace::ROUNDS;
use crate::trial::Trial;
use crate::trial::quality::{Kept, Quality};

/// The answer: what to use, how to type it and what decided, or that early exit is not worth it here and why; and
/// what is promised of it.
pub(crate) fn answer(found: &Recommendation) -> String {
    let command = |trial: &Trial| {
        let [verb, words] = trial.way.command();
        format!("ee-eval {verb} {} --weights {} {words}", found.subject, found.weights)
    };
    match found.verdict {
        Verdict::EarlyExit { trial } => {
            let words = command(&found.trials.trials[trial]);
            format!("{}\n{}\n{words}", exiting(found, trial), promise(found))
        }
        Verdict::Speculation { trial } => {
            let way = &found.trials.trials[trial].way;
            format!(
                "Use lossless {way}: {} the speed of plain decoding with the same tokens; {}.\n{}\n{}",
                speed(&found.findings[trial]),
                beside(found),
                promise(found),
                command(&found.trials.trials[trial])
            )
        }
        Verdict::Plain { fastest } => {
            let reason = match fastest {
                Some(place) => refused(found, place),
                None => format!("nothing that was tried keeps {}", share(found)),
            };
            format!("Do not use early exit here: {reason}.")
        }
    }
}

/// How sure the answer is, in words.
pub(super) fn promise(found: &Recommendation) -> String {
    let exact = match found.judged.iter().flatten().all(|quality| quality.is_exact) {
        true => "",
        false => {
            " (scores that are no means of texts are resampled: there the promise is approximate)"
        }
    };
    format!(
        "With a confidence of {:.0} % a setting that is recommended here is faster than plain decoding and keeps at least \
         {:.0} % of the quality on further texts like these, whichever of the {} that were tried it is{exact}.",
        100.0 * found.confidence,
        100.0 * found.keep,
        found.tried.len(),
    )
}

fn share(found: &Recommendation) -> String {
    format!("{:.0} % of {}", 100.0 * found.keep, found.trials.quality())
}

/// An early exit that is to be used.
fn exiting(found: &Recommendation, place: usize) -> String {
    let trial = &found.trials.trials[place];
    let kept = found.judged[place].as_ref().map_or_else(String::new, |quality| {
        format!(
            " on {} further texts it kept {:.1} % of {}, surely at least {:.1} %;",
            quality.texts,
            100.0 * quality.share,
            quality.what,
            100.0 * quality.at_least
        )
    });
    let (what, cut) = match trial.way.is_cut() {
        true => (
            "the model cut off at one depth",
            " no gate that keeps as much surely is faster.".to_owned(),
        ),
        false => ("true early exit", cut(found)),
    };
    format!(
        "Use {what}, {}: {} the speed of plain decoding;{kept} of what surely keeps {} and is surely faster it is the \
         fastest;{cut}",
        trial.way,
        speed(&found.findings[place]),
        share(found),
    )
}

/// What cutting the model off gives, where a gate is better.
fn cut(found: &Recommendation) -> String {
    let mut cuts =
        found.trials.trials.iter().zip(&found.findings).filter(|(trial, _)| trial.way.is_cut());
    cuts.next().map_or_else(
        || " the model cannot be cut off at any depth.".to_owned(),
        |(trial, finding)| {
            format!(
                " the model cut off for every token, {}, is at {:.2}× with {:.1} % of {}.",
                trial.way,
                finding.speed_up,
                100.0 * found.trials.kept(trial),
                found.trials.quality()
            )
        },
    )
}

/// The best true early exit beside a lossless answer.
fn beside(found: &Recommendation) -> String {
    let exits = found.findings.iter().enumerate().filter(|(_, of)| !of.lossless);
    let sure = exits.filter(|(_, of)| of.kept == Some(Kept::Yes));
    match sure.max_by(|a, b| a.1.speed_up.total_cmp(&b.1.speed_up)) {
        Some((place, finding)) => format!(
            "the fastest true early exit that surely keeps {}, {}, reaches {}",
            share(found),
            found.trials.trials[place].way,
            speed(finding)
        ),
        None => format!("no true early exit that was tried surely keeps {}", share(found)),
    }
}

/// A measured speed-up with its bound.
fn speed(finding: &Finding) -> String {
    let bound = match finding.at_least {
        Some(low) => format!(" (surely at least {low:.2}×)"),
        None => String::new(),
    };
    format!("{:.2}×{bound}", finding.speed_up)
}

/// Why the best candidate is not used.
fn refused(found: &Recommendation, place: usize) -> String {
    let (finding, way) = (&found.findings[place], &found.trials.trials[place].way);
    let speed = speed(finding);
    let why = match (&found.judged[place], finding.at_least) {
        (Some(quality), _) if quality.kept == Kept::Unknown => {
            return untold(found, quality, place);
        }
        _ if finding.speed_up < LEAST => format!("less than {LEAST}×"),
        (_, None) if found.trials.rounds < ROUNDS => {
            format!(
                "and fewer than {ROUNDS} rounds do not tell whether anything is faster: --rounds {ROUNDS}"
            )
        }
        (_, None) => "and one text does not tell whether anything is faster".to_owned(),
        (_, Some(low)) if low <= 1.0 => {
            format!(
                "which is not surely faster once the choice among {} is counted",
                found.tried.len()
            )
        }
        _ => {
            format!("and only {JUDGED} that are faster were judged, none of which surely keeps it")
        }
    };
    format!(
        "of what keeps {} on the texts that were timed the fastest, {way}, runs at {speed} the speed of plain decoding, {why}",
        share(found)
    )
}

/// What these texts do not tell.
fn untold(found: &Recommendation, quality: &Quality, place: usize) -> String {
    let needs = match quality.needed {
        Some(needed) if needed > quality.texts => format!(
            "about {needed} would do if they were like these, --limit {}",
            2 * (needed + found.trials.plain.outputs.len())
        ),
        Some(_) => "a few more would do if they were like these: a larger --limit".to_owned(),
        None => "more would hardly help".to_owned(),
    };
    format!(
        "the fastest that may keep {}, {}, runs at {} the speed of plain decoding, but whether it does cannot be told from \
         {} further texts ({:.1} % there, surely only {:.1} %); {needs}",
        share(found),
        found.trials.trials[place].way,
        speed(&found.findings[place]),
        quality.texts,
        100.0 * quality.share,
        100.0 * quality.at_least
    )
}
