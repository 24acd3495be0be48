//! What can be typed to say which texts are continued, and how their tokens are chosen.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};
use ee_decode::generate::{Choice, Sampling};
use ee_models::checkpoint::Precision;

use super::values::{positive, share, weights};

/// Which texts a model continues.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("texts").required(true).multiple(true).args(["prompt", "prompts", "task"]))]
pub struct TextArguments {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// A text to continue; repeatable. An empty one begins with the checkpoint's first token.
    #[arg(long, value_name = "TEXT", conflicts_with = "task")]
    pub prompt: Vec<String>,
    /// A file of texts to continue, one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    pub prompts: Option<PathBuf>,
    /// A task of generated text whose prompts to continue, and whose metrics to compute.
    #[arg(long, value_name = "FILE")]
    pub task: Option<PathBuf>,
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR", requires = "task")]
    pub data_dir: Option<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME", requires = "task")]
    pub split: Option<String>,
    /// Only the first N examples.
    #[arg(long, value_name = "N", value_parser = positive, requires = "task")]
    pub limit: Option<usize>,
    /// New tokens per text [default: the task's, else 128].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// A text at which to end; repeatable.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,
    /// Cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
}

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, Args)]
pub struct SamplingArguments {
    /// Draw tokens at this temperature, above 0; without it the most probable one is taken.
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Draw from the K most probable tokens.
    #[arg(long, value_name = "K", value_parser = positive, requires = "temperature")]
    pub top_k: Option<usize>,
    /// Draw from the most probable tokens that together have this probability.
    #[arg(long, value_name = "P", value_parser = share, requires = "temperature")]
    pub top_p: Option<f64>,
    /// From which all draws follow [default: 0].
    #[arg(long, value_name = "N", requires = "temperature")]
    pub seed: Option<u64>,
}

impl SamplingArguments {
    /// How the model is to choose.
    #[must_use]
    pub fn choice(self) -> Choice {
        let Self { temperature, top_k, top_p, seed } = self;
        temperature.map_or(Choice::Greedy, |temperature| {
            Choice::Sample(Sampling { temperature, top_k, top_p, seed: seed.unwrap_or(0) })
        })
    }
}

/// `ee-eval generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// What to continue.
    #[command(flatten)]
    pub texts: TextArguments,
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Print the prompt before its continuation.
    #[arg(long)]
    pub show_prompt: bool,
    /// Run programs that the model wrote, each walled in, to score them.
    #[arg(long, requires = "task")]
    pub allow_code_execution: bool,
}

/// A number above 0.
fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a number above 0, e.g. 0.7".to_owned()),
    }
}
