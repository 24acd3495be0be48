//! The step loop: every way of continuing texts runs through it.
//!
//! A [`Lane`] is a batch with its cache: prompts are padded on the left and share slots, a prompt is read with
//! [`Rows::Many`] and every step with [`Rows::Few`], so that a row's numbers have the same bits alone and in any
//! batch. Where an encoder reads the prompts, the decoder's first token is a step like any other. A [`Run`] adds the
//! texts. A [`Way`] says what a step gives each row: one token of all layers, one of the layers that its rule asks for,
//! or as many as a draft was right about. Rows that have ended leave the batch; a row may also be kept twice.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use ee_models::kernels::Rows;
use ee_models::signal::{Agreement, NotFinite, Signal};
use ee_models::{Block, Decoder, Error, KvCache, Stream};
use rand_chacha::ChaCha8Rng;

use crate::choose::Choice;
use crate::clock::Clock;
use crate::watch::Watcher;

/// How long and how to continue prompts.
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

impl Options {
    /// Whether every prompt can be continued.
    ///
    /// # Errors
    /// An empty prompt, one that leaves no room for its new tokens, an unknown token.
    pub fn check(&self, model: &dyn Decoder, prompts: &[Vec<u32>]) -> Result<(), Error> {
        let mut numbered = prompts.iter().enumerate();
        numbered.try_for_each(|(row, prompt)| check_prompt(model, row, prompt, self.max_new_tokens))
    }
}

/// Whether a prompt can be continued by `new` tokens.
///
/// # Errors
/// It is empty, leaves no room for its new tokens, or holds an unknown token.
pub(crate) fn check_prompt(
    model: &dyn Decoder,
    row: usize,
    prompt: &[u32],
    new: usize,
) -> Result<(), Error> {
    let complain = |complaint: String| Err(Error::Batch(format!("prompt {row}: {complaint}")));
    if prompt.is_empty() {
        return complain("it has no tokens".to_owned());
    }
    let (n, room) = (prompt.len(), model.max_positions());
    if n > model.longest_prompt(new) {
        return complain(format!(
            "{n} tokens and {new} new ones do not fit the model's {room} positions"
        ));
    }
    let size = model.prompt_vocabulary();
    match prompt.iter().find(|&&id| id as usize >= size) {
        Some(id) => complain(format!("token {id} is not in the vocabulary of {size}")),
        None => Ok(()),
    }
}

/// A batch with its cache.
pub struct Lane<'m> {
    /// The model.
    pub model: &'m dyn Decoder,
    /// Keys and values of the tokens so far.
    pub cache: KvCache,
    /// Layers that run: all, unless the model is cut after some.
    depth: usize,
    filled: usize,
}

impl<'m> Lane<'m> {
    /// Embeds some prompts, with room for `room` tokens after them; `depth` layers will run. The prompts count as
    /// read: they must run through the layers before anything else does. Where an encoder reads the prompts, it has
    /// done so, and what is embedded is the last token of the decoder's opening.
    ///
    /// # Panics
    /// When there is no prompt.
    pub fn begin(
        (model, depth): (&'m dyn Decoder, usize),
        prompts: &[Vec<u32>],
        room: usize,
    ) -> (Self, Stream) {
        assert!(!prompts.is_empty(), "there are prompts");
        if let Some((&last, before)) = model.opening().split_last() {
            let padding = std::iter::repeat_n(0, prompts.len()).collect();
            let mut cache = model.empty_cache(padding, before.len() + 1 + room);
            model.remember(prompts, &mut cache);
            let mut lane = Self { model, cache, depth, filled: 0 };
            if !before.is_empty() {
                lane.read(&before.repeat(prompts.len()), Rows::Few, |_, _| ());
            }
            let stream = lane.embed(&vec![last; prompts.len()], 0, Rows::Few);
            lane.filled += 1;
            return (lane, stream);
        }
        let width = prompts.iter().map(Vec::len).max().expect("there are prompts");
        let padding: Arc<[usize]> = prompts.iter().map(|prompt| width - prompt.len()).collect();
        let mut tokens = Vec::with_capacity(prompts.len() * width);
        for prompt in prompts {
            tokens.resize(tokens.len() + width - prompt.len(), 0);
            tokens.extend_from_slice(prompt);
        }
        let cache = model.empty_cache(padding, width + room);
        let mut lane = Self { model, cache, depth, filled: 0 };
        let stream = lane.embed(&tokens, 0, Rows::Many);
        lane.filled = width;
        (lane, stream)
    }

    /// Reads some prompts with all layers, with room for `room` tokens after them.
    ///
    /// # Panics
    /// When there is no prompt.
    pub fn behind(model: &'m dyn Decoder, prompts: &[Vec<u32>], room: usize) -> Self {
        let (mut lane, stream) = Self::begin((model, model.n_layers()), prompts, room);
        lane.layers(0..lane.depth, stream, |_, _| ());
        lane
    }

    /// Layers that run.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Rows of the batch.
    pub fn n_rows(&self) -> usize {
        self.cache.padding().len()
    }

    /// Slots filled so far.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Embeds the same number of tokens of every row, row after row, from `behind` slots after the first free one.
    pub fn embed(&self, tokens: &[u32], behind: usize, rows: Rows) -> Stream {
        let width = tokens.len() / self.n_rows();
        let block = self.block(self.cache.padding().clone(), width, rows);
        self.model.embed_block(tokens, &Block { start: self.filled + behind, ..block })
    }

    /// A block at the first free slot, of rows with this padding.
    pub(crate) fn block(&self, padding: Arc<[usize]>, width: usize, rows: Rows) -> Block {
        let lengths = std::iter::repeat_n(width, padding.len()).collect();
        Block { width, start: self.filled, padding, lengths, rows }
    }

    /// Goes from depth `index` to depth `index + 1`.
    pub fn layer(&mut self, index: usize, stream: Stream) -> Stream {
        self.model.layer_with(index, stream, self.cache.layer(index))
    }

    /// Runs some layers; `see` is given each exit, from 1, and the stream there.
    pub fn layers(
        &mut self,
        layers: Range<usize>,
        stream: Stream,
        mut see: impl FnMut(usize, &Stream),
    ) -> Stream {
        layers.fold(stream, |stream, index| {
            let stream = self.layer(index, stream);
            see(index + 1, &stream);
            stream
        })
    }

    /// Reads the same number of tokens of every row with all layers; `see` as in [`Lane::layers`].
    pub fn read(&mut self, tokens: &[u32], rows: Rows, see: impl FnMut(usize, &Stream)) -> Stream {
        let stream = self.embed(tokens, 0, rows);
        self.filled += stream.width;
        self.layers(0..self.depth, stream, see)
    }

    /// Forgets the slots from `len` on.
    ///
    /// # Panics
    /// If a layer that runs holds fewer.
    pub fn crop(&mut self, len: usize) {
        self.filled = len;
        for index in 0..self.depth {
            self.cache.layer(index).crop(len);
        }
    }

    /// Continues after the tokens that a step gave each row; where rows took fewer, their slots are renumbered
    /// (see [`ee_models::cache`]), so that no row waits for another.
    fn settle(&mut self, taken: &[usize]) {
        let most = taken.iter().copied().max().unwrap_or(0);
        self.filled += most;
        // Every token goes through the first layer. It holds more only after wrong drafts, which go through all.
        if self.cache.layer(0).len() > self.filled {
            self.crop(self.filled);
        }
        self.cache.fall_behind(&taken.iter().map(|n| most - n).collect::<Vec<_>>());
    }
}

/// A text on its way.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) prompt: usize,
    /// The new tokens. No layer has seen the last one.
    pub(crate) tokens: Vec<u32>,
    /// The exit of each, where they are not all the last's.
    pub(crate) exits: Vec<usize>,
    pub(crate) random: ChaCha8Rng,
}

impl Row {
    pub(crate) fn last(&self) -> u32 {
        *self.tokens.last().expect("a text begins with the token that its prompt gave")
    }
}

/// What a step gives a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) tokens: Vec<u32>,
    /// The exit that they were taken from, if that is of interest.
    pub(crate) exit: Option<usize>,
    /// Of every exit, if they were asked for.
    pub(crate) signals: Option<Vec<(Signal, Agreement)>>,
}

impl Given {
    pub(crate) fn token(token: u32) -> Self {
        Self { tokens: vec![token], ..Self::default() }
    }
}

/// Some rows of a tensor.
pub(crate) fn select(tensor: &Tensor<2>, rows: &[usize]) -> Tensor<2> {
    if rows.len() == tensor.dims()[0] && rows.is_sorted_by(|a, b| a < b) {
        return tensor.clone();
    }
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let indices = TensorData::new(indices, [rows.len()]);
    tensor.clone().select(0, Tensor::<1, Int>::from_data(indices, &tensor.device()))
}

/// A way of continuing texts. An error's row is a row of the lane.
pub(crate) trait Way {
    /// Tokens beyond a text's last that a step may try.
    fn overhang(&self) -> usize {
        0
    }

    /// Reads the prompts; gives the first new tokens.
    fn read(&mut self, run: &mut Run<'_>, prompts: Stream) -> Result<Vec<Given>, NotFinite>;

    /// The new tokens of every row.
    fn step(&mut self, run: &mut Run<'_>) -> Result<Vec<Given>, NotFinite>;

    /// Keeps the given rows alone, in the given order, some perhaps twice.
    fn keep(&mut self, _rows: &[usize]) {}
}

/// Texts on their way.
pub(crate) struct Run<'m> {
    pub(crate) lane: Lane<'m>,
    pub(crate) rows: Vec<Row>,
    pub(crate) options: &'m Options,
    pub(crate) clock: Clock,
}

/// What came of some prompts.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// New tokens of each, an end token included.
    pub tokens: Vec<Vec<u32>>,
    /// The exit, from 1, that each of them was taken from, where tokens may leave early.
    pub exits: Vec<Vec<usize>>,
    /// Where the time went.
    pub clock: Clock,
}

/// Continues every prompt, with all layers or the first ones alone.
pub(crate) fn run(
    (model, depth): (&dyn Decoder, usize),
    prompts: &[Vec<u32>],
    options: &Options,
    (way, clock): (&mut dyn Way, Clock),
    watcher: &mut dyn Watcher,
) -> Result<Decoded, Error> {
    options.check(model, prompts)?;
    let n = prompts.len();
    let mut done = Decoded { tokens: vec![Vec::new(); n], exits: vec![Vec::new(); n], clock };
    if prompts.is_empty() || options.max_new_tokens == 0 {
        return Ok(done);
    }
    done.clock.start();
    let (mut run, stream) = Run::begin((model, depth), prompts, options, way, done.clock.clone());
    let mut given = way.read(&mut run, stream).map_err(|error| run.named(error))?;
    run.clock.end_prompts();
    loop {
        let stay = run.take(&given, &mut done, watcher);
        if stay.is_empty() {
            break;
        }
        run.keep(&stay, way);
        given = run.step(way).map_err(|error| run.named(error))?;
    }
    run.clock.end_steps();
    Ok(Decoded { clock: run.clock, ..done })
}

impl<'m> Run<'m> {
    /// Embeds the prompts.
    pub(crate) fn begin(
        (model, depth): (&'m dyn Decoder, usize),
        prompts: &[Vec<u32>],
        options: &'m Options,
        way: &dyn Way,
        clock: Clock,
    ) -> (Self, Stream) {
        // The last new token is never an input.
        let room = options.max_new_tokens - 1 + way.overhang();
        let (lane, stream) = Lane::begin((model, depth), prompts, room);
        let row = |prompt: usize| Row {
            prompt,
            tokens: Vec::new(),
            exits: Vec::new(),
            random: options.choice.chance(options.first_number + prompt as u64),
        };
        let rows = (0..prompts.len()).map(row).collect();
        (Self { lane, rows, options, clock }, stream)
    }

    /// Embeds the last token of every text.
    pub(crate) fn embed_last(&self) -> Stream {
        self.lane.embed(&self.rows.iter().map(Row::last).collect::<Vec<_>>(), 0, Rows::Few)
    }

    /// The new tokens of every row; the lane continues after them.
    pub(crate) fn step(&mut self, way: &mut dyn Way) -> Result<Vec<Given>, NotFinite> {
        let given = way.step(self)?;
        self.lane.settle(&given.iter().map(|given| given.tokens.len()).collect::<Vec<_>>());
        Ok(given)
    }

    /// Appends tokens to the texts up to their ends, and removes those that have ended; returns the rows that
    /// go on. The last token of a text of the longest length is the one that the model forces there.
    fn take(
        &mut self,
        given: &[Given],
        done: &mut Decoded,
        watcher: &mut dyn Watcher,
    ) -> Vec<usize> {
        let mut stay = Vec::with_capacity(self.rows.len());
        let forced = self.lane.model.forced_end();
        for (place, (row, given)) in self.rows.iter_mut().zip(given).enumerate() {
            let goes_on = given.tokens.iter().all(|&token| {
                let is_last = row.tokens.len() + 1 == self.options.max_new_tokens;
                let token = forced.filter(|_| is_last).unwrap_or(token);
                row.tokens.push(token);
                row.exits.extend(given.exit);
                let verdict = watcher.token(row.prompt, token, given.signals.as_deref());
                verdict.is_continue() && !self.options.ends.contains(&token)
            });
            if goes_on && row.tokens.len() < self.options.max_new_tokens {
                stay.push(place);
            } else {
                done.tokens[row.prompt] = std::mem::take(&mut row.tokens);
                done.exits[row.prompt] = std::mem::take(&mut row.exits);
            }
        }
        stay
    }

    /// Keeps the given rows alone, in the given order, some perhaps twice.
    pub(crate) fn keep(&mut self, rows: &[usize], way: &mut dyn Way) {
        if rows.iter().copied().eq(0..self.rows.len()) {
            return;
        }
        self.lane.cache.keep(rows);
        way.keep(rows);
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
    }

    /// An error of a row of the lane as one of its prompt.
    fn named(&self, error: NotFinite) -> NotFinite {
        error.of_row(|row| self.rows[row].prompt)
    }
}
