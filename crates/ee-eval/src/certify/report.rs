//! What is written: `results.json`, `certificate.json`, `calibration.csv`, and the table as a page and as Markdown.

use std::path::{Path, PathBuf};

use ee_files::write_text;

use super::certificate::{CERTIFICATE_FILE, Certificate};
use super::{Against, Best, Calibration, Line, Promised};
use crate::error::Result;
use crate::output::write_json;
use crate::report::table::{Cell, Table};
use crate::report::{Page, provenance};

/// Writes everything into `folder`; returns the path of `report.html`.
pub(crate) fn write(found: &Calibration, folder: &Path) -> Result<PathBuf> {
    let table = table(found);
    write_text(&folder.join("calibration.csv"), &table.csv())?;
    write_json(&folder.join("results.json"), found)?;
    write_json(&folder.join(CERTIFICATE_FILE), &Certificate::of(found))?;
    let facts = &found.trace;
    let page = Page {
        title: format!("Certified thresholds of {} on {}", facts.model_name(1), facts.task),
        findings: findings(found),
        notices: found.notices.clone(),
        tables: vec![table],
        plots: vec![],
        sources: vec![(facts.model_name(1), provenance(facts))],
    };
    page.write(folder)
}

/// The promise and what it certifies, in words.
pub(crate) fn findings(found: &Calibration) -> Vec<String> {
    let Promised { risk, confidence, against, n, lines, .. } = &found.promised;
    let unit = if found.trace.generation.is_some() { "text" } else { "example" };
    let loss = match (against, unit) {
        (Against::Full, "text") => "the share of its tokens that differ from the full model's",
        (Against::Full, _) => "whether its answer differs from the full model's",
        (Against::Gold, "text") => {
            "how many more of its tokens are wrong than of the full model's, as a share"
        }
        (Against::Gold, _) => "whether its answer is wrong where the full model's is right",
    };
    let percent = (100.0 * confidence * 1e6).round() / 1e6;
    let promise = format!(
        "With {percent} % confidence, on further examples drawn as these {n} were, the risk is at most {risk}: the mean over \
         {unit}s of {loss}. Certified alone, this holds for a line chosen beforehand, whatever the others do; certified \
         among all, it holds for all {lines} lines at once, and so for whichever is picked. It is of one split: trying \
         several seeds or risks and keeping the nicest breaks it. Early exit changes answers; it is not lossless."
    );
    let best = match &found.best {
        Some(Best { gate, certified, held_out }) => format!(
            "{gate}:{} is certified among all: on the held-out examples it leaves after {:.2} of {} layers with a risk of \
             {:.4}. {CERTIFICATE_FILE} holds it, for `--certificate` of {}.",
            certified.threshold,
            held_out.average_exit,
            found.layers,
            held_out.risk,
            if found.trace.generation.is_some() { "decode" } else { "gates and speed" },
        ),
        None => {
            format!("No line is certified among all {lines}: use the full model, or more examples.")
        }
    };
    vec![promise, best]
}

/// One line per gate.
pub(crate) fn table(found: &Calibration) -> Table {
    let keep = found.gates.values().next().map_or(0.0, |gate| gate.rule.keep);
    let rule = format!("{:.0} % rule", 100.0 * keep);
    let certified = |line: &Line, show: &dyn Fn(&super::Tested) -> Cell| {
        line.certified.as_ref().map_or(Cell::Absent, show)
    };
    let note = format!(
        "Certified: the loosest threshold whose risk, and that of all before it, is proven to be at most {} on {} \
         calibration examples, of a line alone (p ≤ {}) and of all {} lines together (p ≤ {}). Beside it the exact best \
         threshold that keeps {:.0} % of the full score on the same examples, without a promise. Risks and exits called \
         held-out, and the rule's exit, are means of the {} examples that did not decide.",
        found.promised.risk,
        found.promised.n,
        found.promised.level,
        found.promised.lines,
        found.promised.level_of_all,
        100.0 * keep,
        found.promised.split.held_out,
    );
    Table::of(
        "calibration",
        "Thresholds with a guarantee",
        note,
        &found.gates,
        &[
            ("gate", &|(name, _)| Cell::text(*name)),
            ("certified alone", &|(_, gate)| {
                certified(&gate.alone, &|found| threshold(found.threshold))
            }),
            ("risk", &|(_, gate)| certified(&gate.alone, &|found| Cell::number(found.risk, 4))),
            ("p", &|(_, gate)| certified(&gate.alone, &|found| Cell::number(found.p_value, 4))),
            ("held-out risk", &|(_, gate)| Cell::number(gate.alone.held_out.risk, 4)),
            ("its exit", &|(_, gate)| Cell::number(gate.alone.held_out.average_exit, 2)),
            ("certified among all", &|(_, gate)| {
                certified(&gate.among_all, &|found| threshold(found.threshold))
            }),
            ("its held-out risk", &|(_, gate)| Cell::number(gate.among_all.held_out.risk, 4)),
            ("its held-out exit", &|(_, gate)| {
                Cell::number(gate.among_all.held_out.average_exit, 2)
            }),
            (&rule, &|(_, gate)| match &gate.rule.only_label {
                Some(label) => Cell::text(format!("always `{label}`")),
                None => threshold(gate.rule.threshold),
            }),
            ("the rule's held-out risk", &|(_, gate)| Cell::number(gate.rule.held_out.risk, 4)),
            ("the rule's exit", &|(_, gate)| Cell::number(gate.rule.held_out.average_exit, 2)),
        ],
    )
}

/// A threshold in full: 0.99996 is not 1.
fn threshold(value: f32) -> Cell {
    Cell::Number { value: f64::from(value), text: value.to_string() }
}
