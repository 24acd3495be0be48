//! How long the parts of a step take on this machine.
//!
//! One token through all layers, then more of them, every way of asking whether to leave, the projections of
//! keys and values: a few steps each, of which the medians count. Between two reads of a weight lie those of
//! all others, as in decoding.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use ee_decode::HeadChoice;
use ee_decode::clock::Clock;
use ee_decode::gates::{Gate, StateView};
use ee_decode::head::Reader;
use ee_decode::lane::Lane;
use ee_models::gate::LinearGate;
use ee_models::kernels::Rows;
use ee_models::{Decoder, Stream};
use serde::Serialize;

use crate::spread::Spread;

/// Steps of each part.
const STEPS: usize = 12;
/// Tokens of the wide block.
const WIDE: usize = 5;
/// Prompts that are read.
const PROMPTS: usize = 6;

/// Seconds, one text at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Times {
    /// A prompt through all layers, an encoder's where there is one, and the head on its last token.
    pub(crate) prompt: f64,
    /// A token through a layer.
    pub(crate) layer: f64,
    /// Each further token that goes with it.
    pub(crate) further_layer: f64,
    /// The head on a token.
    pub(crate) head: f64,
    /// Each further token that goes with it.
    pub(crate) further_head: f64,
    /// The projections of a layer's keys and values alone.
    pub(crate) key_value: f64,
    /// The ways in which gates ask.
    pub(crate) asked: Vec<Asked>,
}

/// A way in which gates ask whether a token leaves.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Gates on signals ask a head.
    Head(HeadChoice),
    /// A gate on states, fitted where it has to be, asks no head: it is read once, on leaving.
    States(&'static dyn Gate, Option<Arc<LinearGate>>),
}

impl Ask {
    /// What tables call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Head(head) => format!("head {head}"),
            Self::States(gate, _) => gate.name().to_owned(),
        }
    }

    /// Whether a gate asks in this way.
    pub(crate) fn is_of(&self, gate: &dyn Gate) -> bool {
        match self {
            Self::Head(_) => !gate.is_on_states(),
            Self::States(ours, _) => ours.name() == gate.name(),
        }
    }

    /// The head that the command line takes for it.
    pub(crate) fn head(&self) -> HeadChoice {
        match self {
            Self::Head(head) => *head,
            Self::States(..) => HeadChoice::unasked(),
        }
    }

    /// The gate, where it is one on states.
    pub(crate) fn state_gate(&self) -> Option<&'static dyn Gate> {
        match self {
            Self::Head(_) => None,
            Self::States(gate, _) => Some(*gate),
        }
    }

    /// The fitted gate, where it has one.
    pub(crate) fn fitted(&self) -> Option<Arc<LinearGate>> {
        match self {
            Self::Head(_) => None,
            Self::States(_, fitted) => fitted.clone(),
        }
    }
}

/// What asking in one way takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Asked {
    pub(crate) name: String,
    /// At the first exit that is read.
    pub(crate) first: f64,
    /// At each later one.
    pub(crate) later: f64,
    /// Before a token leaves at the first one.
    pub(crate) leave_at_first: f64,
    /// Before a token leaves at a later one.
    pub(crate) leave_later: f64,
}

impl Asked {
    /// From steps of an ask at a first exit, one at a later exit, and the whole head read before leaving.
    fn of(ask: &Ask, steps: &[Vec<f64>; 3]) -> Self {
        let [first, later, confirm] = [0, 1, 2].map(|at: usize| Spread::of(&steps[at]).median);
        // A reading of the whole head has nothing to confirm, and neither has a pruned head at the first exit.
        let (leave_at_first, leave_later) = match ask {
            Ask::Head(choice) if choice.head.has_number() => (0.0, confirm),
            Ask::Head(_) => (0.0, 0.0),
            Ask::States(..) => (confirm, confirm),
        };
        Self { name: ask.name(), first, later, leave_at_first, leave_later }
    }
}

impl Times {
    /// Measures the parts.
    pub(crate) fn measure(model: &dyn Decoder, prompts: &[Vec<u32>], asks: &[Ask]) -> Self {
        let mut bench = Bench::new(model, &prompts[..1]);
        // A prompt may be written in another vocabulary than the decoder's.
        let token = model.opening().first().copied().unwrap_or(prompts[0][0]);
        let mut parts = vec![Vec::new(); 5];
        let mut asked = vec![[const { Vec::new() }; 3]; asks.len()];
        for _ in 0..STEPS {
            let (stream, seconds) = bench.run(&[token]);
            let state = model.exit_state(&stream);
            parts[0].push(seconds);
            parts[1].push(bench.time(|| model.read(state.clone(), Rows::Few)).1);
            parts[2].push(bench.write_kv(&stream));
            for (ask, times) in asks.iter().zip(&mut asked) {
                bench.ask(ask, &stream, times);
            }
            let (stream, seconds) = bench.run(&[token; WIDE]);
            parts[3].push(seconds);
            parts[4].push(bench.time(|| model.read(stream.hidden.clone(), Rows::Few)).1);
        }
        let layers = model.n_layers() as f64;
        let [all, head, key_value, wide, wide_head] =
            [0, 1, 2, 3, 4].map(|part: usize| Spread::of(&parts[part]).median);
        let further = |wide: f64, one: f64| ((wide - one) / (WIDE - 1) as f64).max(0.0);
        let asked = asks.iter().zip(&asked).map(|(ask, steps)| Asked::of(ask, steps));
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

    /// The time of a way of asking; none for one that was not measured.
    pub(crate) fn asked(&self, ask: &Ask) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.name == ask.name())
    }
}

/// The mean time of some prompts, evenly chosen.
fn prompt_seconds(model: &dyn Decoder, prompts: &[Vec<u32>]) -> f64 {
    let device = model.device();
    let chosen = prompts.iter().step_by(prompts.len().div_ceil(PROMPTS));
    let seconds = chosen.map(|prompt| {
        let read = || {
            let (mut lane, stream) =
                Lane::begin((model, model.n_layers()), std::slice::from_ref(prompt), 0);
            let stream = lane.layers(0..lane.depth(), stream, |_, _| ());
            model.read(model.exit_state(&stream), Rows::Few)
        };
        time(&device, read).1
    });
    let seconds: Vec<f64> = seconds.collect();
    seconds.iter().sum::<f64>() / seconds.len() as f64
}

/// A model that has read a prompt.
struct Bench<'m> {
    model: &'m dyn Decoder,
    lane: Lane<'m>,
    /// Holds what is written besides a step's own results.
    beside: Lane<'m>,
}

impl<'m> Bench<'m> {
    fn new(model: &'m dyn Decoder, prompt: &[Vec<u32>]) -> Self {
        let [lane, beside] = [(); 2].map(|()| Lane::behind(model, prompt, WIDE));
        Self { model, lane, beside }
    }

    /// Some tokens of one text through all layers, which then forget them.
    fn run(&mut self, tokens: &[u32]) -> (Stream, f64) {
        let (filled, lane) = (self.lane.filled(), &mut self.lane);
        let found = time(&self.model.device(), || lane.read(tokens, Rows::Few, |_, _| ()));
        lane.crop(filled);
        found
    }

    fn write_kv(&mut self, stream: &Stream) -> f64 {
        let (model, filled, lane) = (self.model, self.beside.filled(), &mut self.beside);
        let (_, seconds) = time(&model.device(), || {
            for index in 0..model.n_layers() {
                model.write_kv(index, stream, lane.cache.layer(index));
            }
        });
        lane.crop(filled);
        seconds
    }

    /// One token asked about twice, and the whole head read before it leaves.
    fn ask(&self, ask: &Ask, stream: &Stream, times: &mut [Vec<f64>; 3]) {
        let mut clock = Clock::default();
        let bytes = self.model.weight_bytes();
        let mut reader = Reader { model: self.model, exit: 1, bytes, clock: &mut clock };
        let state = self.model.exit_state(stream);
        match ask {
            Ask::Head(choice) => {
                let mut reading = choice.head.begin(choice.number, 1);
                for seconds in &mut times[..2] {
                    seconds.push(self.time(|| reading.read(&mut reader, &[0], state.clone())).1);
                }
                times[2].push(self.time(|| reading.confirm(&mut reader, &[0], state)).1);
            }
            Ask::States(gate, fitted) => {
                let view = || StateView {
                    exit: 1,
                    before: self.model.exit_state(stream),
                    state: self.model.exit_state(stream),
                    fitted: fitted.as_deref(),
                };
                for seconds in &mut times[..2] {
                    seconds.push(self.time(|| gate.numbers(view())).1);
                }
                times[2].push(self.time(|| reader.whole(&[0], state)).1);
            }
        }
    }

    fn time<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        time(&self.model.device(), work)
    }
}

/// Does some work and waits for the device.
fn time<T>(device: &Device, work: impl FnOnce() -> T) -> (T, f64) {
    // A device that cannot be waited for has nothing queued either.
    let _ = device.sync();
    let started = Instant::now();
    let found = work();
    let _ = device.sync();
    (found, started.elapsed().as_secs_f64())
}
