use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::{Initial, ParameterSource, Scope};
use crate::kernels;

/// A table of vectors, one per id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, d_model]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Takes `weight` from the scope; a padding entry starts as zeros.
    pub fn new(
        mut scope: Scope<'_>,
        entries: usize,
        d_model: usize,
        padding: Option<usize>,
    ) -> Self {
        let initial = padding.map_or(Initial::Normal, Initial::NormalExceptRow);
        Self { weight: scope.matrix("weight", [entries, d_model], initial) }
    }

    /// Takes a table that has several names.
    pub fn shared(
        source: &mut dyn ParameterSource,
        names: &[String],
        shape: [usize; 2],
        initial: Initial,
    ) -> Self {
        Self { weight: source.shared_matrix(names, shape, initial) }
    }

    /// # Shapes
    /// `[n]` → `[n, d_model]`.
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        kernels::embedding(self.weight.val(), ids)
    }
}
