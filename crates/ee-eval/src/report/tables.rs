//! Which tables a report has.

use super::table::{Cell, Table};
use super::{View, paper};
use crate::results::{Results, Speed};
use crate::trace::Objective;

/// Every table of a report, in reading order.
#[must_use]
pub fn all(view: &View<'_>) -> Vec<Table> {
    let mut tables = vec![headline(view), gates(view)];
    if view.models.iter().any(|(_, results)| !results.speed.is_empty()) {
        tables.push(speed(
            view.models.iter().map(|(name, results)| (*name, results.speed.as_slice())),
        ));
    }
    tables.extend([paper::table_3(view), paper::table_4(view), paper::table_10(view), exits(view)]);
    tables
}

/// One line per model: what it scores, where it could leave, what its best gate makes of that.
#[must_use]
pub fn headline(view: &View<'_>) -> Table {
    let metric = &view.first().score.name;
    let columns = [
        "model",
        "trained",
        &format!("{metric}, full model"),
        "95 % interval",
        "layers",
        "ideal exit",
        "by chance",
        "saturation",
        "could leave early",
        "ideal speed-up",
        "best gate",
        "its exit",
        &format!("its {metric}"),
        "its speed-up",
    ];
    let rows = view.models.iter().map(|(name, results)| {
        let (gate_name, gate) = best_gate(results);
        let [low, high] = results.score.interval;
        vec![
            Cell::text(*name),
            Cell::text(objective(results.trace.objective)),
            Cell::number(results.score.full, 4),
            Cell::text(format!("{low:.3} to {high:.3}")),
            Cell::number(results.layers as f64, 0),
            Cell::number(results.ideal.average, 2),
            Cell::number(results.ideal.chance_average, 2),
            Cell::number(results.ideal.saturation_average, 2),
            Cell::percent(results.ideal.perc),
            speed_up(results, "ideal"),
            Cell::text(gate_name),
            Cell::number(gate.average_exit, 2),
            Cell::number(gate.score, 4),
            speed_up(results, gate_name),
        ]
    });
    Table {
        file: "headline",
        title: "At a glance".into(),
        note: format!(
            "Exits are layers run. The ideal exit is the shallowest that already gives the full model's answer; by chance is \
             what it would be if every exit's answers were shuffled over the examples; saturation is the exit from which \
             the answer no longer changes. The best gate leaves shallowest while keeping {:.0} % of the full score. \
             Speed-ups are measured times at the smallest batch; early exit changes answers, it is not lossless.",
            100.0 * view.first().keep
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Every gate at its best threshold.
#[must_use]
pub fn gates(view: &View<'_>) -> Table {
    let columns = [
        "model",
        "gate",
        "threshold",
        "average exit",
        "score",
        "distance to ideal",
        "premature",
        "late",
        "speed-up in layers",
        "speed-up in time",
    ];
    let rows = view.models.iter().flat_map(|(name, results)| {
        results.gates.iter().map(move |(gate, found)| {
            vec![
                Cell::text(*name),
                Cell::text(gate.as_str()),
                threshold(found.threshold),
                Cell::number(found.average_exit, 2),
                Cell::number(found.score, 4),
                Cell::number(found.distance, 2),
                Cell::percent(found.premature),
                Cell::percent(found.late),
                Cell::factor(results.layers as f64 / found.average_exit),
                speed_up(results, gate),
            ]
        })
    });
    Table {
        file: "gates",
        title: format!("Gates that keep {:.0} % of the full score", 100.0 * view.first().keep),
        note: "The exact best threshold of each gate, chosen on these very rows. Distance is the mean of |gate exit − ideal \
               exit| in layers; premature and late are the shares of rows that leave before and after their ideal exit."
            .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Measured speed of every gate that ran, by model.
#[must_use]
pub fn speed<'a>(models: impl Iterator<Item = (&'a str, &'a [Speed])>) -> Table {
    let columns = [
        "model",
        "gate",
        "batch",
        "full model, s",
        "gated, s",
        "speed-up in time",
        "lowest",
        "highest",
        "speed-up in layers",
        "time share of heads and gate",
        "score",
        "rows unlike the trace",
    ];
    let rows = models.flat_map(|(name, speeds)| {
        speeds.iter().map(move |speed| {
            vec![
                Cell::text(name),
                Cell::text(speed.gate.as_str()),
                Cell::number(speed.batch as f64, 0),
                Cell::number(speed.full_seconds.median, 3),
                Cell::number(speed.gated_seconds.median, 3),
                Cell::factor(speed.speed_up.median),
                Cell::factor(speed.speed_up.min),
                Cell::factor(speed.speed_up.max),
                Cell::factor(speed.speed_up_layers),
                Cell::percent(speed.head_share),
                Cell::number(speed.score, 4),
                Cell::number(speed.differing_rows as f64, 0),
            ]
        })
    });
    Table {
        file: "speed",
        title: "Measured speed".into(),
        note: "True early exit: rows that leave are taken out of their batch. Wall-clock medians of interleaved runs against \
               our own fastest full run. The ideal gate takes its exits from the trace and reads the head only where a row \
               leaves; every other gate reads it at each layer."
            .into(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Every exit of every model.
fn exits(view: &View<'_>) -> Table {
    let columns = [
        "model",
        "exit",
        "score",
        "mean confidence",
        "ideal exit here",
        "by chance",
        "saturated here",
    ];
    let rows = view.models.iter().flat_map(|(name, results)| {
        let share = |count: usize| Cell::percent(count as f64 / results.n as f64);
        (0..results.layers).map(move |index| {
            vec![
                Cell::text(*name),
                Cell::number(index as f64 + 1.0, 0),
                Cell::number(results.score.per_exit[index], 4),
                Cell::number(results.confidence_per_exit[index], 4),
                share(results.ideal.histogram[index]),
                Cell::percent(results.ideal.chance_histogram[index]),
                share(results.ideal.saturation_histogram[index]),
            ]
        })
    });
    Table {
        file: "exits",
        title: "Exit by exit".into(),
        note: format!("Score is {}; shares are of all rows.", view.first().score.name),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// A threshold: whole where the gate counts, else with four decimals.
pub(crate) fn threshold(value: f32) -> Cell {
    let decimals = if value.fract() == 0.0 { 0 } else { 4 };
    Cell::Number { value: f64::from(value), text: format!("{value:.decimals$}") }
}

/// The gate of the shallowest average exit.
#[must_use]
pub fn best_gate(results: &Results) -> (&str, &crate::results::GateResults) {
    let best = results.gates.iter().min_by(|a, b| a.1.average_exit.total_cmp(&b.1.average_exit));
    let (name, gate) = best.expect("there is at least one gate");
    (name, gate)
}

/// The measured speed of a gate, by name without threshold, at the smallest batch that ran.
#[must_use]
pub fn measured<'a>(results: &'a Results, gate: &str) -> Option<&'a Speed> {
    let name = |speed: &Speed| speed.gate.split(':').next() == Some(gate);
    results.speed.iter().filter(|speed| name(speed)).min_by_key(|speed| speed.batch)
}

fn speed_up(results: &Results, gate: &str) -> Cell {
    measured(results, gate).map_or(Cell::Absent, |speed| Cell::factor(speed.speed_up.median))
}

/// What tables call a training objective.
pub(crate) fn objective(objective: Objective) -> &'static str {
    match objective {
        Objective::Joint => "joint",
        Objective::Final => "plain",
        Objective::Unknown => "unknown",
    }
}

/// Every point of every stored trade-off curve.
#[must_use]
pub fn curves(view: &View<'_>) -> Table {
    let columns = ["model", "gate", "threshold", "average_exit", "score"];
    let rows = view.models.iter().flat_map(|(name, results)| {
        results.gates.iter().flat_map(move |(gate, found)| {
            found.curve.iter().map(move |point| {
                vec![
                    Cell::text(*name),
                    Cell::text(gate.as_str()),
                    Cell::number(f64::from(point.threshold), 6),
                    Cell::number(point.average_exit, 4),
                    Cell::number(point.score, 6),
                ]
            })
        })
    });
    Table {
        file: "curves",
        title: "Trade-off curves".into(),
        note: String::new(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}
