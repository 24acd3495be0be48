//! The tables and the page of a recommendation.

use std::path::{Path, PathBuf};

use super::answer::answer;
use super::candidates::Candidate;
use super::decide::{Finding, JUDGED};
use super::results::Recommendation;
use crate::error::Result;
use crate::exits::plots::{agreement_per_exit, ideal_exits};
use crate::output::write_json;
use crate::report::plot::Plot;
use crate::report::table::{Cell, Table, columns};
use crate::report::{Page, provenance};
use crate::trial::outputs::Output;
use crate::trial::quality::Quality;
use crate::trial::way::listed;
use crate::trial::{Way, on_prompts};
use crate::words::count;
use ee_decode::Settings;
use ee_decode::rule::DECAY;
use ee_decode::speculate::Plan;

/// Columns that name a setting.
const SETTING: &str = "kind | gate | threshold | exits read | head | K/V | drafts | chosen by";

/// What was tried: the prediction and the result.
pub(crate) fn table(found: &Recommendation) -> Table {
    let header = format!(
        "{SETTING} | predicted speed-up | measured speed-up | surely at least | lowest | highest | without prompts | average exit | \
         predicted equal tokens | equal tokens | {}, of full | further texts | there, of full | surely kept | quality kept | \
         same tokens",
        found.trials.quality()
    );
    let places = found.tried.iter().enumerate();
    let rows = places.map(|(place, &at)| {
        let (candidate, trial) = (&found.candidates[at], &found.trials.trials[place]);
        let (finding, judged) = (&found.findings[place], found.judged[place].as_ref());
        let spread = trial.pace.speed_up_by_round;
        let of = |cell: &dyn Fn(&Quality) -> Cell| judged.map_or(Cell::Absent, cell);
        let mut cells = setting(&candidate.way);
        cells.extend([
            Cell::text(candidate.origin.name()),
            Cell::factor(candidate.predicted_speed_up),
            Cell::factor(finding.speed_up),
            finding.at_least.map_or(Cell::Absent, Cell::factor),
            Cell::factor(spread.min),
            Cell::factor(spread.max),
            trial.step_speed_up.map_or(Cell::Absent, Cell::factor),
            Cell::optional(trial.average_exit(), 2),
            Cell::percent(candidate.predicted_equal),
            Cell::percent(trial.fidelity.equal_share),
            Cell::percent(found.trials.kept(trial)),
            of(&|quality| Cell::number(quality.texts as f64, 0)),
            of(&|quality| Cell::percent(quality.share)),
            of(&|quality| Cell::percent(quality.at_least)),
            Cell::text(kept(finding)),
            Cell::yes(trial.fidelity.same_tokens),
        ]);
        cells
    });
    Table {
        file: "recommend",
        title: "What was tried".into(),
        note: format!(
            "Wall-clock time against plain decoding of the same {} ({}), in turn, one text at a time, each as long as \
             plain decoding makes it, {}: of the medians, and of the lowest and highest round. What a speed-up \
             surely is at least, and what is surely kept on texts that were not timed, holds for all settings at once with \
             a confidence of {:.0} %. The quality of the up to {JUDGED} fastest is judged that kept it on the timed texts and \
             are surely faster. True early exit may change texts; lossless never does. Predictions come from {} of \
             the trace, of gates on states from {} of them, and from the times of single parts. {}",
            count(found.trials.plain.outputs.len(), "text"),
            examples(found),
            count(found.trials.rounds, "round"),
            100.0 * found.confidence,
            count(found.calibration_texts, "other text"),
            found.state_texts,
            on_prompts(found.trace.encoder_layers().is_some()),
        ),
        columns: columns(&header),
        rows: rows.collect(),
    }
}

/// Which texts were timed.
fn examples(found: &Recommendation) -> String {
    let outputs = &found.trials.plain.outputs;
    let number = |output: Option<&Output>| output.map_or(0, |output| output.example);
    format!(
        "of the half that does not choose, at even distances: examples {} to {} of {} {}",
        number(outputs.first()),
        number(outputs.last()),
        found.trace.task,
        found.trace.split
    )
}

/// Whether the quality is kept.
fn kept(finding: &Finding) -> &'static str {
    match finding.kept {
        _ if finding.lossless => "yes",
        Some(kept) => kept.name(),
        None if finding.seems_kept => "not judged",
        None => "not on the timed texts",
    }
}

/// Kind, gate, threshold, exits, head, K/V and drafts.
fn setting(way: &Way) -> Vec<Cell> {
    let drafts = match way {
        Way::Exits(Settings { rule, policy, head, exits, .. }) => {
            let typed = if rule.decays { DECAY } else { "" };
            let rule = rule.to_string();
            let still = rule.strip_suffix(DECAY).unwrap_or(&rule);
            let (name, number) = still.split_once(':').unwrap_or((still, ""));
            return vec![
                Cell::text("true early exit"),
                Cell::text(format!("{name}{typed}")),
                number.parse().map_or(Cell::Absent, threshold_cell),
                Cell::text(listed(exits, " ")),
                Cell::text(head.to_string()),
                Cell::text(policy.name()),
                Cell::Absent,
            ];
        }
        Way::Speculation(Some(Plan { exit, drafts })) => format!("{drafts} of exit {exit}"),
        Way::Speculation(None) => "adaptive".to_owned(),
    };
    let mut cells = vec![Cell::Absent; 7];
    (cells[0], cells[6]) = (Cell::text("lossless"), Cell::text(drafts));
    cells
}

fn threshold_cell(value: f64) -> Cell {
    Cell::number(value, if value.fract() == 0.0 { 0 } else { 4 })
}

/// Every setting that was thought of.
fn all(found: &Recommendation) -> Table {
    let header = format!("{SETTING} | average exit | predicted speed-up | predicted equal tokens");
    let row = |candidate: &Candidate| {
        let mut cells = setting(&candidate.way);
        cells.extend([
            Cell::text(candidate.origin.name()),
            Cell::optional(candidate.average_exit, 2),
            Cell::factor(candidate.predicted_speed_up),
            Cell::percent(candidate.predicted_equal),
        ]);
        cells
    };
    Table {
        file: "candidates",
        title: "What was thought of".into(),
        note: format!(
            "Thresholds that keep {:.0} % of the tokens that may leave, or of whole texts, are the exact best on the half that chooses; \
             guaranteed ones change at most {:.0} % of a text's tokens, all of them with a confidence of {:.0} % ({:.2} % each). \
             Predicted on the full model's own context, without bookkeeping.",
            100.0 * found.keep,
            100.0 * (1.0 - found.keep),
            100.0 * found.confidence,
            100.0 * found.confidence_of_each_guarantee,
        ),
        columns: columns(&header),
        rows: found.candidates.iter().map(row).collect(),
    }
}

/// What a step is made of.
fn parts(found: &Recommendation) -> Table {
    let times = &found.times;
    let mut rows = vec![
        ("a prompt".to_owned(), times.prompt),
        ("a layer on a token".to_owned(), times.layer),
        ("a layer on a further token".to_owned(), times.further_layer),
        ("the head on a token".to_owned(), times.head),
        ("the head on a further token".to_owned(), times.further_head),
        ("a layer's keys and values alone".to_owned(), times.key_value),
    ];
    for asked in &times.asked {
        rows.push((format!("asking {}, first", asked.name), asked.first));
        rows.push((format!("asking {}, later", asked.name), asked.later));
        rows.push((
            format!("asking {}, leaving at the first exit", asked.name),
            asked.leave_at_first,
        ));
        rows.push((format!("asking {}, leaving at a later one", asked.name), asked.leave_later));
    }
    let row = |(part, seconds): (String, f64)| {
        vec![
            Cell::text(part),
            Cell::Number { value: seconds, text: format!("{:.1}", 1e6 * seconds) },
            Cell::number(seconds / times.layer, 2),
        ]
    };
    Table {
        file: "parts",
        title: "What a step is made of".into(),
        note: "Medians of a few steps, each part alone; in the CSV seconds.".into(),
        columns: columns("part | µs | layers"),
        rows: rows.into_iter().map(row).collect(),
    }
}

fn plots(found: &Recommendation) -> Vec<Plot> {
    let name = found.trace.model_name(1);
    let agreement = [(name.as_str(), found.agreement_per_exit.as_slice())];
    let agreement = agreement_per_exit(", on the half that chooses", agreement.into_iter());
    let ideal =
        ideal_exits("ideal_exits".into(), "Ideal exits".into(), "tokens", &[(&name, &found.ideal)]);
    vec![agreement, ideal]
}

/// Writes `results.json`, the tables as CSV and the page; returns the path of `report.html`.
pub(crate) fn write(found: &Recommendation, folder: &Path) -> Result<PathBuf> {
    write_json(&folder.join("results.json"), found)?;
    let live = format!(
        "{} of the other half timed, and the quality of the fastest judged on its {} others; at most {} each, the first {} never leaving, {} on {}; weights {}.",
        count(found.trials.plain.outputs.len(), "text"),
        found.held_out_texts - found.trials.plain.outputs.len().min(found.held_out_texts),
        count(found.trials.max_new_tokens, "new token"),
        found.trace.never_leaving(found.min_tokens),
        count(found.trials.rounds, "round"),
        found.trials.device,
        found.weights,
    );
    let page = Page {
        title: format!("How to decode {} with {}", found.trace.task, found.trace.model_name(2)),
        findings: answer(found).lines().map(str::to_owned).collect(),
        notices: found.notices.clone(),
        tables: vec![table(found), parts(found), all(found)],
        plots: plots(found),
        sources: vec![("Trace".to_owned(), provenance(&found.trace)), ("Trials".to_owned(), live)],
    };
    page.write_tables(folder)?;
    page.write(folder)
}
