//! Exit states are kept; when a later token goes deeper, the missing layers run for all of them in one batch
//! with it, so that keys and values are those of the full model (FREE, EE-LLM). On the CPU they are its very
//! bits, which costs reading the products of many waiting tokens as a step's.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use ee_models::kernels::Rows;
use ee_models::{Block, Decoder, KvCache, Stream};

use super::{Cost, Filling, KvPolicy};

/// Waits for a deeper token.
#[derive(Debug)]
pub(super) struct Deferred;

impl KvPolicy for Deferred {
    fn name(&self) -> &'static str {
        "deferred"
    }

    fn rule(&self) -> &'static str {
        "exit states wait, and run the missing layers together when a later token goes deeper: exact"
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        Cost::Later
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
#[derive(Clone)]
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
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
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
