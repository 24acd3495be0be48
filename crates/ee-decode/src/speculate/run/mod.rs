//! What goes from round to round.
//!
//! All rows of a batch draft equally many tokens and go on at one slot of the cache, though they accept
//! different numbers: the slots of those that accepted fewer are numbered anew (see [`ee_models::cache`]), so
//! that no row waits for another. A row near its longest length ignores drafts beyond it, so that neither its
//! tokens nor its chance depend on the batch.

mod round;

use std::time::Instant;

use burn::tensor::Device;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::accept::Said;
use super::adapt::Outcome;
use super::look::{Watched, positions};
use super::tally::Tally;
use super::{Speculated, Strategy};
use crate::generate::{Choice, Options, Padded, Watcher, chance, pad};
use ee_models::KvCache;
use ee_models::kernels::Rows;
use ee_models::signal::NotFinite;
use ee_models::{Block, Decoder, Stream};
use round::Round;

/// A prompt that is still being continued.
struct Live {
    row: usize,
    random: ChaCha8Rng,
    /// The last token, which no layer has seen yet.
    last: u32,
    /// Tokens that may still come.
    left: usize,
}

/// Seconds since the last look at it; waits for the device.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self, device: &Device) -> f64 {
        device.sync().expect("the device works");
        let now = Instant::now();
        let seconds = (now - self.0).as_secs_f64();
        self.0 = now;
        seconds
    }
}

/// A batch on its way.
pub(super) struct Run<'m> {
    model: &'m dyn Decoder,
    device: Device,
    choice: Choice,
    ends: Vec<u32>,
    cache: KvCache,
    /// Slots filled so far.
    filled: usize,
    live: Vec<Live>,
    texts: Vec<Vec<u32>>,
    tally: Tally,
    started: Instant,
}

impl<'m> Run<'m> {
    /// Reads the prompts and chooses each one's first token; gives what exits would have said at the prompts'
    /// ends where the strategy wants to know.
    ///
    /// # Errors
    /// [`NotFinite`].
    pub(super) fn begin(
        model: &'m dyn Decoder,
        prompts: &[Vec<u32>],
        options: &Options,
        strategy: &Strategy,
        watcher: &mut dyn Watcher,
    ) -> Result<(Self, Vec<Outcome>), NotFinite> {
        let started = Instant::now();
        let padded = pad(prompts);
        let live = (0..prompts.len()).map(|row| Live {
            row,
            random: chance(options, row),
            last: 0,
            left: options.max_new_tokens,
        });
        // The last new token is never an input, but drafts may lie beyond it.
        let capacity = padded.width + options.max_new_tokens - 1 + strategy.longest();
        let mut run = Self {
            model,
            device: model.device(),
            choice: options.choice,
            ends: options.ends.clone(),
            cache: model.empty_cache(padded.padding.clone(), capacity),
            filled: 0,
            live: live.collect(),
            texts: vec![Vec::new(); prompts.len()],
            tally: Tally { texts: prompts.len(), ..Tally::default() },
            started,
        };
        let seen = run.read(padded, strategy.first_looks())?;
        let first: Vec<Vec<u32>> = run.live.iter().map(|live| vec![live.last]).collect();
        run.emit(&first, watcher);
        Ok((run, seen))
    }

    /// Runs the prompts through all layers.
    fn read(&mut self, padded: Padded, looks: Vec<usize>) -> Result<Vec<Outcome>, NotFinite> {
        let mut clock = Clock::start();
        let Padded { width, padding, tokens } = padded;
        let mut stream = self.embed(&tokens, width, 0, Rows::Many);
        let ends = prompt_ends(width, &padding, positions(self.choice));
        let mut watched = Watched::new(looks);
        for index in 0..self.model.n_layers() {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            watched.see(index + 1, || stream.select(&ends));
        }
        self.filled = width;
        let layers = self.model.n_layers();
        let state = self.model.exit_state(&stream);
        let said = Said::of(self.model.read(state, Rows::Few), layers, self.choice)
            .map_err(|error| error.at_token(0))?;
        for (place, live) in self.live.iter_mut().enumerate() {
            live.last = said.draw(place, || live.random.random()).token;
        }
        self.tally.seconds.prompts += clock.lap(&self.device);
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let row = |error: NotFinite| error.of_row(|at| ends[at] / width);
        let full = Said::of(self.model.read(stream.select(&ends), Rows::Few), layers, self.choice);
        let full = full.map_err(row)?;
        let places: Vec<usize> = (0..ends.len()).collect();
        let seen = watched.look(self.model, self.choice, &places, &full).map_err(row)?;
        self.tally.seconds.looks += clock.lap(&self.device);
        Ok(seen)
    }

    /// What looking took so far.
    pub(super) fn look_seconds(&self) -> f64 {
        self.tally.seconds.looks
    }

    /// Rows that go on.
    pub(super) fn rows(&self) -> usize {
        self.live.len()
    }

    /// The longest draft that any row has room for; none when all rows have ended.
    pub(super) fn most_drafts(&self) -> Option<usize> {
        self.live.iter().map(|live| live.left - 1).max()
    }

    /// A block of tokens of every row, from the first free slot or so many behind it.
    fn embed(&self, tokens: &[u32], width: usize, behind: usize, rows: Rows) -> Stream {
        let block = Block {
            width,
            start: self.filled + behind,
            padding: self.cache.padding().clone(),
            lengths: std::iter::repeat_n(width, self.live.len()).collect(),
            rows,
        };
        self.model.embed_block(tokens, &block)
    }

    /// Hands a round's tokens out, lets the rows go that have ended, and crops the caches of the others.
    pub(super) fn take(&mut self, round: &Round, watcher: &mut dyn Watcher) {
        let before: usize = self.texts.iter().map(Vec::len).sum();
        let stay = self.emit(&round.tokens, watcher);
        let after: usize = self.texts.iter().map(Vec::len).sum();
        self.tally.round_tokens += after - before;
        // Of a row that stays the last token, not yet in the cache, and the drafts that stayed.
        let taken: Vec<usize> = stay.iter().map(|&place| round.tokens[place].len()).collect();
        let Some(most) = taken.iter().copied().max() else { return };
        self.filled += most;
        for index in 0..self.model.n_layers() {
            self.cache.layer(index).crop(self.filled);
        }
        self.cache.fall_behind(&taken.iter().map(|n| most - n).collect::<Vec<_>>());
    }

    /// Appends tokens to the texts up to their ends; gives the places, before this, of the rows that stay.
    fn emit(&mut self, tokens: &[Vec<u32>], watcher: &mut dyn Watcher) -> Vec<usize> {
        let mut stay = Vec::with_capacity(self.live.len());
        for (place, tokens) in tokens.iter().enumerate() {
            let live = &mut self.live[place];
            let goes_on = tokens.iter().all(|&token| {
                self.texts[live.row].push(token);
                live.last = token;
                live.left -= 1;
                let verdict = watcher.token(live.row, token, None);
                verdict.is_continue() && !self.ends.contains(&token)
            });
            if goes_on && live.left > 0 {
                stay.push(place);
            }
        }
        if stay.is_empty() {
            self.live.clear();
        } else if stay.len() < self.live.len() {
            self.cache.keep(&stay);
            let mut all: Vec<Option<Live>> = self.live.drain(..).map(Some).collect();
            self.live = stay.iter().filter_map(|&place| all[place].take()).collect();
        }
        stay
    }

    /// The texts and the counts.
    pub(super) fn finish(mut self) -> Speculated {
        self.tally.seconds.total = self.started.elapsed().as_secs_f64();
        Speculated { texts: self.texts, tally: self.tally }
    }
}

/// Places of at most so many tokens at the ends of padded prompts, some of each.
fn prompt_ends(width: usize, padding: &[usize], most: usize) -> Vec<usize> {
    let each = (most / padding.len()).max(1);
    let of_row = |(row, &before): (usize, &usize)| {
        row * width + before.max(width.saturating_sub(each))..(row + 1) * width
    };
    padding.iter().enumerate().take(most).flat_map(of_row).collect()
}
