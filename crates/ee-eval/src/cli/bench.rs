//! What can be typed after `ee-eval bench`.

use clap::{Args, Subcommand};
use ee_models::checkpoint::Precision;

use super::DraftArguments;
use super::values::{inside, positive, share, weights};
use crate::bench;

/// `ee-eval bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to time.
    #[command(subcommand)]
    pub what: Bench,
}

/// The benchmarks.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Tracing batches with an encoder of random weights and two labels; prints one JSON line.
    EncoderTrace(EncoderTraceArguments),
    /// Tracing whole texts with a Llama of random weights, every exit at every token; prints one JSON line.
    DecoderTrace(DecoderTraceArguments),
    /// Decoding with a Llama of random weights, token by token; prints one JSON line.
    Decode(DecodeBenchArguments),
    /// Decoding with a Llama of random weights whose tokens leave early, against what the parts that it runs
    /// take alone; prints one JSON line.
    Exits(ExitsBenchArguments),
    /// Self-speculation beside plain decoding with a Llama of random weights whose layers above the draft exit
    /// change little; prints one JSON line.
    Speculate(SpeculateBenchArguments),
    /// How often what `recommend` recommends in made-up worlds is what it is said to be; prints one JSON line.
    Promise(PromiseBenchArguments),
}

/// `ee-eval bench promise`.
#[derive(Debug, Args)]
pub struct PromiseBenchArguments {
    /// Recommendations in each world.
    #[arg(long, default_value = "500", value_parser = positive)]
    pub runs: usize,
    /// The share of the full model's quality to keep.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// Of the promise.
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = inside)]
    pub confidence: f64,
    /// Texts that each recommendation rests on; one half chooses, the other tries.
    #[arg(long, value_name = "N", default_value = "600", value_parser = positive)]
    pub texts: usize,
    /// Settings that are tried.
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    pub tries: usize,
}

/// A Llama of random weights.
#[derive(Debug, Args)]
pub struct DecoderSizes {
    /// Layers.
    #[arg(long, default_value = "12", value_parser = positive)]
    pub layers: usize,
    /// Width of the hidden state; heads have 64 columns.
    #[arg(long, default_value = "768", value_parser = positive)]
    pub dim: usize,
    /// Width of the feed-forward network.
    #[arg(long, default_value = "2048", value_parser = positive)]
    pub inner: usize,
    /// Heads of keys and values; by default as many as of queries.
    #[arg(long, value_parser = positive)]
    pub kv_heads: Option<usize>,
    /// Entries of the vocabulary.
    #[arg(long, default_value = "32000", value_parser = positive)]
    pub vocab: usize,
    /// Format of the weights in memory: f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = weights)]
    pub weights: Precision,
    /// The device: cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
}

/// `ee-eval bench decoder-trace`.
#[derive(Debug, Args)]
pub struct DecoderTraceArguments {
    /// The model.
    #[command(flatten)]
    pub sizes: DecoderSizes,
    /// Tokens per text.
    #[arg(long, default_value = "128", value_parser = positive)]
    pub seq: usize,
    /// Texts per batch.
    #[arg(long, default_value = "4", value_parser = positive)]
    pub batch: usize,
    /// Timed steps; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    pub steps: usize,
}

/// `ee-eval bench decode`.
#[derive(Debug, Args)]
pub struct DecodeBenchArguments {
    /// The model.
    #[command(flatten)]
    pub sizes: DecoderSizes,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    pub prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "32", value_parser = positive)]
    pub new: usize,
    /// Timed rounds; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    pub steps: usize,
    /// Give the time with every exit recorded (the ratio of both is given anyway).
    #[arg(long)]
    pub record: bool,
}

/// `ee-eval bench exits`.
#[derive(Debug, Args)]
pub struct ExitsBenchArguments {
    /// The model.
    #[command(flatten)]
    pub sizes: DecoderSizes,
    /// The exit at which every new token but the first leaves, its keys and values projected from there.
    #[arg(long, value_name = "D", default_value = "6", value_parser = positive)]
    pub exit: usize,
    /// Outputs that the pruned head scores at later exits.
    #[arg(long, value_name = "K", default_value = "64", value_parser = positive)]
    pub pruned: usize,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    pub prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "32", value_parser = positive)]
    pub new: usize,
    /// Timed rounds; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    pub steps: usize,
}

/// `ee-eval bench speculate`.
#[derive(Debug, Args)]
pub struct SpeculateBenchArguments {
    /// The model.
    #[command(flatten)]
    pub sizes: DecoderSizes,
    /// How to draft.
    #[command(flatten)]
    pub draft: DraftArguments,
    /// With --adaptive, the exit above which layers change little.
    #[arg(long, value_name = "E", default_value = "4", value_parser = positive)]
    pub agreeing_exit: usize,
    /// How often the draft exit's token should be the last exit's; what it is in the end is measured.
    #[arg(long, value_name = "SHARE", default_value = "0.8", value_parser = share)]
    pub agreement: f64,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    pub prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "64", value_parser = positive)]
    pub new: usize,
    /// Texts per batch.
    #[arg(long, default_value = "1", value_parser = positive)]
    pub batch: usize,
    /// Timed rounds of both ways; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    pub steps: usize,
}

/// `ee-eval bench encoder-trace`.
#[derive(Debug, Args)]
pub struct EncoderTraceArguments {
    /// Layers.
    #[arg(long, default_value = "12", value_parser = positive)]
    pub layers: usize,
    /// Width of the hidden state.
    #[arg(long, default_value = "768", value_parser = positive)]
    pub dim: usize,
    /// Tokens per example.
    #[arg(long, default_value = "128", value_parser = positive)]
    pub seq: usize,
    /// Examples per batch.
    #[arg(long, default_value = "8", value_parser = positive)]
    pub batch: usize,
    /// Entries of the vocabulary.
    #[arg(long, default_value = "30522", value_parser = positive)]
    pub vocab: usize,
    /// Timed steps; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    pub steps: usize,
    /// Accepted for the flags to be those of `ee-train bench`; a trace reads every exit anyway.
    #[arg(long)]
    pub joint: bool,
    /// Threads are the backend's; the device is cpu, cuda:0, …
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub device: String,
}

/// Prints the line of a benchmark.
pub(super) fn run(flags: &BenchArguments) -> anyhow::Result<()> {
    let line = match &flags.what {
        Bench::EncoderTrace(flags) => bench::encoder_trace(flags)?,
        Bench::DecoderTrace(flags) => bench::decoder_trace(flags)?,
        Bench::Decode(flags) => bench::decode(flags)?,
        Bench::Exits(flags) => bench::exits(flags)?,
        Bench::Speculate(flags) => bench::speculate(flags)?,
        Bench::Promise(flags) => bench::promise(flags)?,
    };
    ee_files::say!("{line}");
    Ok(())
}
