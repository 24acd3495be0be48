//! Small random traces for tests: label-consistent signals from random logits.

use ee_models::signal::{agreement, signal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::columns::ExitColumns;
use super::facts::{FORMAT, GenerationFacts, MetricFacts, TraceFacts};
use super::record::Trace;
use crate::trace::TextRecord;

pub(crate) fn facts(rows: usize, layers: usize, labels: usize) -> TraceFacts {
    let accuracy = ee_tasks::metrics::by_name("accuracy", labels).unwrap();
    TraceFacts {
        format: FORMAT,
        model: "runs/sample".to_owned(),
        checkpoint_sha256: "00".repeat(32),
        architecture: "bert".to_owned(),
        task: "sample".to_owned(),
        split: "validation".to_owned(),
        has_gold: true,
        labels: (0..labels).map(|label| format!("label_{label}")).collect(),
        metrics: vec![MetricFacts { name: "accuracy".to_owned(), signature: accuracy.signature() }],
        layers,
        rows,
        examples: rows,
        batch: 32,
        max_length: 128,
        device: "cpu".to_owned(),
        seconds: 1.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..TraceFacts::default()
    }
}

/// A trace of random logits that grow with depth and, on coarse values, often tie.
pub(crate) fn random(rows: usize, layers: usize, labels: usize, seed: u64) -> Trace {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut columns = ExitColumns::default();
    let mut gold = Vec::new();
    for _ in 0..rows {
        let right = random.random_range(0..labels);
        gold.push(right as u32);
        let exits: Vec<Vec<f32>> = (1..=layers)
            .map(|depth| {
                let mut logits: Vec<f32> =
                    (0..labels).map(|_| random.random_range(-4..=4) as f32 / 2.0).collect();
                logits[right] += depth as f32 / layers as f32 * 2.0;
                logits
            })
            .collect();
        let last = signal(&exits[layers - 1]).prediction;
        for logits in &exits {
            columns.push(signal(logits), agreement(logits, last));
        }
    }
    Trace {
        facts: facts(rows, layers, labels),
        example: (0..rows as u32).collect(),
        position: vec![0; rows],
        gold,
        prompt_tokens: vec![],
        signals: columns,
    }
}

/// A trace of two labels, its logits not round; the surer an exit is, the more often it agrees with the last one.
pub(crate) fn continuous(rows: usize, layers: usize, seed: u64) -> Trace {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut columns = ExitColumns::default();
    for _ in 0..rows {
        let truth = 6.0 * random.random::<f32>() - 3.0;
        let exits: Vec<[f32; 2]> =
            (0..layers).map(|_| [0.0, truth + 2.0 * random.random::<f32>() - 1.0]).collect();
        let last = signal(&exits[layers - 1]).prediction;
        exits.iter().for_each(|logits| columns.push(signal(logits), agreement(logits, last)));
    }
    let mut trace = self::random(rows, layers, 2, seed);
    trace.signals = columns;
    trace
}

/// A random trace of generated text, see [`as_text`].
pub(crate) fn generated(lengths: &[u32], layers: usize, vocabulary: usize, seed: u64) -> Trace {
    let rows = lengths.iter().sum::<u32>() as usize;
    let mut trace = as_text(random(rows, layers, vocabulary, seed), lengths);
    trace.gold = (0..rows).map(|row| trace.prediction(row, layers)).collect();
    trace
}

/// The rows of a trace as new tokens: examples of this many each, the first with a prompt of 10 tokens,
/// the next of 11.
pub(crate) fn as_text(mut trace: Trace, lengths: &[u32]) -> Trace {
    trace.facts.generation = Some(GenerationFacts {
        teacher_forced: false,
        vocabulary: trace.facts.labels.len(),
        max_new_tokens: 100,
        weights: "f32".to_owned(),
        truncated: 0,
        encoder_layers: None,
    });
    trace.facts.labels.clear();
    trace.facts.metrics.clear();
    trace.facts.examples = lengths.len();
    let per_row = |value: &dyn Fn(u32, u32) -> u32| -> Vec<u32> {
        let of_example = |(example, &n): (u32, &u32)| {
            (0..n).map(|position| value(example, position)).collect::<Vec<_>>()
        };
        (0_u32..).zip(lengths).flat_map(of_example).collect()
    };
    trace.example = per_row(&|example, _| example);
    trace.position = per_row(&|_, position| position);
    trace.prompt_tokens = per_row(&|example, _| 10 + example);
    trace
}

/// The text of an example with a prompt of 10 + `example` tokens; ends by itself.
pub(crate) fn text(example: u32, new_tokens: usize, statistics: &[(&str, &[f64])]) -> TextRecord {
    TextRecord {
        example,
        prompt: format!("Question {example}\nAnswer:"),
        prediction: "maybe".to_owned(),
        references: vec!["yes".to_owned()],
        prompt_tokens: 10 + example as usize,
        new_tokens,
        ended: true,
        statistics: statistics
            .iter()
            .map(|(name, numbers)| ((*name).to_owned(), numbers.to_vec()))
            .collect(),
    }
}

/// A trace with the given predictions per row and exit; every signal is as sure as can be, and the last exit's label
/// comes second where it is not the exit's own.
pub(crate) fn of_predictions(predictions: &[&[u32]], gold: &[u32], labels: usize) -> Trace {
    let (rows, layers) = (predictions.len(), predictions[0].len());
    let mut signals = ExitColumns::default();
    for row in predictions {
        let last = row[layers - 1];
        for &label in *row {
            let mut logits = vec![0.0; labels];
            logits[last as usize] = 1.0;
            logits[label as usize] = 1e30;
            signals.push(signal(&logits), agreement(&logits, last));
        }
    }
    Trace {
        facts: facts(rows, layers, labels),
        example: (0..rows as u32).collect(),
        position: vec![0; rows],
        gold: gold.to_vec(),
        prompt_tokens: vec![],
        signals,
    }
}
