//! Models of given sizes, and the sizes of given models.

use super::family::Seq2SeqFamily;
use super::options::{Dropouts, Options, Sharing, StackSizes};
use super::tokens::Tokens;
use super::{Seq2Seq, Seq2SeqConfig};
use crate::arch::ModelSize;
use crate::error::Result;
use crate::kernels::Activation;

/// Positions of a model that has no limit of its own.
const UNLIMITED: usize = 1 << 20;

/// Sizes of an encoder-decoder built from scratch.
#[derive(Clone, Debug, PartialEq)]
pub struct Seq2SeqSizes {
    /// Entries of the table that the encoder reads with.
    pub source_vocabulary: usize,
    /// Entries of the decoder's table and of the head.
    pub target_vocabulary: usize,
    /// Which of the three tables are one.
    pub sharing: Sharing,
    /// Width of the state.
    pub d_model: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Layers of the decoder, hence exits.
    pub decoder_layers: usize,
    /// Attention heads; divides `d_model`.
    pub heads: usize,
    /// Width of the feed-forward networks.
    pub inner: usize,
    /// Longest text in tokens, on either side.
    pub positions: usize,
    /// What is dropped in training.
    pub dropouts: Dropouts,
    /// The function between the feed-forward network's layers.
    pub activation: Activation,
    /// The token that fills rows up.
    pub padding: usize,
}

impl Seq2SeqConfig {
    /// A model of a family and of the given sizes.
    ///
    /// # Errors
    /// When the sizes do not go together, or the family cannot share tables like this.
    pub fn of_sizes(family: &Seq2SeqFamily, sizes: &Seq2SeqSizes, tokens: &Tokens) -> Result<Self> {
        let usual = family.usual.clone();
        let stack = |layers| StackSizes {
            layers,
            heads: sizes.heads,
            head_dim: (sizes.d_model / sizes.heads.max(1)).max(1),
            inner: sizes.inner,
        };
        let options = Options {
            source_vocabulary: sizes.source_vocabulary,
            target_vocabulary: sizes.target_vocabulary,
            sharing: sizes.sharing,
            padding: sizes.padding,
            d_model: sizes.d_model,
            encoder: stack(sizes.encoder_layers),
            decoder: stack(sizes.decoder_layers),
            max_positions: usual.max_positions.map(|_| sizes.positions),
            activation: sizes.activation,
            dropouts: sizes.dropouts,
            // T5's head is scaled where it is the table.
            scale_head: usual.scale_head && sizes.sharing.ties_head(),
            ..usual
        };
        Self::of_options(family, &options, tokens)
    }

    /// How large the model is: `layers` are the decoder's, the encoder's count among the parameters.
    pub fn size(&self) -> ModelSize {
        let Options { d_model, decoder, target_vocabulary, .. } = self.options;
        let counted = ModelSize::count(decoder.layers, |layers, shapes| {
            let mut config = self.clone();
            config.options.decoder.layers = layers;
            drop(Seq2Seq::new(&config, shapes));
        });
        let [own, of_encoder] = [&self.options.decoder, &self.options.encoder];
        let heads = |sizes: &StackSizes| (sizes.heads * sizes.head_dim) as f64;
        let d = d_model as f64;
        // Per sum of a part the sum and its norm's output, queries, keys, values and what attention gives, and the
        // feed-forward network's inner state; a decoder's layer attends twice.
        let kept = |sizes: &StackSizes, attentions: f64| {
            (attentions + 1.0) * 2.0 * d + attentions * 4.0 * heads(sizes) + sizes.inner as f64
        };
        let gates = if self.options.is_gated { own.inner as f64 } else { 0.0 };
        ModelSize {
            d_model: d,
            outputs: target_vocabulary as f64,
            kept_per_token: kept(own, 2.0) + 2.0 * gates,
            kept_per_source_token: of_encoder.layers as f64 * (kept(of_encoder, 1.0) + 2.0 * gates),
            ..counted
        }
    }
}

impl Options {
    /// Positions that the model was made for.
    pub(super) fn max_positions(&self) -> usize {
        self.max_positions.unwrap_or(UNLIMITED)
    }
}
