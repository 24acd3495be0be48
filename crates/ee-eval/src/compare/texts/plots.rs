//! The plots of a comparison of decoders.

use ee_decode::policy;

use super::paper::Kind;
use super::results::{IDEAL, TextComparison, TextResults};
use super::tables::by_policy;
use crate::exits::oracle::Ideal;
use crate::exits::plots::{agreement_per_exit, confidence_per_exit, ideal_exits};
use crate::report::plot::Plot;
use crate::report::plot::{Across, BarChart, LineChart, Look, Series};
use crate::trial::joined;

/// Points of a line over the positions at most.
const POSITION_BINS: usize = 24;

/// Every plot, in reading order.
pub(super) fn all(comparison: &TextComparison) -> Vec<Plot> {
    let ideals: Vec<(&str, &Ideal)> = named(comparison, |results| &results.summary.ideal).collect();
    let mut plots = vec![
        ideal_exits("ideal_exits".into(), "Ideal exits".into(), "tokens", &ideals),
        agreement_per_exit("", named(comparison, |of| of.agreement_per_exit.as_slice())),
        confidence_per_exit(
            "Mean confidence of every exit",
            named(comparison, |of| of.confidence_per_exit.clone()),
        ),
        bars(
            comparison,
            (
                "gate_distance",
                &format!(
                    "Distance of each gate from the ideal exit ({})",
                    Kind::of(comparison).figure()
                ),
            ),
            (
                "distance (layers)",
                "The mean of |gate exit − ideal exit| on the trace at each gate's best threshold; lower is better.",
            ),
            |results, gate| results.gates[gate].distance,
        ),
        bars(
            comparison,
            (
                "gate_speed_up",
                &format!(
                    "Speed-up of each gate with recompute ({})",
                    Kind::of(comparison).figure()
                ),
            ),
            (
                "speed-up in time (×)",
                "Tokens per second against plain decoding, with the faster head; 1 is no gain, no bar a gate that cannot open.",
            ),
            |results, gate| {
                results.with(gate, policy::DEFAULT.name()).map_or(0.0, |trial| trial.pace.speed_up)
            },
        ),
    ];
    plots.extend([
        divergence(
            comparison,
            IDEAL,
            "K/V policies alone: tokens of the full model by position",
            "Every token leaves at its ideal exit, so that only stand-ins for skipped keys and values part texts from the \
             full model's (`deferred` has the exact ones). Each text goes on from its own tokens.",
        ),
        divergence(
            comparison,
            "gates",
            "Gates with each K/V policy: tokens of the full model by position",
            "All gates and heads together, at the thresholds that keep enough tokens on the full model's own context.",
        ),
    ].into_iter().flatten());
    plots
}

/// Something of every model, by name.
fn named<'a, T: 'a>(
    comparison: &'a TextComparison,
    of: impl Fn(&'a TextResults) -> T + 'a,
) -> impl Iterator<Item = (&'a str, T)> {
    comparison.models.iter().map(move |(name, results)| (name.as_str(), of(results)))
}

/// One group per gate and one bar per model.
fn bars(
    comparison: &TextComparison,
    (file, title): (&str, &str),
    (y, note): (&str, &str),
    figure: impl Fn(&TextResults, &str) -> f64,
) -> Plot {
    let gates: Vec<String> =
        comparison.models.values().flat_map(|results| results.gates.keys().cloned()).collect();
    let mut groups: Vec<String> = Vec::new();
    for gate in gates {
        if !groups.contains(&gate) {
            groups.push(gate);
        }
    }
    let series = comparison.models.iter().map(|(name, results)| {
        (name.clone(), groups.iter().map(|gate| figure(results, gate)).collect())
    });
    let chart = BarChart {
        title: title.to_owned(),
        x: "gate".into(),
        y: y.to_owned(),
        series: series.collect(),
        groups: groups.clone(),
        reference: None,
    };
    chart.plot(file, note)
}

/// A line per model and policy over the positions; none where nothing was decoded so.
fn divergence(comparison: &TextComparison, exits: &str, title: &str, note: &str) -> Option<Plot> {
    let mut series = Vec::new();
    for (name, results) in &comparison.models {
        for (of, kv, places) in by_policy(results) {
            let points: Vec<(f64, f64)> = joined(&places, POSITION_BINS)
                .into_iter()
                .map(|[position, equal, _]| (position, 100.0 * equal))
                .collect();
            // Ideal exits with exact keys and values are the full model by construction.
            let is_exact =
                exits == IDEAL && policy::by_name(&kv).is_ok_and(|policy| policy.is_exact());
            if of == exits && !is_exact && !points.is_empty() {
                let (name, colour) = (format!("{name}, {kv}"), series.len());
                series.push(Series { name, colour, look: Look::Marked, points });
            }
        }
    }
    if series.is_empty() {
        return None;
    }
    let chart = LineChart {
        title: title.to_owned(),
        x: "position (new tokens before)".into(),
        y: "equal tokens (%)".into(),
        across: Across::Numbers,
        series,
    };
    Some(chart.plot(format!("divergence_{exits}"), note))
}
