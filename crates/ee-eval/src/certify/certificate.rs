//! `certificate.json`: a rule, what is promised of it and for which weights, so that other commands run exactly what
//! was certified and refuse what was not.

use std::path::Path;

use ee_decode::gates::SetGate;
use serde::{Deserialize, Serialize};

use super::{Against, Best, Calibration, Point, Promised};
use crate::error::{EvalError, Result};
use crate::exits::score::Scorer;
use crate::gates::exits_on;
use crate::trace::Trace;

/// What a calibration calls the file.
pub(crate) const CERTIFICATE_FILE: &str = "certificate.json";
/// The version that this build writes and reads.
const FORMAT: u32 = 1;

/// A certificate as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// The file format's version, under a key that no other JSON file has.
    pub(crate) ee_certificate: u32,
    /// What is certified, with its figures; none where nothing is.
    pub(crate) best: Option<Best>,
    pub(crate) promised: Promised,
    pub(crate) checkpoint_sha256: String,
    pub(crate) model: String,
    pub(crate) task: String,
    pub(crate) split: String,
    /// Inputs were cut to this many tokens.
    pub(crate) max_length: usize,
    pub(crate) layers: usize,
    /// Whether the examples are generated texts, each judged on the full model's own context.
    pub(crate) is_text: bool,
    /// What would make the promise doubtful.
    pub(crate) notices: Vec<String>,
}

/// What a certified rule does on other examples of its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) rule: String,
    /// The risk that was promised at most.
    pub(crate) promised: f64,
    pub(crate) confidence: f64,
    /// Whether the examples are of the split that certified it, and so show nothing new.
    pub(crate) is_own_split: bool,
    pub(crate) found: Point,
    pub(crate) score: f64,
}

impl Certificate {
    /// What is certified, on the rows of a trace of labels.
    pub(crate) fn check(&self, path: &Path, trace: &Trace) -> Result<Checked> {
        let facts = &trace.facts;
        let rule = self.rule(path, &facts.checkpoint_sha256, Some(&facts.task))?;
        self.check_length(path, facts.max_length)?;
        let Promised { risk, confidence, against, .. } = self.promised;
        if against == Against::Gold && trace.gold.is_empty() {
            return Err(EvalError::NoGold { task: facts.task.clone() });
        }
        Ok(Checked {
            rule: rule.to_string(),
            promised: risk,
            confidence,
            is_own_split: facts.split == self.split,
            found: Point::of(trace, rule, against),
            score: Scorer::of_trace(trace)?[0].score_at(trace, &exits_on(rule, trace)),
        })
    }

    /// Refuses labels of inputs that are cut to another length than those that were certified.
    pub(crate) fn check_length(&self, path: &Path, max_length: usize) -> Result<()> {
        if max_length == self.max_length {
            return Ok(());
        }
        let reason = format!(
            "its inputs were cut to {} tokens, these to {max_length}: --max-length",
            self.max_length
        );
        Err(EvalError::Certificate { path: path.to_owned(), reason })
    }

    pub(crate) fn of(found: &Calibration) -> Self {
        let facts = &found.trace;
        Self {
            ee_certificate: FORMAT,
            best: found.best.clone(),
            promised: found.promised.clone(),
            checkpoint_sha256: facts.checkpoint_sha256.clone(),
            model: facts.model.clone(),
            task: facts.task.clone(),
            split: facts.split.clone(),
            max_length: facts.max_length,
            layers: found.layers,
            is_text: facts.generation.is_some(),
            notices: facts.chosen_here().into_iter().collect(),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(EvalError::read(path))?;
        let refused = |reason: String| EvalError::Certificate { path: path.to_owned(), reason };
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| refused(format!("it is not JSON: {error}")))?;
        match value.get("ee_certificate").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(refused(format!("its format is {format}, this build reads {FORMAT}")));
            }
            None => {
                let what =
                    format!("it is no certificate; `ee-eval calibrate` writes {CERTIFICATE_FILE}");
                return Err(refused(what));
            }
        }
        serde_json::from_value(value).map_err(|error| refused(error.to_string()))
    }

    /// What is certified, for a model of these weights on this task; says what is promised of it.
    pub(crate) fn rule(&self, path: &Path, checksum: &str, task: Option<&str>) -> Result<SetGate> {
        let refused = |reason: String| EvalError::Certificate { path: path.to_owned(), reason };
        let Some(Best { gate, certified, .. }) = &self.best else {
            return Err(refused("it certifies nothing: no line passed among all".to_owned()));
        };
        if self.checkpoint_sha256 != checksum {
            return Err(refused(format!(
                "it is for the weights {} of {}, these are {checksum}",
                self.checkpoint_sha256, self.model
            )));
        }
        if let Some(task) = task.filter(|&task| task != self.task) {
            return Err(refused(format!("it is for the task {}, this is {task}", self.task)));
        }
        let Promised { risk, confidence, n, .. } = &self.promised;
        ee_files::note!(
            "{}: {gate}:{}, certified for {} {}: risk at most {risk} with confidence {confidence}, by {n} examples",
            path.display(),
            certified.threshold,
            self.task,
            self.split,
        );
        for notice in &self.notices {
            ee_files::note!("notice: {notice}");
        }
        Ok(format!("{gate}:{}", certified.threshold).parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, calibrate, write};
    use super::*;
    use crate::trace::sample;

    #[test]
    fn what_is_certified_is_read_for_the_same_weights_and_task_alone() {
        let folder = tempfile::tempdir().unwrap();
        let request =
            Request { risk: 0.1, confidence: 0.9, against: Against::Full, keep: 0.98, seed: 1 };
        let trace = sample::random(900, 6, 2, 8);
        let found = calibrate(&trace, &request, vec![]).unwrap();
        write(&found, folder.path()).unwrap();
        let path = folder.path().join(CERTIFICATE_FILE);
        let read = Certificate::read(&path).unwrap();
        let best = found.best.unwrap();
        let (sum, task) = (&trace.facts.checkpoint_sha256, Some("sample"));
        let rule = read.rule(&path, sum, task).unwrap();
        assert_eq!(rule.to_string(), format!("{}:{}", best.gate, best.certified.threshold));
        assert_eq!(rule.threshold, best.certified.threshold);
        assert!(read.rule(&path, sum, None).is_ok());
        let message = |found: Result<SetGate>| found.unwrap_err().to_string();
        let other = message(read.rule(&path, &"11".repeat(32), task));
        assert!(other.contains("certificate.json") && other.contains("these are 1111"), "{other}");
        let longer = trace.facts.max_length + 1;
        assert!(read.check_length(&path, trace.facts.max_length).is_ok());
        let other = read.check_length(&path, longer).unwrap_err().to_string();
        assert!(other.contains(&format!("these to {longer}")), "{other}");
        let other = message(read.rule(&path, sum, Some("other")));
        assert!(other.contains("the task sample, this is other"), "{other}");
        // On all examples: those of both halves, which were looked at half by half before.
        let here = read.check(&path, &trace).unwrap();
        assert!(here.is_own_split && here.rule == rule.to_string(), "{here:?}");
        let risk = f64::midpoint(best.certified.risk, best.held_out.risk);
        assert!((here.found.risk - risk).abs() < 1e-12, "{here:?}");
        assert_eq!((here.promised, here.confidence), (0.1, 0.9));
        let none = Certificate { best: None, ..read };
        assert!(message(none.rule(&path, sum, task)).contains("certifies nothing"));
    }

    #[test]
    fn other_files_are_no_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let message = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Certificate::read(&path).unwrap_err().to_string()
        };
        assert!(message("{}").contains("c.json") && message("{}").contains("no certificate"));
        assert!(message("{\"ee_certificate\": 9}").contains("format is 9"));
        assert!(message("{\"ee_certificate\": 1}").contains("missing field"));
        assert!(message("hello").contains("not JSON"));
    }
}
