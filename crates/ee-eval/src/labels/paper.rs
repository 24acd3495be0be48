//! The tables of the paper that this project reproduces, in their shape, for one task.

use super::View;
use crate::labels::results::Results;
use crate::report::table::{Cell, Table};

/// The shape of the paper's Table 3: score, mean ideal exit and Perc of each model.
pub(super) fn table_3(view: &View<'_>) -> Table {
    let rows = view.models.iter().flat_map(|(name, results)| {
        let label = |metric: &str| {
            vec![Cell::text(*name), Cell::number(results.layers as f64, 0), Cell::text(metric)]
        };
        let row = |metric: &str, cell: Cell| [label(metric), vec![cell]].concat();
        let mut rows: Vec<Vec<Cell>> = results
            .scores
            .iter()
            .map(|score| row(&score.name, Cell::number(100.0 * score.full, 2)))
            .collect();
        rows.push(row("Avg", Cell::number(results.ideal.average, 2)));
        rows.push(row("Perc, %", Cell::number(100.0 * results.ideal.perc, 2)));
        rows
    });
    let constant = constant_rows(view, 4);
    Table {
        file: "table3",
        title: "Ideal exits (the paper's Table 3)".into(),
        note: "Scores × 100. Avg is the mean ideal exit, Perc the share of examples whose ideal exit is before the last.".into(),
        columns: vec!["model".into(), "layers".into(), "metric".into(), view.task().to_owned()],
        rows: rows.chain(constant).collect(),
    }
}

/// The constant answer's scores, as lines under the models'.
fn constant_rows(view: &View<'_>, columns: usize) -> Vec<Vec<Cell>> {
    let constant = &view.first().constant;
    let row = |(metric, score): (&String, &f64)| {
        let mut cells = vec![Cell::Absent; columns];
        cells[0] = Cell::text(constant.name());
        cells[columns - 2] = Cell::text(metric);
        cells[columns - 1] = Cell::number(100.0 * score, 2);
        cells
    };
    constant.scores.iter().map(row).collect()
}

/// The shape of the paper's Table 4: measured ideal speed-up and the full score, with and without joint.
pub(super) fn table_4(view: &View<'_>) -> Table {
    let rows = view.models.iter().flat_map(|(name, results)| {
        let joint = match results.trace.objective {
            Some(objective) if objective.is_joint() => "with",
            Some(_) => "without",
            None => "unknown",
        };
        let row = |metric: String, cell: Cell| {
            vec![Cell::text(*name), Cell::text(joint), Cell::text(metric), cell]
        };
        let ideal = results.speed.iter().filter(|speed| speed.gate == "ideal");
        let mut rows: Vec<Vec<Cell>> = ideal
            .map(|speed| {
                row(format!("Spd-up, batch {}", speed.batch), Cell::factor(speed.speed_up.median))
            })
            .collect();
        if rows.is_empty() {
            rows.push(row("Spd-up".to_owned(), Cell::Absent));
        }
        rows.extend(
            results
                .scores
                .iter()
                .map(|score| row(score.name.clone(), Cell::number(100.0 * score.full, 2))),
        );
        rows
    });
    Table {
        file: "table4",
        title: "Measured ideal speed-up (the paper's Table 4)".into(),
        note: "Wall-clock speed-up when every example leaves at its ideal exit and no gate is paid for; scores × 100 of the full model."
            .into(),
        columns: vec!["model".into(), "joint".into(), "metric".into(), view.task().to_owned()],
        rows: rows.chain(constant_rows(view, 4)).collect(),
    }
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
