//! Which tables a report has.

use ee_decode::gates::FIXED;

use super::{View, paper};
use crate::exits::constant::Constant;
use crate::exits::sweep::Candidate;
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

impl Constant {
    /// A line of this answer under those of a table: its name in the first column, its score in one other.
    fn under(&self, mut table: Table, score: &str) -> Table {
        let of = |name: &String| match name.as_str() {
            found if found == score => Cell::number(self.score(), 4),
            _ => Cell::Absent,
        };
        let mut cells: Vec<Cell> = table.columns.iter().map(of).collect();
        cells[0] = Cell::text(self.name());
        table.rows.push(cells);
        table
    }
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

/// One line per model: what it scores, where it could leave, what its best gate achieves, and a fixed depth.
pub(crate) fn headline(view: &View<'_>) -> Table {
    type Line<'a> = (&'a str, &'a Results);
    fn of_gate((_, results): &Line<'_>, show: impl Fn(&str, &GateResults) -> Cell) -> Cell {
        results.best_gate().map_or(Cell::Absent, |(name, gate)| show(name, gate))
    }
    let metric = &view.first().score.name;
    let full = format!("{metric}, full model");
    let note = format!(
        "Exits are layers run. The ideal exit is the shallowest that already gives the full model's answer; by chance is \
         what it would be if every exit's answers were shuffled over the examples; saturation is the exit from which \
         the answer no longer changes. The best gate leaves shallowest while keeping {:.0} % of the full score, the \
         fixed depth is the shallowest exit for every example that does. {} Speed-ups are measured times at the \
         smallest batch with the range of the rounds; early exit changes answers, it is not lossless.",
        100.0 * view.first().keep,
        constant_note(view),
    );
    let table = Table::of(
        "headline",
        "At a glance",
        note,
        view.models.iter().copied(),
        &[
            ("model", &|(name, _): &Line<'_>| Cell::text(*name)),
            ("trained", &|(_, found)| Cell::text(word(found.trace.objective))),
            (&full, &|(_, found)| Cell::number(found.score.full, 4)),
            ("95 % interval", &|(_, found)| {
                let [low, high] = found.score.interval;
                Cell::text(format!("{low:.3} to {high:.3}"))
            }),
            ("layers", &|(_, found)| Cell::count(found.layers)),
            ("ideal exit", &|(_, found)| Cell::number(found.ideal.average, 2)),
            ("by chance", &|(_, found)| Cell::number(found.ideal.chance_average, 2)),
            ("saturation", &|(_, found)| Cell::number(found.ideal.saturation_average, 2)),
            ("could leave early", &|(_, found)| Cell::percent(found.ideal.perc)),
            ("ideal speed-up", &|(_, found)| speed_up(found, ee_decode::rule::IDEAL)),
            ("best gate", &|line| of_gate(line, |name, _| Cell::text(name))),
            ("its exit", &|line| of_gate(line, |_, gate| Cell::number(gate.average_exit, 2))),
            (&format!("its {metric}"), &|line| {
                of_gate(line, |_, gate| Cell::number(gate.score, 4))
            }),
            ("its speed-up", &|line| of_gate(line, |name, _| speed_up(line.1, name))),
            ("fixed depth", &|(_, found)| Cell::number(found.fixed().average_exit, 0)),
            (&format!("{metric} there"), &|(_, found)| Cell::number(found.fixed().score, 4)),
            ("speed-up there", &|(_, found)| speed_up(found, FIXED.name())),
        ],
    );
    view.first().constant.under(table, &full)
}

/// The shallowest fixed depth and every gate at its best threshold.
pub(crate) fn gates(view: &View<'_>) -> Table {
    type Line<'a> = (&'a str, &'a Results, &'a String, &'a GateResults);
    let lines = view.models.iter().flat_map(|&(name, results)| {
        results.gates.iter().map(move |(gate, found)| (name, results, gate, found))
    });
    let note = format!(
        "The exact best threshold of each gate, chosen on these very rows; fixed is no gate: every row leaves at the \
         shallowest exit that keeps as much. Distance is the mean of |exit − ideal exit| in layers; premature and late \
         are the shares of rows that leave before and after their ideal exit. {}",
        constant_note(view)
    );
    let mut table = Table::of(
        "gates",
        format!("Gates that keep {:.0} % of the full score", 100.0 * view.first().keep),
        note,
        lines,
        &[
            ("model", &|(name, ..): &Line<'_>| Cell::text(*name)),
            ("gate", &|(_, _, gate, found)| match &found.only_label {
                Some(label) => Cell::text(format!("{gate}, answers `{label}` only")),
                None => Cell::text(*gate),
            }),
            ("threshold", &|(.., found)| threshold(found.threshold)),
            ("average exit", &|(.., found)| Cell::number(found.average_exit, 2)),
            ("score", &|(.., found)| Cell::number(found.score, 4)),
            ("distance to ideal", &|(.., found)| Cell::number(found.distance, 2)),
            ("premature", &|(.., found)| Cell::percent(found.premature)),
            ("late", &|(.., found)| Cell::percent(found.late)),
            ("speed-up in layers", &|(_, results, _, found)| {
                Cell::factor(results.layers as f64 / found.average_exit)
            }),
            ("speed-up in time", &|(_, results, gate, _)| speed_up(results, gate)),
        ],
    );
    for (name, results) in &view.models {
        table.rows.extend(results.certified.iter().map(|here| {
            let mut cells = vec![Cell::Absent; 10];
            cells[0] = Cell::text(*name);
            cells[1] = Cell::text(format!("certified {}", here.rule));
            cells[3] = Cell::number(here.found.average_exit, 2);
            cells[4] = Cell::number(here.score, 4);
            cells[8] = Cell::factor(results.layers as f64 / here.found.average_exit);
            cells
        }));
    }
    view.first().constant.under(table, "score")
}

/// Measured speed of everything that ran, by model; all on rows of the same task.
pub(crate) fn speed<'a>(
    models: impl Iterator<Item = (&'a str, &'a [Speed])>,
    facts: &TraceFacts,
    constant: &Constant,
) -> Table {
    let note = format!(
        "True early exit: rows that leave are taken out of their batch. Rows are examples of {} {}, at even distances \
         where fewer ran than there are; scores are of these rows, that of the constant answer of the whole split. \
         Wall-clock medians of interleaved runs against our own fastest full run, with the range of the rounds. The \
         ideal gate and fixed depths know their exits beforehand and read the head only where a row leaves; gates read \
         it at each layer. Shares of time are of a run of their own.",
        facts.task, facts.split
    );
    let table = Table::of(
        "speed",
        "Measured speed",
        note,
        models.flat_map(|(name, speeds)| speeds.iter().map(move |speed| (name, speed))),
        &[
            ("model", &|(name, _): &(&str, &Speed)| Cell::text(*name)),
            ("gate", &|(_, speed)| Cell::text(&speed.gate)),
            ("batch", &|(_, speed)| Cell::count(speed.batch)),
            ("rows", &|(_, speed)| Cell::count(speed.rows)),
            ("rounds", &|(_, speed)| Cell::count(speed.rounds)),
            ("full model, s", &|(_, speed)| Cell::number(speed.full_seconds.median, 3)),
            ("gated, s", &|(_, speed)| Cell::number(speed.gated_seconds.median, 3)),
            ("speed-up in time", &|(_, speed)| Cell::factor(speed.speed_up.median)),
            ("lowest", &|(_, speed)| Cell::factor(speed.speed_up.min)),
            ("highest", &|(_, speed)| Cell::factor(speed.speed_up.max)),
            ("speed-up in layers", &|(_, speed)| Cell::factor(speed.speed_up_layers)),
            ("time share of heads and gate", &|(_, speed)| Cell::percent(speed.head_share)),
            ("score", &|(_, speed)| Cell::number(speed.score, 4)),
            ("rows unlike the trace", &|(_, speed)| Cell::count(speed.differing_rows)),
        ],
    );
    constant.under(table, "score")
}

fn exits(view: &View<'_>) -> Table {
    type Line<'a> = (&'a str, &'a Results, usize);
    let share = |count: usize, results: &Results| Cell::percent(count as f64 / results.n as f64);
    let lines = view
        .models
        .iter()
        .flat_map(|&(name, results)| (0..results.layers).map(move |index| (name, results, index)));
    let note = format!(
        "Score is the {} when every row leaves at this exit; beside it the highest that any threshold of any gate \
         reaches with at most as many layers on average, chosen on these very rows. Shares are of all rows. {}",
        view.first().score.name,
        constant_note(view)
    );
    let table = Table::of(
        "exits",
        "Exit by exit",
        note,
        lines,
        &[
            ("model", &|(name, ..): &Line<'_>| Cell::text(*name)),
            ("exit", &|&(.., at)| Cell::count(at + 1)),
            ("score", &|&(_, found, at)| Cell::number(found.score.per_exit[at], 4)),
            ("best gate within", &|&(_, found, at)| Cell::number(found.within[at].score, 4)),
            ("labels given", &|&(_, found, at)| labels_given(found, at)),
            ("mean confidence", &|&(_, found, at)| Cell::number(found.confidence_per_exit[at], 4)),
            ("ideal exit here", &|&(_, found, at)| share(found.ideal.histogram[at], found)),
            ("by chance", &|&(_, found, at)| Cell::percent(found.ideal.chance_histogram[at])),
            ("saturated here", &|&(_, found, at)| {
                share(found.ideal.saturation_histogram[at], found)
            }),
        ],
    );
    view.first().constant.under(table, "score")
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
pub(super) fn range(spread: Spread) -> Cell {
    let Spread { median, min, max } = spread;
    Cell::Number { value: median, text: format!("{median:.2}× ({min:.2} to {max:.2})") }
}

fn speed_up(results: &Results, name: &str) -> Cell {
    measured(results, name).map_or(Cell::Absent, |speed| range(speed.speed_up))
}

/// Every point of every stored trade-off curve.
pub(crate) fn curves(view: &View<'_>) -> Table {
    type Line<'a> = (&'a str, &'a String, &'a Candidate);
    let points = view.models.iter().flat_map(|&(name, results)| {
        let of_gate = move |(gate, found)| {
            let found: &GateResults = found;
            found.curve.iter().map(move |point| (name, gate, point))
        };
        results.gates.iter().flat_map(of_gate)
    });
    Table::of(
        "curves",
        "Trade-off curves",
        "",
        points,
        &[
            ("model", &|(name, ..): &Line<'_>| Cell::text(*name)),
            ("gate", &|(_, gate, _)| Cell::text(*gate)),
            ("threshold", &|(.., point)| Cell::number(f64::from(point.threshold), 6)),
            ("average_exit", &|(.., point)| Cell::number(point.average_exit, 4)),
            ("score", &|(.., point)| Cell::number(point.score, 6)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_shows_the_range_of_its_rounds() {
        let spread = Spread { median: 1.5, min: 1.25, max: 2.0 };
        assert_eq!(range(spread).shown(), "1.50× (1.25 to 2.00)");
    }
}
