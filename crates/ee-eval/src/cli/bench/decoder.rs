//! Tracing and decoding with a decoder.

use burn::tensor::Tensor;
use clap::Args;
use ee_decode::lane::Lane;
use ee_models::checkpoint::Precision;
use ee_models::device::peak_memory_mib;
use ee_models::kernels::Rows;
use ee_models::signal::Signals;
use ee_models::{Batch, ExitModel};
use serde_json::json;

use super::super::values::positive;
use super::{DecoderSizes, FINITE, line, prompt};
use crate::error::Result;
use crate::machine::read_bandwidth;
use crate::spread::{Spread, timed};

/// Rows of the step that is compared with one over a single row.
const WIDE: usize = 5;

/// `ee-eval bench decoder-trace`.
#[derive(Debug, Args)]
pub(super) struct TraceFlags {
    #[command(flatten)]
    sizes: DecoderSizes,
    /// Tokens per text.
    #[arg(long, default_value = "128", value_parser = positive)]
    seq: usize,
    /// Texts per batch.
    #[arg(long, default_value = "4", value_parser = positive)]
    batch: usize,
    /// Timed steps; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
}

/// Times steps of: one batch of whole texts through all layers, every exit read at every token, all signals
/// on the host.
pub(super) fn trace(flags: &TraceFlags) -> Result<String> {
    let TraceFlags { ref sizes, seq, batch, steps } = *flags;
    let model = sizes.random(seq)?.model;
    let tokens = prompt(batch * seq, sizes.vocab);
    let texts = Batch::new(tokens, vec![0; batch * seq], vec![seq; batch], seq)?;
    let Spread { median, min, max } = timed(steps, || {
        let mut stream = model.embed(&texts, None);
        let states: Vec<Tensor<2>> = (0..model.n_layers())
            .map(|index| {
                stream = model.layer(index, stream.clone());
                stream.hidden.clone()
            })
            .collect();
        // Reading the signals waits for the device.
        assert_eq!(Signals::of_states(&model, &states).expect(FINITE).n_rows(), batch * seq);
    });
    let measured = json!({
        "seq": seq, "batch": batch, "steps": steps,
        "seconds": median, "seconds_min": min, "seconds_max": max, "peak_mib": peak_memory_mib(),
    });
    Ok(line(sizes.facts("decoder-trace"), measured))
}

/// `ee-eval bench decode`.
#[derive(Debug, Args)]
pub(super) struct DecodeFlags {
    #[command(flatten)]
    sizes: DecoderSizes,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "32", value_parser = positive)]
    new: usize,
    /// Timed rounds; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
    /// Give the time with every exit recorded (the ratio of both is given anyway).
    #[arg(long)]
    record: bool,
}

/// Times greedy decoding of one text, its prompt included, with and without recording every exit; a step over five tokens
/// against one over one; and a plain read of as much memory as the weights take.
pub(super) fn decode(flags: &DecodeFlags) -> Result<String> {
    let DecodeFlags { ref sizes, prompt, new, steps, record } = *flags;
    let model = sizes.random(prompt + new)?.model;
    let tokens = super::prompt(prompt, sizes.vocab);
    let lane = Lane::behind(&model, &[tokens], new.max(WIDE));
    let mut text = Text { lane, prompt, vocabulary: sizes.vocab };
    let plain = timed(steps, || text.decode(new, false));
    let recording = timed(steps, || text.decode(new, true));
    let one = timed(4 * steps, || text.step(1));
    let wide = timed(4 * steps, || text.step(WIDE));
    let bytes = weight_bytes(sizes);
    let read = read_bandwidth(bytes, steps);
    let Spread { median, min, max } = if record { recording } else { plain };
    let per_second = new as f64 / median;
    let measured = json!({
        "record": record, "prompt": prompt, "new": new, "weights": sizes.weights(),
        "seconds": median, "seconds_min": min, "seconds_max": max, "tokens_per_second": per_second,
        "weight_bytes": bytes, "weight_gb_per_second": per_second * bytes as f64 / 1e9,
        "plain_read_gb_per_second": read / 1e9,
        "record_ratio": recording.median / plain.median,
        "wide_step_rows": WIDE, "wide_step_ratio": wide.median / one.median,
        "peak_mib": peak_memory_mib(),
    });
    Ok(line(sizes.facts("decode"), measured))
}

/// Bytes of weights that one token needs: all matrices but the embedding's table.
fn weight_bytes(sizes: &DecoderSizes) -> usize {
    let heads = sizes.heads();
    let kv = sizes.dim / heads * sizes.kv_heads.unwrap_or(heads);
    let layer = 2 * sizes.dim * sizes.dim + 2 * sizes.dim * kv + 3 * sizes.dim * sizes.inner;
    let numbers = sizes.layers * layer + sizes.dim * sizes.vocab;
    numbers * if sizes.weights == Precision::F32 { 4 } else { 2 }
}

/// A text with its prompt in the cache, to be continued repeatedly.
struct Text<'m> {
    lane: Lane<'m>,
    prompt: usize,
    vocabulary: usize,
}

impl Text<'_> {
    /// The prompt through all layers; gives the states to read, of the last exit or of all.
    fn begin(&mut self, all: bool) -> Vec<Tensor<2>> {
        self.lane.crop(0);
        self.run(&prompt(self.prompt, self.vocabulary), Rows::Many, all)
    }

    fn run(&mut self, tokens: &[u32], rows: Rows, all: bool) -> Vec<Tensor<2>> {
        let mut states = Vec::new();
        let last = self.lane.read(tokens, rows, |_, stream| {
            if all {
                states.push(stream.hidden.clone());
            }
        });
        if all { states } else { vec![last.hidden] }
    }

    /// The prompt and `new` tokens after it, greedily.
    fn decode(&mut self, new: usize, record: bool) {
        let end = self.prompt - 1;
        let last = |state: Tensor<2>| state.narrow(0, end, 1);
        let mut states: Vec<Tensor<2>> = self.begin(record).into_iter().map(last).collect();
        for at in 1..=new {
            let exits = states.len();
            let stacked = Tensor::cat(std::mem::take(&mut states), 0);
            let logits = self.lane.model.read(stacked, Rows::Few);
            let signals = Signals::read(logits, exits).expect(FINITE);
            let next = signals.row(0)[exits - 1].0.prediction;
            if at == new {
                break;
            }
            states = self.run(&[next], Rows::Few, record);
        }
    }

    /// One step over `width` tokens after the prompt, each of them read.
    fn step(&mut self, width: usize) {
        self.lane.crop(self.prompt);
        let tokens = prompt(width, self.vocabulary);
        let states = self.run(&tokens, Rows::Few, false);
        let logits = self.lane.model.read(Tensor::cat(states, 0), Rows::Few);
        assert_eq!(Signals::read(logits, 1).expect(FINITE).n_rows(), width);
    }
}
