use std::sync::Arc;

use burn::tensor::Tensor;
use ee_models::arch::llama::{LLAMA, Llama, LlamaConfig, LlamaSizes, Loaded, random};
use ee_models::device::{device, peak_memory_mib};
use ee_models::kernels::Rows;
use ee_models::signal::Signals;
use ee_models::{Batch, Block, Decoder, ExitModel, KvCache};
use serde_json::json;

use super::{FINITE, SEED, token};
use crate::cli::{DecodeBenchArguments, DecoderSizes, DecoderTraceArguments};
use crate::error::Result;
use crate::machine::read_bandwidth;
use crate::spread::{Spread, timed};

/// Rows of the step that is compared with one over a single row.
const WIDE: usize = 5;

/// A Llama of random weights.
pub(super) fn model(sizes: &DecoderSizes, positions: usize) -> Result<Llama> {
    Ok(loaded(sizes, positions)?.model)
}

/// A Llama of random weights with the names of its parameters.
pub(super) fn loaded(sizes: &DecoderSizes, positions: usize) -> Result<Loaded> {
    let config = LlamaConfig::of_sizes(
        &LLAMA,
        &LlamaSizes {
            vocabulary: sizes.vocab,
            d_model: sizes.dim,
            layers: sizes.layers,
            heads: sizes.dim.div_ceil(64),
            kv_heads: sizes.kv_heads.unwrap_or(sizes.dim.div_ceil(64)),
            inner: sizes.inner,
            positions: positions.max(2048),
        },
    )?;
    Ok(random(config, SEED, sizes.weights, &device(&sizes.device)?))
}

/// Times steps of: one batch of whole texts through all layers, every exit read at every token, all signals
/// on the host.
///
/// # Errors
/// Sizes that do not go together, or an unknown device.
pub fn decoder_trace(arguments: &DecoderTraceArguments) -> Result<String> {
    let DecoderTraceArguments { ref sizes, seq, batch, steps } = *arguments;
    let model = model(sizes, seq)?;
    let tokens: Vec<u32> = (0..batch * seq).map(|at| token(at, sizes.vocab)).collect();
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
    Ok(json!({
        "verb": "decoder-trace", "layers": sizes.layers, "dim": sizes.dim, "inner": sizes.inner,
        "seq": seq, "batch": batch, "vocab": sizes.vocab, "steps": steps, "device": sizes.device,
        "seconds": median, "seconds_min": min, "seconds_max": max, "peak_mib": peak_memory_mib(),
    })
    .to_string())
}

/// Times greedy decoding of one text, its prompt included, with and without recording every exit; a step over five tokens
/// against one over one; and a plain read of as much memory as the weights take.
///
/// # Errors
/// Sizes that do not go together, or an unknown device.
pub fn decode(arguments: &DecodeBenchArguments) -> Result<String> {
    let DecodeBenchArguments { ref sizes, prompt, new, steps, record } = *arguments;
    let model = model(sizes, prompt + new)?;
    let mut text = Text::begin(&model, sizes.vocab, prompt, new.max(WIDE));
    let plain = timed(steps, || text.decode(new, false));
    let recording = timed(steps, || text.decode(new, true));
    let one = timed(4 * steps, || text.step(1));
    let wide = timed(4 * steps, || text.step(WIDE));
    let bytes = weight_bytes(sizes);
    let read = read_bandwidth(bytes, steps);
    let Spread { median, min, max } = if record { recording } else { plain };
    let per_second = new as f64 / median;
    Ok(json!({
        "verb": "decode", "record": record, "layers": sizes.layers, "dim": sizes.dim,
        "inner": sizes.inner, "vocab": sizes.vocab, "prompt": prompt, "new": new,
        "weights": format!("{:?}", sizes.weights).to_lowercase(), "device": sizes.device,
        "seconds": median, "seconds_min": min, "seconds_max": max, "tokens_per_second": per_second,
        "weight_bytes": bytes, "weight_gb_per_second": per_second * bytes as f64 / 1e9,
        "plain_read_gb_per_second": read / 1e9,
        "record_ratio": recording.median / plain.median,
        "wide_step_rows": WIDE, "wide_step_ratio": wide.median / one.median,
        "peak_mib": peak_memory_mib(),
    })
    .to_string())
}

/// Bytes of weights that one token needs: all matrices but the embedding's table.
fn weight_bytes(sizes: &DecoderSizes) -> usize {
    let heads = sizes.dim.div_ceil(64);
    let kv = sizes.dim / heads * sizes.kv_heads.unwrap_or(heads);
    let layer = 2 * sizes.dim * sizes.dim + 2 * sizes.dim * kv + 3 * sizes.dim * sizes.inner;
    let numbers = sizes.layers * layer + sizes.dim * sizes.vocab;
    numbers * if sizes.weights == ee_models::checkpoint::Precision::F32 { 4 } else { 2 }
}

/// A text with its prompt in the cache, to be continued again and again.
struct Text<'m> {
    model: &'m Llama,
    cache: KvCache,
    padding: Arc<[usize]>,
    prompt: usize,
    vocabulary: usize,
}

impl<'m> Text<'m> {
    fn begin(model: &'m Llama, vocabulary: usize, prompt: usize, room: usize) -> Self {
        let padding: Arc<[usize]> = Arc::from([0]);
        let cache = model.empty_cache(padding.clone(), prompt + room);
        let mut text = Self { model, cache, padding, prompt, vocabulary };
        let tokens: Vec<u32> = (0..prompt).map(|at| token(at, vocabulary)).collect();
        text.run(&tokens, 0, Rows::Many, false);
        text
    }

    /// Runs tokens through all layers; gives the states to read, of the last exit or of all.
    fn run(&mut self, tokens: &[u32], start: usize, rows: Rows, all: bool) -> Vec<Tensor<2>> {
        let width = tokens.len();
        let (padding, lengths) = (self.padding.clone(), Arc::from([width]));
        let block = Block { width, start, padding, lengths, rows };
        let mut stream = self.model.embed_block(tokens, &block);
        let layers = self.model.n_layers();
        let mut states = Vec::new();
        for index in 0..layers {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            if all || index + 1 == layers {
                states.push(stream.hidden.clone());
            }
        }
        states
    }

    /// The prompt and `new` tokens after it, greedily.
    fn decode(&mut self, new: usize, record: bool) {
        self.crop(0);
        let prompt: Vec<u32> = (0..self.prompt).map(|at| token(at, self.vocabulary)).collect();
        let states = self.run(&prompt, 0, Rows::Many, record);
        let last = |state: Tensor<2>| state.narrow(0, prompt.len() - 1, 1);
        let mut states: Vec<Tensor<2>> = states.into_iter().map(last).collect();
        for at in 1..=new {
            let exits = states.len();
            let logits = self.model.read(Tensor::cat(std::mem::take(&mut states), 0), Rows::Few);
            let signals = Signals::read(logits, exits).expect(FINITE);
            let next = signals.row(0)[exits - 1].0.prediction;
            if at == new {
                break;
            }
            states = self.run(&[next], self.prompt + at - 1, Rows::Few, record);
        }
    }

    /// One step over `width` tokens after the prompt, each of them read.
    fn step(&mut self, width: usize) {
        self.crop(self.prompt);
        let tokens: Vec<u32> = (0..width).map(|at| token(at, self.vocabulary)).collect();
        let states = self.run(&tokens, self.prompt, Rows::Few, false);
        let signals =
            Signals::read(self.model.read(Tensor::cat(states, 0), Rows::Few), 1).expect(FINITE);
        assert_eq!(signals.n_rows(), width);
    }

    fn crop(&mut self, len: usize) {
        for index in 0..self.model.n_layers() {
            self.cache.layer(index).crop(len);
        }
    }
}
