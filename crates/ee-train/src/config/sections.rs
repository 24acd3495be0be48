//! The tables of a run file that say what is trained, one reader each.

use std::path::{Path, PathBuf};

use ee_tasks::config::Section;

use super::numbers::{optional_above_zero, optional_size, size, within};
use super::{Lessons, LoraConfig, ModelConfig, ScratchConfig, TaskConfig};
use super::{pairs, resolve};

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
    let known = || SIZES.into_iter().chain(pairs::KEYS);
    let sizes: Vec<&str> = known().filter(|key| section.has(key)).collect();
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
    let scratch =
        (!sizes.is_empty()).then(|| match pairs::KEYS.iter().any(|key| section.has(key)) {
            true => ModelConfig::Pair(pairs::pair(section, folder)),
            false => ModelConfig::Scratch(scratch(section, folder)),
        });
    // Asked for even where they are absent, so that they are suggested when a key is misspelt.
    for key in known().filter(|key| !section.has(key)) {
        let _: Option<String> = section.optional(key);
    }
    match (path, scratch) {
        (Some(path), None) => {
            ModelConfig::Checkpoint { path: resolve(folder, path), new_head, label_order }
        }
        (None, Some(scratch)) => scratch,
        (path, _) => {
            let message = match path {
                Some(_) => format!(
                    "a checkpoint has its own sizes, expected either path or the sizes of a new model ({})",
                    sizes.join(", ")
                ),
                None => format!(
                    "missing, expected a checkpoint folder (here or by --model), or the sizes of a new model ({}, or of an encoder-decoder {})",
                    SIZES.join(", "),
                    pairs::KEYS.join(", ")
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
        max_ratio: max_ratio(section),
        packing: section.or("packing", false),
        limit: optional_above_zero(section, "limit"),
        validation_limit: optional_above_zero(section, "validation_limit"),
    }
}

fn max_ratio(section: &Section<'_>) -> Option<f64> {
    let ratio = section.optional::<f64>("max_ratio");
    let message = "expected 1 or more: how many times as long as the other a side may be";
    section.require("max_ratio", ratio.is_none_or(|ratio| ratio >= 1.0), message);
    ratio
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
