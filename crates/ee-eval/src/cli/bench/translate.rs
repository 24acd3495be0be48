//! Translating with an encoder-decoder.

use std::ops::ControlFlow;
use std::time::Instant;

use clap::Args;
use ee_decode::beam::{BeamOptions, LastToken, RULES, beams};
use ee_decode::generate::{Choice, Options, Unwatched, Watcher, generate};
use ee_models::arch::SpecialTokens;
use ee_models::arch::seq2seq::{
    Dropouts, MARIAN, Seq2Seq, Seq2SeqConfig, Seq2SeqSizes, Sharing, Tokens, random,
};
use ee_models::checkpoint::Precision;
use ee_models::device::{device, peak_memory_mib};
use ee_models::kernels::Activation;
use ee_models::signal::{Agreement, Signal};
use serde_json::json;

use super::super::groups::Device;
use super::super::values::{positive, weights};
use super::{SEED, line, token};
use crate::error::Result;
use crate::spread::Spread;

/// `ee-eval bench translate`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Layers of the encoder and of the decoder.
    #[arg(long, default_value = "6", value_parser = positive)]
    layers: usize,
    /// Width of the hidden state; heads have 64 columns.
    #[arg(long, default_value = "512", value_parser = positive)]
    dim: usize,
    /// Width of the feed-forward networks.
    #[arg(long, default_value = "2048", value_parser = positive)]
    inner: usize,
    /// Entries of the vocabulary, which both sides and the head share.
    #[arg(long, default_value = "32000", value_parser = positive)]
    vocab: usize,
    /// Tokens of every source.
    #[arg(long, default_value = "30", value_parser = positive)]
    source: usize,
    /// New tokens of every text.
    #[arg(long, default_value = "32", value_parser = positive)]
    new: usize,
    /// Texts that are translated together.
    #[arg(long, default_value = "1", value_parser = positive)]
    batch: usize,
    /// Hypotheses of the beam; 1 is greedy.
    #[arg(long, default_value = "1", value_parser = positive)]
    beam: usize,
    /// Timed rounds; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
    /// Also read every exit of every token, in turn with reading the last; give both times' ratio.
    #[arg(long, conflicts_with = "beam")]
    record: bool,
    /// Format of the weights in memory: f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "f32", value_parser = weights)]
    weights: Precision,
    #[command(flatten)]
    on: Device,
}

/// Times whole translations, the encoder's part included; no text ends before its last token.
pub(super) fn run(flags: &Flags) -> Result<String> {
    let Flags { layers, dim, inner, vocab, source, new, batch, beam, .. } = *flags;
    let model = flags.random()?;
    let text = |row: usize| (0..source).map(|at| token(row * source + at, vocab - 1)).collect();
    let prompts: Vec<Vec<u32>> = (0..batch).map(text).collect();
    let (mut plain, mut all) = (Vec::new(), Vec::new());
    for round in 0..=flags.steps {
        let [once, every] = flags.round(&model, &prompts)?;
        // The first round warms up.
        if round > 0 {
            plain.push(once);
            all.push(every);
        }
    }
    let Spread { median, min, max } = Spread::of(if flags.record { &all } else { &plain });
    let mut measured = json!({
        "source": source, "new": new, "batch": batch, "beam": beam, "record": flags.record,
        "weights": format!("{:?}", flags.weights).to_lowercase(),
        "seconds": median, "seconds_min": min, "seconds_max": max,
        "tokens_per_second": (batch * new) as f64 / median, "peak_mib": peak_memory_mib(),
    });
    if flags.record {
        let ratios: Vec<f64> = all.iter().zip(&plain).map(|(all, plain)| all / plain).collect();
        measured["record_ratio"] = json!(Spread::of(&ratios).median);
    }
    let facts = json!({
        "verb": "translate", "layers": layers, "dim": dim, "inner": inner, "vocab": vocab,
        "device": flags.on.device,
    });
    Ok(line(facts, measured))
}

impl Flags {
    /// A model of Marian's shape with random weights.
    fn random(&self) -> Result<Seq2Seq> {
        let heads = self.dim.div_ceil(64);
        let sizes = Seq2SeqSizes {
            source_vocabulary: self.vocab,
            target_vocabulary: self.vocab,
            sharing: Sharing::All,
            d_model: self.dim,
            encoder_layers: self.layers,
            decoder_layers: self.layers,
            heads,
            inner: self.inner,
            positions: self.source.max(self.new).max(512),
            dropouts: Dropouts::default(),
            activation: Activation::Relu,
            padding: self.vocab - 1,
        };
        let padding = (self.vocab - 1) as u32;
        let tokens = Tokens {
            start: padding,
            forced_beginning: None,
            forced_end: None,
            never: vec![padding],
            special: SpecialTokens::default(),
        };
        let config = Seq2SeqConfig::of_sizes(&MARIAN, &sizes, &tokens)?;
        Ok(random(config, SEED, self.weights, &device(&self.on.device)?).model)
    }

    /// Seconds of a translation, and of one that reads every exit if that is asked for, else 0.
    fn round(&self, model: &Seq2Seq, prompts: &[Vec<u32>]) -> Result<[f64; 2]> {
        let started = Instant::now();
        if self.beam > 1 {
            let rule = RULES.iter().find(|rule| rule.last_token(None) == LastToken::Any);
            let rule = *rule.expect("one of the rules forces no end");
            beams(model, prompts, &BeamOptions::new(self.beam, rule, self.new, Vec::new()))?;
        } else {
            generate(model, prompts, &self.options(), &mut Unwatched)?;
        }
        let plain = started.elapsed().as_secs_f64();
        if !self.record {
            return Ok([plain, 0.0]);
        }
        let started = Instant::now();
        generate(model, prompts, &self.options(), &mut Recording)?;
        Ok([plain, started.elapsed().as_secs_f64()])
    }

    fn options(&self) -> Options {
        Options {
            max_new_tokens: self.new,
            choice: Choice::Greedy,
            ends: Vec::new(),
            first_number: 0,
        }
    }
}

/// Wants every exit's signals and does nothing with them.
struct Recording;

impl Watcher for Recording {
    fn wants_signals(&self) -> bool {
        true
    }

    fn token(&mut self, _: usize, _: u32, _: Option<&[(Signal, Agreement)]>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
