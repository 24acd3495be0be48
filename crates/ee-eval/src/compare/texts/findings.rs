//! What joint training cost, gained and broke, and what is fastest, in sentences computed from the numbers.

use super::results::{TextComparison, TextResults};
use crate::pace::few;
use crate::tokens::shallowest;
use crate::trial::Trial;
use crate::trial::quality::Kept;

/// Sentences on every model against the first, then on every model alone.
pub(super) fn sentences(comparison: &TextComparison) -> Vec<String> {
    let mut models = comparison.models.iter();
    let Some(first) = models.next() else { return Vec::new() };
    let mut sentences = Vec::new();
    for other in models {
        sentences.push(against(first, other));
        sentences.extend(recompute(first, other));
    }
    let of_model = |(name, results): (&String, &TextResults)| fastest(comparison, name, results);
    sentences.extend(comparison.models.iter().map(of_model));
    sentences
}

type Named<'a> = (&'a String, &'a TextResults);

/// What the full model lost or gained, and where the best gate leaves.
fn against((first_name, first): Named<'_>, (name, other): Named<'_>) -> String {
    let (before_name, before) = shallowest(&first.gates);
    let (after_name, after) = shallowest(&other.gates);
    format!(
        "Against {first_name}, {name}{} has ideal exits at {:.2} of {} layers on average where they were at {:.2}, and its \
         shallowest gate ({after_name}) leaves at {:.2}, {:.2} layers from the ideal exit, rather than at {:.2} \
         ({before_name}), {:.2} layers from it.",
        cost(first, other),
        other.summary.ideal.average,
        other.summary.layers,
        first.summary.ideal.average,
        after.average_exit,
        after.distance,
        before.average_exit,
        before.distance,
    )
}

fn cost(first: &TextResults, other: &TextResults) -> String {
    let (Some(before), Some(after)) = (first.summary.scores.first(), other.summary.scores.first())
    else {
        return String::new();
    };
    let (Some(full), Some(score)) = (before.score, after.score) else { return String::new() };
    // Whether the difference is chance is a question of pairs, which intervals of each do not answer.
    format!(" scores {score:.4} in {} where it was {full:.4},", after.name)
}

/// Whether stand-ins for keys and values cost the other model more of its tokens than the first, beyond chance:
/// with ideal exits nothing else makes texts differ from the full model's.
fn recompute((first_name, first): Named<'_>, (name, other): Named<'_>) -> Option<String> {
    let kv = ee_decode::policy::DEFAULT.name();
    let (before, after) = (first.ideal(kv)?, other.ideal(kv)?);
    let joint =
        |of: &TextResults| of.summary.objective.is_some_and(|objective| objective.is_joint());
    let is_joint = joint(other) && !joint(first);
    let exit = |of: &Trial| of.left.as_ref().map_or(0.0, |left| left.average_exit);
    let share = |of: &Trial| {
        let [low, high] = of.equal_interval.map(|end| 100.0 * end);
        format!("{:.1} % ({low:.1} to {high:.1})", 100.0 * of.fidelity.equal_share)
    };
    let what = if is_joint { "joint training".to_owned() } else { name.clone() };
    let verdict = if after.equal_interval[1] < before.equal_interval[0] {
        format!("{what} breaks recompute here")
    } else if before.equal_interval[1] < after.equal_interval[0] {
        format!("{what} does not break recompute here, it helps it")
    } else {
        format!("{what} does not break recompute here beyond chance")
    };
    Some(format!(
        "With every token leaving at its ideal exit, recompute keeps {} of the tokens of {first_name} (average exit {:.2}, \
         {:.1} % repeated 4-grams) and {} of those of {name} ({:.2}, {:.1} %): {verdict}.",
        share(before),
        exit(before),
        100.0 * before.texts.repeated_4_grams,
        share(after),
        exit(after),
        100.0 * after.texts.repeated_4_grams,
    ))
}

fn fastest(comparison: &TextComparison, name: &str, results: &TextResults) -> String {
    let (keep, texts) = (comparison.keep, results.trials.plain.outputs.len());
    let share = format!("{:.0} % of {}", 100.0 * keep, results.trials.quality());
    let exit = match results.fastest(keep) {
        Some(trial) => format!(
            "the fastest of {} true early exits that kept {share} on these {texts} texts is {}, at {} the speed of plain \
             decoding and {:.1} % of its tokens{}{}",
            results.of_gates().count(),
            trial.way,
            speed(trial),
            100.0 * trial.fidelity.equal_share,
            further(results, trial),
            cut_off(results, trial, keep),
        ),
        None => format!("none of the true early exits kept {share} on these {texts} texts"),
    };
    let lossless = results.lossless().map_or_else(String::new, |trial| {
        let same = match trial.fidelity.same_tokens {
            true => "with the same tokens",
            false => "with texts that differ",
        };
        format!("; {}, lossless, runs at {} {same}", trial.way, speed(trial))
    });
    let rounds = few(results.trials.rounds).map_or_else(String::new, |few| format!(" ({few})"));
    format!("On {name} {exit}{lossless}{rounds}.")
}

/// A speed-up and its range.
fn speed(trial: &Trial) -> String {
    let range = trial.pace.speed_up_by_round;
    format!("{:.2}× ({:.2} to {:.2} by round)", trial.pace.speed_up, range.min, range.max)
}

/// What further texts may expect.
fn further(results: &TextResults, trial: &Trial) -> String {
    match results.quality(trial) {
        Some(quality) if quality.kept == Kept::Yes => {
            format!("; on further texts it surely keeps {:.1} %", 100.0 * quality.at_least)
        }
        Some(quality) => {
            let needs = match quality.needed {
                Some(needed) => format!("that needs about {needed}, see `recommend`"),
                None => "more would hardly help".to_owned(),
            };
            format!(
                "; whether further texts keep it cannot be told from {} ({needs})",
                quality.texts
            )
        }
        None => String::new(),
    }
}

/// How a gate compares with the model cut off at one depth for all tokens.
fn cut_off(results: &TextResults, fastest: &Trial, keep: f64) -> String {
    let is_cut = |trial: &Trial| trial.way.is_cut();
    let other = results.fastest_of(keep, |trial| is_cut(trial) != is_cut(fastest));
    match (is_cut(fastest), other) {
        (true, Some(gate)) => format!(
            "; cutting the model off there for every token is the better answer here: the fastest gate, {}, is at {}",
            gate.way,
            speed(gate)
        ),
        (true, None) => {
            "; cutting the model off there for every token is the better answer here: no gate kept as much".to_owned()
        }
        (false, Some(cut)) => format!("; the model cut off for every token, {}, is at {}", cut.way, speed(cut)),
        (false, None) => "; the model cut off at one depth for every token did not keep it".to_owned(),
    }
}
