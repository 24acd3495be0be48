//! A decoder cut after some of its layers.

use std::sync::Arc;

use burn::tensor::Tensor;

use ee_models::kernels::Weight;
use ee_models::{Backbone, Block, Decoder, DropoutKey, ExitModel, Stream, WeightBytes};
use ee_models::{KvCache, LayerKv};

/// A decoder cut after some of its layers: what it would write if that exit were the last.
pub struct UpTo<'m> {
    /// The whole model.
    pub model: &'m dyn Decoder,
    /// Layers that run; at least one, at most all.
    pub depth: usize,
}

impl ExitModel for UpTo<'_> {
    fn backbone(&self) -> &dyn Backbone {
        self.model.backbone()
    }

    fn n_layers(&self) -> usize {
        self.depth
    }

    fn exit_state(&self, stream: &Stream) -> Tensor<2> {
        self.model.exit_state(stream)
    }

    fn head_state(&self, state: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        self.model.head_state(state, dropout)
    }

    fn head_weight(&self) -> Weight {
        self.model.head_weight()
    }
}

impl Decoder for UpTo<'_> {
    fn vocabulary_size(&self) -> usize {
        self.model.vocabulary_size()
    }

    fn max_positions(&self) -> usize {
        self.model.max_positions()
    }

    fn empty_cache(&self, padding: Arc<[usize]>, capacity: usize) -> KvCache {
        self.model.empty_cache(padding, capacity)
    }

    fn embed_block(&self, tokens: &[u32], block: &Block) -> Stream {
        self.model.embed_block(tokens, block)
    }

    fn resume_block(&self, hidden: Tensor<2>, block: &Block) -> Stream {
        self.model.resume_block(hidden, block)
    }

    fn write_kv(&self, index: usize, stream: &Stream, cache: &mut LayerKv) {
        self.model.write_kv(index, stream, cache);
    }

    fn weight_bytes(&self) -> WeightBytes {
        self.model.weight_bytes()
    }

    fn layer_with(&self, index: usize, stream: Stream, cache: &mut LayerKv) -> Stream {
        self.model.layer_with(index, stream, cache)
    }
}
