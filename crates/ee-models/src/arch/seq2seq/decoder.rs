//! The decoder with a cache.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Seq2Seq;
use super::parts::Attention;
use crate::cache::{KvCache, LayerKv, MemoryKv};
use crate::exit::{Backbone, Batch, Block, Decoder, ExitModel, Placement, Stream, WeightBytes};
use crate::kernels::{self, AttentionShape, Dropout, Rows};

impl Seq2Seq {
    /// A block of states at its slots.
    fn place(&self, hidden: Tensor<2>, block: &Block) -> Stream {
        let Block { width, start, padding, lengths, rows } = block.clone();
        let relative = self.decoder.relative_positions.as_ref();
        let bias = relative.map(|bias| bias.of(start, width, start + width));
        let placement = Placement { start, padding, rotary: None, bias, rows, cache_rows: None };
        Stream { hidden, lengths, width, dropout: None, placement: Some(placement), memory: None }
    }

    /// What attention to the decoder's own tokens adds, which stand behind those of the cache.
    fn attended(
        part: &Attention,
        stream: &Stream,
        placement: &Placement,
        cache: &mut LayerKv,
    ) -> (Tensor<2>, AttentionShape) {
        let Placement { start, padding, bias, rows: reading, cache_rows, .. } = placement;
        let [query, key, value] = part.inputs(part.residual.before(&stream.hidden), *reading);
        let rows = cache_rows.as_deref();
        cache.append_rows(rows, key, value, *start, stream.width);
        let held = |(&from, length): (&usize, &usize)| from..start + length;
        let held = padding.iter().zip(stream.lengths.iter()).map(held).collect();
        let shape = part.shape(stream.width, &[], Dropout::NONE);
        let shape = shape.causal(cache.capacity(), *start, None, held);
        let shape = AttentionShape { origins: cache.origins(rows), ..shape };
        let (key, value) = (cache.key(), cache.value());
        let attended = kernels::attention(query, key, value, bias.clone(), &shape);
        (part.output.forward(attended, *reading), shape)
    }

    /// What attention to the encoder's states adds; queries are those of `own`.
    fn attended_memory(
        part: &Attention,
        state: &Tensor<2>,
        placement: &Placement,
        cache: &LayerKv,
        own: AttentionShape,
    ) -> Tensor<2> {
        let memory = cache.memory().expect("the encoder's states are remembered");
        let rows = placement.cache_rows.as_deref();
        let shape = own.over(memory.width(), &memory.lengths(rows));
        let shape = AttentionShape { origins: Some(memory.origins(rows)), ..shape };
        let query = part.query.forward(part.residual.before(state), placement.rows);
        let (key, value) = (memory.key.clone(), memory.value.clone());
        let attended = kernels::attention(query, key, value, None, &shape);
        part.output.forward(attended, placement.rows)
    }
}

impl Decoder for Seq2Seq {
    fn vocabulary_size(&self) -> usize {
        self.target_table().weight.val().dims()[0]
    }

    fn max_positions(&self) -> usize {
        self.numbers.max_positions
    }

    fn opening(&self) -> &[u32] {
        &self.numbers.opening
    }

    fn prompt_vocabulary(&self) -> usize {
        self.encoder.table.weight.val().dims()[0]
    }

    /// The encoder has positions of its own.
    fn longest_prompt(&self, new_tokens: usize) -> usize {
        // The last token is not read any more.
        let read = self.numbers.opening.len() + new_tokens.saturating_sub(1);
        if read <= self.max_positions() { self.max_positions() } else { 0 }
    }

    fn forced_end(&self) -> Option<u32> {
        self.numbers.forced_end
    }

    fn remember(&self, prompts: &[Vec<u32>], cache: &mut KvCache) {
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = Vec::with_capacity(prompts.len() * width);
        for prompt in prompts {
            tokens.extend_from_slice(prompt);
            tokens.resize(tokens.len() + width - prompt.len(), 0);
        }
        let types = vec![0; tokens.len()];
        let batch = Batch::new(tokens, types, lengths, width).expect("prompts have tokens");
        let memory = self.encoder.read_whole(&batch, None).into_memory();
        for (index, layer) in self.decoder.layers.iter().enumerate() {
            let cross = layer.cross_attention();
            let [key, value] = cross.keys_and_values(memory.hidden.clone(), Rows::Many);
            let lengths = memory.lengths.clone();
            cache.remember(index, MemoryKv::new(lengths, memory.width, key, value));
        }
    }

    fn empty_cache(&self, padding: Arc<[usize]>, capacity: usize) -> KvCache {
        let [d_kv, _] = self.decoder.layers[0].attention.key.weight.val().dims();
        KvCache::new(self.decoder.layers.len(), d_kv, capacity, padding, &ExitModel::device(self))
    }

    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream {
        let Block { width, start, ref padding, .. } = *block;
        // Padding has no position; it gets 0, which is not read. Neither is what rows near their longest length are given
        // beyond it, where others of a batch draft further: it gets the last one.
        let last = self.max_positions() - 1;
        let positions = padding.iter().flat_map(|&before| {
            (start..start + width).map(move |slot| Some(slot.saturating_sub(before).min(last)))
        });
        let hidden = self.decoder.embed(self.target_table(), tokens, positions, None);
        self.place(hidden, block)
    }

    fn resume_block(&self, hidden: Tensor<2>, block: &Block) -> Stream {
        self.place(hidden, block)
    }

    fn layer_with(&self, index: usize, stream: Stream, cache: &mut LayerKv) -> Stream {
        let layer = &self.decoder.layers[index];
        let placement = stream.placement();
        let (own, cross) = (&layer.attention, layer.cross_attention());
        let (added, shape) = Self::attended(own, &stream, placement, cache);
        let state = own.residual.after(added, stream.hidden.clone(), Dropout::NONE);
        let added = Self::attended_memory(cross, &state, placement, cache, shape);
        let state = cross.residual.after(added, state, Dropout::NONE);
        let part = &layer.feed_forward;
        let input = part.residual.before(&state);
        let added = part.forward(input, placement.rows, Dropout::NONE);
        let hidden = part.residual.after(added, state, Dropout::NONE);
        Stream { hidden, ..stream }
    }

    fn write_kv(&self, index: usize, stream: &Stream, cache: &mut LayerKv) {
        let part = &self.decoder.layers[index].attention;
        let placement = stream.placement();
        let normed = part.residual.before(&stream.hidden);
        let [key, value] = part.keys_and_values(normed, placement.rows);
        let rows = placement.cache_rows.as_deref();
        cache.append_rows(rows, key, value, placement.start, stream.width);
    }

    fn weight_bytes(&self) -> WeightBytes {
        let layer = &self.decoder.layers[0];
        let key_value = [&layer.attention.key, &layer.attention.value];
        WeightBytes::of(&layer.matrices_of_step(), &key_value, &self.head_weight())
    }
}
