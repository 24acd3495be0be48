//! The tables of a run file that say how it learns and how it is judged.

use ee_tasks::config::Section;
use ee_tasks::metrics::text;

use super::numbers::{above_zero, optional_above_zero, optional_size, size, within};
use super::{BatchConfig, ScheduleConfig, TrainingConfig, WarmUp, WritingConfig};
use crate::optimizer::AdamWConfig;
use crate::schedule::{SCHEDULES, ScheduleKind};

pub(super) fn optimizer(section: &Section<'_>) -> AdamWConfig {
    let below_one = |key, default| {
        within(section, key, default, |beta| (0.0..1.0).contains(&beta), "0 or more, below 1")
    };
    let not_negative =
        |key, default| within(section, key, default, |number| number >= 0.0, "0 or more");
    let positive = |key, default| within(section, key, default, |number| number > 0.0, "above 0");
    let default = AdamWConfig::default();
    AdamWConfig {
        learning_rate: positive("learning_rate", default.learning_rate),
        weight_decay: not_negative("weight_decay", default.weight_decay),
        decay_all: section.or("decay_all", default.decay_all),
        beta_1: below_one("beta_1", default.beta_1),
        beta_2: below_one("beta_2", default.beta_2),
        epsilon: positive("epsilon", default.epsilon),
        max_gradient_norm: not_negative("max_gradient_norm", default.max_gradient_norm),
    }
}

pub(super) fn schedule(section: &Section<'_>) -> ScheduleConfig {
    let kind = section.choice("kind", SCHEDULES, ScheduleKind::Linear);
    let steps = section.optional::<u64>("warm_up_steps");
    let ratio = section.optional::<f64>("warm_up_ratio");
    if let Some(ratio) = ratio
        && !(0.0..=1.0).contains(&ratio)
    {
        section.complain("warm_up_ratio", format!("expected a number 0 to 1, found {ratio}"));
    }
    if steps.is_some() && ratio.is_some() {
        section.complain("warm_up_ratio", "expected either warm_up_ratio or warm_up_steps");
    }
    let warm_up = match (steps, ratio) {
        (_, Some(ratio)) => WarmUp::Ratio(ratio),
        (steps, None) => WarmUp::Steps(steps.unwrap_or(0)),
    };
    let from = |rate: f64| rate >= 0.0 && rate.is_finite();
    let warm_up_from = within(section, "warm_up_from", 0.0, from, "0 or more");
    if warm_up_from != 0.0 && warm_up == WarmUp::Steps(0) {
        let message = "begins a warm-up, expected warm_up_steps or warm_up_ratio beside it";
        section.complain("warm_up_from", message);
    }
    if kind == ScheduleKind::InverseSqrt && !matches!(warm_up, WarmUp::Steps(1..)) {
        section.complain(
            "warm_up_steps",
            "the inverse square root starts after a warm-up, expected its steps, 1 or more",
        );
    }
    ScheduleConfig { kind, warm_up_from, warm_up }
}

pub(super) fn training(section: &Section<'_>) -> TrainingConfig {
    // Asked for only where it is written, so that it is never suggested.
    if section.has("recompute") && section.optional::<bool>("recompute").is_some() {
        section.complain("recompute", "is called `gradient_checkpointing`");
    }
    TrainingConfig {
        epochs: above_zero(section, "epochs", Some(3)),
        max_steps: optional_above_zero(section, "max_steps"),
        batch: batch(section),
        evaluation_batch: size(section, "evaluation_batch", Some(32)),
        evaluate_every_steps: optional_above_zero(section, "evaluate_every_steps"),
        patience: optional_above_zero(section, "patience"),
        checkpoint_every_steps: optional_above_zero(section, "checkpoint_every_steps"),
        label_smoothing: within(
            section,
            "label_smoothing",
            0.0,
            |share| (0.0..1.0).contains(&share),
            "0 or more, below 1",
        ),
        average_checkpoints: optional_size(section, "average_checkpoints"),
        watch_every_steps: optional_above_zero(section, "watch_every_steps"),
        gradient_checkpointing: section.or("gradient_checkpointing", false),
        shard_optimizer: section.or("shard_optimizer", false),
        sample_tokens: section.or("sample_tokens", 32),
    }
}

fn batch(section: &Section<'_>) -> BatchConfig {
    let tokens = optional_size(section, "batch_tokens");
    let batches_per_step = optional_size(section, "batches_per_step");
    let Some(batch_tokens) = tokens else {
        if batches_per_step.is_some() {
            let message = "counts batches by tokens, expected `batch_tokens` beside it";
            section.complain("batches_per_step", message);
        }
        let batch = size(section, "batch", Some(32));
        let micro_batch = size(section, "micro_batch", Some(batch));
        if micro_batch > batch {
            let message = format!("{micro_batch} rows exceed the batch of {batch}");
            section.complain("micro_batch", message);
        }
        return BatchConfig::Rows { batch, micro_batch };
    };
    for key in ["batch", "micro_batch"] {
        if section.optional::<usize>(key).is_some() {
            section.complain(key, "counts rows, expected either this or `batch_tokens`");
        }
    }
    BatchConfig::Tokens { batch_tokens, batches_per_step: batches_per_step.unwrap_or(1) }
}

/// The table `validation`, where it is written.
pub(super) fn writing(section: &Section<'_>) -> Option<WritingConfig> {
    let writing = WritingConfig {
        metric: match section.exists() {
            true => section.required("metric"),
            false => section.or("metric", String::new()),
        },
        beam: size(section, "beam", Some(1)),
        length_penalty: within(section, "length_penalty", 1.0, f64::is_finite, "that is finite"),
        max_length: max_length(section),
        batch: size(section, "batch", Some(32)),
        limit: optional_above_zero(section, "limit"),
    };
    if section.has("metric")
        && let Err(error) = text::by_name(&writing.metric, false)
    {
        section.complain("metric", error.to_string());
    }
    section.exists().then_some(writing)
}

/// `[a, b]`: a text has at most a · source + b tokens.
fn max_length(section: &Section<'_>) -> Option<[f64; 2]> {
    let numbers: Vec<f64> = section.optional("max_length")?;
    match numbers.as_slice() {
        &[a, b] if a >= 0.0 && b >= 0.0 && a + b > 0.0 && (a + b).is_finite() => Some([a, b]),
        _ => {
            let message = "expected two numbers, 0 or more, a and b of a · source + b tokens";
            section.complain("max_length", message);
            None
        }
    }
}
