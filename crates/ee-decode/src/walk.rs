//! Decoding with early exits: each row goes through as many layers as its rule lets it.
//!
//! All rules, policies and heads run through here. Rows that leave are taken out of the stream, and what stays is
//! as if it had been alone. A prompt is read by every layer, so that the first new token never leaves early, unless
//! an encoder reads the prompts: then it may. Decoding is greedy.

use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::signal::{NotFinite, Signals, ideal_exit};
use ee_models::{Block, Decoder, Stream, WeightBytes};

use crate::ask::Asking;
use crate::clock::{Clock, Part};
use crate::decay::Position;
use crate::error::Error;
use crate::head::Reader;
pub use crate::lane::Decoded;
use crate::lane::{Given, Options, Run, Way, run, select};
use crate::policy::Filling;
use crate::rule::Rule;
use crate::settings::{Settings, never_leaving};
use crate::watch::Watcher;

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
) -> Result<Decoded, Error> {
    settings.check(model)?;
    let mut leaving = Leaving::new(model, settings, prompts.len());
    let way = (&mut leaving as &mut dyn Way, clock);
    Ok(run((model, model.n_layers()), prompts, options, way, watcher)?)
}

/// One token of each row, from the exit at which it leaves.
pub(crate) struct Leaving<'s> {
    settings: &'s Settings,
    filling: Box<dyn Filling>,
    bytes: WeightBytes,
}

impl Way for Leaving<'_> {
    fn read(&mut self, run: &mut Run<'_>, prompts: Stream) -> Result<Vec<Given>, NotFinite> {
        self.advance(run, prompts)
    }

    fn step(&mut self, run: &mut Run<'_>) -> Result<Vec<Given>, NotFinite> {
        let stream = run.embed_last();
        self.advance(run, stream)
    }

    fn keep(&mut self, rows: &[usize]) {
        self.filling.keep(rows);
    }
}

impl<'s> Leaving<'s> {
    pub(crate) fn new(model: &dyn Decoder, settings: &'s Settings, n_rows: usize) -> Self {
        Self { settings, filling: settings.policy.begin(n_rows), bytes: model.weight_bytes() }
    }

    fn advance(&mut self, run: &mut Run<'_>, stream: Stream) -> Result<Vec<Given>, NotFinite> {
        let stream = stream.in_cache_rows((0..run.rows.len()).collect());
        let number = run.rows[0].tokens.len();
        let has_encoder = !run.lane.model.opening().is_empty();
        let may_leave = number >= never_leaving(self.settings.min_tokens, has_encoder);
        let taken = match self.settings.rule.rule {
            Rule::Ideal if may_leave => self.look_back(run, stream),
            _ => self.look_ahead(run, stream, may_leave),
        };
        taken.map_err(|error| error.at_token(number))
    }

    /// Layer by layer, rows leaving where their rule says so.
    fn look_ahead(
        &mut self,
        run: &mut Run<'_>,
        stream: Stream,
        may_leave: bool,
    ) -> Result<Vec<Given>, NotFinite> {
        let (model, layers, n_rows) = (run.lane.model, run.lane.depth(), stream.n_rows());
        let position =
            Position { number: run.rows[0].tokens.len(), limit: run.options.max_new_tokens };
        let mut asking = Asking::new(self.settings, model, n_rows, position);
        let mut streams = vec![stream];
        for index in 0..layers {
            streams = self.filling.before(model, index, streams);
            let exit = index + 1;
            let is_asked = may_leave && exit < layers && asking.asks(exit);
            let mut stay = Vec::with_capacity(streams.len());
            for stream in streams {
                let before = (is_asked && asking.compares()).then(|| model.exit_state(&stream));
                let stream = self.layer(run, index, stream);
                let places = match is_asked {
                    true => asking.leave(&mut self.reader(run, exit), &stream, before)?,
                    false => Vec::new(),
                };
                stay.extend(self.part(run, exit, stream, &places));
            }
            streams = stay;
            if streams.is_empty() {
                break;
            }
        }
        for stream in &streams {
            let state = model.exit_state(stream);
            let rows = stream.cache_rows();
            let (_, signals) = self.reader(run, layers).whole(&rows, state)?;
            asking.end(&rows, &signals, layers);
        }
        Ok(asking.taken())
    }

    /// What goes on of a stream when the rows at some places leave.
    fn part(
        &mut self,
        run: &mut Run<'_>,
        exit: usize,
        stream: Stream,
        leave: &[usize],
    ) -> Option<Stream> {
        if leave.is_empty() || !self.settings.policy.takes_effect() {
            return Some(stream);
        }
        if leave.len() == stream.n_rows() {
            self.left(run, exit, &stream);
            return None;
        }
        let stay: Vec<usize> =
            (0..stream.n_rows()).filter(|place| !leave.contains(place)).collect();
        self.left(run, exit, &stream.rows(leave));
        Some(stream.rows(&stay))
    }

    /// All layers, then the exit that looks at the last one's answer; the policy treats the token as if it
    /// had left there.
    fn look_back(&mut self, run: &mut Run<'_>, stream: Stream) -> Result<Vec<Given>, NotFinite> {
        let (model, layers, n_rows) = (run.lane.model, run.lane.depth(), stream.n_rows());
        let exits: Vec<usize> = self.settings.exits.iter().copied().chain([layers]).collect();
        let start = stream.placement.as_ref().expect("a decoder's stream has a place").start;
        let mut states = Vec::with_capacity(exits.len());
        let mut streams = vec![stream];
        for index in 0..layers {
            streams = self.filling.before(model, index, streams);
            streams = streams.into_iter().map(|stream| self.layer(run, index, stream)).collect();
            if exits.contains(&(index + 1)) {
                states.push(in_order(model, &streams));
            }
        }
        run.clock.head_reads += 1;
        run.clock.weight_bytes += self.bytes.head as u64;
        let n_exits = exits.len();
        let signals = run.clock.time(Part::Heads, || {
            Signals::read(model.read(Tensor::cat(states.clone(), 0), Rows::Few), n_exits)
        });
        let signals =
            signals.map_err(|error| NotFinite { exit: exits[error.exit - 1], ..error })?;
        let taken: Vec<Given> = (0..n_rows)
            .map(|row| {
                let said: Vec<u32> =
                    signals.row(row).iter().map(|(signal, _)| signal.prediction).collect();
                Given {
                    exit: Some(exits[ideal_exit(&said) - 1]),
                    ..Given::token(said[n_exits - 1])
                }
            })
            .collect();
        if self.settings.policy.takes_effect() {
            for (&exit, state) in exits[..n_exits - 1].iter().zip(&states) {
                let rows: Vec<usize> =
                    (0..n_rows).filter(|&row| taken[row].exit == Some(exit)).collect();
                if !rows.is_empty() {
                    self.take_back(run, (exit, start), &rows, state);
                }
            }
        }
        Ok(taken)
    }

    /// Forgets what some rows computed of the step's token, which stands at slot `start`, above an exit.
    fn take_back(
        &mut self,
        run: &mut Run<'_>,
        (exit, start): (usize, usize),
        rows: &[usize],
        state: &Tensor<2>,
    ) {
        let lane = &mut run.lane;
        for index in exit..lane.depth() {
            for &row in rows {
                lane.cache.layer(index).crop_row(row, start);
            }
        }
        let padding = rows.iter().map(|&row| lane.cache.padding()[row]).collect();
        let block = Block { start, ..lane.block(padding, 1, Rows::Few) };
        let stream = lane.model.resume_block(select(state, rows), &block);
        self.left(run, exit, &stream.in_cache_rows(rows.into()));
    }

    fn layer(&mut self, run: &mut Run<'_>, index: usize, stream: Stream) -> Stream {
        run.clock.weight_bytes += self.bytes.layer as u64;
        run.clock.time(Part::Layers, || run.lane.layer(index, stream))
    }

    fn left(&mut self, run: &mut Run<'_>, exit: usize, stream: &Stream) {
        let Run { lane, clock, .. } = run;
        let projected =
            clock.time(Part::Kv, || self.filling.left(lane.model, &mut lane.cache, exit, stream));
        clock.weight_bytes += (projected * self.bytes.key_value) as u64;
    }

    fn reader<'r>(&self, run: &'r mut Run<'_>, exit: usize) -> Reader<'r> {
        Reader { model: run.lane.model, exit, bytes: self.bytes, clock: &mut run.clock }
    }
}

/// The states of the streams' last tokens in the order of the cache's rows.
fn in_order(model: &dyn Decoder, streams: &[Stream]) -> Tensor<2> {
    if let [stream] = streams {
        // One stream holds the rows in order: only groups of `deferred` change it.
        if stream.cache_rows().is_sorted() {
            return model.exit_state(stream);
        }
    }
    let order: Vec<usize> =
        streams.iter().flat_map(|stream| stream.cache_rows().to_vec()).collect();
    let states = streams.iter().map(|stream| model.exit_state(stream)).collect();
    let mut places = vec![0; order.len()];
    for (place, row) in order.into_iter().enumerate() {
        places[row] = place;
    }
    select(&Tensor::cat(states, 0), &places)
}
