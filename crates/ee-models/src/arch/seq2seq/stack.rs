//! A stack of layers, an encoder's or a decoder's.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::initial::Matrix;
use super::names::StackNames;
use super::options::{Dropouts, Options, Positions, StackSizes};
use super::parts::{Attention, FeedForward, Norm};
use super::positions::{RelativeBias, Sinusoids};
use crate::exit::{DropoutKey, Memory, Stream, Sublayer, dropout_at};
use crate::indices::indices;
use crate::kernels::{self, AttentionShape, Dropout, Rows};
use crate::layers::{Embedding, Linear, ParameterSource, Scope};
use crate::parameters::Initial;

/// The layers of a stack, and what happens before the first and after the last.
#[derive(Module, Debug)]
pub(super) struct Stack {
    learned_positions: Option<Embedding>,
    pub(super) relative_positions: Option<RelativeBias>,
    embedding_norm: Option<Norm>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Option<Norm>,
    #[module(skip)]
    pub(super) numbers: Numbers,
}

/// A layer; a decoder's also attends to an encoder's states.
#[derive(Module, Debug)]
pub(super) struct Layer {
    pub(super) attention: Attention,
    pub(super) cross_attention: Option<Attention>,
    pub(super) feed_forward: FeedForward,
}

/// What a stack needs besides its parameters.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// Tokens' vectors are multiplied by it.
    embedding_scale: f64,
    /// Entries of the table of positions before the first position's.
    position_offset: usize,
    sinusoids: Option<Sinusoids>,
    /// The token whose vector is not learned where it is read.
    fixed: Option<u32>,
    pub(super) dropouts: Dropouts,
    pub(super) is_decoder: bool,
}

/// The places of a layer where dropout is drawn, and those outside the layers.
pub(super) mod site {
    pub(super) const ATTENTION: u64 = 0;
    pub(super) const ATTENTION_OUTPUT: u64 = 1;
    pub(super) const CROSS_ATTENTION: u64 = 2;
    pub(super) const CROSS_ATTENTION_OUTPUT: u64 = 3;
    pub(super) const ACTIVATION: u64 = 4;
    pub(super) const OUTPUT: u64 = 5;
    pub(super) const EMBEDDING: u64 = 6;
    pub(in super::super) const HEAD: u64 = 7;
}

impl Stack {
    pub(super) fn new(
        options: &Options,
        names: &StackNames,
        is_decoder: bool,
        source: &mut dyn ParameterSource,
    ) -> Self {
        let sizes = if is_decoder { &options.decoder } else { &options.encoder };
        let mut root = Scope::root(source);
        let mut scope = root.enter(names.stack);
        let scope = &mut scope;
        let max_positions = options.max_positions.unwrap_or(0);
        let norm = |scope: &mut Scope<'_>, name: &str, is_there: bool| {
            is_there.then(|| Norm::new(scope.enter(name), options))
        };
        let layer = |scope: &mut Scope<'_>, index| {
            let mut scope = scope.enter(&format!("{}.{index}", names.layers));
            Layer::new(&mut scope, names, options, sizes, is_decoder)
        };
        let (learned_positions, position_offset) = match options.positions {
            Positions::Learned { offset } => {
                let (scope, entries) = (scope.enter(names.positions), max_positions + offset);
                (Some(Embedding::new(scope, entries, options.d_model, None)), offset)
            }
            _ => (None, 0),
        };
        let (kind, d_model) = (options.positions, options.d_model);
        Self {
            learned_positions,
            relative_positions: relative_positions(scope, names, options, sizes, is_decoder),
            embedding_norm: norm(scope, names.embedding_norm, options.embedding_norm),
            layers: (0..sizes.layers).map(|index| layer(scope, index)).collect(),
            final_norm: norm(scope, names.final_norm, options.final_norm),
            numbers: Numbers {
                embedding_scale: match options.scale_embedding {
                    true => (d_model as f64).sqrt(),
                    false => 1.0,
                },
                position_offset,
                sinusoids: Sinusoids::new(kind, d_model, options.padding, max_positions),
                fixed: (!options.learns_padding).then_some(options.padding as u32),
                dropouts: options.dropouts,
                is_decoder,
            },
        }
    }

    /// Depth 0 of tokens, given their table and positions; only sinusoids know tokens without one.
    ///
    /// # Shapes
    /// `[n, d_model]`
    pub(super) fn embed(
        &self,
        table: &Embedding,
        tokens: &[u32],
        positions: impl Iterator<Item = Option<usize>>,
        dropout: Option<DropoutKey>,
    ) -> Tensor<2> {
        let Numbers { embedding_scale, position_offset, ref sinusoids, dropouts, .. } =
            self.numbers;
        let words = self.vectors(table, tokens);
        let device = words.device();
        let words = if embedding_scale == 1.0 { words } else { words * embedding_scale };
        let vectors = match (sinusoids, &self.learned_positions) {
            (Some(sinusoids), _) => Some(sinusoids.at(positions, &device)),
            (None, Some(table)) => {
                let entries = positions.map(|position| position.unwrap_or(0) + position_offset);
                Some(table.forward(indices(entries, &device)))
            }
            (None, None) => None,
        };
        let hidden = match (&self.embedding_norm, vectors) {
            (Some(norm), Some(vectors)) => norm.forward_sum(words, vectors, Dropout::NONE),
            (Some(norm), None) => norm.forward(words),
            (None, Some(vectors)) => words + vectors,
            (None, None) => words,
        };
        let drop = dropout_at(dropout, dropouts.hidden as f32, 0, site::EMBEDDING);
        kernels::dropout(hidden, drop)
    }

    /// The vectors of tokens.
    fn vectors(&self, table: &Embedding, tokens: &[u32]) -> Tensor<2> {
        let device = table.weight.val().device();
        let words = table.forward(indices(tokens.iter().map(|&id| id as usize), &device));
        let fixed = self.numbers.fixed.filter(|_| words.is_tracked());
        let Some(fixed) = fixed.filter(|fixed| tokens.contains(fixed)) else { return words };
        let learned = tokens.iter().map(|&token| if token == fixed { 0.0 } else { 1.0 });
        let learned = TensorData::new(learned.collect::<Vec<f32>>(), [tokens.len(), 1]);
        let learned = Tensor::<2>::from_data(learned, &device);
        let kept = words.clone().detach() * (-learned.clone() + 1.0);
        words * learned + kept
    }

    /// Runs one part of a layer on whole texts.
    pub(super) fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream {
        let layer = &self.layers[index];
        let Dropouts { hidden, attention, activation, .. } = self.numbers.dropouts;
        let drop =
            |probability: f64, site| dropout_at(stream.dropout, probability as f32, index, site);
        let state = stream.hidden.clone();
        let rows = stream.placement.as_ref().map_or(Rows::Many, |placement| placement.rows);
        let hidden = match sublayer {
            Sublayer::SelfAttention => {
                let drop_here = drop(attention, site::ATTENTION);
                let added = self.attended(layer, &stream, rows, drop_here);
                let drop_sum = drop(hidden, site::ATTENTION_OUTPUT);
                layer.attention.residual.after(added, state, drop_sum)
            }
            Sublayer::CrossAttention => {
                let part = layer.cross_attention();
                let memory = stream.memory.as_ref().expect("an encoder's states");
                let drop_here = drop(attention, site::CROSS_ATTENTION);
                let added = attended_memory(part, &stream, memory, rows, drop_here);
                part.residual.after(added, state, drop(hidden, site::CROSS_ATTENTION_OUTPUT))
            }
            Sublayer::FeedForward => {
                let part = &layer.feed_forward;
                let input = part.residual.before(&state);
                let added = part.forward(input, rows, drop(activation, site::ACTIVATION));
                part.residual.after(added, state, drop(hidden, site::OUTPUT))
            }
        };
        Stream { hidden, ..stream }
    }

    /// What the attention of a layer to the stack's own tokens adds.
    fn attended(&self, layer: &Layer, stream: &Stream, rows: Rows, dropout: Dropout) -> Tensor<2> {
        let part = &layer.attention;
        let width = stream.width;
        let shape = part.shape(width, &stream.lengths, dropout);
        let shape = match self.numbers.is_decoder {
            true => {
                let held = shape.held.clone();
                shape.causal(width, 0, None, held)
            }
            false => shape,
        };
        // Per layer, so that the graph of each is its own.
        let bias = self.relative_positions.as_ref().map(|bias| bias.of(0, width, width));
        let [query, key, value] = part.inputs(part.residual.before(&stream.hidden), rows);
        part.output.forward(kernels::attention(query, key, value, bias, &shape), rows)
    }

    /// The last layer's state for its readers.
    pub(super) fn last_state(&self, state: Tensor<2>) -> Tensor<2> {
        match &self.final_norm {
            Some(norm) => norm.forward(state),
            None => state,
        }
    }
}

/// What attention of whole texts to an encoder's states adds.
fn attended_memory(
    part: &Attention,
    stream: &Stream,
    memory: &Memory,
    rows: Rows,
    dropout: Dropout,
) -> Tensor<2> {
    let query = part.query.forward(part.residual.before(&stream.hidden), rows);
    let [key, value] = part.keys_and_values(memory.hidden.clone(), Rows::Many);
    let shape = part.shape(stream.width, &stream.lengths, dropout);
    let shape: AttentionShape = shape.over(memory.width, &memory.lengths);
    part.output.forward(kernels::attention(query, key, value, None, &shape), rows)
}

/// The table of relative positions, where positions are relative.
fn relative_positions(
    scope: &mut Scope<'_>,
    names: &StackNames,
    options: &Options,
    sizes: &StackSizes,
    is_decoder: bool,
) -> Option<RelativeBias> {
    let Positions::Relative { buckets, distance } = options.positions else { return None };
    let initial: Initial = options.initial(Matrix::PositionBias, sizes);
    let mut scope = scope.enter(names.relative);
    let table = scope.matrix("weight", [buckets, sizes.heads], initial);
    Some(RelativeBias::new(table, buckets, distance, !is_decoder))
}

impl Layer {
    fn new(
        scope: &mut Scope<'_>,
        names: &StackNames,
        options: &Options,
        sizes: &StackSizes,
        is_decoder: bool,
    ) -> Self {
        let attention = Attention::new(scope, &names.attention, options, sizes);
        let mut cross = || Attention::new(scope, &names.cross_attention, options, sizes);
        let cross_attention = is_decoder.then(&mut cross);
        let feed_forward = FeedForward::new(scope, &names.feed_forward, options, sizes);
        Self { attention, cross_attention, feed_forward }
    }

    /// A decoder's attention to its encoder.
    pub(super) fn cross_attention(&self) -> &Attention {
        self.cross_attention.as_ref().expect("a decoder's layer")
    }

    /// The layer's matrices that a step of decoding reads.
    pub(super) fn matrices_of_step(&self) -> Vec<&Linear> {
        let own = &self.attention;
        let mut all = vec![&own.query, &own.key, &own.value, &own.output];
        if let Some(cross) = &self.cross_attention {
            all.extend([&cross.query, &cross.output]);
        }
        let FeedForward { gate, up, down, .. } = &self.feed_forward;
        all.extend(gate.iter().chain([up, down]));
        all
    }
}

/// Rows of whole texts, one behind the other.
pub(super) fn whole_positions(rows: usize, width: usize) -> impl Iterator<Item = Option<usize>> {
    (0..rows).flat_map(move |_| (0..width).map(Some))
}
