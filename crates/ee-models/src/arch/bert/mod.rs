//! BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019) with a classification head.
//!
//! The two share every layer; they differ in where positions start, in segments, and in the head: BERT
//! reads tanh(pooler) + classifier, RoBERTa a dense layer + tanh + projection, each on the first
//! position. The head is shared by all exits.

mod config;
mod family;
mod labels;
mod load;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};

pub use self::config::{BertSizes, EncoderConfig};
pub use self::family::{BERT, EncoderFamily, FAMILIES};
pub use self::labels::{LabelMismatch, LabelOrder, TaskLabels};
pub use self::load::{Head, Loaded, load, random};
use crate::exit::{Backbone, Batch, DropoutKey, ExitModel, Stream, Sublayer, dropout_at};
use crate::indices::indices;
use crate::kernels::{self, AttentionShape, Dropout, Rows, Weight};
use crate::layers::{Embedding, FeedForward, Linear, ParameterSource, ResidualNorm, Scope};

/// Numbers that the layers need besides their parameters.
#[derive(Clone, Debug)]
struct Numbers {
    heads: usize,
    hidden_dropout: f32,
    attention_dropout: f32,
    /// The token that RoBERTa does not count; BERT counts all.
    padding: Option<usize>,
}

#[derive(Clone, Debug)]
struct HeadNumbers {
    dropout: f32,
    /// RoBERTa also drops before the dense layer of its head.
    drops_before: bool,
}

/// An encoder whose every layer is read by one classification head.
#[derive(Module, Debug)]
pub struct Encoder {
    backbone: EncoderBackbone,
    head_dense: Linear,
    head_output: Linear,
    #[module(skip)]
    head_numbers: HeadNumbers,
}

/// Embedding and layers of an encoder.
#[derive(Module, Debug)]
pub struct EncoderBackbone {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    embedding_norm: ResidualNorm,
    layers: Vec<EncoderLayer>,
    #[module(skip)]
    numbers: Numbers,
}

/// Attention and feed-forward network, each followed by a normalized residual sum.
#[derive(Module, Debug)]
struct EncoderLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: ResidualNorm,
    feed_forward: FeedForward,
    output_norm: ResidualNorm,
}

impl EncoderLayer {
    fn new(mut scope: Scope<'_>, config: &EncoderConfig) -> Self {
        let (d_model, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let linear = |scope: &mut Scope<'_>, name: &str, from, to| {
            Linear::new(scope.enter(name), from, to, true)
        };
        let of = &mut scope;
        Self {
            query: linear(of, "attention.self.query", d_model, d_model),
            key: linear(of, "attention.self.key", d_model, d_model),
            value: linear(of, "attention.self.value", d_model, d_model),
            attention_output: linear(of, "attention.output.dense", d_model, d_model),
            attention_norm: ResidualNorm::new(
                of.enter("attention.output.LayerNorm"),
                d_model,
                epsilon,
            ),
            feed_forward: FeedForward::new(
                linear(of, "intermediate.dense", d_model, inner),
                linear(of, "output.dense", inner, d_model),
                config.activation,
            ),
            output_norm: ResidualNorm::new(of.enter("output.LayerNorm"), d_model, epsilon),
        }
    }
}

impl Encoder {
    /// Builds the encoder of a configuration from a source of parameters.
    pub fn new(config: &EncoderConfig, source: &mut dyn ParameterSource) -> Self {
        let d_model = config.hidden_size;
        let backbone = EncoderBackbone::new(config, source);
        let mut root = Scope::root(source);
        let names = &config.family.head;
        Self {
            backbone,
            head_dense: Linear::new(root.enter(names.dense), d_model, d_model, true),
            head_output: Linear::new(root.enter(names.output), d_model, config.n_labels(), true),
            head_numbers: HeadNumbers {
                dropout: config.classifier_dropout.unwrap_or(config.hidden_dropout_prob),
                drops_before: names.drops_before,
            },
        }
    }
}

impl EncoderBackbone {
    /// Builds the layers of a configuration from a source of parameters.
    pub fn new(config: &EncoderConfig, source: &mut dyn ParameterSource) -> Self {
        let d_model = config.hidden_size;
        let mut root = Scope::root(source);
        let mut scope = root.enter(config.family.facts.naming.prefix);
        let mut embedding = |name: &str, entries, padding| {
            Embedding::new(scope.enter(&format!("embeddings.{name}")), entries, d_model, padding)
        };
        let padding = Some(config.pad_token_id);
        let counted_from = padding.filter(|_| config.family.counts_from_padding);
        let word_embeddings = embedding("word_embeddings", config.vocab_size, padding);
        let position_embeddings =
            embedding("position_embeddings", config.max_position_embeddings, counted_from);
        let token_type_embeddings =
            embedding("token_type_embeddings", config.type_vocab_size, None);
        let embedding_norm =
            ResidualNorm::new(scope.enter("embeddings.LayerNorm"), d_model, config.layer_norm_eps);
        let layers = (0..config.num_hidden_layers)
            .map(|index| EncoderLayer::new(scope.enter(&format!("encoder.layer.{index}")), config))
            .collect();
        Self {
            word_embeddings,
            position_embeddings,
            token_type_embeddings,
            embedding_norm,
            layers,
            numbers: Numbers {
                heads: config.num_attention_heads,
                hidden_dropout: config.hidden_dropout_prob,
                attention_dropout: config.attention_probs_dropout_prob,
                padding: counted_from,
            },
        }
    }

    /// Positions of a batch's tokens. RoBERTa counts those that are not the padding id, whether it fills a row
    /// up or stands in the text, and gives it the position before the first.
    fn positions(&self, batch: &Batch) -> Vec<usize> {
        let width = batch.width();
        let Some(padding) = self.numbers.padding else {
            return (0..batch.n_rows()).flat_map(|_| 0..width).collect();
        };
        let mut positions = Vec::with_capacity(batch.token_ids().len());
        for (tokens, &length) in batch.token_ids().chunks(width).zip(batch.lengths().iter()) {
            let mut position = padding;
            positions.extend(tokens.iter().enumerate().map(|(place, &token)| {
                if place >= length || token as usize == padding {
                    return padding;
                }
                position += 1;
                position
            }));
        }
        positions
    }
}

/// The places of a layer where dropout is drawn, and those outside the layers.
mod site {
    pub(super) const ATTENTION: u64 = 0;
    pub(super) const ATTENTION_OUTPUT: u64 = 1;
    pub(super) const OUTPUT: u64 = 2;
    pub(super) const EMBEDDING: u64 = 3;
    pub(super) const BEFORE_HEAD: u64 = 4;
    pub(super) const IN_HEAD: u64 = 5;
}

impl Backbone for EncoderBackbone {
    fn n_layers(&self) -> usize {
        self.layers.len()
    }

    fn device(&self) -> Device {
        self.word_embeddings.weight.val().device()
    }

    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let device = self.device();
        let ids = |ids: &[u32]| indices(ids.iter().map(|&id| id as usize), &device);
        let words = self.word_embeddings.forward(ids(batch.token_ids()));
        let types = self.token_type_embeddings.forward(ids(batch.type_ids()));
        let positions = indices(self.positions(batch), &device);
        let positions = self.position_embeddings.forward(positions);
        let hidden = self.embedding_norm.forward(words, positions + types, Dropout::NONE);
        let drop = dropout_at(dropout, self.numbers.hidden_dropout, 0, site::EMBEDDING);
        Stream {
            hidden: kernels::dropout(hidden, drop),
            lengths: batch.lengths().clone(),
            width: batch.width(),
            dropout,
            placement: None,
            memory: None,
        }
    }

    fn sublayers(&self) -> &'static [Sublayer] {
        &[Sublayer::SelfAttention, Sublayer::FeedForward]
    }

    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream {
        let layer = &self.layers[index];
        let Numbers { heads, hidden_dropout, attention_dropout, .. } = self.numbers;
        let drop = |probability, site| dropout_at(stream.dropout, probability, index, site);
        let input = stream.hidden.clone();
        let hidden = match sublayer {
            Sublayer::SelfAttention => {
                let [_, d_model] = input.dims();
                let head_dim = d_model / heads;
                let shape = AttentionShape {
                    dropout: drop(attention_dropout, site::ATTENTION),
                    ..AttentionShape::whole(stream.width, heads, head_dim, &stream.lengths)
                };
                let layers = [&layer.query, &layer.key, &layer.value];
                let [query, key, value] = Linear::forward_all(layers, input.clone(), Rows::Many);
                let attended = kernels::attention(query, key, value, None, &shape);
                layer.attention_norm.forward(
                    layer.attention_output.forward(attended, Rows::Many),
                    input,
                    drop(hidden_dropout, site::ATTENTION_OUTPUT),
                )
            }
            Sublayer::FeedForward => layer.output_norm.forward(
                layer.feed_forward.forward(input.clone()),
                input,
                drop(hidden_dropout, site::OUTPUT),
            ),
            Sublayer::CrossAttention => unreachable!("an encoder attends to nothing else"),
        };
        Stream { hidden, ..stream }
    }
}

impl ExitModel for Encoder {
    fn backbone(&self) -> &dyn Backbone {
        &self.backbone
    }

    fn exit_state(&self, stream: &Stream) -> Tensor<2> {
        stream.first_positions()
    }

    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        let HeadNumbers { dropout: probability, drops_before } = self.head_numbers;
        let drop = |site| dropout_at(dropout, probability, self.backbone.layers.len(), site);
        let before = if drops_before { drop(site::BEFORE_HEAD) } else { Dropout::NONE };
        let state = kernels::dropout(state, before);
        let dense = activation::tanh(self.head_dense.forward(state, Rows::Many));
        kernels::dropout(dense, drop(site::IN_HEAD))
    }

    fn head_weight(&self) -> Weight {
        self.head_output.weight()
    }
}
