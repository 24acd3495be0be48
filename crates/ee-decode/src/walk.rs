//! The loop: a batch of prompts continued token by token, each row through as many layers as its rule lets it.
//!
//! All rules, policies and heads run through here. Rows share slots as in [`crate::generate`], and a
//! step's weights are read with [`Rows::Few`], so that a row's numbers have the same bits alone and in any
//! batch: rows that leave are taken out, and what stays is as if they had been alone. The prompt is read by
//! every layer, so that the first new token never leaves early. Decoding is greedy.

use std::sync::Arc;
use std::time::Instant;

use crate::generate::{Options, Watcher, check};
use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signals};
use ee_models::{Block, Decoder, KvCache, Stream, WeightBytes};

use super::ask::{Asking, Taken, select};
use super::clock::{Clock, Part};
use super::decay::Position;
use super::head::Reader;
use super::policy::Filling;
use super::rule::Rule;
use super::settings::Settings;
use crate::error::Result;
use ee_models::signal::ideal_exit;

/// What came of some prompts.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// New tokens of each, an end token included.
    pub tokens: Vec<Vec<u32>>,
    /// The exit, from 1, that each of them was taken from.
    pub exits: Vec<Vec<usize>>,
    /// Where the time went.
    pub clock: Clock,
}

/// Continues every prompt greedily, as [`crate::generate::generate`] does; of the options the choice is
/// not looked at. The clock times the parts of a step, or only counts.
///
/// # Errors
/// Settings that do not go together; a prompt that cannot be continued; states or logits that are not finite.
pub fn decode(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &Options,
    (settings, clock): (&Settings, Clock),
    watcher: &mut dyn Watcher,
) -> Result<Decoded> {
    settings.check(model)?;
    check(model, prompts, options)?;
    let mut tokens = vec![Vec::new(); prompts.len()];
    let mut exits = vec![Vec::new(); prompts.len()];
    if prompts.is_empty() || options.max_new_tokens == 0 {
        return Ok(Decoded { tokens, exits, clock: Clock::default() });
    }
    let started = Instant::now();
    let limit = options.max_new_tokens;
    let (mut walk, mut chosen) = Walk::begin(model, prompts, limit, (settings, clock))?;
    walk.clock.end_prompts(started.elapsed());
    let started = Instant::now();
    for number in 0..options.max_new_tokens {
        let mut stay = Vec::with_capacity(chosen.len());
        for (place, taken) in chosen.iter().enumerate() {
            let row = walk.live[place];
            tokens[row].push(taken.token);
            exits[row].push(taken.exit);
            let verdict = watcher.token(row, taken.token, None);
            if verdict.is_continue() && !options.ends.contains(&taken.token) {
                stay.push(place);
            }
        }
        if stay.is_empty() || number + 1 == options.max_new_tokens {
            break;
        }
        let inputs: Vec<u32> = stay.iter().map(|&place| chosen[place].token).collect();
        walk.keep(&stay);
        chosen = walk.advance(&inputs, 1, Rows::Few)?;
    }
    walk.clock.steps = started.elapsed();
    Ok(Decoded { tokens, exits, clock: walk.clock })
}

/// What goes from step to step.
pub(super) struct Walk<'m> {
    model: &'m dyn Decoder,
    settings: &'m Settings,
    limit: usize,
    pub(super) cache: KvCache,
    /// Slots that the tokens so far take.
    filled: usize,
    /// New tokens so far.
    number: usize,
    /// The prompt of each row.
    pub(super) live: Vec<usize>,
    filling: Box<dyn Filling>,
    bytes: WeightBytes,
    clock: Clock,
}

impl<'m> Walk<'m> {
    /// Reads the prompts; gives the first new tokens, too.
    pub(super) fn begin(
        model: &'m dyn Decoder,
        prompts: &[Vec<u32>],
        limit: usize,
        (settings, clock): (&'m Settings, Clock),
    ) -> Result<(Self, Vec<Taken>)> {
        let width = prompts.iter().map(Vec::len).max().expect("there are prompts");
        let padding: Arc<[usize]> = prompts.iter().map(|prompt| width - prompt.len()).collect();
        let mut tokens = Vec::with_capacity(prompts.len() * width);
        for prompt in prompts {
            tokens.resize(tokens.len() + width - prompt.len(), 0);
            tokens.extend_from_slice(prompt);
        }
        let mut walk = Self {
            model,
            settings,
            limit,
            // The last new token is never an input.
            cache: model.empty_cache(padding, width + limit - 1),
            filled: 0,
            number: 0,
            live: (0..prompts.len()).collect(),
            filling: settings.policy.begin(prompts.len()),
            bytes: model.weight_bytes(),
            clock,
        };
        let first = walk.advance(&tokens, width, Rows::Many)?;
        Ok((walk, first))
    }

    pub(super) fn keep(&mut self, places: &[usize]) {
        if places.len() == self.live.len() {
            return;
        }
        self.cache.keep(places);
        self.filling.keep(places);
        self.live = places.iter().map(|&place| self.live[place]).collect();
    }

    /// Runs a block of tokens; gives the token that follows each row.
    ///
    /// # Errors
    /// Of a prompt, states or logits that are not finite.
    pub(super) fn advance(
        &mut self,
        tokens: &[u32],
        width: usize,
        rows: Rows,
    ) -> Result<Vec<Taken>> {
        let n_rows = self.live.len();
        let block = Block {
            width,
            start: self.filled,
            padding: self.cache.padding().clone(),
            lengths: std::iter::repeat_n(width, n_rows).collect(),
            rows,
        };
        let stream = self.model.embed_block(tokens, &block).in_cache_rows((0..n_rows).collect());
        // The prompt's pass gives the first one: every layer runs for it, whatever the policy.
        let may_leave = self.number >= self.settings.min_tokens.max(1);
        let taken = match self.settings.rule.rule {
            Rule::Ideal if may_leave => self.look_back(stream),
            _ => self.look_ahead(stream, may_leave),
        };
        let taken = taken.map_err(|error| {
            ee_models::Error::from(error.of_row(|row| self.live[row]).at_token(self.number))
        })?;
        self.filled += width;
        self.number += 1;
        Ok(taken)
    }

    /// Layer by layer, rows leaving where their rule says so.
    ///
    /// # Errors
    /// [`NotFinite`] of a row of the cache.
    fn look_ahead(
        &mut self,
        stream: Stream,
        may_leave: bool,
    ) -> std::result::Result<Vec<Taken>, NotFinite> {
        let (layers, n_rows) = (self.model.n_layers(), stream.n_rows());
        let position = Position { number: self.number, limit: self.limit };
        let mut asking = Asking::new(self.settings, self.model, n_rows, position);
        let mut streams = vec![stream];
        for index in 0..layers {
            streams = self.filling.before(self.model, index, streams);
            let exit = index + 1;
            let is_asked = may_leave && exit < layers && asking.asks(exit);
            let mut stay = Vec::with_capacity(streams.len());
            for stream in streams {
                let before =
                    (is_asked && asking.compares()).then(|| self.model.exit_state(&stream));
                let stream = self.layer(index, stream);
                let places = match is_asked {
                    true => asking.leave(&mut self.reader(exit), &stream, before)?,
                    false => Vec::new(),
                };
                stay.extend(self.part(exit, stream, &places));
            }
            streams = stay;
            if streams.is_empty() {
                break;
            }
        }
        for stream in &streams {
            let state = self.model.exit_state(stream);
            let rows = stream.cache_rows();
            let (_, signals) = self.reader(layers).whole(&rows, state)?;
            asking.end(&rows, &signals, layers);
        }
        Ok(asking.taken())
    }

    /// What goes on of a stream when the rows at some places leave.
    fn part(&mut self, exit: usize, stream: Stream, leave: &[usize]) -> Option<Stream> {
        if leave.is_empty() || !self.settings.policy.takes_effect() {
            return Some(stream);
        }
        if leave.len() == stream.n_rows() {
            self.left(exit, &stream);
            return None;
        }
        let stay: Vec<usize> =
            (0..stream.n_rows()).filter(|place| !leave.contains(place)).collect();
        self.left(exit, &stream.rows(leave));
        Some(stream.rows(&stay))
    }

    /// All layers, then the exit that looks at the last one's answer; the policy treats the token as if it
    /// had left there.
    ///
    /// # Errors
    /// [`NotFinite`] of a row of the cache.
    fn look_back(&mut self, stream: Stream) -> std::result::Result<Vec<Taken>, NotFinite> {
        let (layers, n_rows) = (self.model.n_layers(), stream.n_rows());
        let exits: Vec<usize> = self.settings.exits.iter().copied().chain([layers]).collect();
        let mut states = Vec::with_capacity(exits.len());
        let mut streams = vec![stream];
        for index in 0..layers {
            streams = self.filling.before(self.model, index, streams);
            streams = streams.into_iter().map(|stream| self.layer(index, stream)).collect();
            if exits.contains(&(index + 1)) {
                states.push(self.in_order(&streams));
            }
        }
        self.clock.head_reads += 1;
        self.clock.weight_bytes += self.bytes.head as u64;
        let (model, n_exits) = (self.model, exits.len());
        let signals = self.clock.time(Part::Heads, || {
            Signals::read(model.read(Tensor::cat(states.clone(), 0), Rows::Few), n_exits)
        });
        let signals =
            signals.map_err(|error| NotFinite { exit: exits[error.exit - 1], ..error })?;
        let taken: Vec<Taken> = (0..n_rows)
            .map(|row| {
                let said: Vec<u32> =
                    signals.row(row).iter().map(|(signal, _)| signal.prediction).collect();
                Taken { token: said[n_exits - 1], exit: exits[ideal_exit(&said) - 1] }
            })
            .collect();
        if self.settings.policy.takes_effect() {
            for (&exit, state) in exits[..n_exits - 1].iter().zip(&states) {
                let rows: Vec<usize> = (0..n_rows).filter(|&row| taken[row].exit == exit).collect();
                if !rows.is_empty() {
                    self.take_back(exit, &rows, state);
                }
            }
        }
        Ok(taken)
    }

    /// Forgets what some rows computed of the step's token above an exit.
    fn take_back(&mut self, exit: usize, rows: &[usize], state: &Tensor<2>) {
        for index in exit..self.model.n_layers() {
            for &row in rows {
                self.cache.layer(index).crop_row(row, self.filled);
            }
        }
        let block = Block {
            width: 1,
            start: self.filled,
            padding: rows.iter().map(|&row| self.cache.padding()[row]).collect(),
            lengths: std::iter::repeat_n(1, rows.len()).collect(),
            rows: Rows::Few,
        };
        let stream = self.model.resume_block(select(state, rows), &block);
        self.left(exit, &stream.in_cache_rows(rows.into()));
    }

    /// The states of the streams' last tokens in the order of the cache's rows.
    fn in_order(&self, streams: &[Stream]) -> Tensor<2> {
        if let [stream] = streams {
            // One stream holds the rows in order: only groups of `deferred` change it.
            if stream.cache_rows().is_sorted() {
                return self.model.exit_state(stream);
            }
        }
        let order: Vec<usize> =
            streams.iter().flat_map(|stream| stream.cache_rows().to_vec()).collect();
        let states = streams.iter().map(|stream| self.model.exit_state(stream)).collect();
        let mut places = vec![0; order.len()];
        for (place, row) in order.into_iter().enumerate() {
            places[row] = place;
        }
        select(&Tensor::cat(states, 0), &places)
    }

    fn layer(&mut self, index: usize, stream: Stream) -> Stream {
        self.clock.weight_bytes += self.bytes.layer as u64;
        let (model, cache) = (self.model, self.cache.layer(index));
        self.clock.time(Part::Layers, || model.layer_with(index, stream, cache))
    }

    fn left(&mut self, exit: usize, stream: &Stream) {
        let Self { model, cache, filling, clock, bytes, .. } = self;
        let projected = clock.time(Part::Kv, || filling.left(*model, cache, exit, stream));
        clock.weight_bytes += (projected * bytes.key_value) as u64;
    }

    fn reader(&mut self, exit: usize) -> Reader<'_> {
        Reader { model: self.model, exit, bytes: self.bytes, clock: &mut self.clock }
    }
}
