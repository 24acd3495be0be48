//! Which plots a report has.

use ee_decode::gates::FIXED;

use crate::exits::oracle::Ideal;
use crate::exits::plots::{confidence_per_exit, ideal_exits};
use crate::labels::View;
use crate::labels::results::Results;
use crate::labels::tables::measured;
use crate::report::plot::{Across, BarChart, LineChart, Look, Plot, Series, at_exits, file_name};

/// Every plot of a report, in reading order.
pub(super) fn all(view: &View<'_>) -> Vec<Plot> {
    let ideals: Vec<(&str, &Ideal)> =
        view.models.iter().map(|(name, results)| (*name, &results.ideal)).collect();
    let mut plots = vec![
        score_per_exit(view),
        ideal_exits("ideal_exits".into(), "Ideal exits".into(), "examples", &ideals),
        gate_distance(view),
        gate_speed_up(view),
        confidence_per_exit(
            "Mean confidence of every exit (the paper's Figure 4)",
            view.models.iter().map(|(name, results)| (*name, results.confidence_per_exit.clone())),
        ),
    ];
    plots.extend(
        view.models.iter().map(|(name, results)| quality_against_speed(view, name, results)),
    );
    plots
}

fn score_per_exit(view: &View<'_>) -> Plot {
    let series = view.models.iter().enumerate().map(|(colour, (name, results))| Series {
        name: (*name).to_owned(),
        colour,
        look: Look::Marked,
        points: at_exits(&results.score.per_exit),
    });
    let chart = LineChart {
        title: format!("Score of every exit on {}", view.task()),
        x: "exit (layers run)".into(),
        y: view.first().score.name.clone(),
        across: Across::Exits(view.layers()),
        series: std::iter::once(constant(view.first())).chain(series).collect(),
    };
    let note = format!(
        "What the model would score if every example left at this exit. Dashes: {}, which looks at nothing.",
        view.first().constant.name()
    );
    chart.plot("score_per_exit", note)
}

/// The level of the constant answer.
fn constant(results: &Results) -> Series {
    let score = results.constant.score();
    Series {
        name: results.constant.name(),
        colour: 0,
        look: Look::Reference,
        points: vec![(1.0, score), (results.layers.max(2) as f64, score)],
    }
}

/// One group per gate and one bar per model.
fn bars_of_gates(
    view: &View<'_>,
    title: String,
    y: String,
    figure: impl Fn(&Results, &str) -> f64,
) -> BarChart {
    let groups: Vec<String> = view.first().gates.keys().cloned().collect();
    let of_model = |(name, results): &(&str, &Results)| {
        ((*name).to_owned(), groups.iter().map(|gate| figure(results, gate)).collect())
    };
    let series = view.models.iter().map(of_model).collect();
    BarChart { title, x: "gate".into(), y, groups, series, reference: None }
}

fn gate_distance(view: &View<'_>) -> Plot {
    let title = "Distance of each gate from the ideal exit (the paper's Figure 3)".to_owned();
    let distance = |results: &Results, gate: &str| results.gates[gate].distance;
    bars_of_gates(view, title, "distance (layers)".into(), distance).plot(
        "gate_distance",
        "The mean of |gate exit − ideal exit| at each gate's best threshold; lower is better.",
    )
}

fn gate_speed_up(view: &View<'_>) -> Plot {
    let is_measured = view
        .models
        .iter()
        .all(|(_, results)| results.gates.keys().all(|gate| measured(results, gate).is_some()));
    let speed_up = |results: &Results, gate: &str| match measured(results, gate) {
        Some(speed) if is_measured => speed.speed_up.median,
        _ => results.layers as f64 / results.gates[gate].average_exit,
    };
    let first = view.first();
    let batch = first.gates.keys().find_map(|gate| measured(first, gate)).map_or(1, |it| it.batch);
    let (what, unit, note) = match is_measured {
        true => (
            "time",
            format!("time, batch {batch}"),
            "Wall-clock time of the full model ÷ with the gate; 1 is no gain.",
        ),
        false => (
            "layers",
            "layers".to_owned(),
            "Layers of the full model ÷ layers run; no time was measured.",
        ),
    };
    let title = format!("Speed-up of each gate in {what} (the paper's Figure 3)");
    bars_of_gates(view, title, format!("speed-up in {unit} (×)"), speed_up)
        .plot("gate_speed_up", note)
}

fn quality_against_speed(view: &View<'_>, name: &str, results: &Results) -> Plot {
    // Fixed depths first, in ink, as marks at whole layers: what every gate has to beat.
    let curves = results.gates.iter().zip(0..).map(|((gate, found), at)| Series {
        name: if gate == FIXED.name() { "one fixed depth".into() } else { gate.clone() },
        colour: colour(at),
        look: match gate == FIXED.name() {
            true => Look::Baseline,
            false if found.candidates <= results.layers => Look::Marked,
            false => Look::Line,
        },
        points: found.curve.iter().map(|point| (point.average_exit, point.score)).collect(),
    });
    let chosen = results.gates.values().zip(0..).map(|(found, at)| Series {
        name: String::new(),
        colour: colour(at),
        look: if at == 0 { Look::BaselineRing } else { Look::Ring },
        points: vec![(found.average_exit, found.score)],
    });
    let of_model = if view.models.len() > 1 { format!(", {name}") } else { String::new() };
    let chart = LineChart {
        title: format!("Quality against speed{of_model}"),
        x: "average exit (layers run)".into(),
        y: results.score.name.clone(),
        across: Across::Exits(results.layers),
        series: std::iter::once(constant(results)).chain(curves).chain(chosen).collect(),
    };
    let note = format!(
        "Every threshold of every gate; fewer layers are faster. Rings mark the shallowest point that keeps {:.0} % of the \
         full score. A gate is worth its cost where it lies above the grey line, which runs every example to the same depth; \
         dashes: {}, which looks at nothing.{}",
        100.0 * results.keep,
        results.constant.name(),
        if results.trace.labels.len() == 2 {
            " With two labels confidence, entropy and margin rank alike, and their curves coincide."
        } else {
            ""
        }
    );
    chart.plot(format!("quality_against_speed_{}", file_name(name)), note)
}

/// The colour of the rule at this place; the first one, the baseline, is drawn in ink.
fn colour(at: usize) -> usize {
    at.saturating_sub(1)
}
