//! `ee-eval gates` on a trace of text: gates replayed token by token; no model is loaded.
//!
//! There is no gold label to be right about, so that a gate is judged by its agreement with the full model, each
//! token on the context that the trace had: the full model's own text, or the gold one where it was teacher-forced.
//! Errors that grow while decoding, and stand-ins for keys and values, are not seen; only `decode`, `compare` and
//! `recommend` show them. The first token of a text never leaves, as all layers read the prompt.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::exits::oracle;
use crate::exits::oracle::Ideal;
use crate::exits::plots::{self, ideal_exits};
use crate::output::write_json;
use crate::report::plot::Plot;
use crate::report::table::{Cell, Table, columns};
use crate::report::{Page, provenance};
use crate::tokens::{TokenGate, Watched, agreement_per_exit, shallowest};
use crate::trace::{Trace, TraceFacts};
use ee_decode::gates::FIXED_NAME as FIXED;

/// What gates do on a trace of text, as `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) layers: usize,
    pub(crate) tokens: usize,
    pub(crate) keep: f64,
    pub(crate) ideal: Ideal,
    /// The share of tokens, at exits 1..=N, that are the last exit's.
    pub(crate) agreement_per_exit: Vec<f64>,
    /// Every gate at its best threshold, shut where none keeps enough; and the model cut off, `fixed`, at the
    /// shallowest exit that does.
    pub(crate) gates: IndexMap<String, TokenGate>,
    pub(crate) findings: Vec<String>,
    pub(crate) notices: Vec<String>,
    pub(crate) trace: TraceFacts,
}

impl Replay {
    /// Every gate at the threshold that gives the shallowest exits while this share of the tokens stays.
    pub(crate) fn of_trace(trace: &Trace, keep: f64, mut notices: Vec<String>) -> Result<Self> {
        let layers = trace.layers();
        let exits: Vec<usize> = (1..layers).collect();
        let watched = Watched::of_any(trace, &exits, 1)?;
        let forced = trace.facts.generation.as_ref().is_some_and(|facts| facts.teacher_forced);
        notices.push(context(forced).to_owned());
        let mut gates = IndexMap::new();
        for (name, judged, opens) in watched.gates(keep) {
            gates.insert(name.to_owned(), judged);
            if opens.is_none() {
                notices.push(format!(
                    "no threshold of {name} leaves early and keeps {:.0} % of the tokens; its threshold never fires",
                    100.0 * keep
                ));
            }
        }
        if let Some(cut) = watched.cut_keeping(keep) {
            gates.insert(FIXED.to_owned(), watched.judge(cut));
        }
        let mut replay = Self {
            layers,
            tokens: trace.rows(),
            keep,
            ideal: Ideal::of_trace(trace, &oracle::ideal_exits(trace)),
            agreement_per_exit: agreement_per_exit(trace),
            gates,
            findings: vec![],
            notices,
            trace: trace.facts.clone(),
        };
        replay.findings = vec![replay.finding()];
        Ok(replay)
    }

    /// The shallowest gate beside the model cut off.
    fn finding(&self) -> String {
        let (name, gate) = shallowest(&self.gates);
        let keep = 100.0 * self.keep;
        let found = format!(
            "The shallowest gate that keeps {keep:.0} % of the tokens, {name}, leaves at {:.2} of {} layers on average",
            gate.average_exit, self.layers
        );
        match self.gates.get(FIXED) {
            None => format!(
                "{found}; cut off before the last layer for every token, the model keeps fewer."
            ),
            Some(cut) if cut.average_exit <= gate.average_exit => format!(
                "{found}; cutting the model off at exit {} for every token is the better answer: {:.2} layers on average.",
                cut.threshold, cut.average_exit
            ),
            Some(cut) => format!(
                "{found}; cut off at exit {} for every token the model keeps as much at {:.2}.",
                cut.threshold, cut.average_exit
            ),
        }
    }

    /// Writes `results.json`, the table as CSV and the page; returns the path of `report.html`.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        write_json(&folder.join("results.json"), self)?;
        let name = self.trace.model_name(1);
        let page = Page {
            title: format!("Early exits of {name} on {}", self.trace.task),
            findings: self.findings.clone(),
            notices: self.notices.clone(),
            tables: vec![table(self)],
            plots: plots_of(self, &name),
            sources: vec![(name.clone(), provenance(&self.trace))],
        };
        page.write_tables(folder)?;
        page.write(folder)
    }
}

/// What agreement is judged on.
fn context(forced: bool) -> &'static str {
    if forced {
        "gates are judged by agreement with the full model, each token on the gold text before it: what decoding makes of \
         its own errors is not seen here"
    } else {
        "gates are judged by agreement with the full model, each token on the full model's own text before it: errors \
         that grow while decoding are not seen here"
    }
}

/// Every gate, and the model cut off.
pub(crate) fn table(replay: &Replay) -> Table {
    let row = |(name, gate): (&String, &TokenGate)| [vec![Cell::text(name)], gate.cells()].concat();
    let forced = replay.trace.generation.as_ref().is_some_and(|facts| facts.teacher_forced);
    Table {
        file: "gates",
        title: format!("Gates that keep {:.0} % of the tokens that may leave", 100.0 * replay.keep),
        note: format!(
            "The exact best threshold of each gate, chosen on these very {} tokens; `fixed` cuts the model off at one exit for \
             all of them, its threshold. Here {}. Distance is the mean of |gate exit − ideal exit| in layers over tokens that \
             may leave, all but the first of a text; premature and late are the shares of them that leave before and \
             after it.",
            replay.tokens,
            context(forced)
        ),
        columns: columns(
            "gate | threshold | average exit | equal tokens | distance to ideal | premature | late",
        ),
        rows: replay.gates.iter().map(row).collect(),
    }
}

fn plots_of(replay: &Replay, name: &str) -> Vec<Plot> {
    let ideal =
        ideal_exits("ideal_exits".into(), "Ideal exits".into(), "tokens", &[(name, &replay.ideal)]);
    let agreement = [(name, replay.agreement_per_exit.as_slice())];
    vec![ideal, plots::agreement_per_exit("", agreement.into_iter())]
}

#[cfg(test)]
mod tests {
    use ee_decode::gates::GATES;
    use ee_decode::rule::OpenRule;

    use super::*;
    use crate::trace::sample;

    #[test]
    fn gates_of_text_agree_with_the_full_model_as_much_as_is_asked() {
        let trace = sample::generated(&[9; 40], 5, 4, 3);
        let replay = Replay::of_trace(&trace, 0.8, vec![]).unwrap();
        assert_eq!((replay.tokens, replay.layers), (360, 5));
        // As `recommend` finds thresholds.
        let watched = Watched::new(&trace, &[1, 2, 3, 4], 1).unwrap();
        for &gate in GATES {
            let found = &replay.gates[gate.name()];
            let kept = 1.0 - (1.0 - found.equal_share) * 360.0 / 320.0;
            assert!(kept >= 0.8 - 1e-9, "{}: {kept}", gate.name());
            if let Some(rule) = watched.keeping(OpenRule { gate, decays: false }, 0.8) {
                assert_eq!(&watched.judge(rule), found, "{}", gate.name());
            }
        }
        assert!(replay.notices[0].contains("full model's own text"), "{:?}", replay.notices);
        let page = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(replay.write(page.path()).unwrap()).unwrap();
        assert!(text.contains("agreement with the full model") && text.contains("fixed"), "{text}");
    }

    #[test]
    fn cutting_the_model_off_is_said_to_be_better_where_it_is() {
        // Every exit is as sure as can be; exit 2 is always right, exit 1 in one text of two.
        let rows: Vec<Vec<u32>> = (0..8).map(|row| vec![u32::from(row < 4), 1, 1, 1]).collect();
        let rows: Vec<&[u32]> = rows.iter().map(|row| &row[..]).collect();
        let mut trace = sample::as_text(sample::of_predictions(&rows, &[1; 8], 2), &[4, 4]);
        let replay = Replay::of_trace(&trace, 0.98, vec![]).unwrap();
        let fixed = &replay.gates["fixed"];
        // Six of eight tokens leave at exit 2.
        assert_eq!((fixed.threshold, fixed.average_exit, fixed.equal_share), (2.0, 2.5, 1.0));
        assert!(
            replay.findings[0].contains("cutting the model off at exit 2"),
            "{:?}",
            replay.findings
        );
        trace.facts.generation.as_mut().unwrap().teacher_forced = true;
        let replay = Replay::of_trace(&trace, 0.98, vec![]).unwrap();
        assert!(replay.notices[0].contains("gold text"), "{:?}", replay.notices);
    }
}
