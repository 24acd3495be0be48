//! What the parts of a step take on this machine.
//!
//! One token through all layers, then more of them, the head in every way that gates ask it, the projections
//! of keys and values: a few steps each, of which the medians count. Between two reads of a weight lie those
//! of all others, as in decoding.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use ee_models::kernels::Rows;
use ee_models::{Block, Decoder, KvCache, Stream};
use serde::{Deserialize, Serialize};

use crate::decode::HeadChoice;
use crate::decode::clock::Clock;
use crate::decode::head::Reader;
use crate::results::Spread;

/// Steps of each part.
const STEPS: usize = 12;
/// Tokens of the wide block.
const WIDE: usize = 5;
/// Prompts that are read.
const PROMPTS: usize = 6;

/// Seconds, one text at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// A prompt through all layers, and the head on its last token.
    pub prompt: f64,
    /// A token through a layer.
    pub layer: f64,
    /// Each further token that goes with it.
    pub further_layer: f64,
    /// The head on a token.
    pub head: f64,
    /// Each further token that goes with it.
    pub further_head: f64,
    /// The projections of a layer's keys and values alone.
    pub key_value: f64,
    /// The ways in which gates ask the head.
    pub asked: Vec<Asked>,
}

/// What a gate's asking takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The head as typed.
    pub head: String,
    /// At the first exit that is read.
    pub first: f64,
    /// At each later one.
    pub later: f64,
    /// Before a token leaves at a later one.
    pub confirm: f64,
}

impl Times {
    /// Measures the parts.
    ///
    /// # Panics
    /// When there is no prompt.
    #[must_use]
    pub fn measure(model: &dyn Decoder, prompts: &[Vec<u32>], heads: &[HeadChoice]) -> Self {
        let mut bench = Bench::new(model, &prompts[0]);
        let token = prompts[0][0];
        let mut parts = vec![Vec::new(); 5];
        let mut asked = vec![vec![Vec::new(); 3]; heads.len()];
        for _ in 0..STEPS {
            let (stream, seconds) = bench.run(&[token]);
            let state = model.exit_state(&stream);
            parts[0].push(seconds);
            parts[1].push(bench.time(|| model.read_step(state.clone())).1);
            parts[2].push(bench.write_kv(&stream));
            for (head, times) in heads.iter().zip(&mut asked) {
                bench.ask(head, &state, times);
            }
            let (stream, seconds) = bench.run(&[token; WIDE]);
            parts[3].push(seconds);
            parts[4].push(bench.time(|| model.read_step(stream.hidden.clone())).1);
        }
        let layers = model.n_layers() as f64;
        let [all, head, key_value, wide, wide_head] =
            [0, 1, 2, 3, 4].map(|part: usize| Spread::of(&parts[part]).median);
        let further = |wide: f64, one: f64| ((wide - one) / (WIDE - 1) as f64).max(0.0);
        let asked = heads.iter().zip(asked).map(|(choice, times)| {
            let [first, later, confirm] = [0, 1, 2].map(|at: usize| Spread::of(&times[at]).median);
            // The whole head has nothing to confirm.
            let confirm = if choice.head.has_number() { confirm } else { 0.0 };
            Asked { head: choice.to_string(), first, later, confirm }
        });
        Self {
            prompt: prompt_seconds(model, prompts),
            layer: all / layers,
            further_layer: further(wide, all) / layers,
            head,
            further_head: further(wide_head, head),
            key_value: key_value / layers,
            asked: asked.collect(),
        }
    }

    /// How asking goes by a head's name as typed.
    #[must_use]
    pub fn asked(&self, head: &str) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.head == head)
    }
}

/// The mean time of some prompts, evenly chosen.
fn prompt_seconds(model: &dyn Decoder, prompts: &[Vec<u32>]) -> f64 {
    let chosen = prompts.iter().step_by(prompts.len().div_ceil(PROMPTS));
    let seconds: Vec<f64> = chosen
        .map(|prompt| {
            let mut bench =
                Bench { caches: [cache(model, prompt.len()), cache(model, 1)], model, filled: 0 };
            let (stream, seconds) = bench.run_as(prompt, Rows::Many);
            let head = bench.time(|| model.read_step(model.exit_state(&stream))).1;
            seconds + head
        })
        .collect();
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

/// A model behind a prompt.
struct Bench<'m> {
    model: &'m dyn Decoder,
    /// The second one takes what is written beside a step.
    caches: [KvCache; 2],
    filled: usize,
}

impl<'m> Bench<'m> {
    fn new(model: &'m dyn Decoder, prompt: &[u32]) -> Self {
        let caches = [(); 2].map(|()| cache(model, prompt.len() + WIDE));
        let mut bench = Self { model, caches, filled: 0 };
        for _ in 0..2 {
            bench.run_as(prompt, Rows::Many);
            bench.caches.swap(0, 1);
        }
        bench.filled = prompt.len();
        bench
    }

    /// Some tokens of one text through all layers, which then forget them.
    fn run(&mut self, tokens: &[u32]) -> (Stream, f64) {
        let found = self.run_as(tokens, Rows::Few);
        self.crop(0);
        found
    }

    fn run_as(&mut self, tokens: &[u32], rows: Rows) -> (Stream, f64) {
        let (padding, lengths) = (Arc::from([0]), Arc::from([tokens.len()]));
        let block = Block { width: tokens.len(), start: self.filled, padding, lengths, rows };
        let (model, device) = (self.model, self.model.device());
        let cache = &mut self.caches[0];
        time(&device, || {
            let mut stream = model.embed_block(tokens, &block);
            for index in 0..model.n_layers() {
                stream = model.layer_with(index, stream, cache.layer(index));
            }
            stream
        })
    }

    fn write_kv(&mut self, stream: &Stream) -> f64 {
        let (model, device) = (self.model, self.model.device());
        let cache = &mut self.caches[1];
        let (_, seconds) = time(&device, || {
            for index in 0..model.n_layers() {
                model.write_kv(index, stream, cache.layer(index));
            }
        });
        self.crop(1);
        seconds
    }

    fn crop(&mut self, which: usize) {
        for index in 0..self.model.n_layers() {
            self.caches[which].layer(index).crop_row(0, self.filled);
        }
    }

    /// A head asked twice and once more before leaving.
    fn ask(&self, choice: &HeadChoice, state: &Tensor<2>, times: &mut [Vec<f64>]) {
        let mut clock = Clock::default();
        let bytes = self.model.weight_bytes();
        let mut reader = Reader { model: self.model, bytes, clock: &mut clock };
        let mut reading = choice.head.begin(choice.number, 1);
        for seconds in &mut times[..2] {
            seconds.push(self.time(|| reading.read(&mut reader, &[0], state.clone())).1);
        }
        times[2].push(self.time(|| reading.confirm(&mut reader, &[0], state.clone())).1);
    }

    fn time<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        time(&self.model.device(), work)
    }
}

fn cache(model: &dyn Decoder, capacity: usize) -> KvCache {
    model.empty_cache(Arc::from([0]), capacity)
}

/// Does some work and waits for the device.
fn time<T>(device: &Device, work: impl FnOnce() -> T) -> (T, f64) {
    // A device that cannot wait has nothing queued either.
    let _ = device.sync();
    let started = Instant::now();
    let found = work();
    let _ = device.sync();
    (found, started.elapsed().as_secs_f64())
}
