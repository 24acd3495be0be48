//! What can be typed after `ee-eval recommend`.

use std::path::PathBuf;

use clap::Args;
use ee_models::checkpoint::Precision;

use super::values::{inside, positive, share, weights};

/// `ee-eval recommend`.
#[derive(Debug, Args)]
pub struct RecommendArguments {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A task of generated text.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// The model's trace of this task, or all its shards; by default one is made of the first examples.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub trace: Vec<PathBuf>,
    /// Trace the first N examples: one half chooses settings, the other tries them. To tell whether 98 % of the
    /// quality is kept takes about 200 texts that are not timed even where nothing is lost.
    #[arg(long, value_name = "N", default_value = "600", value_parser = positive, conflicts_with = "trace")]
    pub limit: usize,
    /// The share of the full model's quality to keep.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// How probable it must be that a recommended setting is faster and keeps this share, whichever of the settings
    /// that were thought of it is; and that all guaranteed thresholds keep this share of a text's tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = inside)]
    pub confidence: f64,
    /// The first N new tokens never leave; the first one never does.
    #[arg(long, value_name = "N", default_value = "4")]
    pub min_tokens: usize,
    /// New tokens per text; by default the task's.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// Try at most N settings live.
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    pub tries: usize,
    /// Time them on at most N examples of the other half, at even distances; quality is judged on all others.
    #[arg(long, value_name = "N", default_value = "24", value_parser = positive)]
    pub live_rows: usize,
    /// Timed rounds, each of plain decoding and every setting in turn.
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    pub rounds: usize,
    /// Which half of the examples chooses.
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,
    /// Cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// Format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// A folder for the trace, results.json, tables as CSV and a report.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
