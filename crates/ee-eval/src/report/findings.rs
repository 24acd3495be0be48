//! What joint training cost the full model and gave the gates, in a sentence computed from the numbers.

use crate::report::View;
use crate::report::tables::{best_gate, measured};
use crate::results::Results;

/// One sentence for every model after the first, comparing it with the first.
#[must_use]
pub fn sentences(view: &View<'_>) -> Vec<String> {
    let (first_name, first) = view.models[0];
    view.models[1..].iter().map(|(name, other)| sentence(first_name, first, name, other)).collect()
}

fn sentence(first_name: &str, first: &Results, name: &str, other: &Results) -> String {
    format!("Against {first_name}, {name} {} and {}.", cost(first, other), gain(first, other))
}

/// What the full model lost or won.
fn cost(first: &Results, other: &Results) -> String {
    let points = 100.0 * (other.score.full - first.score.full);
    let verb = if points < 0.0 { "costs" } else { "gives" };
    let [low, high] = other.score.interval;
    let within = low <= first.score.full && first.score.full <= high;
    let doubt = if within { ", within its 95 % interval" } else { ", outside its 95 % interval" };
    format!(
        "{verb} the full model {:.1} points of {} ({:.4} → {:.4}{doubt})",
        points.abs(),
        first.score.name,
        first.score.full,
        other.score.full,
    )
}

/// What the gates lost or won.
fn gain(first: &Results, other: &Results) -> String {
    let (before_name, before) = best_gate(first);
    let (after_name, after) = best_gate(other);
    let verb = if after.average_exit < before.average_exit { "lets" } else { "makes" };
    let depth = if after.average_exit < before.average_exit { "instead of" } else { "rather than" };
    let mut text = format!(
        "{verb} the best gate ({after_name}) leave after {:.2} of {} layers {depth} {:.2} ({before_name}) at {:.0} % of the \
         full score, {:.2} layers from the ideal exit where it was {:.2}",
        after.average_exit,
        other.layers,
        before.average_exit,
        100.0 * other.keep,
        after.distance,
        before.distance,
    );
    if let (Some(before), Some(after)) = (measured(first, before_name), measured(other, after_name))
    {
        text.push_str(&format!(
            "; measured at batch {}, {:.2}× the full model's speed where it was {:.2}×",
            after.batch, after.speed_up.median, before.speed_up.median
        ));
    }
    text
}
