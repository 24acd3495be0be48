//! The run file: what to train, on what, and how.
//!
//! It is checked whole, and all complaints come at once. Paths in it, and in `--set`, which writes a value into it, are
//! relative to the file's folder, so that a file works from anywhere; paths in flags are relative to the working
//! directory. What is resolved here is written into the run folder with absolute paths and can be run again as it stands.

mod learning;
mod numbers;
mod pairs;
mod sections;

use std::path::{Path, PathBuf};

use ee_models::arch::bert::BertSizes;
use ee_models::arch::llama::LlamaSizes;
use ee_models::checkpoint::Precision;
use ee_models::loss::{OBJECTIVES, Objective};
use ee_tasks::config::{ConfigError, Document};
use serde::Serialize;

use crate::optimizer::AdamWConfig;
use crate::schedule::ScheduleKind;

pub(crate) use self::pairs::{LearntConfig, PairConfig};

/// A run, resolved: every key has a value, every path is absolute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunConfig {
    pub(crate) objective: Objective,
    /// Decides data order, dropout and initialisation.
    pub(crate) seed: u64,
    /// `cpu`, `cuda:0`, … or several, `cuda:0,1,2,3`: each takes a part of every batch.
    pub(crate) device: String,
    /// Format of the weights computed with, of a decoder alone other than F32; the optimizer's numbers are F32.
    #[serde(serialize_with = "precision_name")]
    pub(crate) precision: Precision,
    pub(crate) model: ModelConfig,
    /// The tokenizer that is learnt for a new encoder-decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokenizer: Option<LearntConfig>,
    /// Trains low-rank additions to some matrices and nothing else (Hu et al. 2021); decoders alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lora: Option<LoraConfig>,
    pub(crate) task: TaskConfig,
    pub(crate) optimizer: AdamWConfig,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) training: TrainingConfig,
    /// How texts are written to choose the best checkpoint; without it, perplexity chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation: Option<WritingConfig>,
}

/// Where the model comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum ModelConfig {
    Checkpoint {
        path: PathBuf,
        /// Whether a classifier's head is drawn anew even if the checkpoint has one.
        #[serde(skip_serializing_if = "is_false")]
        new_head: bool,
        /// The task's labels in the order of the head's outputs, where its own names do not say.
        #[serde(skip_serializing_if = "Option::is_none")]
        label_order: Option<Vec<String>>,
    },
    Scratch(ScratchConfig),
    Pair(PairConfig),
}

impl ModelConfig {
    /// Where the tokenizer lies; `None` where it is to be learnt.
    pub(crate) fn tokenizer(&self) -> Option<&Path> {
        match self {
            Self::Checkpoint { path, .. } => Some(path),
            Self::Scratch(scratch) => Some(&scratch.tokenizer),
            Self::Pair(pair) => pair.tokenizer.as_deref(),
        }
    }
}

/// The shape of a model built from scratch; the task says whether it is a BERT or a Llama.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ScratchConfig {
    /// Folder of the tokenizer; its vocabulary sizes the embedding.
    pub(crate) tokenizer: PathBuf,
    pub(crate) layers: usize,
    pub(crate) d_model: usize,
    pub(crate) heads: usize,
    /// A Llama's heads of keys and values; divides `heads`. As many as heads if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kv_heads: Option<usize>,
    /// Width of the feed-forward network; if absent four times `d_model`, of a Llama 8/3 times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inner: Option<usize>,
    pub(crate) positions: usize,
    /// A BERT's dropout probability.
    pub(crate) dropout: f64,
    /// Whether a Llama's head is its embedding's table.
    pub(crate) tied_head: bool,
    pub(crate) initializer_range: f64,
}

/// Low-rank additions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LoraConfig {
    /// Rows of A, columns of B.
    pub(crate) rank: usize,
    /// The addition is B A times `alpha` / `rank`.
    pub(crate) alpha: f64,
    /// Which matrices, by the last part of their Hugging Face names.
    pub(crate) targets: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let targets = ["q_proj", "v_proj"].map(str::to_owned).to_vec();
        Self { rank: 8, alpha: 16.0, targets }
    }
}

/// What is learned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Lessons {
    /// A task: labels, or responses to prompts.
    Task { file: PathBuf },
    Text {
        /// Files to learn from; a blank line ends a document.
        text: Vec<PathBuf>,
        validation_text: Vec<PathBuf>,
    },
}

/// The task, its data and how much of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TaskConfig {
    #[serde(flatten)]
    pub(crate) lessons: Lessons,
    /// Where the task's files lie; without it, where the task file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) train_split: String,
    /// The split whose scores choose the best checkpoint; without it, the task's evaluation split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation_split: Option<String>,
    /// Longer inputs are cut to this many tokens, and running text into rows of it; pairs with a longer side are left
    /// out.
    pub(crate) max_length: usize,
    /// How many times as long as the other a side of a pair may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_ratio: Option<f64>,
    /// Whether short rows of text are joined up to `max_length`.
    pub(crate) packing: bool,
    /// Learn from the first examples alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Validate on the first examples alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validation_limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct ScheduleConfig {
    pub(crate) kind: ScheduleKind,
    /// The learning rate that the warm-up starts from.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) warm_up_from: f64,
    /// How the rate rises at first.
    #[serde(flatten)]
    pub(crate) warm_up: WarmUp,
}

/// How long the learning rate rises at first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum WarmUp {
    #[serde(rename = "warm_up_steps")]
    Steps(u64),
    /// This share of all steps, rounded up as `transformers` does.
    #[serde(rename = "warm_up_ratio")]
    Ratio(f64),
}

impl WarmUp {
    /// Steps of warm-up in a run of `total` steps.
    pub(crate) fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Ratio(ratio) => (ratio * total as f64).ceil() as u64,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct TrainingConfig {
    /// How often every example is visited.
    pub(crate) epochs: u64,
    /// Ends the run earlier, and the schedule with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_steps: Option<u64>,
    #[serde(flatten)]
    pub(crate) batch: BatchConfig,
    pub(crate) evaluation_batch: usize,
    /// Steps between validations; without it one follows each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evaluate_every_steps: Option<u64>,
    /// Validations in a row without a better score that end the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<u64>,
    /// Steps between checkpoints, beside the one that follows each validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_every_steps: Option<u64>,
    /// The share of the weight that labels give to the other outputs, ε: each of V − 1 gets ε / (V − 1), as in fairseq.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) label_smoothing: f64,
    /// How many of the last checkpoints that follow a validation are averaged when the run ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) average_checkpoints: Option<usize>,
    /// Steps between readings of the exits outside the objective, to watch them: a head of many
    /// tokens is expensive. Without it every step for labels, every tenth for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) watch_every_steps: Option<u64>,
    /// Whether a layer's activations are recomputed for its backward pass rather than kept.
    pub(crate) gradient_checkpointing: bool,
    /// Whether each of several devices keeps the optimizer's state of its share of the parameters alone.
    pub(crate) shard_optimizer: bool,
    /// New tokens of the samples that each validation of text shows; 0 shows none.
    pub(crate) sample_tokens: usize,
}

/// What a step learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum BatchConfig {
    Rows {
        batch: usize,
        /// Rows that travel through the model at once; fewer than `batch` save memory by accumulating
        /// gradients, and change the result by rounding alone (and by other dropout).
        micro_batch: usize,
    },
    /// Rows of like length.
    Tokens {
        /// Tokens that travel through the model at once, padding included; of pairs those of the longer side.
        batch_tokens: usize,
        /// Batches whose gradients are added up in a step: fairseq's `update-freq` times its devices.
        batches_per_step: usize,
    },
}

/// How texts are written at each validation, and scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct WritingConfig {
    /// A metric of texts.
    pub(crate) metric: String,
    /// Beams; 1 is greedy.
    pub(crate) beam: usize,
    /// Scores are divided by the length to this power.
    pub(crate) length_penalty: f64,
    /// a and b of the longest text, a · source + b tokens; without it, the task's `max_new_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_length: Option<[f64; 2]>,
    /// Prompts that are read at once.
    pub(crate) batch: usize,
    /// Write about the first examples alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
}

/// What the command line says beside the run file; absolute paths.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--joint`
    pub joint: bool,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
    /// `--device`
    pub device: Option<String>,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--model`
    pub model: Option<PathBuf>,
    /// `--new-head`
    pub new_head: bool,
}

impl RunConfig {
    /// Reads a run file, the flags written over it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut document = Document::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        overrides.write_into(&mut document);
        let root = document.root();
        let objectives: Vec<_> = OBJECTIVES.iter().map(|each| (each.name, *each)).collect();
        let config = Self {
            objective: root.choice("objective", &objectives, OBJECTIVES[0]),
            seed: root.or("seed", 42),
            device: root.or("device", "cpu".to_owned()),
            model: sections::model(&root.section("model"), folder),
            tokenizer: pairs::learnt(&root.section("tokenizer")),
            precision: root.choice(
                "precision",
                &[("f32", Precision::F32), ("bf16", Precision::Bf16)],
                Precision::F32,
            ),
            lora: sections::lora(&root.section("lora")),
            task: sections::task(&root.section("task"), folder),
            optimizer: learning::optimizer(&root.section("optimizer")),
            schedule: learning::schedule(&root.section("schedule")),
            training: learning::training(&root.section("training")),
            validation: learning::writing(&root.section("validation")),
        };
        pairs::check(&root, &config.model, config.tokenizer.as_ref());
        document.finish()?;
        Ok(config)
    }

    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a table of numbers and strings")
    }
}

impl Overrides {
    fn write_into(&self, document: &mut Document) {
        self.set.iter().for_each(|assignment| document.set(assignment));
        let mut set = |key: &str, value: toml::Value| document.set(&format!("{key}={value}"));
        let path = |path: &Path| toml::Value::String(path.display().to_string());
        if self.joint {
            set("objective", Objective::JOINT.name.into());
        }
        if let Some(device) = &self.device {
            set("device", device.as_str().into());
        }
        if let Some(seed) = self.seed {
            set("seed", toml::Value::Integer(seed as i64));
        }
        if let Some(data_dir) = &self.data_dir {
            set("task.data_dir", path(data_dir));
        }
        if let Some(model) = &self.model {
            set("model.path", path(model));
        }
        if self.new_head {
            set("model.new_head", true.into());
        }
    }
}

impl ScratchConfig {
    /// The sizes of a BERT, together with those of the vocabulary.
    pub(crate) fn bert(&self, vocabulary: usize) -> BertSizes {
        let Self { layers, d_model, heads, positions, dropout, initializer_range, .. } = *self;
        let inner = self.inner.unwrap_or(4 * d_model);
        BertSizes {
            vocabulary,
            d_model,
            layers,
            heads,
            inner,
            positions,
            dropout,
            initializer_range,
        }
    }

    /// The sizes of a Llama, together with those of the vocabulary.
    pub(crate) fn llama(&self, vocabulary: usize) -> LlamaSizes {
        let Self { layers, d_model, heads, positions, .. } = *self;
        let kv_heads = self.kv_heads.unwrap_or(heads);
        // Three matrices of 8/3 have as many numbers as two of 4; Llama's own are multiples of 256.
        let inner = self.inner.unwrap_or((8 * d_model).div_ceil(3).next_multiple_of(16));
        LlamaSizes { vocabulary, d_model, layers, heads, kv_heads, inner, positions }
    }
}

fn resolve(folder: &Path, path: PathBuf) -> PathBuf {
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn precision_name<S: serde::Serializer>(
    precision: &Precision,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *precision == Precision::Bf16 { "bf16" } else { "f32" })
}

#[cfg(test)]
mod tests;
