//! Encoder-decoders: the Transformer of Vaswani et al. (2017) and what became of it in Marian, fairseq, BART, T5,
//! M2M100 and mBART ([`FAMILIES`]).
//!
//! One model with options ([`Options`]) serves all; a family says how a checkpoint names options and tensors. Exits
//! are the decoder's layers, read by the one head: with post-norm the head reads a layer's output as it is, with
//! pre-norm after the decoder's last norm. The encoder always runs whole, and what the decoder's layers project of
//! its states is kept once for every text. LayerDrop is not applied, and what T5 drops after its encoder's last
//! norm is kept.

mod config;
mod decoder;
mod encoder;
mod family;
mod initial;
mod load;
mod names;
mod options;
mod parts;
mod positions;
mod sizes;
mod stack;
mod tokens;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

pub use self::config::Seq2SeqConfig;
pub(super) use self::config::fairseq;
pub use self::encoder::Encoder;
pub use self::family::{BART, FAMILIES, FSMT, MARIAN, Seq2SeqFamily, is_known};
use self::initial::Matrix;
pub(super) use self::load::Opened;
pub use self::load::{Loaded, load, random};
pub use self::options::{Dropouts, NormKind, Options, Positions, Sharing, StackSizes, Start};
pub use self::sizes::Seq2SeqSizes;
use self::stack::{Stack, site, whole_positions};
pub use self::tokens::Tokens;
use crate::exit::{
    Backbone, Batch, DropoutKey, ExitModel, Placement, Stream, Sublayer, dropout_at,
};
use crate::kernels::{self, Rows, Weight};
use crate::layers::{Embedding, Linear, ParameterSource, Scope};

/// What is added to the logit of a token that is never generated.
const NEVER: f32 = -1e30;

/// An encoder-decoder, each layer of whose decoder is read by one head.
#[derive(Module, Debug)]
pub struct Seq2Seq {
    encoder: Encoder,
    /// The decoder's table; absent where it is the encoder's.
    table: Option<Embedding>,
    decoder: Stack,
    /// Absent where it is the decoder's table.
    head: Option<Linear>,
    /// Added to the logits and not trained, `[1, vocabulary]`.
    final_bias: Option<Param<Tensor<2>>>,
    /// Added to the logits where an answer is chosen, if any token never is one; a constant, which goes where the
    /// model goes, `[vocabulary]`.
    never: Option<Tensor<1>>,
    #[module(skip)]
    numbers: Numbers,
}

/// What the model needs besides its parameters.
#[derive(Clone, Debug)]
struct Numbers {
    /// What the head reads is multiplied by it.
    head_scale: f64,
    head_dropout: f32,
    max_positions: usize,
    /// The tokens that a text begins with.
    opening: Vec<u32>,
    forced_end: Option<u32>,
}

impl Seq2Seq {
    /// Builds the model of a configuration from a source of parameters.
    pub fn new(config: &Seq2SeqConfig, source: &mut dyn ParameterSource) -> Self {
        let (options, names) = (&config.options, config.names());
        let encoder = Encoder::new(config, source);
        let vocabulary = options.target_vocabulary;
        let shape = [vocabulary, options.d_model];
        let has_table = !options.sharing.shares_tables();
        let table = has_table.then(|| {
            let initial = options.initial(Matrix::Table, &options.decoder);
            Embedding::shared(source, &names.target_table(options), shape, initial)
        });
        let decoder = Stack::new(options, &names.decoder, true, source);
        let mut root = Scope::root(source);
        let head = (!options.sharing.ties_head()).then(|| {
            let initial = options.initial(Matrix::Head, &options.decoder);
            let scope = root.enter(names.head);
            Linear::starting(scope, options.d_model, vocabulary, false, initial)
        });
        let final_bias =
            names.final_bias.and_then(|name| root.stored_matrix(name, [1, vocabulary]));
        let head_scale = (options.d_model as f64).powf(-0.5);
        // Of a table that may have no values yet.
        let device = encoder.table.weight.lazy_device();
        Self {
            encoder,
            table,
            decoder,
            head,
            final_bias: final_bias.map(|bias| bias.set_require_grad(false)),
            never: never(&config.tokens.never, vocabulary, &device),
            numbers: Numbers {
                head_scale: if options.scale_head { head_scale } else { 1.0 },
                head_dropout: options.dropouts.head as f32,
                max_positions: options.max_positions(),
                opening: config.tokens.opening(),
                forced_end: config.tokens.forced_end,
            },
        }
    }

    /// The decoder's table.
    fn target_table(&self) -> &Embedding {
        self.table.as_ref().unwrap_or(&self.encoder.table)
    }
}

fn never(tokens: &[u32], vocabulary: usize, device: &Device) -> Option<Tensor<1>> {
    (!tokens.is_empty()).then(|| {
        let mut bias = vec![0.0; vocabulary];
        tokens.iter().for_each(|&token| bias[token as usize] = NEVER);
        Tensor::from_data(TensorData::new(bias, [vocabulary]), device)
    })
}

/// The decoder.
impl Backbone for Seq2Seq {
    fn n_layers(&self) -> usize {
        self.decoder.layers.len()
    }

    fn device(&self) -> Device {
        self.encoder.device()
    }

    /// The decoder's tokens; what they attend to is another matter.
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let (tokens, rows, width) = (batch.token_ids(), batch.n_rows(), batch.width());
        let positions = whole_positions(rows, width);
        let hidden = self.decoder.embed(self.target_table(), tokens, positions, dropout);
        let placement = Placement {
            start: 0,
            padding: std::iter::repeat_n(0, rows).collect(),
            rotary: None,
            bias: None,
            rows: Rows::Many,
            cache_rows: None,
        };
        let (lengths, placement) = (batch.lengths().clone(), Some(placement));
        Stream { hidden, lengths, width, dropout, placement, memory: None }
    }

    fn sublayers(&self) -> &'static [Sublayer] {
        &[Sublayer::SelfAttention, Sublayer::CrossAttention, Sublayer::FeedForward]
    }

    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream {
        self.decoder.sublayer(index, sublayer, stream)
    }

    fn last_state(&self, state: Tensor<2>) -> Tensor<2> {
        self.decoder.last_state(state)
    }
}

impl ExitModel for Seq2Seq {
    fn backbone(&self) -> &dyn Backbone {
        self
    }

    fn encoder(&self) -> Option<&dyn Backbone> {
        Some(&self.encoder)
    }

    fn exit_state(&self, stream: &Stream) -> Tensor<2> {
        stream.last_positions()
    }

    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        let Numbers { head_scale, head_dropout, .. } = self.numbers;
        let state = self.decoder.last_state(state);
        let drop = dropout_at(dropout, head_dropout, self.decoder.layers.len(), site::HEAD);
        let state = kernels::dropout(state, drop);
        if head_scale == 1.0 { state } else { state * head_scale }
    }

    fn head_weight(&self) -> Weight {
        let matrix = match &self.head {
            Some(head) => head.weight.val(),
            None => self.target_table().weight.val(),
        };
        let bias = self.final_bias.as_ref().map(|bias| {
            let [_, vocabulary] = bias.dims();
            bias.val().cast(DType::F32).reshape([vocabulary])
        });
        Weight { matrix, bias }
    }

    fn answer_weight(&self) -> Weight {
        let Weight { matrix, bias } = self.head_weight();
        let Some(never) = self.never.clone() else { return Weight { matrix, bias } };
        let bias = match bias {
            Some(bias) => bias + never,
            None => never,
        };
        Weight { matrix, bias: Some(bias) }
    }
}
