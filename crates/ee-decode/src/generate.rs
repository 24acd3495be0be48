//! Plain decoding: a batch of prompts continued token by token, every token through all layers.
//!
//! Random numbers are drawn per prompt, from the seed and the prompt's number.

use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signals, on_host, statistics};
use ee_models::{Decoder, Error, Stream};
use rand::RngExt;

use crate::choose::draw;
pub use crate::choose::{Choice, Sampling};
use crate::clock::Clock;
pub use crate::lane::Options;
use crate::lane::{Given, Run, Way, run};
pub use crate::watch::{Unwatched, Watcher};

/// Continues every prompt; gives the new tokens of each, an end token included.
///
/// # Errors
/// An empty prompt, one that leaves no room for its new tokens, an unknown token; logits that are not finite.
pub fn generate(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &Options,
    watcher: &mut dyn Watcher,
) -> Result<Vec<Vec<u32>>, Error> {
    generate_from(model, model.n_layers(), prompts, options, watcher)
}

/// What [`generate`] gives of the model cut after layer `exit`, from 1, as if that exit were the last.
///
/// # Errors
/// As [`generate`].
pub fn generate_from(
    model: &dyn Decoder,
    exit: usize,
    prompts: &[Vec<u32>],
    options: &Options,
    watcher: &mut dyn Watcher,
) -> Result<Vec<Vec<u32>>, Error> {
    let mut plain = Plain { records: watcher.wants_signals() };
    let way = (&mut plain as &mut dyn Way, Clock::default());
    Ok(run((model, exit), prompts, options, way, watcher)?.tokens)
}

/// One token of the last exit.
struct Plain {
    records: bool,
}

impl Way for Plain {
    fn read(&mut self, run: &mut Run<'_>, prompts: Stream) -> Result<Vec<Given>, NotFinite> {
        self.advance(run, prompts)
    }

    fn step(&mut self, run: &mut Run<'_>) -> Result<Vec<Given>, NotFinite> {
        let stream = run.embed_last();
        self.advance(run, stream)
    }
}

impl Plain {
    fn advance(&self, run: &mut Run<'_>, stream: Stream) -> Result<Vec<Given>, NotFinite> {
        let (model, layers) = (run.lane.model, run.lane.depth());
        let mut states = Vec::new();
        run.lane.layers(0..layers, stream, |exit, stream| {
            if self.records || exit == layers {
                states.push(model.exit_state(stream));
            }
        });
        // The head reads all exits in one product.
        let n_exits = states.len();
        let logits = model.read(Tensor::cat(states, 0), Rows::Few);
        let number = run.rows[0].tokens.len();
        let given = if self.records { record(run, logits, n_exits) } else { choose(run, logits) };
        given.map_err(|error| error.at_token(number))
    }
}

/// Tokens from the last exit's logits, `[rows, vocabulary]`.
fn choose(run: &mut Run<'_>, logits: Tensor<2>) -> Result<Vec<Given>, NotFinite> {
    let exit = run.lane.depth();
    let Choice::Sample(sampling) = run.options.choice else {
        return Ok(statistics(logits, exit)?.iter().map(|row| Given::token(row.argmax)).collect());
    };
    let [_, vocabulary] = logits.dims();
    let logits = on_host(logits, exit)?;
    let rows = logits.chunks_exact(vocabulary).zip(&mut run.rows);
    Ok(rows
        .map(|(logits, row)| Given::token(draw(logits, sampling, row.random.random())))
        .collect())
}

/// Tokens with the signals of every exit, from logits `[exits * rows, vocabulary]`.
fn record(run: &mut Run<'_>, logits: Tensor<2>, n_exits: usize) -> Result<Vec<Given>, NotFinite> {
    let n = run.rows.len();
    let last = match run.options.choice {
        Choice::Greedy => None,
        Choice::Sample(_) => Some(logits.clone().narrow(0, (n_exits - 1) * n, n)),
    };
    // Checked first: an exit that is not finite is named even where the last one is finite.
    let signals = Signals::read(logits, n_exits)?;
    let exits = |row: usize| signals.row(row).to_vec();
    let best = |row: usize| Given::token(signals.row(row)[n_exits - 1].0.prediction);
    let given = match last {
        None => (0..n).map(best).collect(),
        Some(last) => choose(run, last)?,
    };
    let rows = given.into_iter().enumerate();
    Ok(rows.map(|(row, given)| Given { signals: Some(exits(row)), ..given }).collect())
}
