//! What is written: `results.json`, `calibration.csv`, and the table as a page and as Markdown.

use std::path::{Path, PathBuf};

use super::{Against, Calibration, Certificate};
use crate::error::Result;
use crate::output::write_text;
use crate::report::table::{Cell, Table};
use crate::report::{Page, provenance};
use crate::results::write_json;

/// Writes everything into `folder`; returns the path of `report.html`.
///
/// # Errors
/// [`crate::EvalError::Io`] and [`crate::EvalError::Encode`], naming the file.
pub fn write(found: &Calibration, folder: &Path) -> Result<PathBuf> {
    let table = table(found);
    write_text(&folder.join("calibration.csv"), &table.csv())?;
    write_json(&folder.join("results.json"), found)?;
    let facts = &found.trace;
    let page = Page {
        title: format!("Certified thresholds of {} on {}", facts.model_name(1), facts.task),
        findings: vec![promise(found)],
        notices: found.notices.clone(),
        tables: vec![table],
        plots: vec![],
        sources: vec![(facts.model_name(1), provenance(facts))],
    };
    page.write(folder)
}

/// The promise in words.
fn promise(found: &Calibration) -> String {
    let Certificate { risk, confidence, against, n, .. } = &found.certificate;
    let unit = if found.trace.generation.is_some() { "text" } else { "example" };
    let loss = match (against, unit) {
        (Against::Full, "text") => "the share of its tokens that differ from the full model's",
        (Against::Full, _) => "whether its answer differs from the full model's",
        (Against::Gold, "text") => {
            "how many more of its tokens are wrong than of the full model's, as a share"
        }
        (Against::Gold, _) => "whether its answer is wrong where the full model's is right",
    };
    format!(
        "With {} % confidence, on further examples drawn as these {n} were, the risk of a certified threshold is at most \
         {risk}: the mean over {unit}s of {loss}. This holds for each gate; who picks one does so by the held-out half. \
         Early exit changes answers; it is not lossless.",
        (100.0 * confidence * 1e6).round() / 1e6,
    )
}

/// One line per gate.
#[must_use]
pub fn table(found: &Calibration) -> Table {
    let keep = found.gates.values().next().map_or(0.0, |gate| gate.rule.keep);
    let rule = format!("{:.0} % rule", 100.0 * keep);
    let columns = [
        "gate",
        "certified",
        "risk",
        "p",
        "held-out risk",
        "its exit",
        &rule,
        "its held-out risk",
        "the rule's exit",
    ];
    let rows = found.gates.iter().map(|(name, gate)| {
        let certified = |show: &dyn Fn(&super::Tested) -> Cell| {
            gate.certified.as_ref().map_or(Cell::Absent, show)
        };
        vec![
            Cell::text(name),
            certified(&|found| threshold(found.threshold)),
            certified(&|found| Cell::number(found.risk, 4)),
            certified(&|found| Cell::number(found.p_value, 4)),
            Cell::number(gate.held_out.risk, 4),
            Cell::number(gate.held_out.average_exit, 2),
            threshold(gate.rule.threshold),
            Cell::number(gate.rule.held_out.risk, 4),
            Cell::number(gate.rule.held_out.average_exit, 2),
        ]
    });
    Table {
        file: "calibration",
        title: "Thresholds with a guarantee".into(),
        note: format!(
            "Certified: the loosest threshold whose risk, and that of all before it, is proven to be at most {} on {} \
             calibration examples. Beside it the exact best threshold that keeps {:.0} % of the full score on the same \
             examples, without a promise. Exits are the mean layers run on the {} held-out examples.",
            found.certificate.risk,
            found.certificate.n,
            100.0 * keep,
            found.certificate.split.held_out,
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// A threshold in full: 0.99996 is not 1.
fn threshold(value: f32) -> Cell {
    Cell::Number { value: f64::from(value), text: value.to_string() }
}
