//! Which tables a report has.

use ee_decode::gates::FIXED;

use super::{View, paper};
use crate::exits::constant::Constant;
use crate::labels::results::{GateResults, Results};
use crate::report::table::{Cell, Table, threshold};
use crate::spread::Spread;
use crate::trace::TraceFacts;
use crate::trace::facts::objective::word;
use crate::trial::speed::Speed;

/// Every table of a report, in reading order.
pub(crate) fn all(view: &View<'_>) -> Vec<Table> {
    let mut tables = vec![headline(view), gates(view)];
    if view.models.iter().any(|(_, results)| !results.speed.is_empty()) {
        let models = view.models.iter().map(|(name, found)| (*name, found.speed.as_slice()));
        tables.push(speed(models, &view.first().trace, &view.first().constant));
    }
    tables.extend([paper::table_3(view), paper::table_4(view), paper::table_10(view), exits(view)]);
    tables
}

/// A line of a constant answer: its name in the first column, its score in one other.
pub(crate) fn constant_line(constant: &Constant, columns: usize, at: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::Absent; columns];
    cells[0] = Cell::text(constant.name());
    cells[at] = Cell::number(constant.score(), 4);
    cells
}

/// What a constant answer is, in a sentence.
fn constant_note(view: &View<'_>) -> String {
    let Constant { label, share, .. } = &view.first().constant;
    let what = match view.first().trace.has_gold {
        true => "gold label",
        false => "answer of the full model",
    };
    format!(
        "Always `{label}` is the constant answer that looks at nothing: the most frequent {what}, {:.1} % of these {} rows of {}.",
        100.0 * share,
        view.first().n,
        view.first().trace.split,
    )
}

/// One line per model: what it scores, where it could leave, what its best gate makes of that, and a fixed depth.
pub(crate) fn headline(view: &View<'_>) -> Table {
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
        "fixed depth",
        &format!("{metric} there"),
        "speed-up there",
    ];
    let rows = view.models.iter().map(|(name, results)| {
        let gate = results.best_gate();
        let of_gate = |show: &dyn Fn(&str, &GateResults) -> Cell| {
            gate.map_or(Cell::Absent, |(name, gate)| show(name, gate))
        };
        let [low, high] = results.score.interval;
        let (fixed, fixed_name) = (results.fixed(), FIXED.name());
        vec![
            Cell::text(*name),
            Cell::text(word(results.trace.objective)),
            Cell::number(results.score.full, 4),
            Cell::text(format!("{low:.3} to {high:.3}")),
            Cell::number(results.layers as f64, 0),
            Cell::number(results.ideal.average, 2),
            Cell::number(results.ideal.chance_average, 2),
            Cell::number(results.ideal.saturation_average, 2),
            Cell::percent(results.ideal.perc),
            speed_up(results, "ideal"),
            of_gate(&|name, _| Cell::text(name)),
            of_gate(&|_, gate| Cell::number(gate.average_exit, 2)),
            of_gate(&|_, gate| Cell::number(gate.score, 4)),
            of_gate(&|name, _| speed_up(results, name)),
            Cell::number(fixed.average_exit, 0),
            Cell::number(fixed.score, 4),
            speed_up(results, fixed_name),
        ]
    });
    let constant = constant_line(&view.first().constant, columns.len(), 2);
    Table {
        file: "headline",
        title: "At a glance".into(),
        note: format!(
            "Exits are layers run. The ideal exit is the shallowest that already gives the full model's answer; by chance is \
             what it would be if every exit's answers were shuffled over the examples; saturation is the exit from which \
             the answer no longer changes. The best gate leaves shallowest while keeping {:.0} % of the full score, the \
             fixed depth is the shallowest exit for every example that does. {} Speed-ups are measured times at the \
             smallest batch with the range of the rounds; early exit changes answers, it is not lossless.",
            100.0 * view.first().keep,
            constant_note(view),
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.chain([constant]).collect(),
    }
}

/// The shallowest fixed depth and every gate at its best threshold.
pub(crate) fn gates(view: &View<'_>) -> Table {
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
            let only =
                found.only_label.as_ref().map(|label| format!("{gate}, answers `{label}` only"));
            vec![
                Cell::text(*name),
                Cell::text(only.unwrap_or_else(|| gate.clone())),
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
    let certified = view.models.iter().flat_map(|(name, results)| {
        results.certified.iter().map(move |here| {
            let mut cells = vec![Cell::Absent; 10];
            cells[0] = Cell::text(*name);
            cells[1] = Cell::text(format!("certified {}", here.rule));
            cells[3] = Cell::number(here.found.average_exit, 2);
            cells[4] = Cell::number(here.score, 4);
            cells[8] = Cell::factor(results.layers as f64 / here.found.average_exit);
            cells
        })
    });
    let constant = constant_line(&view.first().constant, columns.len(), 4);
    Table {
        file: "gates",
        title: format!("Gates that keep {:.0} % of the full score", 100.0 * view.first().keep),
        note: format!(
            "The exact best threshold of each gate, chosen on these very rows; fixed is no gate: every row leaves at the \
             shallowest exit that keeps as much. Distance is the mean of |exit − ideal exit| in layers; premature and late \
             are the shares of rows that leave before and after their ideal exit. {}",
            constant_note(view)
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.chain(certified).chain([constant]).collect(),
    }
}

/// Measured speed of everything that ran, by model; all on rows of the same task.
pub(crate) fn speed<'a>(
    models: impl Iterator<Item = (&'a str, &'a [Speed])>,
    facts: &TraceFacts,
    constant: &Constant,
) -> Table {
    let columns = [
        "model",
        "gate",
        "batch",
        "rows",
        "rounds",
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
                Cell::number(speed.rows as f64, 0),
                Cell::number(speed.rounds as f64, 0),
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
    let score = columns.iter().position(|name| *name == "score").unwrap_or(0);
    let constant = constant_line(constant, columns.len(), score);
    Table {
        file: "speed",
        title: "Measured speed".into(),
        note: format!(
            "True early exit: rows that leave are taken out of their batch. Rows are examples of {} {}, at even distances \
             where fewer ran than there are; scores are of these rows, that of the constant answer of the whole split. \
             Wall-clock medians of interleaved runs against our own fastest full run, with the range of the rounds. The \
             ideal gate and fixed depths know their exits beforehand and read the head only where a row leaves; gates read \
             it at each layer. Shares of time are of a run of their own.",
            facts.task, facts.split
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.chain([constant]).collect(),
    }
}

/// Every exit of every model.
fn exits(view: &View<'_>) -> Table {
    let columns = [
        "model",
        "exit",
        "score",
        "best gate within",
        "labels given",
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
                Cell::number(results.within[index].score, 4),
                labels_given(results, index),
                Cell::number(results.confidence_per_exit[index], 4),
                share(results.ideal.histogram[index]),
                Cell::percent(results.ideal.chance_histogram[index]),
                share(results.ideal.saturation_histogram[index]),
            ]
        })
    });
    let constant = constant_line(&view.first().constant, columns.len(), 2);
    Table {
        file: "exits",
        title: "Exit by exit".into(),
        note: format!(
            "Score is the {} when every row leaves at this exit; beside it the highest that any threshold of any gate \
             reaches with at most as many layers on average, chosen on these very rows. Shares are of all rows. {}",
            view.first().score.name,
            constant_note(view)
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.chain([constant]).collect(),
    }
}

/// How many different labels an exit gives, and which where it is one.
fn labels_given(results: &Results, index: usize) -> Cell {
    let counts = &results.answers_per_exit[index];
    let given: Vec<usize> = (0..counts.len()).filter(|&label| counts[label] > 0).collect();
    let text = match given.as_slice() {
        [only] => format!("1 (`{}`)", results.trace.labels[*only]),
        several => several.len().to_string(),
    };
    Cell::Number { value: given.len() as f64, text }
}

/// The measured speed of a rule at the threshold that the results chose, or of `ideal`, at the smallest batch that
/// ran.
pub(crate) fn measured<'a>(results: &'a Results, name: &str) -> Option<&'a Speed> {
    match results.gates.get(name) {
        Some(found) => measured_as(results, &format!("{name}:{}", found.threshold)),
        None => measured_as(results, name),
    }
}

/// The measured speed of a rule as it is typed, at the smallest batch that ran.
pub(crate) fn measured_as<'a>(results: &'a Results, typed: &str) -> Option<&'a Speed> {
    let runs = results.speed.iter().filter(|speed| speed.gate == typed);
    runs.min_by_key(|speed| speed.batch)
}

/// A factor with the range of its rounds.
fn range(spread: Spread) -> Cell {
    let Spread { median, min, max } = spread;
    Cell::Number { value: median, text: format!("{median:.2}× ({min:.2} to {max:.2})") }
}

fn speed_up(results: &Results, name: &str) -> Cell {
    measured(results, name).map_or(Cell::Absent, |speed| range(speed.speed_up))
}

/// Every point of every stored trade-off curve.
pub(crate) fn curves(view: &View<'_>) -> Table {
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
