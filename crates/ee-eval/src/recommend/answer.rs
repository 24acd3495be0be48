//! The answer in one sentence, with what decided, and the command to type.

use super::decide::{LEAST, Verdict};
use super::results::Recommendation;
use crate::trial::Trial;

/// The answer: what to use, how to type it and what decided, or that early exit is not worth it here and why.
#[must_use]
pub(super) fn answer(found: &Recommendation) -> String {
    let trials = &found.trials.trials;
    let share = format!("{:.0} % of {}", 100.0 * found.keep, found.trials.quality());
    let command = |trial: &Trial| {
        let [verb, words] = trial.way.command();
        format!("ee-eval {verb} {} --weights {} {words}", found.subject, found.weights)
    };
    match found.verdict {
        Verdict::EarlyExit { trial } => {
            let trial = &trials[trial];
            format!(
                "Use true early exit, {}: {} the speed of plain decoding at {:.1} % of its {}, {:.1} % of its tokens; of \
                 what keeps {share} and is surely faster it is the fastest.\n{}",
                trial.way,
                speed(trial),
                100.0 * found.trials.kept(trial),
                found.trials.quality(),
                100.0 * trial.fidelity.equal_share,
                command(trial)
            )
        }
        Verdict::Speculation { trial } => {
            let trial = &trials[trial];
            let kept = trials.iter().filter(|exit| !exit.lossless);
            let kept = kept.filter(|exit| found.trials.keeps(exit, found.keep));
            let fastest = kept
                .max_by(|a, b| a.speed_up_by_round.median.total_cmp(&b.speed_up_by_round.median));
            let beside = match fastest {
                Some(exit) => format!(
                    "the fastest true early exit that keeps {share}, {}, reaches {}",
                    exit.way,
                    speed(exit)
                ),
                None => format!("no true early exit that was tried keeps {share}"),
            };
            format!(
                "Use lossless {}: {} the speed of plain decoding with the same tokens; {beside}.\n{}",
                trial.way,
                speed(trial),
                command(trial)
            )
        }
        Verdict::Plain { fastest } => {
            let reason = match fastest.map(|at| &trials[at]) {
                Some(trial) => format!(
                    "of what keeps {share} the fastest, {}, runs at {} the speed of plain decoding, {}",
                    trial.way,
                    speed(trial),
                    refused(trial)
                ),
                None => format!("nothing that was tried keeps {share}"),
            };
            format!("Do not use early exit here: {reason}.")
        }
    }
}

/// A measured speed-up with its interval.
fn speed(trial: &Trial) -> String {
    let interval = match trial.speed_up_interval {
        Some([low, high]) => format!(" (95 % interval {low:.2} to {high:.2})"),
        None => String::new(),
    };
    format!("{:.2}×{interval}", trial.speed_up_by_round.median)
}

/// Why a setting that keeps the quality is not used.
fn refused(trial: &Trial) -> String {
    match trial.speed_up_interval {
        _ if trial.speed_up_by_round.median < LEAST => format!("less than {LEAST}×"),
        Some(_) => "which is not surely faster, and no other is".to_owned(),
        None => "and one batch of texts does not tell whether others are faster".to_owned(),
    }
}
