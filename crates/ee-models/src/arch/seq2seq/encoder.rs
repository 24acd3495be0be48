//! The layers that read the source.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::config::Seq2SeqConfig;
use super::initial::Matrix;
use super::options::Positions;
use super::stack::{Stack, whole_positions};
use crate::exit::{Backbone, Batch, DropoutKey, Stream, Sublayer};
use crate::layers::{Embedding, ParameterSource};

/// An encoder with the table that it reads with, which may be the decoder's, too.
#[derive(Module, Debug)]
pub struct Encoder {
    pub(super) table: Embedding,
    stack: Stack,
    /// The token that has no position; all have one if absent.
    #[module(skip)]
    without_position: Option<u32>,
}

impl Encoder {
    /// Builds the encoder of a configuration from a source of parameters.
    pub fn new(config: &Seq2SeqConfig, source: &mut dyn ParameterSource) -> Self {
        let (options, names) = (&config.options, config.names());
        let initial = options.initial(Matrix::Table, &options.encoder);
        let shape = [options.source_vocabulary, options.d_model];
        let table = Embedding::shared(source, &names.source_table(options), shape, initial);
        let counts_all = options.positions != Positions::Fairseq;
        Self {
            table,
            stack: Stack::new(options, &names.encoder, false, source),
            without_position: (!counts_all).then_some(options.padding as u32),
        }
    }

    /// Positions of a batch's tokens.
    fn positions(&self, batch: &Batch) -> Vec<Option<usize>> {
        let Some(padding) = self.without_position else {
            return whole_positions(batch.n_rows(), batch.width()).collect();
        };
        let mut positions = Vec::with_capacity(batch.token_ids().len());
        for tokens in batch.token_ids().chunks(batch.width()) {
            let mut before = 0;
            positions.extend(tokens.iter().map(|&token| {
                (token != padding).then(|| {
                    before += 1;
                    before - 1
                })
            }));
        }
        positions
    }
}

impl Backbone for Encoder {
    fn n_layers(&self) -> usize {
        self.stack.layers.len()
    }

    fn device(&self) -> Device {
        self.table.weight.val().device()
    }

    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let (tokens, positions) = (batch.token_ids(), self.positions(batch).into_iter());
        let hidden = self.stack.embed(&self.table, tokens, positions, dropout);
        let (lengths, width) = (batch.lengths().clone(), batch.width());
        Stream { hidden, lengths, width, dropout, placement: None, memory: None }
    }

    fn sublayers(&self) -> &'static [Sublayer] {
        &[Sublayer::SelfAttention, Sublayer::FeedForward]
    }

    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream {
        self.stack.sublayer(index, sublayer, stream)
    }

    fn last_state(&self, state: Tensor<2>) -> Tensor<2> {
        self.stack.last_state(state)
    }
}
