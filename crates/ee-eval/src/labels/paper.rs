//! The tables of the paper that this project reproduces, in their shape, for one task.

use super::View;
use crate::labels::results::Results;
use crate::report::table::{Cell, Table};

/// A line: whose it is, what distinguishes it from their other lines, the metric and its figure.
type Line = (String, Cell, String, Cell);

/// Figures of every model, those of the constant answer last, in the paper's shape.
fn lines(view: &View<'_>, of_model: impl Fn(&Results) -> (Cell, Vec<(String, Cell)>)) -> Vec<Line> {
    let models = view.models.iter().flat_map(|(name, results)| {
        let (what, figures) = of_model(results);
        let line = move |(metric, figure)| ((*name).to_owned(), what.clone(), metric, figure);
        figures.into_iter().map(line).collect::<Vec<Line>>()
    });
    let constant = &view.first().constant;
    let constant = constant.scores.iter().map(|(metric, score)| {
        (constant.name(), Cell::Absent, metric.clone(), Cell::number(100.0 * score, 2))
    });
    models.chain(constant).collect()
}

fn table(
    view: &View<'_>,
    names: [&'static str; 2],
    title: &str,
    note: &str,
    lines: Vec<Line>,
) -> Table {
    let [file, what] = names;
    Table::of(
        file,
        title,
        note,
        lines,
        &[
            ("model", &|(name, ..): &Line| Cell::text(name)),
            (what, &|(_, what, ..)| what.clone()),
            ("metric", &|(_, _, metric, _)| Cell::text(metric)),
            (view.task(), &|(.., figure)| figure.clone()),
        ],
    )
}

/// Every score of the full model, × 100.
fn scores(results: &Results) -> impl Iterator<Item = (String, Cell)> {
    results.scores.iter().map(|score| (score.name.clone(), Cell::number(100.0 * score.full, 2)))
}

/// The shape of the paper's Table 3: score, mean ideal exit and Perc of each model.
pub(super) fn table_3(view: &View<'_>) -> Table {
    let lines = lines(view, |results| {
        let ideal = [
            ("Avg".to_owned(), Cell::number(results.ideal.average, 2)),
            ("Perc, %".to_owned(), Cell::number(100.0 * results.ideal.perc, 2)),
        ];
        (Cell::count(results.layers), scores(results).chain(ideal).collect())
    });
    let title = "Ideal exits (the paper's Table 3)";
    let note = "Scores × 100. Avg is the mean ideal exit, Perc the share of examples whose ideal exit is before the last.";
    table(view, ["table3", "layers"], title, note, lines)
}

/// The shape of the paper's Table 4: measured ideal speed-up and the full score, with and without joint.
pub(super) fn table_4(view: &View<'_>) -> Table {
    let lines = lines(view, |results| {
        let joint = match results.trace.objective {
            Some(objective) if objective.is_joint() => "with",
            Some(_) => "without",
            None => "unknown",
        };
        let ideal = results.speed.iter().filter(|speed| speed.gate == ee_decode::rule::IDEAL);
        let mut figures: Vec<(String, Cell)> = ideal
            .map(|speed| {
                (format!("Spd-up, batch {}", speed.batch), Cell::factor(speed.speed_up.median))
            })
            .collect();
        if figures.is_empty() {
            figures.push(("Spd-up".to_owned(), Cell::Absent));
        }
        figures.extend(scores(results));
        (Cell::text(joint), figures)
    });
    let title = "Measured ideal speed-up (the paper's Table 4)";
    let note = "Wall-clock speed-up when every example leaves at its ideal exit and no gate is paid for; scores × 100 of the full model.";
    table(view, ["table4", "joint"], title, note, lines)
}

/// The shape of the paper's Table 10: ideal exits from the first model to each other one.
pub(super) fn table_10(view: &View<'_>) -> Table {
    let chain = |figure: &dyn Fn(&Results) -> String| {
        Cell::text(
            view.models.iter().map(|(_, results)| figure(results)).collect::<Vec<_>>().join(" → "),
        )
    };
    let names = view.models.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" → ");
    Table {
        file: "table10",
        title: "Ideal exits from model to model (the paper's Table 10)".into(),
        note: format!("{names}, of {} layers.", view.first().layers),
        columns: vec!["task".into(), "Avg".into(), "Perc".into()],
        rows: vec![vec![
            Cell::text(view.task()),
            chain(&|results| format!("{:.2}", results.ideal.average)),
            chain(&|results| format!("{:.2}%", 100.0 * results.ideal.perc)),
        ]],
    }
}
