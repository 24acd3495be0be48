//! `ee-eval bench`: the cost of building blocks on random weights, each as one line of JSON to be compared with
//! other programs.

mod decoder;
mod encoder;
mod exits;
mod promise;
mod speculate;
mod translate;

use clap::{Args, Subcommand};
use ee_models::arch::llama::{LLAMA, LlamaConfig, LlamaSizes, Loaded, random};
use ee_models::checkpoint::Precision;
use ee_models::device::device;
use serde_json::{Value, json};

use super::groups::Device;
use super::values::{positive, weights};
use crate::error::Result;

/// The seed of weights and tokens.
const SEED: u64 = 0;

/// Small random weights, whatever the sizes.
const FINITE: &str = "small random weights give finite logits";

/// `ee-eval bench`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// What to time.
    #[command(subcommand)]
    what: Benchmark,
}

/// The benchmarks.
#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Tracing batches with an encoder of random weights and two labels; prints one JSON line.
    EncoderTrace(encoder::Flags),
    /// Tracing whole texts with a Llama of random weights, every exit at every token; prints one JSON line.
    DecoderTrace(decoder::TraceFlags),
    /// Decoding with a Llama of random weights, token by token; prints one JSON line.
    Decode(decoder::DecodeFlags),
    /// Decoding with a Llama of random weights whose tokens leave early, against what the parts that it runs
    /// take alone; prints one JSON line.
    Exits(exits::Flags),
    /// Self-speculation beside plain decoding with a Llama of random weights whose layers above the draft exit
    /// change little; prints one JSON line.
    Speculate(speculate::Flags),
    /// Translating with an encoder-decoder of Marian's shape and random weights, greedily or with beams; prints one
    /// JSON line.
    Translate(translate::Flags),
    /// How often what `recommend` recommends in simulated worlds is what it is said to be; prints one JSON line.
    Promise(promise::Flags),
}

/// Prints the line of a benchmark.
pub(super) fn run(flags: &Flags) -> Result<()> {
    let line = match &flags.what {
        Benchmark::EncoderTrace(flags) => encoder::trace(flags)?,
        Benchmark::DecoderTrace(flags) => decoder::trace(flags)?,
        Benchmark::Decode(flags) => decoder::decode(flags)?,
        Benchmark::Exits(flags) => exits::run(flags)?,
        Benchmark::Speculate(flags) => speculate::run(flags)?,
        Benchmark::Translate(flags) => translate::run(flags)?,
        Benchmark::Promise(flags) => promise::run(flags)?,
    };
    ee_files::say!("{line}");
    Ok(())
}

/// A Llama of random weights.
#[derive(Debug, Args)]
struct DecoderSizes {
    /// Layers.
    #[arg(long, default_value = "12", value_parser = positive)]
    layers: usize,
    /// Width of the hidden state; heads have 64 columns.
    #[arg(long, default_value = "768", value_parser = positive)]
    dim: usize,
    /// Width of the feed-forward network.
    #[arg(long, default_value = "2048", value_parser = positive)]
    inner: usize,
    /// Heads of keys and values; by default as many as of queries.
    #[arg(long, value_parser = positive)]
    kv_heads: Option<usize>,
    /// Entries of the vocabulary.
    #[arg(long, default_value = "32000", value_parser = positive)]
    vocab: usize,
    /// Format of the weights in memory: f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = weights)]
    weights: Precision,
    #[command(flatten)]
    on: Device,
}

impl DecoderSizes {
    /// A Llama of random weights with the names of its parameters.
    fn random(&self, positions: usize) -> Result<Loaded> {
        let sizes = LlamaSizes {
            vocabulary: self.vocab,
            d_model: self.dim,
            layers: self.layers,
            heads: self.heads(),
            kv_heads: self.kv_heads.unwrap_or(self.heads()),
            inner: self.inner,
            positions: positions.max(2048),
        };
        let config = LlamaConfig::of_sizes(&LLAMA, &sizes)?;
        Ok(random(config, SEED, self.weights, &device(&self.on.device)?))
    }

    fn heads(&self) -> usize {
        self.dim.div_ceil(64)
    }

    /// The facts of a line, before those that were measured.
    fn facts(&self, verb: &str) -> Value {
        json!({
            "verb": verb, "layers": self.layers, "dim": self.dim, "inner": self.inner,
            "vocab": self.vocab, "device": self.on.device,
        })
    }

    fn weights(&self) -> String {
        format!("{:?}", self.weights).to_lowercase()
    }
}

/// A line: facts and what was measured.
fn line(mut facts: Value, measured: Value) -> String {
    if let (Value::Object(facts), Value::Object(measured)) = (&mut facts, measured) {
        facts.extend(measured);
    }
    facts.to_string()
}

/// Tokens spread over the vocabulary without a random generator.
fn token(at: usize, vocabulary: usize) -> u32 {
    (at.wrapping_mul(2_654_435_761) % vocabulary) as u32
}

fn prompt(length: usize, vocabulary: usize) -> Vec<u32> {
    (0..length).map(|at| token(at, vocabulary)).collect()
}
