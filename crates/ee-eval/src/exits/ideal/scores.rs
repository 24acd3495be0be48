//! The scores beside ideal exits: of labels from the trace, of texts from the statistics stored beside it.
//!
//! A score of texts is absent, never guessed, when the texts or a metric's statistics are: without the
//! permission to run programs, say, or in teacher-forced mode, where the model wrote no text.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ee_tasks::metrics::bootstrap_of;
use ee_tasks::metrics::text::{ScoreFunction, score_by_name};
use serde::{Deserialize, Serialize};

use super::Mode;
use super::length::Examples;
use crate::error::{EvalError, Result};
use crate::exits::constant::Constant;
use crate::exits::score::{BOOTSTRAP_SEED, Scorer};
use crate::trace::{MetricFacts, TextRecord, Trace, TraceFacts, read_texts, texts_path};

/// A metric's score at the last exit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricScore {
    pub(crate) name: String,
    pub(crate) signature: String,
    /// The score; none where it was not computed.
    pub(crate) score: Option<f64>,
    /// The bootstrap 95 % interval of the score, resampling examples.
    pub(crate) interval: Option<[f64; 2]>,
    /// Of labels, what the most frequent gold label scores when it is given to all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) constant: Option<f64>,
    pub(crate) examples: usize,
}

/// The score of a metric of texts, by name.
pub(super) type Find<'a> = &'a dyn Fn(&str) -> Result<ScoreFunction>;

/// The metrics of texts of this build.
pub(super) fn registered(name: &str) -> Result<ScoreFunction> {
    score_by_name(name)
        .map_err(|error| EvalError::Metric { name: name.to_owned(), reason: error.to_string() })
}

/// The scores of classifications; there is none without gold.
pub(super) fn of_labels(trace: &Trace) -> Result<Vec<MetricScore>> {
    if !trace.facts.has_gold {
        return Ok(Vec::new());
    }
    let layers = trace.layers();
    let scorers = Scorer::of_trace(trace)?;
    let constant = Constant::of_trace(trace, &scorers);
    let score = |scorer: &Scorer| {
        let interval = scorer.interval_of_exit(trace, layers);
        MetricScore {
            constant: constant.scores.get(scorer.name()).copied(),
            name: scorer.name().to_owned(),
            signature: scorer.signature(),
            score: Some(scorer.score_of_exit(trace, layers)),
            interval: Some([interval.low, interval.high]),
            examples: trace.rows(),
        }
    };
    Ok(scorers.iter().map(score).collect())
}

/// The texts beside the files of a trace; none, and a notice, where one is absent.
pub(super) fn texts_of(
    traces: &[PathBuf],
    examples: &Examples,
    notices: &mut Vec<String>,
) -> Result<Option<Vec<TextRecord>>> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for trace in traces {
        let path = texts_path(trace);
        if !path.exists() {
            notices.push(format!("{} is missing, and with it the scores", path.display()));
            return Ok(None);
        }
        let texts = read_texts(trace)?;
        let other = |reason| EvalError::Texts { path: path.clone(), reason };
        for text in &texts {
            let (example, rows) = (text.example, examples.tokens(text.example));
            if text.new_tokens != rows {
                let reason = format!(
                    "example {example} has {} new tokens here and {rows} in the trace",
                    text.new_tokens
                );
                return Err(other(reason));
            }
            if !seen.insert(example) {
                return Err(other(format!("example {example} stands twice")));
            }
        }
        all.extend(texts);
    }
    if let Some(example) = examples.numbers().find(|example| !seen.contains(example)) {
        let reason = format!("example {example} of the trace has no text");
        return Err(EvalError::Texts { path: texts_path(&traces[0]), reason });
    }
    Ok(Some(all))
}

/// The scores of texts: every metric of the facts, absent where there are no statistics.
pub(super) fn of_texts(
    facts: &TraceFacts,
    texts: Option<&[TextRecord]>,
    find: Find<'_>,
    notices: &mut Vec<String>,
) -> Result<Vec<MetricScore>> {
    let mut scores = Vec::new();
    for metric in &facts.metrics {
        let statistics: Vec<Vec<f64>> = texts
            .unwrap_or_default()
            .iter()
            .filter_map(|text| text.statistics.get(&metric.name).cloned())
            .collect();
        let (name, n) = (&metric.name, statistics.len());
        match texts.map(<[TextRecord]>::len) {
            Some(_) if n == 0 && Mode::of(facts) == Mode::Greedy => {
                notices.push(format!("{name} was not computed when the texts were made"));
            }
            Some(all) if 0 < n && n < all => {
                notices.push(format!("{name} was computed for {n} of {all} examples only"));
            }
            _ => {}
        }
        scores.push(of_statistics(metric, &statistics, find)?);
    }
    Ok(scores)
}

fn of_statistics(
    metric: &MetricFacts,
    statistics: &[Vec<f64>],
    find: Find<'_>,
) -> Result<MetricScore> {
    let MetricFacts { name, signature } = metric.clone();
    let Some(first) = statistics.first() else {
        return Ok(MetricScore {
            name,
            signature,
            score: None,
            interval: None,
            constant: None,
            examples: 0,
        });
    };
    let mut sum = vec![0.0; first.len()];
    for one in statistics {
        if one.len() != sum.len() {
            let reason = format!("its texts have {} and {} statistics", sum.len(), one.len());
            return Err(EvalError::Metric { name, reason });
        }
        sum.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
    }
    let score = find(&name)?;
    let interval = bootstrap_of(&score, statistics, BOOTSTRAP_SEED);
    Ok(MetricScore {
        score: Some(score(&sum)),
        interval: Some([interval.low, interval.high]),
        constant: None,
        examples: statistics.len(),
        name,
        signature,
    })
}
