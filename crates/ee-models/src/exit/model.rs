use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::{Batch, Block, DropoutKey, Stream};
use crate::cache::{KvCache, LayerKv};
use crate::kernels::{self, Rows, Weight};
use crate::layers::Linear;

/// A part of a layer with a residual sum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sublayer {
    /// Attention of the tokens to each other.
    SelfAttention,
    /// Attention to an encoder's states, the stream's memory.
    CrossAttention,
    /// The feed-forward network.
    FeedForward,
}

/// The embedding and the layers of a model, without a head.
pub trait Backbone {
    /// N: the number of layers, hence of exits.
    fn n_layers(&self) -> usize;

    /// Where the weights are.
    fn device(&self) -> Device;

    /// Depth 0: the embedded batch.
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream;

    /// The parts of every layer, in the order in which they run.
    fn sublayers(&self) -> &'static [Sublayer];

    /// Runs one part of layer `index`: the stream's state becomes the residual sum after it, normalised where
    /// the model normalises sums.
    fn sublayer(&self, index: usize, sublayer: Sublayer, stream: Stream) -> Stream;

    /// Goes from depth `index` to depth `index + 1`.
    fn layer(&self, index: usize, stream: Stream) -> Stream {
        let run = |stream, &part: &Sublayer| self.sublayer(index, part, stream);
        self.sublayers().iter().fold(stream, run)
    }

    /// What is done to the last layer's state for any reader: the final norm of layers that do not normalise
    /// their sums.
    fn last_state(&self, state: Tensor<2>) -> Tensor<2> {
        state
    }

    /// The batch after all layers, as [`Backbone::last_state`] makes it.
    fn read_whole(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let run = |stream, index| self.layer(index, stream);
        let last = (0..self.n_layers()).fold(self.embed(batch, dropout), run);
        Stream { hidden: self.last_state(last.hidden.clone()), ..last }
    }

    /// The batch at the depths 0..=N, the last one as [`Backbone::last_state`] makes it: what transformers
    /// calls `hidden_states`.
    fn states(&self, batch: &Batch) -> Vec<Stream> {
        let mut states = vec![self.embed(batch, None)];
        for index in 0..self.n_layers() {
            states.push(self.layer(index, states[index].clone()));
        }
        let last = states.last_mut().expect("depth 0 is there");
        last.hidden = self.last_state(last.hidden.clone());
        states
    }
}

/// A model whose every layer can answer through the one shared head.
pub trait ExitModel {
    /// The model without its head.
    fn backbone(&self) -> &dyn Backbone;

    /// The layers that read a batch's source, whole and always, where there are any: [`ExitModel::backbone`] is then
    /// a decoder that attends to their last states.
    fn encoder(&self) -> Option<&dyn Backbone> {
        None
    }

    /// [`Backbone::n_layers`]
    fn n_layers(&self) -> usize {
        self.backbone().n_layers()
    }

    /// [`Backbone::device`]
    fn device(&self) -> Device {
        self.backbone().device()
    }

    /// [`Backbone::embed`], attending to the batch's source where there is an encoder.
    ///
    /// # Panics
    /// When an encoder has no source to read.
    fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
        let stream = self.backbone().embed(batch, dropout);
        let Some(encoder) = self.encoder() else { return stream };
        let source = batch.source().expect("an encoder reads a source");
        let read = encoder.read_whole(source, dropout.map(DropoutKey::of_source));
        stream.with_memory(read.into_memory())
    }

    /// [`Backbone::layer`]
    fn layer(&self, index: usize, stream: Stream) -> Stream {
        self.backbone().layer(index, stream)
    }

    /// What the head reads of a state: for a classifier the first position of each row, `[batch, d_model]`.
    fn exit_state(&self, stream: &Stream) -> Tensor<2>;

    /// What the head's last product takes of states of any depth: their final norm, or a classifier's pooler,
    /// `[rows, d_model]` → the same.
    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2>;

    /// The head's last product, `[outputs, d_model]`: logits are its product with [`ExitModel::head_state`].
    fn head_weight(&self) -> Weight;

    /// The head's last product where an answer is chosen: [`ExitModel::head_weight`], with tokens that are never an
    /// answer ruled out by their bias.
    fn answer_weight(&self) -> Weight {
        self.head_weight()
    }

    /// The shared head on states of any depth, `[rows, d_model]` → logits `[rows, outputs]`. As [`Rows::Few`]
    /// the head's weight is read once for all rows.
    fn read(&self, state: Tensor<2>, rows: Rows) -> Tensor<2> {
        let [logits] = kernels::project(self.head_state(state, None), [self.answer_weight()], rows);
        logits
    }

    /// The states that the head reads at the exits 1..=N, in that order.
    fn exit_states(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Vec<Tensor<2>> {
        let mut stream = self.embed(batch, dropout);
        (0..self.n_layers())
            .map(|index| {
                stream = self.layer(index, stream.clone());
                self.exit_state(&stream)
            })
            .collect()
    }

    /// Logits of every exit in one product with the head, `[exits * batch, outputs]`, exit after exit.
    fn exit_logits(&self, batch: &Batch) -> Tensor<2> {
        self.read(Tensor::cat(self.exit_states(batch, None), 0), Rows::Many)
    }
}

/// A model that continues texts token by token.
///
/// Exits are read at the last token of each row. [`ExitModel::embed`] takes rows padded on the right and
/// [`ExitModel::layer`] runs them whole, without a cache; the methods here go on from a cache.
pub trait Decoder: ExitModel {
    /// Entries of the vocabulary.
    fn vocabulary_size(&self) -> usize;

    /// Positions that the model was made for.
    fn max_positions(&self) -> usize;

    /// The tokens that a decoder begins with where an encoder reads the prompts; none where the prompts are what
    /// it goes on from.
    fn opening(&self) -> &[u32] {
        &[]
    }

    /// Entries of the vocabulary that prompts are written in.
    fn prompt_vocabulary(&self) -> usize {
        self.vocabulary_size()
    }

    /// Tokens of the longest prompt that this many new ones can follow; 0 where none can.
    fn longest_prompt(&self, new_tokens: usize) -> usize {
        self.max_positions().saturating_sub(new_tokens)
    }

    /// The token that a text of the longest length ends with, whatever the model says.
    fn forced_end(&self) -> Option<u32> {
        None
    }

    /// Reads the prompts with the encoder, where there is one, and gives every layer of the cache the keys and values
    /// that its tokens attend to ([`KvCache::remember`]).
    fn remember(&self, _prompts: &[Vec<u32>], _cache: &mut KvCache) {}

    /// A cache with room for `capacity` slots, for rows whose first `padding[r]` slots hold no token.
    fn empty_cache(&self, padding: Arc<[usize]>, capacity: usize) -> KvCache;

    /// Depth 0 of a block of tokens, row after row.
    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream;

    /// A block of tokens whose states at some depth are known, `[batch * width, d_model]`.
    fn resume_block(&self, hidden: Tensor<2>, block: &Block) -> Stream;

    /// Goes from depth `index` to depth `index + 1`, attending to the cache and appending to it.
    fn layer_with(&self, index: usize, stream: Stream, cache: &mut LayerKv) -> Stream;

    /// Appends to the cache of layer `index` the keys and values of the tokens, which it projects from the
    /// stream's state with its own norm, and computes nothing else of the layer.
    fn write_kv(&self, index: usize, stream: &Stream, cache: &mut LayerKv);

    /// What a step has to read of the weights.
    fn weight_bytes(&self) -> WeightBytes;
}

/// Sizes of a decoder's matrices in bytes, in their format in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightBytes {
    /// All of one layer.
    pub layer: usize,
    /// Those of one layer that keys and values are projected by.
    pub key_value: usize,
    /// The head.
    pub head: usize,
}

impl WeightBytes {
    /// Of the matrices of one layer, of those that keys and values are projected by, and of the head.
    pub(crate) fn of(layer: &[&Linear], key_value: &[&Linear], head: &Weight) -> Self {
        let bytes = |matrix: &Tensor<2>| matrix.shape().num_elements() * matrix.dtype().size();
        let sum =
            |linear: &[&Linear]| linear.iter().map(|linear| bytes(&linear.weight.val())).sum();
        Self { layer: sum(layer), key_value: sum(key_value), head: bytes(&head.matrix) }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, TensorData};

    use super::*;
    use crate::exit::Memory;
    use crate::indices::indices;
    use crate::kernels::AttentionShape;

    const WIDTH: usize = 8;

    /// A decoder's layer whose every token attends to an encoder's states, and adds what it finds.
    struct Attending(Device);

    impl Backbone for Attending {
        fn n_layers(&self) -> usize {
            1
        }

        fn device(&self) -> Device {
            self.0.clone()
        }

        fn embed(&self, batch: &Batch, dropout: Option<DropoutKey>) -> Stream {
            let ids = indices(batch.token_ids().iter().map(|&id| id as usize), &self.0);
            let hidden = ids.float().reshape([batch.token_ids().len(), 1]).repeat_dim(1, WIDTH);
            let (lengths, width) = (batch.lengths().clone(), batch.width());
            Stream { hidden, lengths, width, dropout, placement: None, memory: None }
        }

        fn sublayers(&self) -> &'static [Sublayer] {
            &[Sublayer::CrossAttention, Sublayer::FeedForward]
        }

        fn sublayer(&self, _: usize, sublayer: Sublayer, stream: Stream) -> Stream {
            let hidden = match sublayer {
                Sublayer::CrossAttention => stream.hidden.clone() + attended(&stream),
                _ => stream.hidden.clone() * 2.0,
            };
            Stream { hidden, ..stream }
        }
    }

    fn attended(stream: &Stream) -> Tensor<2> {
        let Memory { hidden, lengths, width } = stream.memory.clone().expect("an encoder's states");
        let shape = AttentionShape::whole(stream.width, 2, WIDTH / 2, &stream.lengths);
        let shape = shape.over(width, &lengths);
        kernels::attention(stream.hidden.clone(), hidden.clone(), hidden, None, &shape)
    }

    fn memory(lengths: &[usize], width: usize, device: &Device) -> Memory {
        let shape = [lengths.len() * width, WIDTH];
        let hidden = Tensor::random(shape, Distribution::Default, device);
        let lengths = lengths.into();
        Stream { hidden, lengths, width, dropout: None, placement: None, memory: None }
            .into_memory()
    }

    #[test]
    fn a_layer_that_attends_to_an_encoder_is_the_sum_of_its_parts_for_every_row_alone() {
        let model = Attending(Device::flex());
        let batch = Batch::new(vec![1, 2, 3, 4], vec![0; 4], vec![2, 2], 2).unwrap();
        let memory = memory(&[3, 1], 3, &model.0);
        let start = model.embed(&batch, None).with_memory(memory.clone());
        let values = |stream: Stream| -> TensorData { stream.hidden.into_data() };
        let whole = model.layer(0, start.clone());
        let between = model.sublayer(0, Sublayer::CrossAttention, start.clone());
        assert_ne!(values(between.clone()), values(start.clone()));
        assert_eq!(
            values(model.sublayer(0, Sublayer::FeedForward, between)),
            values(whole.clone())
        );
        for row in 0..2 {
            let alone = model.embed(&Batch::new(vec![0; 2], vec![0; 2], vec![2], 2).unwrap(), None);
            let hidden = start.hidden.clone().narrow(0, row * 2, 2);
            let alone = Stream { hidden, ..alone }.with_memory(memory.rows(&[row]));
            let expected = whole.hidden.clone().narrow(0, row * 2, 2).into_data();
            assert_eq!(values(model.layer(0, alone)), expected);
        }
    }
}
