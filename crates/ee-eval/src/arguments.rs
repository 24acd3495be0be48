//! What can be typed.

mod bench;
mod calibrate;
mod decode;
mod recommend;
mod speculate;
mod texts;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use ee_models::checkpoint::Precision;

pub use self::bench::{
    Bench, BenchArguments, DecodeBenchArguments, DecoderSizes, DecoderTraceArguments,
    EncoderTraceArguments, ExitsBenchArguments, PromiseBenchArguments, SpeculateBenchArguments,
};
pub use self::calibrate::CalibrateArguments;
pub use self::decode::DecodeArguments;
pub use self::recommend::RecommendArguments;
pub use self::speculate::{DraftArguments, SpeculateArguments};
pub use self::texts::{GenerateArguments, SamplingArguments, TextArguments};
use crate::speed::Timed;
use crate::trace::Shard;

/// Measures early exits of Transformers: what every layer already knows, which gates find it, and what
/// that is worth on the clock.
#[derive(Debug, Parser)]
#[command(name = "ee-eval", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a model over a task once and keep the signals of every exit.
    Trace(TraceArguments),
    /// Continue a prompt, or those of a task, and print the text as it comes.
    Generate(GenerateArguments),
    /// Decode with early exit that takes effect, beside plain decoding. Texts may change: it is not lossless.
    Decode(DecodeArguments),
    /// Decode in rounds of drafting and verifying, beside plain decoding. Lossless: the texts stay the same.
    Speculate(SpeculateArguments),
    /// Ideal exits and scores of one or many traces in one table; needs no model.
    Ideal(IdealArguments),
    /// Ideal exits, and every gate at its exact best threshold, from a trace; needs no model.
    Gates(GatesArguments),
    /// Thresholds of every gate with a guaranteed risk, from a trace; needs no model.
    Calibrate(CalibrateArguments),
    /// Run gates for real and time them against the full model.
    Speed(SpeedArguments),
    /// All of the above for several checkpoints, in one report.
    Compare(CompareArguments),
    /// Which way of decoding to use for a model and a task, measured, or none.
    Recommend(RecommendArguments),
    /// Time the building blocks on random weights.
    Bench(BenchArguments),
}

/// Which examples, on which device.
#[derive(Debug, Args)]
pub struct ExampleArguments {
    /// The task's TOML file.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Where the task's files lie; by default what the task file says.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Only the first N examples.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Inputs are cut to N tokens, special tokens included.
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive)]
    pub max_length: usize,
    /// Classification: the task's labels in the order of the head's outputs, for a checkpoint whose labels
    /// have no names, or other ones than the task's.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    pub label_order: Vec<String>,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
}

impl ExampleArguments {
    /// What is stated of the head's order.
    #[must_use]
    pub fn label_order(&self) -> Option<&[String]> {
        (!self.label_order.is_empty()).then_some(self.label_order.as_slice())
    }
}

/// `ee-eval trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The task's TOML file; repeatable for tasks of generated text.
    #[arg(long, value_name = "FILE", required = true)]
    pub task: Vec<PathBuf>,
    /// Where the task's files lie; by default what the task file says. With several tasks once for all, or
    /// once for each in their order.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Vec<PathBuf>,
    /// The split; by default the task's own for evaluation.
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Only the first N examples.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Classification: inputs are cut to N tokens, special tokens included.
    #[arg(long, value_name = "N", default_value = "128", value_parser = positive)]
    pub max_length: usize,
    /// Classification: the task's labels in the order of the head's outputs, for a checkpoint whose labels
    /// have no names, or other ones than the task's.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    pub label_order: Vec<String>,
    /// Examples per batch [default: 32, for generated text 8].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Only part i of n (i from 1): example e, from 0, belongs to part e mod n + 1.
    #[arg(long, value_name = "i/n", default_value = "1/1")]
    pub shard: Shard,
    /// Generated text: give the model the gold answer rather than let it write its own.
    #[arg(long)]
    pub teacher_forced: bool,
    /// Generated text: new tokens per example; by default the task's.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// Generated text: cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Generated text: run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// Generated text: format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
    /// The Parquet file to write; with several tasks the folder.
    #[arg(long, value_name = "PATH")]
    pub output: PathBuf,
}

impl TraceArguments {
    /// Which examples of the task at place `index`.
    #[must_use]
    pub fn examples(&self, index: usize) -> ExampleArguments {
        ExampleArguments {
            task: self.task[index].clone(),
            data_dir: self.data_dir(index).map(Path::to_owned),
            split: self.split.clone(),
            limit: self.limit,
            max_length: self.max_length,
            label_order: self.label_order.clone(),
            device: self.device.clone(),
        }
    }

    /// Where the files of the task at place `index` lie.
    #[must_use]
    pub fn data_dir(&self, index: usize) -> Option<&Path> {
        let index = if self.data_dir.len() == 1 { 0 } else { index };
        self.data_dir.get(index).map(PathBuf::as_path)
    }
}

/// `ee-eval ideal`.
#[derive(Debug, Args)]
pub struct IdealArguments {
    /// Traces of any models and tasks; shards of one run are merged.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub trace: Vec<PathBuf>,
    /// A folder for results, the table as CSV, and a report with plots.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// `ee-eval gates`.
#[derive(Debug, Args)]
pub struct GatesArguments {
    /// One trace, or all shards of one.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub trace: Vec<PathBuf>,
    /// The share of the full score that a gate has to keep; of generated text the share of its tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// A `certificate.json` of `ee-eval calibrate` for these very weights and this task, to see what it certifies do
    /// here; repeatable.
    #[arg(long, value_name = "FILE")]
    pub certificate: Vec<PathBuf>,
    /// The folder to write results and reports to.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

/// `ee-eval speed`.
#[derive(Debug, Args)]
pub struct SpeedArguments {
    /// The checkpoint's folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Which examples.
    #[command(flatten)]
    pub examples: ExampleArguments,
    /// `ideal`, `fixed:D` (every row to exit D), or a gate with its threshold: confidence:T, entropy:T, margin:T,
    /// patience:K; repeatable.
    #[arg(long, value_name = "GATE", required_unless_present = "certificate")]
    pub gate: Vec<Timed>,
    /// What a `certificate.json` of `ee-eval calibrate` certifies for these very weights and this task; repeatable.
    #[arg(long, value_name = "FILE")]
    pub certificate: Vec<PathBuf>,
    /// Examples per batch; repeatable.
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub batch: Vec<usize>,
    /// Timed rounds, each one full and one gated run; 3 are the least that show a range.
    #[arg(long, value_name = "N", default_value = "5", value_parser = positive)]
    pub rounds: usize,
    /// The trace whose exits `ideal` takes; by default one is made first.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub trace: Vec<PathBuf>,
    /// A folder for results.json and speed.csv.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// `ee-eval compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// A checkpoint with the name that the report gives it; the first is what the others are compared with.
    #[arg(long, value_name = "NAME=DIR", required = true)]
    pub model: Vec<NamedModel>,
    /// Which examples.
    #[command(flatten)]
    pub examples: ExampleArguments,
    /// Examples per batch of the trace [default: 32, for generated text 8].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// The share of the full score that a gate has to keep; of generated text the share of its tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// Batch sizes at which speed is measured, of generated text one [default: 1,32, for generated text 1].
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub speed_batch: Vec<usize>,
    /// Speed is measured on at most N examples at even distances [default: 256, for generated text 24].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub speed_rows: Option<usize>,
    /// Timed rounds [default: 5, for generated text 3].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rounds: Option<usize>,
    /// Generated text: the first N new tokens never leave; the first one never does.
    #[arg(long, value_name = "N", default_value = "4")]
    pub min_tokens: usize,
    /// Generated text: new tokens per example; by default the task's.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// Generated text: cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Generated text: run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// Generated text: format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The folder to write traces, results and reports to.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

/// A checkpoint with a name, typed `name=folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    /// What the report calls it.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl FromStr for NamedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
                Ok(Self { name: name.to_owned(), folder: folder.into() })
            }
            _ => Err("expected NAME=DIR, e.g. plain=runs/plain".to_owned()),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("expected i/n with i from 1 to n, e.g. 1/4".to_owned()),
        }
    }
}

/// A whole number from 1.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}

/// A format of weights.
fn weights(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        "bf16" => Ok(Precision::Bf16),
        "stored" => Ok(Precision::Stored),
        _ => Err("expected stored, f32, f16 or bf16".to_owned()),
    }
}

/// A share above 0 and at most 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a share above 0 and at most 1, e.g. 0.98".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::rules;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_gate() {
        let mut command = Arguments::command();
        let speed = command.find_subcommand_mut("speed").unwrap();
        let help = speed.render_long_help().to_string();
        for gate in rules() {
            assert!(help.contains(&format!("{}:", gate.name())), "{}", gate.name());
        }
    }

    #[test]
    fn shards_count_from_one() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for text in ["0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_asked_of_nothing() {
        let parse = |limit: &str| {
            let words = [
                "ee-eval", "trace", "--model", "m", "--task", "t", "--output", "o", "--limit",
                limit,
            ];
            Arguments::try_parse_from(words)
        };
        assert!(parse("1").is_ok());
        assert!(parse("0").unwrap_err().to_string().contains("from 1"));
    }
}
