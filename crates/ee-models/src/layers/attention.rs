use burn::module::Module;
use burn::tensor::Tensor;

use super::{Linear, Scope};
use crate::kernels::{self, AttentionShape, Dropout};

/// Multi-head self-attention before its output projection: softmax(Q Kᵀ / √d_head) V.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// d_model → d_model
    pub query: Linear,
    /// d_model → d_model
    pub key: Linear,
    /// d_model → d_model
    pub value: Linear,
}

impl SelfAttention {
    /// Takes `query`, `key` and `value` from the scope.
    pub fn new(mut scope: Scope<'_>, d_model: usize) -> Self {
        Self {
            query: Linear::new(scope.enter("query"), d_model, d_model),
            key: Linear::new(scope.enter("key"), d_model, d_model),
            value: Linear::new(scope.enter("value"), d_model, d_model),
        }
    }

    /// # Shapes
    /// `[batch * width, d_model]` → the same.
    pub fn forward(&self, input: Tensor<2>, shape: &AttentionShape, dropout: Dropout) -> Tensor<2> {
        let query = self.query.forward(input.clone());
        let key = self.key.forward(input.clone());
        let value = self.value.forward(input);
        kernels::attention(query, key, value, shape, dropout)
    }
}
