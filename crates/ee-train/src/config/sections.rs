//! The tables of a run file, one reader each.

use std::path::{Path, PathBuf};

use ee_tasks::config::{FromValue, Section};

use super::{
    Lessons, LoraConfig, ModelConfig, ScheduleConfig, ScratchConfig, TaskConfig, TrainingConfig,
    WarmUp,
};
use crate::optimizer::AdamWConfig;
use crate::schedule::{SCHEDULES, ScheduleKind};

fn resolve(folder: &Path, path: PathBuf) -> PathBuf {
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

pub(super) fn model(section: &Section<'_>, folder: &Path) -> ModelConfig {
    const SIZES: [&str; 10] = [
        "tokenizer",
        "layers",
        "d_model",
        "heads",
        "kv_heads",
        "inner",
        "positions",
        "dropout",
        "tied_head",
        "initializer_range",
    ];
    let sizes: Vec<&str> = SIZES.into_iter().filter(|key| section.has(key)).collect();
    let path: Option<PathBuf> = section.optional("path");
    let new_head = section.or("new_head", false);
    let label_order: Option<Vec<String>> = section.optional("label_order");
    if new_head && label_order.is_some() {
        let message = "a new head has the task's order, expected new_head or label_order";
        section.complain("label_order", message);
    }
    for key in ["new_head", "label_order"] {
        if section.has(key) && !sizes.is_empty() {
            section.complain(key, "is said of a checkpoint's head; a new model's is new");
        }
    }
    let scratch = (!sizes.is_empty()).then(|| scratch(section, folder));
    // Asked for even where they are absent, so that they are suggested when a key is misspelt.
    for key in SIZES.into_iter().filter(|key| !section.has(key)) {
        let _: Option<String> = section.optional(key);
    }
    match (path, scratch) {
        (Some(path), None) => {
            ModelConfig::Checkpoint { path: resolve(folder, path), new_head, label_order }
        }
        (None, Some(scratch)) => ModelConfig::Scratch(scratch),
        (path, _) => {
            let message = match path {
                Some(_) => format!(
                    "a checkpoint has its own sizes, expected either path or the sizes of a new model ({})",
                    sizes.join(", ")
                ),
                None => format!(
                    "missing, expected a checkpoint folder (here or by --model), or the sizes of a new model ({})",
                    SIZES.join(", ")
                ),
            };
            section.complain("path", message);
            ModelConfig::Checkpoint { path: PathBuf::new(), new_head, label_order }
        }
    }
}

fn scratch(section: &Section<'_>, folder: &Path) -> ScratchConfig {
    let d_model = size(section, "d_model", None);
    let heads = size(section, "heads", Some((d_model / 64).max(1)));
    if !d_model.is_multiple_of(heads) {
        section.complain("heads", format!("{heads} heads do not divide d_model {d_model}"));
    }
    let kv_heads = optional_size(section, "kv_heads");
    if let Some(kv_heads) = kv_heads
        && !heads.is_multiple_of(kv_heads)
    {
        section.complain("kv_heads", format!("{kv_heads} do not divide {heads} heads"));
    }
    ScratchConfig {
        tokenizer: resolve(folder, section.required("tokenizer")),
        layers: size(section, "layers", None),
        d_model,
        heads,
        kv_heads,
        inner: optional_size(section, "inner"),
        positions: size(section, "positions", Some(128)),
        dropout: within(section, "dropout", 0.1, |p| (0.0..1.0).contains(&p), "0 or more, below 1"),
        tied_head: section.or("tied_head", true),
        initializer_range: within(
            section,
            "initializer_range",
            0.02,
            |deviation| deviation > 0.0,
            "above 0",
        ),
    }
}

pub(super) fn lora(section: &Section<'_>) -> Option<LoraConfig> {
    section.exists().then(|| {
        let default = LoraConfig::default();
        let rank = size(section, "rank", Some(default.rank));
        LoraConfig {
            rank,
            alpha: within(section, "alpha", 2.0 * rank as f64, |alpha| alpha > 0.0, "above 0"),
            targets: section.or("targets", default.targets),
        }
    })
}

pub(super) fn task(section: &Section<'_>, folder: &Path) -> TaskConfig {
    let data_dir = section.optional("data_dir").map(|path| resolve(folder, path));
    TaskConfig {
        lessons: lessons(section, folder, data_dir.as_deref()),
        data_dir,
        train_split: section.or("train_split", "train".to_owned()),
        validation_split: section.optional("validation_split"),
        max_length: size(section, "max_length", Some(128)),
        packing: section.or("packing", false),
        limit: optional_above_zero(section, "limit"),
        validation_limit: optional_above_zero(section, "validation_limit"),
    }
}

/// A task file, or files of running text in the data folder, else beside the run file.
fn lessons(section: &Section<'_>, folder: &Path, data_dir: Option<&Path>) -> Lessons {
    let texts = |key: &'static str| -> Vec<PathBuf> {
        let names: Vec<String> = section.or(key, Vec::new());
        let folder = data_dir.unwrap_or(folder);
        names.into_iter().map(|name| resolve(folder, name.into())).collect()
    };
    let (text, validation_text) = (texts("text"), texts("validation_text"));
    if text.is_empty() && validation_text.is_empty() {
        return Lessons::Task { file: resolve(folder, section.required("file")) };
    }
    if section.optional::<PathBuf>("file").is_some() {
        section.complain("file", "expected either a task file or files of text");
    }
    for (key, paths) in [("text", &text), ("validation_text", &validation_text)] {
        if paths.is_empty() {
            section.complain(key, "missing, expected files of text");
        }
    }
    Lessons::Text { text, validation_text }
}

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
    ScheduleConfig { kind, warm_up }
}

pub(super) fn training(section: &Section<'_>) -> TrainingConfig {
    let batch = size(section, "batch", Some(32));
    let micro_batch = size(section, "micro_batch", Some(batch));
    if micro_batch > batch {
        section.complain("micro_batch", format!("{micro_batch} rows exceed the batch of {batch}"));
    }
    // Asked for only where it is written, so that it is never suggested.
    if section.has("recompute") && section.optional::<bool>("recompute").is_some() {
        section.complain("recompute", "is called `gradient_checkpointing`");
    }
    TrainingConfig {
        epochs: above_zero(section, "epochs", Some(3)),
        max_steps: optional_above_zero(section, "max_steps"),
        batch,
        micro_batch,
        evaluation_batch: size(section, "evaluation_batch", Some(32)),
        evaluate_every_steps: optional_above_zero(section, "evaluate_every_steps"),
        patience: optional_above_zero(section, "patience"),
        checkpoint_every_steps: optional_above_zero(section, "checkpoint_every_steps"),
        watch_every_steps: optional_above_zero(section, "watch_every_steps"),
        gradient_checkpointing: section.or("gradient_checkpointing", false),
        shard_optimizer: section.or("shard_optimizer", false),
        sample_tokens: section.or("sample_tokens", 32),
    }
}

/// A whole number that cannot be 0; 1 stands in for a wrong one. Required where there is no default.
fn above_zero<T: FromValue + Default + PartialEq + From<u8>>(
    section: &Section<'_>,
    key: &'static str,
    default: Option<T>,
) -> T {
    let absent = !section.has(key);
    match (optional_above_zero(section, key), default) {
        (None, Some(default)) if absent => default,
        (None, None) if absent => section.required(key),
        (value, _) => value.unwrap_or_else(|| T::from(1)),
    }
}

/// As [`above_zero`], where absence has its own meaning.
fn optional_above_zero<T: FromValue + Default + PartialEq + From<u8>>(
    section: &Section<'_>,
    key: &'static str,
) -> Option<T> {
    let value: T = section.optional(key)?;
    if value == T::default() {
        section.complain(key, "expected a whole number above 0, found 0");
        return Some(T::from(1));
    }
    Some(value)
}

/// No width, length or number of rows is larger: products of two stay within 64 bits.
const LARGEST: usize = i32::MAX as usize;

/// [`above_zero`], of something that memory is allocated for.
fn size(section: &Section<'_>, key: &'static str, default: Option<usize>) -> usize {
    limited(section, key, above_zero(section, key, default))
}

/// [`optional_above_zero`], of something that memory is allocated for.
fn optional_size(section: &Section<'_>, key: &'static str) -> Option<usize> {
    optional_above_zero(section, key).map(|size| limited(section, key, size))
}

fn limited(section: &Section<'_>, key: &'static str, size: usize) -> usize {
    if size > LARGEST {
        section.complain(key, format!("expected at most {LARGEST}, found {size}"));
        return 1;
    }
    size
}

/// A number with a default and a range, described in words where it is violated.
fn within(
    section: &Section<'_>,
    key: &'static str,
    default: f64,
    holds: impl Fn(f64) -> bool,
    range: &str,
) -> f64 {
    let value = section.or(key, default);
    if !holds(value) {
        section.complain(key, format!("expected a number {range}, found {value}"));
    }
    value
}
