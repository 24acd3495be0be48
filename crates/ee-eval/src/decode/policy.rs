//! What a decoder does about the keys and values that a token which left never computed.
//!
//! A [`KvPolicy`] is chosen once; a [`Filling`] is the policy at work on one batch. A row of the batch is
//! named by its row of the cache. `recompute` and `copy` fill all layers at once with stand-ins, `deferred`
//! leaves them empty until a later token goes as deep, and then has them exactly.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::{Block, Decoder, KvCache, Stream};

use crate::error::{EvalError, Result};

/// Every policy; the command line, its help and the tests walk this list.
pub const POLICIES: &[&dyn KvPolicy] = &[&Recompute, &Copy, &Deferred, &Full];

/// A way to treat the layers above an exit.
pub trait KvPolicy: Sync + fmt::Debug {
    /// The name on the command line and in files.
    fn name(&self) -> &'static str;
    /// The policy in one line.
    fn rule(&self) -> &'static str;
    /// Whether an exit takes effect at all.
    fn takes_effect(&self) -> bool {
        true
    }
    /// The policy at work on a batch of `n_rows`.
    fn begin(&self, n_rows: usize) -> Box<dyn Filling>;
}

/// A policy at work.
pub trait Filling {
    /// Told before layer `index` runs: what is to run, with what has to run before it can.
    fn before(&mut self, _model: &dyn Decoder, _index: usize, streams: Vec<Stream>) -> Vec<Stream> {
        streams
    }

    /// Told of rows that have left at `exit`, with their states there. Gives the number of layers whose
    /// projections of keys and values were read.
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize;

    /// Keeps the given rows alone, as the cache does.
    fn keep(&mut self, _rows: &[usize]) {}
}

/// The policy called `name`.
///
/// # Errors
/// [`EvalError::Unknown`], with the known names and the nearest.
pub fn by_name(name: &str) -> Result<&'static dyn KvPolicy> {
    let found = POLICIES.iter().copied().find(|policy| policy.name() == name);
    found.ok_or_else(|| EvalError::Unknown {
        what: "K/V policy",
        name: name.to_owned(),
        hint: ee_tasks::did_you_mean(name, POLICIES.iter().map(|policy| policy.name())),
    })
}

/// A policy as typed.
#[derive(Debug, Clone, Copy)]
pub struct PolicyChoice(pub &'static dyn KvPolicy);

impl FromStr for PolicyChoice {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self> {
        by_name(text).map(Self)
    }
}

/// The exit state is carried upward; each skipped layer projects its own keys and values from it.
#[derive(Debug)]
struct Recompute;

impl KvPolicy for Recompute {
    fn name(&self) -> &'static str {
        "recompute"
    }

    fn rule(&self) -> &'static str {
        "each skipped layer projects its keys and values from the exit state, with its own norm"
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Recompute {
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize {
        for index in exit..model.n_layers() {
            model.write_kv(index, stream, cache.layer(index));
        }
        model.n_layers() - exit
    }
}

/// Keys and values of the exit's layer are copied upward.
#[derive(Debug)]
struct Copy;

impl KvPolicy for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn rule(&self) -> &'static str {
        "keys and values of the exit's layer are copied to the skipped ones"
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Copy {
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize {
        let (rows, start, width) = (stream.cache_rows(), start_of(stream), stream.width);
        let [key, value] = cache.layer(exit - 1).block(&rows, start, width);
        for index in exit..model.n_layers() {
            let layer = cache.layer(index);
            layer.append_rows(Some(&rows), key.clone(), value.clone(), start, width);
        }
        0
    }
}

/// No exit takes effect: the full model, with the exits that would have been taken.
#[derive(Debug)]
struct Full;

impl KvPolicy for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn rule(&self) -> &'static str {
        "no exit takes effect: the full model's tokens, with the exits that would have been taken"
    }

    fn takes_effect(&self) -> bool {
        false
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Full {
    fn left(&mut self, _: &dyn Decoder, _: &mut KvCache, _: usize, _: &Stream) -> usize {
        0
    }
}

/// Exit states are kept; when a later token goes deeper, the missing layers run for all of them in one batch
/// with it, so that keys and values are those of the full model (FREE, EE-LLM).
#[derive(Debug)]
struct Deferred;

impl KvPolicy for Deferred {
    fn name(&self) -> &'static str {
        "deferred"
    }

    fn rule(&self) -> &'static str {
        "exit states wait, and run the missing layers together when a later token goes deeper: exact"
    }

    fn begin(&self, n_rows: usize) -> Box<dyn Filling> {
        Box::new(Waiting { rows: (0..n_rows).map(|_| Vec::new()).collect() })
    }
}

/// States that wait, by row of the cache. A row's tokens that wait at a depth are a run of slots, later runs
/// wait at shallower depths, and the last run ends where the next token begins: whatever goes deeper takes
/// those before it along.
struct Waiting {
    rows: Vec<Vec<Run>>,
}

/// Tokens of one row at one depth, `[tokens, d_model]` in pieces.
struct Run {
    depth: usize,
    pieces: Vec<Tensor<2>>,
}

impl Filling for Waiting {
    fn before(&mut self, model: &dyn Decoder, index: usize, streams: Vec<Stream>) -> Vec<Stream> {
        let waits = |row: &usize| self.rows[*row].last().is_some_and(|run| run.depth == index);
        if !streams.iter().any(|stream| stream.cache_rows().iter().any(waits)) {
            return streams;
        }
        // Rows of one width run together.
        let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
        for stream in &streams {
            let placement = stream.placement.as_ref().expect("a decoder's stream has a place");
            let end = placement.start + stream.width;
            for (at, &row) in stream.cache_rows().iter().enumerate() {
                let mut pieces = match self.rows[row].last() {
                    Some(run) if run.depth == index => {
                        self.rows[row].pop().map_or_else(Vec::new, |run| run.pieces)
                    }
                    _ => Vec::new(),
                };
                pieces.push(stream.hidden.clone().narrow(0, at * stream.width, stream.width));
                let width = pieces.iter().map(|piece| piece.dims()[0]).sum();
                let group = groups.entry(width).or_insert_with(|| Group::new(end));
                group.pieces.append(&mut pieces);
                group.rows.push(row);
                group.padding.push(placement.padding[at]);
            }
        }
        groups.into_iter().map(|(width, group)| group.stream(model, width)).collect()
    }

    fn left(
        &mut self,
        model: &dyn Decoder,
        _: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize {
        if exit < model.n_layers() {
            for (at, &row) in stream.cache_rows().iter().enumerate() {
                let piece = stream.hidden.clone().narrow(0, at * stream.width, stream.width);
                match self.rows[row].last_mut() {
                    Some(run) if run.depth == exit => run.pieces.push(piece),
                    _ => self.rows[row].push(Run { depth: exit, pieces: vec![piece] }),
                }
            }
        }
        0
    }

    fn keep(&mut self, rows: &[usize]) {
        self.rows = rows.iter().map(|&row| std::mem::take(&mut self.rows[row])).collect();
    }
}

/// Rows that run as many tokens each.
struct Group {
    /// The slot after their last token.
    end: usize,
    pieces: Vec<Tensor<2>>,
    rows: Vec<usize>,
    padding: Vec<usize>,
}

impl Group {
    fn new(end: usize) -> Self {
        Self { end, pieces: Vec::new(), rows: Vec::new(), padding: Vec::new() }
    }

    fn stream(self, model: &dyn Decoder, width: usize) -> Stream {
        let block = Block {
            width,
            start: self.end - width,
            padding: self.padding.into(),
            lengths: vec![width; self.rows.len()].into(),
            // The bits of a step, whatever the number of tokens: keys and values are exact.
            rows: Rows::Few,
        };
        let rows: Arc<[usize]> = self.rows.into();
        model.resume_block(Tensor::cat(self.pieces, 0), &block).in_cache_rows(rows)
    }
}

fn start_of(stream: &Stream) -> usize {
    stream.placement.as_ref().expect("a decoder's stream has a place").start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_name() {
        for policy in POLICIES {
            assert_eq!(by_name(policy.name()).unwrap().name(), policy.name());
        }
        let error = by_name("recomput").unwrap_err().to_string();
        assert!(error.contains("did you mean `recompute`?"), "{error}");
    }
}
