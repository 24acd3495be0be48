//! Generation: a batch of prompts continued token by token.
//!
//! Prompts are padded on the left and share the cache's slots; a row that has ended leaves the batch. A
//! prompt is read with [`Rows::Many`] and every step with [`Rows::Few`], so that a row's numbers have the
//! same bits alone and in any batch. Chance is drawn per prompt, from the seed and the prompt's number.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use ee_models::KvCache;
use ee_models::kernels::Rows;
use ee_models::signal::{Agreement, NotFinite, Signal, Signals, on_host, statistics};
use ee_models::{Block, Decoder, Stream};
use ee_models::{Error, Result};

/// How the next token follows from the last exit's logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The most probable token; of equal ones the lowest id.
    Greedy,
    /// A draw.
    Sample(Sampling),
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; above 0.
    pub temperature: f64,
    /// Only the so many most probable tokens, if given.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together have at least this probability, if given (Holtzman et
    /// al. 2020).
    pub top_p: Option<f64>,
    /// From which all draws follow.
    pub seed: u64,
}

/// How long and how to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// New tokens per prompt at most.
    pub max_new_tokens: usize,
    /// How a token is chosen.
    pub choice: Choice,
    /// Tokens that end a text.
    pub ends: Vec<u32>,
    /// The number of the first prompt; with the seed it decides what is drawn.
    pub first_number: u64,
}

/// Told of every new token.
pub trait Watcher {
    /// Whether the signals of every exit are wanted with each token.
    fn wants_signals(&self) -> bool {
        false
    }

    /// A new token of prompt `row`, end tokens included, with the signals of the exits 1..=N where they
    /// were wanted. [`ControlFlow::Break`] ends this row.
    fn token(
        &mut self,
        row: usize,
        token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn token(
        &mut self,
        _row: usize,
        _token: u32,
        _signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Continues every prompt; gives the new tokens of each, an end token included.
///
/// # Errors
/// An empty prompt, one that leaves no room for its new tokens, an unknown token; logits that are not finite.
pub fn generate(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &Options,
    watcher: &mut dyn Watcher,
) -> Result<Vec<Vec<u32>>> {
    check(model, prompts, options)?;
    let mut texts = vec![Vec::new(); prompts.len()];
    if prompts.is_empty() || options.max_new_tokens == 0 {
        return Ok(texts);
    }
    let mut run = Run::begin(model, prompts, options);
    for step in 0..options.max_new_tokens {
        let chosen = run
            .choose(watcher)
            .map_err(|error| error.of_row(|place| run.live[place].row).at_token(step))?;
        let mut stay = Vec::with_capacity(run.live.len());
        for (place, &(token, ref signals)) in chosen.iter().enumerate() {
            let row = run.live[place].row;
            texts[row].push(token);
            let verdict = watcher.token(row, token, signals.as_deref());
            if verdict.is_continue() && !options.ends.contains(&token) {
                stay.push(place);
            }
        }
        if stay.is_empty() || step + 1 == options.max_new_tokens {
            break;
        }
        let tokens: Vec<u32> = stay.iter().map(|&place| chosen[place].0).collect();
        run.keep(&stay);
        run.step(&tokens, watcher.wants_signals());
    }
    Ok(texts)
}

/// Whether every prompt can be continued.
///
/// # Errors
/// As [`generate`], of the prompts.
pub fn check(model: &dyn Decoder, prompts: &[Vec<u32>], options: &Options) -> Result<()> {
    for (row, prompt) in prompts.iter().enumerate() {
        let complain = |complaint: String| Err(Error::Batch(format!("prompt {row}: {complaint}")));
        if prompt.is_empty() {
            return complain("it has no tokens".to_owned());
        }
        let (n, new, room) = (prompt.len(), options.max_new_tokens, model.max_positions());
        if n + new > room {
            return complain(format!(
                "{n} tokens and {new} new ones do not fit the model's {room} positions"
            ));
        }
        if let Some(&id) = prompt.iter().find(|&&id| id as usize >= model.vocabulary_size()) {
            let size = model.vocabulary_size();
            return complain(format!("token {id} is not in the vocabulary of {size}"));
        }
    }
    Ok(())
}

/// A batch of prompts that share slots.
pub(crate) struct Padded {
    /// Slots of the longest.
    pub(crate) width: usize,
    /// Slots before each one's first token.
    pub(crate) padding: Arc<[usize]>,
    /// Row after row, padded on the left.
    pub(crate) tokens: Vec<u32>,
}

/// Pads prompts on the left.
pub(crate) fn pad(prompts: &[Vec<u32>]) -> Padded {
    let width = prompts.iter().map(Vec::len).max().expect("there are prompts");
    let padding: Arc<[usize]> = prompts.iter().map(|prompt| width - prompt.len()).collect();
    let mut tokens = Vec::with_capacity(prompts.len() * width);
    for prompt in prompts {
        tokens.resize(tokens.len() + width - prompt.len(), 0);
        tokens.extend_from_slice(prompt);
    }
    Padded { width, padding, tokens }
}

/// The chance of prompt `row`.
pub(crate) fn chance(options: &Options, row: usize) -> ChaCha8Rng {
    let seed = match options.choice {
        Choice::Greedy => 0,
        Choice::Sample(sampling) => sampling.seed,
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(options.first_number + row as u64);
    random
}

/// A prompt that is still being continued.
struct Live {
    row: usize,
    random: ChaCha8Rng,
}

/// A new token, with the signals of all exits where they were wanted.
type Chosen = (u32, Option<Vec<(Signal, Agreement)>>);

/// What goes from step to step.
struct Run<'m> {
    model: &'m dyn Decoder,
    choice: Choice,
    cache: KvCache,
    /// Slots filled so far.
    filled: usize,
    live: Vec<Live>,
    /// The states that the head has not read yet: of the last exit alone, or of all.
    states: Vec<Tensor<2>>,
}

impl<'m> Run<'m> {
    /// Reads the prompts; signals of their last tokens may be asked for.
    fn begin(model: &'m dyn Decoder, prompts: &[Vec<u32>], options: &Options) -> Self {
        let Padded { width, padding, tokens } = pad(prompts);
        let live = (0..prompts.len()).map(|row| Live { row, random: chance(options, row) });
        // The last new token is never an input.
        let capacity = width + options.max_new_tokens - 1;
        let mut run = Self {
            model,
            choice: options.choice,
            cache: model.empty_cache(padding, capacity),
            filled: 0,
            live: live.collect(),
            states: Vec::new(),
        };
        run.advance(&tokens, width, Rows::Many, true);
        run
    }

    fn step(&mut self, tokens: &[u32], all_exits: bool) {
        self.advance(tokens, 1, Rows::Few, all_exits);
    }

    /// Runs a block of tokens through all layers and keeps the states of its last tokens.
    fn advance(&mut self, tokens: &[u32], width: usize, rows: Rows, all_exits: bool) {
        let block = Block {
            width,
            start: self.filled,
            padding: self.cache.padding().clone(),
            lengths: std::iter::repeat_n(width, self.live.len()).collect(),
            rows,
        };
        let mut stream: Stream = self.model.embed_block(tokens, &block);
        let n_layers = self.model.n_layers();
        self.states.clear();
        for index in 0..n_layers {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            if all_exits || index + 1 == n_layers {
                self.states.push(self.model.exit_state(&stream));
            }
        }
        self.filled += width;
    }

    fn keep(&mut self, places: &[usize]) {
        if places.len() == self.live.len() {
            return;
        }
        self.cache.keep(places);
        let mut all: Vec<Option<Live>> = self.live.drain(..).map(Some).collect();
        self.live = places.iter().filter_map(|&place| all[place].take()).collect();
    }

    /// The next token of every row, with the signals of all exits if wanted.
    fn choose(&mut self, watcher: &dyn Watcher) -> std::result::Result<Vec<Chosen>, NotFinite> {
        let n = self.live.len();
        if !watcher.wants_signals() {
            let state = self.states.pop().expect("the last exit's states are kept");
            let logits = self.model.read(state, Rows::Few);
            return Ok(self.tokens(logits)?.into_iter().map(|token| (token, None)).collect());
        }
        let n_exits = self.states.len();
        // All exits in one product with the head.
        let logits = self.model.read(Tensor::cat(std::mem::take(&mut self.states), 0), Rows::Few);
        let tokens = match self.choice {
            Choice::Greedy => None,
            Choice::Sample(_) => Some(logits.clone().narrow(0, (n_exits - 1) * n, n)),
        };
        // First of all: an exit that is not finite is named even where the last one is.
        let signals = Signals::read(logits, n_exits)?;
        let tokens = tokens.map(|last| self.tokens(last)).transpose()?;
        let chosen = (0..n)
            .map(|row| {
                let exits = signals.row(row).to_vec();
                let best = exits[n_exits - 1].0.prediction;
                (tokens.as_ref().map_or(best, |tokens| tokens[row]), Some(exits))
            })
            .collect();
        Ok(chosen)
    }

    /// Tokens from the last exit's logits, `[rows, vocabulary]`.
    fn tokens(&mut self, logits: Tensor<2>) -> std::result::Result<Vec<u32>, NotFinite> {
        let exit = self.model.n_layers();
        let Choice::Sample(sampling) = self.choice else {
            return Ok(statistics(logits, exit)?.iter().map(|row| row.argmax).collect());
        };
        let [_, vocabulary] = logits.dims();
        let logits = on_host(logits, exit)?;
        let rows = logits.chunks_exact(vocabulary).zip(&mut self.live);
        Ok(rows.map(|(logits, live)| draw(logits, sampling, live.random.random())).collect())
    }
}

/// The token at `point` (0..1) of the distribution.
fn draw(logits: &[f32], sampling: Sampling, point: f64) -> u32 {
    let kept = kept(logits, sampling);
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut left = point * total;
    for &(id, weight) in &kept {
        left -= weight;
        if left < 0.0 {
            return id;
        }
    }
    kept[kept.len() - 1].0
}

/// Tokens among which the most probable ones are sought before all are put in order.
const FIRST: usize = 256;

/// The tokens that can be drawn, with their weights: probabilities but for their sum. Logits are finite.
pub(crate) fn kept(logits: &[f32], sampling: Sampling) -> Vec<(u32, f64)> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let falling =
        |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let top_k = sampling.top_k.unwrap_or(order.len()).clamp(1, order.len());
    if top_k < order.len() {
        order.select_nth_unstable_by(top_k - 1, falling);
        order.truncate(top_k);
    }
    let best = order.iter().map(|&id| logits[id as usize]).fold(f32::NEG_INFINITY, f32::max);
    let weight = |&id: &u32| (f64::from(logits[id as usize] - best) / sampling.temperature).exp();
    if let Some(top_p) = sampling.top_p {
        let total: f64 = order.iter().map(weight).sum();
        let mut in_order = FIRST.min(order.len());
        if in_order < order.len() {
            order.select_nth_unstable_by(in_order - 1, falling);
        }
        order[..in_order].sort_unstable_by(falling);
        if order[..in_order].iter().map(weight).sum::<f64>() < top_p * total {
            order.sort_unstable_by(falling);
            in_order = order.len();
        }
        let mut covered = 0.0;
        let enough = order[..in_order].iter().position(|id| {
            covered += weight(id);
            covered >= top_p * total
        });
        order.truncate(enough.map_or(in_order, |last| last + 1));
    }
    order.into_iter().map(|id| (id, weight(&id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, 1.0, -1.0];

    fn sampling(temperature: f64, top_k: Option<usize>, top_p: Option<f64>) -> Sampling {
        Sampling { temperature, top_k, top_p, seed: 0 }
    }

    /// How often each token comes at evenly spread points.
    fn shares(sampling: Sampling) -> [f64; 4] {
        let mut counts = [0.0; 4];
        for i in 0..10_000 {
            let point = (f64::from(i) + 0.5) / 10_000.0;
            counts[draw(&LOGITS, sampling, point) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let z: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
        for (found, logit) in shares(sampling(1.0, None, None)).iter().zip(LOGITS) {
            assert!((found - f64::from(logit).exp() / z).abs() < 2e-4, "{found}");
        }
        let z: f64 = LOGITS.iter().map(|&x| (f64::from(x) / 2.0).exp()).sum();
        let halved = shares(sampling(2.0, None, None));
        assert!((halved[1] - 1_f64.exp() / z).abs() < 2e-4);
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let two = shares(sampling(1.0, Some(2), None));
        assert_eq!((two[0], two[3]), (0.0, 0.0));
        let e = 1_f64.exp();
        assert!((two[1] - e / (e + 1.0)).abs() < 2e-4);
        // The best has 0.644, the best two 0.881.
        assert!(shares(sampling(1.0, None, Some(0.6)))[1] > 0.9999);
        let pair = shares(sampling(1.0, None, Some(0.7)));
        assert!(pair[2] > 0.2 && pair[0] == 0.0);
        assert!(shares(sampling(1e-3, None, None))[1] > 0.9999);
    }

    #[test]
    fn top_p_looks_beyond_the_first_tokens_where_they_cover_too_little() {
        // All equally probable: of equal ones the lowest ids.
        let kept = |n: usize, top_p| kept(&vec![0.5; n], sampling(1.0, None, Some(top_p)));
        let ids = |kept: Vec<(u32, f64)>| kept.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(kept(1024, 0.125)), (0..128).collect::<Vec<_>>());
        assert_eq!(ids(kept(1024, 0.5)), (0..512).collect::<Vec<_>>());
    }
}
