//! What goes from round to round.
//!
//! All rows of a batch draft equally many tokens and go on at one slot of the cache, though they accept
//! different numbers: the slots of those that accepted fewer are numbered anew (see [`crate::cache`]), so
//! that no row waits for another. A row near its longest length ignores drafts beyond it, so that neither its
//! tokens nor its chance depend on the batch.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::accept::{Drafted, drawn, greedy, probabilities, token_at};
use super::look::{Look, look, numbers, pick, positions, spread};
use super::tally::{Acceptance, Seconds, Tally};
use super::{Plan, Speculated, Strategy};
use crate::cache::KvCache;
use crate::exit::{Block, Decoder, Stream};
use crate::generate::{Choice, Options, Padded, Watcher, chance, pad};
use crate::kernels::{self, Rows};

/// A prompt that is still being continued.
struct Live {
    row: usize,
    random: ChaCha8Rng,
    /// The last token, which no layer has seen yet.
    last: u32,
    /// Tokens that may still come.
    left: usize,
}

/// What a round gave.
pub(super) struct Round {
    /// The plan, its drafts cut to what any row has room for.
    pub(super) plan: Plan,
    /// Rows.
    pub(super) rows: usize,
    /// The new tokens of each.
    tokens: Vec<Vec<u32>>,
    /// Over all rows.
    pub(super) acceptance: Acceptance,
    /// Of this round, its total not counted yet.
    pub(super) seconds: Seconds,
    /// If it was wanted.
    pub(super) look: Option<Look>,
}

/// What drafting leaves.
struct Draft {
    /// By row.
    drafts: Vec<Vec<Drafted>>,
    /// By step, what the draft exit's layers gave.
    steps: Vec<Stream>,
    /// By exit up to the draft exit, if they are wanted, then by step, `[rows, d_model]` each.
    exits: Vec<Vec<Tensor<2>>>,
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
    /// Reads the prompts and chooses each one's first token; every exit's agreement at the prompts' ends is
    /// given where the strategy wants it.
    pub(super) fn begin(
        model: &'m dyn Decoder,
        prompts: &[Vec<u32>],
        options: &Options,
        strategy: &Strategy,
        watcher: &mut dyn Watcher,
    ) -> (Self, Option<Look>) {
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
        let look = run.read(padded, strategy.wants_look());
        let first: Vec<Vec<u32>> = run.live.iter().map(|live| vec![live.last]).collect();
        run.emit(&first, watcher);
        (run, look)
    }

    /// Runs the prompts through all layers.
    fn read(&mut self, padded: Padded, looks: bool) -> Option<Look> {
        let mut clock = Clock::start();
        let Padded { width, padding, tokens } = padded;
        let most = positions(self.choice);
        let each = (most / padding.len()).max(1);
        let ends = padding.iter().enumerate().take(most).flat_map(|(row, &before)| {
            (row * width + before.max(width.saturating_sub(each))..(row + 1) * width)
                .collect::<Vec<_>>()
        });
        let ends: Vec<usize> = ends.collect();
        let mut stream = self.embed(&tokens, width, 0, Rows::Many);
        let mut states = Vec::new();
        for index in 0..self.model.n_layers() {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            if looks {
                states.push(stream.select(&ends));
            }
        }
        self.filled = width;
        let logits = self.model.read_step(self.model.exit_state(&stream));
        self.choose_first(logits);
        self.tally.seconds.prompts += clock.lap(&self.device);
        looks.then(|| self.look(states, &mut clock))
    }

    fn choose_first(&mut self, logits: Tensor<2>) {
        match self.choice {
            Choice::Greedy => {
                for (live, row) in self.live.iter_mut().zip(kernels::row_statistics(logits, None)) {
                    live.last = row.argmax;
                }
            }
            Choice::Sample(sampling) => {
                let [_, vocabulary] = logits.dims();
                let logits = numbers(logits);
                for (live, logits) in self.live.iter_mut().zip(logits.chunks_exact(vocabulary)) {
                    live.last = token_at(&probabilities(logits, sampling), live.random.random());
                }
            }
        }
    }

    fn look(&mut self, states: Vec<Tensor<2>>, clock: &mut Clock) -> Look {
        let found = look(self.model, self.choice, states);
        let seconds = clock.lap(&self.device);
        self.tally.seconds.looks += seconds;
        Look { seconds, ..found }
    }

    /// Rows that go on.
    pub(super) fn rows(&self) -> usize {
        self.live.len()
    }

    /// The longest draft that any row has room for; none when all rows have ended.
    pub(super) fn most_drafts(&self) -> Option<usize> {
        self.live.iter().map(|live| live.left - 1).max()
    }

    /// Drafts and verifies; [`Run::take`] must follow.
    pub(super) fn round(&mut self, plan: Plan, looks: bool) -> Round {
        let mut seconds = Seconds::default();
        let room: Vec<usize> =
            self.live.iter().map(|live| plan.drafts.min(live.left - 1)).collect();
        let Draft { drafts, steps, exits } = self.draft(plan, &room, looks, &mut seconds);
        let mut exits: Vec<Tensor<2>> = exits.into_iter().map(by_row).collect();
        let logits = self.verify(plan, &drafts, steps, looks.then_some(&mut exits), &mut seconds);
        let mut clock = Clock::start();
        let tokens = self.accept(&drafts, &room, logits);
        let look = looks.then(|| {
            let width = plan.drafts + 1;
            let known = |(row, tokens): (usize, &Vec<u32>)| {
                (row * width..row * width + tokens.len()).collect::<Vec<_>>()
            };
            let places: Vec<usize> = tokens.iter().enumerate().flat_map(known).collect();
            let places = spread(places, positions(self.choice));
            // Choosing is no looking.
            clock.lap(&self.device);
            let states = exits.into_iter().map(|state| pick(state, &places)).collect();
            self.look(states, &mut clock)
        });
        let mut acceptance = Acceptance::default();
        for (tokens, &drafts) in tokens.iter().zip(&room) {
            self.tally.count_row(Plan { drafts, ..plan }, tokens.len());
            acceptance.accepted += tokens.len() - 1;
            acceptance.examined += drafts.min(tokens.len());
        }
        self.tally.rounds += 1;
        self.tally.layer_reads += self.model.n_layers() + plan.drafts * plan.exit;
        self.tally.head_reads += plan.drafts + 1;
        self.tally.seconds.add(&seconds);
        Round { plan, rows: self.live.len(), tokens, acceptance, seconds, look }
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

    /// Guesses token after token; the last guess, too, goes through the layers, as its keys and values are
    /// needed if it stays.
    fn draft(&mut self, plan: Plan, room: &[usize], all: bool, seconds: &mut Seconds) -> Draft {
        let mut drafts = vec![Vec::with_capacity(plan.drafts); self.live.len()];
        let mut exits = vec![Vec::new(); if all { plan.exit } else { 0 }];
        let mut steps = Vec::with_capacity(plan.drafts + 1);
        let mut tokens: Vec<u32> = self.live.iter().map(|live| live.last).collect();
        let mut clock = Clock::start();
        for step in 0..=plan.drafts {
            let mut stream = self.embed(&tokens, 1, step, Rows::Few);
            for index in 0..plan.exit {
                stream = self.model.layer_with(index, stream, self.cache.layer(index));
                if let Some(states) = exits.get_mut(index) {
                    states.push(stream.hidden.clone());
                }
            }
            seconds.draft_layers += clock.lap(&self.device);
            steps.push(stream.clone());
            if step == plan.drafts {
                break;
            }
            let guesses = self.guess(self.model.read_step(stream.hidden), room, step);
            tokens = guesses.iter().map(|guess| guess.token).collect();
            drafts.iter_mut().zip(guesses).for_each(|(drafts, guess)| drafts.push(guess));
            seconds.draft_heads += clock.lap(&self.device);
        }
        Draft { drafts, steps, exits }
    }

    /// The next guess of every row.
    fn guess(&mut self, logits: Tensor<2>, room: &[usize], step: usize) -> Vec<Drafted> {
        let Choice::Sample(sampling) = self.choice else {
            let rows = kernels::row_statistics(logits, None);
            let guess = |token| Drafted { token, probabilities: Vec::new() };
            return rows.iter().map(|row| guess(row.argmax)).collect();
        };
        let [_, vocabulary] = logits.dims();
        let logits = numbers(logits);
        let rows = self.live.iter_mut().zip(logits.chunks_exact(vocabulary)).zip(room);
        let guess = |((live, logits), &room): ((&mut Live, &[f32]), &usize)| {
            if step >= room {
                // Nobody will look at it.
                return Drafted { token: 0, probabilities: Vec::new() };
            }
            let probabilities = probabilities(logits, sampling);
            Drafted { token: token_at(&probabilities, live.random.random()), probabilities }
        };
        rows.map(guess).collect()
    }

    /// The last exit's logits after the last token and after every draft, `[rows * (drafts + 1),
    /// vocabulary]`, from where drafting left each step; the states of the exits above go to `exits`.
    fn verify(
        &mut self,
        plan: Plan,
        drafts: &[Vec<Drafted>],
        mut steps: Vec<Stream>,
        mut exits: Option<&mut Vec<Tensor<2>>>,
        seconds: &mut Seconds,
    ) -> Tensor<2> {
        let mut clock = Clock::start();
        let mut stream = if steps.len() == 1 {
            steps.remove(0)
        } else {
            let mut tokens = Vec::with_capacity(self.live.len() * steps.len());
            for (live, drafts) in self.live.iter().zip(drafts) {
                tokens.push(live.last);
                tokens.extend(drafts.iter().map(|draft| draft.token));
            }
            let block = self.embed(&tokens, steps.len(), 0, Rows::Few);
            let hidden = by_row(steps.into_iter().map(|step| step.hidden).collect());
            Stream { hidden, ..block }
        };
        for index in plan.exit..self.model.n_layers() {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            if let Some(exits) = &mut exits {
                exits.push(stream.hidden.clone());
            }
        }
        seconds.verification_layers += clock.lap(&self.device);
        let logits = self.model.read_step(stream.hidden);
        seconds.verification_head += clock.lap(&self.device);
        logits
    }

    /// The new tokens of every row.
    fn accept(
        &mut self,
        drafts: &[Vec<Drafted>],
        room: &[usize],
        logits: Tensor<2>,
    ) -> Vec<Vec<u32>> {
        let [positions, vocabulary] = logits.dims();
        let width = positions / self.live.len();
        let drafts = drafts.iter().zip(room).map(|(drafts, &room)| &drafts[..room]);
        match self.choice {
            Choice::Greedy => {
                let rows = kernels::row_statistics(logits, None);
                let best: Vec<u32> = rows.iter().map(|row| row.argmax).collect();
                best.chunks_exact(width).zip(drafts).map(|(best, own)| greedy(own, best)).collect()
            }
            Choice::Sample(sampling) => {
                let logits = numbers(logits);
                let rows = logits.chunks_exact(width * vocabulary).zip(&mut self.live);
                rows.zip(drafts)
                    .map(|((logits, live), own)| {
                        let target = |at: usize| {
                            let from = at * vocabulary;
                            probabilities(&logits[from..from + vocabulary], sampling)
                        };
                        drawn(own, target, || live.random.random())
                    })
                    .collect()
            }
        }
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

/// From one state per step, `[rows, d_model]` each, to row after row, `[rows * steps, d_model]`.
fn by_row(steps: Vec<Tensor<2>>) -> Tensor<2> {
    let (n, [rows, d_model]) = (steps.len(), steps[0].dims());
    Tensor::cat(steps, 1).reshape([rows * n, d_model])
}
