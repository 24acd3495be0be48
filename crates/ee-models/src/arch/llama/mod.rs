//! Llama (Touvron et al. 2023) and the families that share its layers ([`FAMILIES`]); how each differs, its entry
//! says.
//!
//! Every layer normalises first and adds to the stream after (pre-norm), so that the state at every depth is
//! of one kind, and the final norm and the head can read any of them. With a tied head the head is the
//! embedding's table.

mod config;
mod family;
mod load;
mod lora;
mod rope;
mod window;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

pub use self::config::{LlamaConfig, LlamaSizes};
pub use self::family::{Biases, FAMILIES, LLAMA, LlamaFamily};
pub use self::load::{Loaded, load, random};
pub use self::window::Windowed;
use crate::cache::{KvCache, LayerKv};
use crate::exit::{
    Backbone, Batch, Block, Decoder, DropoutKey, ExitModel, Placement, Stream, Sublayer,
    WeightBytes,
};
use crate::indices::indices;
use crate::kernels::{self, AttentionShape, Rows, Weight};
use crate::layers::{Embedding, Frequencies, Linear, ParameterSource, RmsNorm, RotaryPlace, Scope};

/// Numbers that the layers need besides their parameters.
#[derive(Clone, Debug)]
struct Numbers {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Per layer the slots that a query sees; all earlier ones if absent.
    windows: Vec<Option<usize>>,
    max_positions: usize,
    frequencies: Frequencies,
}

/// A decoder whose every layer is read by one head.
#[derive(Module, Debug)]
pub struct Llama {
    backbone: LlamaBackbone,
    /// Absent where it is the embedding's table.
    head: Option<Linear>,
}

/// Embedding, layers and final norm of a decoder.
#[derive(Module, Debug)]
pub struct LlamaBackbone {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    #[module(skip)]
    numbers: Numbers,
}

#[derive(Module, Debug)]
struct Layer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Of each head's queries and keys before they are rotated, where the family has them.
    query_norm: Option<RmsNorm>,
    key_norm: Option<RmsNorm>,
    output: Linear,
    feed_forward_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn new(mut scope: Scope<'_>, config: &LlamaConfig) -> Self {
        let (d_model, inner) = (config.hidden_size, config.intermediate_size);
        let (head_dim, has_head_norms) = (config.head_dim, config.family.has_head_norms);
        let d_query = config.num_attention_heads * head_dim;
        let d_kv = config.num_key_value_heads * head_dim;
        let norm = |scope: &mut Scope<'_>, name: &str, width| {
            RmsNorm::new(scope.enter(name), width, config.rms_norm_eps)
        };
        let mut linear =
            |name: &str, from, to, bias| Linear::new(scope.enter(name), from, to, bias);
        let biases = config.biases;
        Self {
            query: linear("self_attn.q_proj", d_model, d_query, biases.inputs),
            key: linear("self_attn.k_proj", d_model, d_kv, biases.inputs),
            value: linear("self_attn.v_proj", d_model, d_kv, biases.inputs),
            output: linear("self_attn.o_proj", d_query, d_model, biases.output),
            gate: linear("mlp.gate_proj", d_model, inner, biases.feed_forward),
            up: linear("mlp.up_proj", d_model, inner, biases.feed_forward),
            down: linear("mlp.down_proj", inner, d_model, biases.feed_forward),
            query_norm: has_head_norms.then(|| norm(&mut scope, "self_attn.q_norm", head_dim)),
            key_norm: has_head_norms.then(|| norm(&mut scope, "self_attn.k_norm", head_dim)),
            attention_norm: norm(&mut scope, "input_layernorm", d_model),
            feed_forward_norm: norm(&mut scope, "post_attention_layernorm", d_model),
        }
    }

    /// From the normalised state to queries, keys and values, rotated.
    fn attention_inputs(&self, normed: Tensor<2>, placement: &Placement) -> [Tensor<2>; 3] {
        let layers = [&self.query, &self.key, &self.value];
        let [query, key, value] = Linear::forward_all(layers, normed, placement.rows);
        let query = placed(self.query_norm.as_ref(), query, placement);
        let key = placed(self.key_norm.as_ref(), key, placement);
        [query, key, value]
    }

    /// From what attention gave to the layer's output, its sum and the norm of it in one pass.
    fn finish(&self, hidden: Tensor<2>, attended: Tensor<2>, rows: Rows) -> Tensor<2> {
        let attended = self.output.forward(attended, rows);
        let [hidden, normed] = self.feed_forward_norm.forward_sum(attended, hidden);
        hidden + self.fed_forward(normed, rows)
    }

    fn fed_forward(&self, normed: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], normed, rows);
        self.down.forward(kernels::silu_product(gate, up), rows)
    }
}

/// Queries or keys, normalised by heads where they are, at their positions.
fn placed(norm: Option<&RmsNorm>, state: Tensor<2>, placement: &Placement) -> Tensor<2> {
    let state = match norm {
        Some(norm) => norm.forward_heads(state),
        None => state,
    };
    let rotary = placement.rotary.as_ref().expect("positions rotate");
    kernels::rotate(state, rotary)
}

impl Llama {
    /// Builds the decoder of a configuration from a source of parameters.
    pub fn new(config: &LlamaConfig, source: &mut dyn ParameterSource) -> Self {
        let backbone = LlamaBackbone::new(config, source);
        let mut root = Scope::root(source);
        let head = (!config.tie_word_embeddings).then(|| {
            Linear::new(root.enter("lm_head"), config.hidden_size, config.vocab_size, false)
        });
        Self { backbone, head }
    }
}

impl LlamaBackbone {
    /// Builds the layers of a configuration from a source of parameters.
    pub fn new(config: &LlamaConfig, source: &mut dyn ParameterSource) -> Self {
        let d_model = config.hidden_size;
        let mut root = Scope::root(source);
        let mut scope = root.enter(config.family.facts.naming.prefix);
        let embedding =
            Embedding::new(scope.enter("embed_tokens"), config.vocab_size, d_model, None);
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::new(scope.enter(&format!("layers.{index}")), config))
            .collect();
        let norm = RmsNorm::new(scope.enter("norm"), d_model, config.rms_norm_eps);
        Self {
            embedding,
            layers,
            norm,
            numbers: Numbers {
                heads: config.num_attention_heads,
                kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                windows: (0..config.num_hidden_layers).map(|i| config.window_of(i)).collect(),
                max_positions: config.max_position_embeddings,
                frequencies: Frequencies::new(
                    config.head_dim,
                    config.rope_theta,
                    config.scaling.clone(),
                ),
            },
        }
    }

    fn shape(
        &self,
        index: usize,
        stream: &Stream,
        capacity: usize,
        origins: Option<Arc<[isize]>>,
    ) -> AttentionShape {
        let Placement { start, padding, .. } = stream.placement();
        let Numbers { heads, kv_heads, head_dim, windows, .. } = &self.numbers;
        let held = |(&from, length): (&usize, &usize)| from..start + length;
        let held = padding.iter().zip(stream.lengths.iter()).map(held).collect();
        let shape = AttentionShape::whole(stream.width, *heads, *head_dim, &[]);
        let shape = shape.causal(capacity, *start, windows[index], held);
        AttentionShape { kv_heads: *kv_heads, origins, ..shape }
    }

    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream {
        let ids = indices(tokens.iter().map(|&id| id as usize), &self.device());
        self.place(self.embedding.forward(ids), block)
    }

    /// A block of states at its positions.
    fn place(&self, hidden: Tensor<2>, block: &Block) -> Stream {
        let Block { width, start, padding, lengths, rows } = block.clone();
        // What begins a text is read at once and knows how far it reaches; what follows a cache goes on
        // token by token, however many come at once. Padding has no position; it gets 0, which is not read.
        let tokens = padding.iter().zip(lengths.iter()).flat_map(|(&before, &length)| {
            (start..start + width).map(move |slot| {
                let position = slot.saturating_sub(before);
                let reach = if start == 0 { length.saturating_sub(before) } else { position + 1 };
                RotaryPlace { position, reach }
            })
        });
        let rotary = self.numbers.frequencies.at(tokens, &self.device());
        let rotary = Some(rotary);
        let placement =
            Some(Placement { start, padding, rotary, bias: None, rows, cache_rows: None });
        Stream { hidden, lengths, width, dropout: None, placement, memory: None }
    }

    /// What the attention of a layer gives for whole texts.
    fn attended(&self, index: usize, stream: &Stream) -> Tensor<2> {
        let layer = &self.layers[index];
        let normed = layer.attention_norm.forward(stream.hidden.clone());
        let [query, key, value] = layer.attention_inputs(normed, stream.placement());
        kernels::attention(query, key, value, None, &self.shape(index, stream, stream.width, None))
    }
}

impl Backbone for LlamaBackbone {
    fn n_layers(&self) -> usize {
        self.layers.len()
    }

    fn device(&self) -> Device {
        self.embedding.weight.val().device()
    }

    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let block = Block {
            width: batch.width(),
            start: 0,
            padding: std::iter::repeat_n(0, batch.n_rows()).collect(),
            lengths: batch.lengths().clone(),
            rows: Rows::Many,
        };
        Stream { dropout, ..self.embed_block(batch.token_ids(), &block) }
    }

    fn sublayers(&self) -> &'static [Sublayer] {
        &[Sublayer::SelfAttention, Sublayer::FeedForward]
    }

    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream {
        let layer = &self.layers[index];
        let rows = stream.placement().rows;
        let added = match sublayer {
            Sublayer::SelfAttention => layer.output.forward(self.attended(index, &stream), rows),
            Sublayer::FeedForward => {
                layer.fed_forward(layer.feed_forward_norm.forward(stream.hidden.clone()), rows)
            }
            Sublayer::CrossAttention => unreachable!("a decoder without an encoder"),
        };
        Stream { hidden: stream.hidden.clone() + added, ..stream }
    }

    fn last_state(&self, state: Tensor<2>) -> Tensor<2> {
        self.norm.forward(state)
    }

    /// The sum of both parts with the residual sum between them and its norm in one pass.
    fn layer(&self, index: usize, stream: Stream) -> Stream {
        let attended = self.attended(index, &stream);
        let rows = stream.placement().rows;
        let hidden = self.layers[index].finish(stream.hidden.clone(), attended, rows);
        Stream { hidden, ..stream }
    }
}

impl ExitModel for Llama {
    fn backbone(&self) -> &dyn Backbone {
        &self.backbone
    }

    fn exit_state(&self, stream: &Stream) -> Tensor<2> {
        stream.last_positions()
    }

    fn head_state(&self, state: Tensor<2>, _dropout: Option<DropoutKey>) -> Tensor<2> {
        self.backbone.last_state(state)
    }

    fn head_weight(&self) -> Weight {
        match &self.head {
            Some(head) => head.weight(),
            None => Weight { matrix: self.backbone.embedding.weight.val(), bias: None },
        }
    }
}

impl Decoder for Llama {
    fn vocabulary_size(&self) -> usize {
        self.backbone.embedding.weight.val().dims()[0]
    }

    fn max_positions(&self) -> usize {
        self.backbone.numbers.max_positions
    }

    fn empty_cache(&self, padding: Arc<[usize]>, capacity: usize) -> KvCache {
        let d_kv = self.backbone.numbers.kv_heads * self.backbone.numbers.head_dim;
        KvCache::new(self.backbone.layers.len(), d_kv, capacity, padding, &self.device())
    }

    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream {
        self.backbone.embed_block(tokens, block)
    }

    fn resume_block(&self, hidden: Tensor<2>, block: &Block) -> Stream {
        self.backbone.place(hidden, block)
    }

    fn layer_with(&self, index: usize, stream: Stream, cache: &mut LayerKv) -> Stream {
        let layer = &self.backbone.layers[index];
        let placement = stream.placement();
        let normed = layer.attention_norm.forward(stream.hidden.clone());
        let [query, key, value] = layer.attention_inputs(normed, placement);
        let rows = placement.cache_rows.as_deref();
        cache.append_rows(rows, key, value, placement.start, stream.width);
        let shape = self.backbone.shape(index, &stream, cache.capacity(), cache.origins(rows));
        let (key, value) = (cache.key(), cache.value());
        let attended = kernels::attention(query, key, value, None, &shape);
        let hidden = layer.finish(stream.hidden.clone(), attended, placement.rows);
        Stream { hidden, ..stream }
    }

    fn write_kv(&self, index: usize, stream: &Stream, cache: &mut LayerKv) {
        let layer = &self.backbone.layers[index];
        let placement = stream.placement();
        let normed = layer.attention_norm.forward(stream.hidden.clone());
        let layers = [&layer.key, &layer.value];
        let [key, value] = Linear::forward_all(layers, normed, placement.rows);
        let key = placed(layer.key_norm.as_ref(), key, placement);
        let rows = placement.cache_rows.as_deref();
        cache.append_rows(rows, key, value, placement.start, stream.width);
    }

    fn weight_bytes(&self) -> WeightBytes {
        let Layer { query, key, value, output, gate, up, down, .. } = &self.backbone.layers[0];
        let layer = [query, key, value, output, gate, up, down];
        WeightBytes::of(&layer, &[key, value], &self.head_weight())
    }
}
