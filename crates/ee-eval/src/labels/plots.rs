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
    let metric = &view.first().score.name;
    let series = view.models.iter().enumerate().map(|(colour, (name, results))| Series {
        name: (*name).to_owned(),
        colour,
        look: Look::Marked,
        points: at_exits(&results.score.per_exit),
    });
    let series = std::iter::once(constant(view.first())).chain(series);
    let title = format!("Score of every exit on {}", view.task());
    Plot {
        file: "score_per_exit".into(),
        note: format!(
            "What the model would score if every example left at this exit. Dashes: {}, which looks at nothing.",
            view.first().constant.name()
        ),
        svg: LineChart {
            title: title.clone(),
            x: "exit (layers run)".into(),
            y: metric.clone(),
            across: Across::Exits(view.layers()),
            series: series.collect(),
        }
        .svg(),
        title,
    }
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
    figure: impl Fn(&Results, &str) -> f64,
) -> (Vec<String>, Vec<(String, Vec<f64>)>) {
    let gates: Vec<String> = view.first().gates.keys().cloned().collect();
    let series = view
        .models
        .iter()
        .map(|(name, results)| {
            ((*name).to_owned(), gates.iter().map(|gate| figure(results, gate)).collect())
        })
        .collect();
    (gates, series)
}

fn gate_distance(view: &View<'_>) -> Plot {
    let (groups, series) = bars_of_gates(view, |results, gate| results.gates[gate].distance);
    let title = "Distance of each gate from the ideal exit (the paper's Figure 3)".to_owned();
    Plot {
        file: "gate_distance".into(),
        note:
            "The mean of |gate exit − ideal exit| at each gate's best threshold; lower is better."
                .into(),
        svg: BarChart {
            title: title.clone(),
            x: "gate".into(),
            y: "distance (layers)".into(),
            groups,
            series,
            reference: None,
        }
        .svg(),
        title,
    }
}

fn gate_speed_up(view: &View<'_>) -> Plot {
    let is_measured = view
        .models
        .iter()
        .all(|(_, results)| results.gates.keys().all(|gate| measured(results, gate).is_some()));
    let (groups, series) = bars_of_gates(view, |results, gate| match measured(results, gate) {
        Some(speed) if is_measured => speed.speed_up.median,
        _ => results.layers as f64 / results.gates[gate].average_exit,
    });
    let (what, note) = if is_measured {
        let batch = measured(view.first(), &groups[0]).map_or(1, |speed| speed.batch);
        (
            format!("time, batch {batch}"),
            "Wall-clock time of the full model ÷ with the gate; 1 is no gain.",
        )
    } else {
        ("layers".to_owned(), "Layers of the full model ÷ layers run; no time was measured.")
    };
    let title = format!(
        "Speed-up of each gate in {} (the paper's Figure 3)",
        what.split(',').next().unwrap_or(&what)
    );
    Plot {
        file: "gate_speed_up".into(),
        note: note.to_owned(),
        svg: BarChart {
            title: title.clone(),
            x: "gate".into(),
            y: format!("speed-up in {what} (×)"),
            groups,
            series,
            reference: None,
        }
        .svg(),
        title,
    }
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
    let title = format!("Quality against speed{of_model}");
    Plot {
        file: format!("quality_against_speed_{}", file_name(name)),
        note: format!(
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
        ),
        svg: LineChart {
            title: title.clone(),
            x: "average exit (layers run)".into(),
            y: results.score.name.clone(),
            across: Across::Exits(results.layers),
            series: std::iter::once(constant(results)).chain(curves).chain(chosen).collect(),
        }
        .svg(),
        title,
    }
}

/// The colour of the rule at this place; the first one, the baseline, is drawn in ink.
fn colour(at: usize) -> usize {
    at.saturating_sub(1)
}
