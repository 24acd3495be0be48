//! What the numbers say, in sentences computed from them: whether a gate or a fixed depth is the better answer, and
//! what joint training cost the full model and gave the gates.

use crate::certify::certificate::Checked;
use crate::exits::paired::Paired;
use crate::labels::View;
use crate::labels::results::{Cut, Results};
use crate::labels::tables::{measured, measured_as, range};
use crate::pace::ROUNDS;
use crate::trial::speed::Speed;

/// For every model whether a gate earns its keep, then for every model after the first how it compares with it.
pub(crate) fn sentences(view: &View<'_>) -> Vec<String> {
    let several = view.models.len() > 1;
    let of_model = |name: &str, text: String| {
        if several { format!("{name}: {text}") } else { text }
    };
    let cuts = view.models.iter().map(|(name, results)| of_model(name, gate_or_depth(results)));
    let certified = view.models.iter().flat_map(|(name, results)| {
        results.certified.iter().map(|here| of_model(name, as_certified(results, here)))
    });
    let cuts = cuts.chain(certified);
    let (first_name, first) = view.models[0];
    let others = view.models[1..].iter().zip(&view.paired);
    let others =
        others.map(|((name, other), paired)| sentence((first_name, first), (name, other), paired));
    cuts.chain(others).collect()
}

/// Whether a gate or cutting the model off is the better answer.
fn gate_or_depth(results: &Results) -> String {
    let metric = &results.score.name;
    let Some(cut) = &results.cut else {
        return format!(
            "No gate is worth naming: what keeps {:.0} % of the full {metric} gives every example the same answer, {}.",
            100.0 * results.keep,
            results.constant.name(),
        );
    };
    let Cut { depth, score, against, paired, .. } = cut;
    let (layers, within) = (results.layers, against.score);
    let (gate, found) = results.best_gate().unwrap_or((cut.gate.as_str(), results.fixed()));
    let gate_says = format!(
        "the best gate ({gate}) leaves after {:.2} of {layers} layers and scores {:.4} in {metric}",
        found.average_exit, found.score
    );
    let doubt = format!("{:+.1} points, {}", 100.0 * paired.difference, paired.words());
    let text = if cut.is_better {
        format!(
            "At {depth} of {layers} layers cutting the model off is the better answer: every example there scores {score:.4} \
             in {metric} and no gate is paid for, and no threshold of any gate scores more than {within:.4} within as many \
             layers (fixed less gate: {doubt}); {gate_says}."
        )
    } else if *depth == layers {
        format!(
            "No depth before the last keeps {:.0} % of the full score; {gate_says}.",
            100.0 * results.keep
        )
    } else {
        format!(
            "The shallowest fixed depth that keeps {:.0} % of the full score is {depth} and scores {score:.4}, and gates \
             reach {within:.4} within as many layers (fixed less gate: {doubt}); {gate_says}.",
            100.0 * results.keep
        )
    };
    let (fixed, gated) = (measured_as(results, &cut.typed()), measured(results, gate));
    text + &fixed.zip(gated).map_or_else(String::new, |(fixed, gated)| on_the_clock(fixed, gated))
}

/// What became of a promise.
fn as_certified(results: &Results, here: &Checked) -> String {
    let Checked { rule, promised, confidence, found, score, .. } = here;
    let own = match here.is_own_split {
        true => ", of the split that certified it, which is no news",
        false => "",
    };
    format!(
        "{rule}, certified for a risk of at most {promised} with confidence {confidence}, has a risk of {:.4} on these {} \
         examples{own}: {:.2} of {} layers, {} {score:.4}.",
        found.risk, results.n, found.average_exit, results.layers, results.score.name,
    )
}

/// A fixed depth and a gate by their measured times.
fn on_the_clock(fixed: &Speed, gated: &Speed) -> String {
    if fixed.rounds < ROUNDS {
        return String::new();
    }
    let [depth, gate] = [fixed, gated].map(|speed| range(speed.speed_up));
    let verdict = if fixed.speed_up.min > gated.speed_up.max {
        "faster than"
    } else if fixed.speed_up.max < gated.speed_up.min {
        "slower than"
    } else {
        "not told apart in time from"
    };
    format!(
        " Measured on {} rows at batch {}, {} runs at {} the full model's speed, {verdict} {} at {}.",
        fixed.rows,
        fixed.batch,
        fixed.gate,
        depth.shown(),
        gated.gate,
        gate.shown(),
    )
}

fn sentence(
    (first_name, first): (&str, &Results),
    (name, other): (&str, &Results),
    paired: &Paired,
) -> String {
    format!("Against {first_name}, {name} {}{}.", cost(first, other, paired), gain(first, other))
}

/// What the full model lost or won.
fn cost(first: &Results, other: &Results, paired: &Paired) -> String {
    if !first.trace.has_gold {
        // The other is scored against the first one's answers.
        let share = 100.0 * (1.0 + paired.difference);
        return format!("answers as it does on {share:.1} % of {} examples", paired.n);
    }
    let verb = if paired.difference < 0.0 { "costs" } else { "gives" };
    format!(
        "{verb} the full model {:.1} points of {} ({:.4} → {:.4}; {})",
        100.0 * paired.difference.abs(),
        first.score.name,
        first.score.full,
        other.score.full,
        paired.words(),
    )
}

/// What the gates lost or won.
fn gain(first: &Results, other: &Results) -> String {
    let Some(((before_name, before), (after_name, after))) =
        first.best_gate().zip(other.best_gate())
    else {
        return String::new();
    };
    let verb = if after.average_exit < before.average_exit { "lets" } else { "makes" };
    let depth = if after.average_exit < before.average_exit { "instead of" } else { "rather than" };
    let mut text = format!(
        " and {verb} the best gate ({after_name}) leave after {:.2} of {} layers {depth} {:.2} ({before_name}) at {:.0} % of the \
         full score, {:.2} layers from the ideal exit where it was {:.2}",
        after.average_exit,
        other.layers,
        before.average_exit,
        100.0 * other.keep,
        after.distance,
        before.distance,
    );
    if let (Some(before), Some(after)) = (measured(first, before_name), measured(other, after_name))
        && before.rounds.min(after.rounds) >= ROUNDS
    {
        text.push_str(&format!(
            "; measured on {} rows at batch {}, {:.2}× the full model's speed where it was {:.2}×",
            after.rows, after.batch, after.speed_up.median, before.speed_up.median
        ));
    }
    text
}
