//! The parts of a layer: attention to the stack's own tokens or to an encoder's, the feed-forward network, and the
//! residual sum around each.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::initial::Matrix;
use super::names::{AttentionNames, FeedForwardNames};
use super::options::{NormKind, Options, StackSizes};
use crate::kernels::{self, Activation, AttentionShape, Dropout, Rows};
use crate::layers::{Initial, Linear, Scope};

/// Layer normalization, or the root-mean-square norm where there is no β.
#[derive(Module, Debug)]
pub(super) struct Norm {
    /// γ, `[d_model]`
    weight: Param<Tensor<1>>,
    /// β, `[d_model]`
    bias: Option<Param<Tensor<1>>>,
    epsilon: f64,
}

impl Norm {
    pub(super) fn new(mut scope: Scope<'_>, options: &Options) -> Self {
        let has_bias = options.norm == NormKind::Layer;
        Self {
            weight: scope.vector("weight", options.d_model, Initial::Ones),
            bias: has_bias.then(|| scope.vector("bias", options.d_model, Initial::Zeros)),
            epsilon: options.epsilon,
        }
    }

    /// # Shapes
    /// `[rows, d_model]` → the same.
    pub(super) fn forward(&self, state: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            Some(bias) => kernels::layer_norm(state, self.weight.val(), bias.val(), self.epsilon),
            None => kernels::rms_norm(state, self.weight.val(), self.epsilon),
        }
    }

    /// The norm of residual + dropout(input).
    ///
    /// # Shapes
    /// Both `[rows, d_model]` → the same.
    pub(super) fn forward_sum(
        &self,
        input: Tensor<2>,
        residual: Tensor<2>,
        dropout: Dropout,
    ) -> Tensor<2> {
        let Some(bias) = &self.bias else {
            return self.forward(residual + kernels::dropout(input, dropout));
        };
        let (gamma, beta) = (self.weight.val(), bias.val());
        kernels::residual_norm(input, residual, gamma, beta, self.epsilon, dropout)
    }
}

/// The residual sum around a part of a layer, with its norm before the part or after the sum.
#[derive(Module, Debug)]
pub(super) struct Residual {
    norm: Norm,
    is_first: bool,
}

impl Residual {
    pub(super) fn new(scope: Scope<'_>, options: &Options) -> Self {
        Self { norm: Norm::new(scope, options), is_first: options.norm_first }
    }

    /// What the part reads of a state.
    pub(super) fn before(&self, state: &Tensor<2>) -> Tensor<2> {
        if self.is_first { self.norm.forward(state.clone()) } else { state.clone() }
    }

    /// The state after the part, which adds `added`.
    pub(super) fn after(&self, added: Tensor<2>, state: Tensor<2>, dropout: Dropout) -> Tensor<2> {
        if self.is_first {
            state + kernels::dropout(added, dropout)
        } else {
            self.norm.forward_sum(added, state, dropout)
        }
    }
}

/// Attention with its four projections, and the sum around it.
#[derive(Module, Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) residual: Residual,
    #[module(skip)]
    heads: Heads,
}

/// What attention needs besides its parameters.
#[derive(Clone, Copy, Debug)]
struct Heads {
    n: usize,
    head_dim: usize,
    scale: f32,
}

impl Attention {
    pub(super) fn new(
        scope: &mut Scope<'_>,
        names: &AttentionNames,
        options: &Options,
        sizes: &StackSizes,
    ) -> Self {
        let (d_model, inner) = (options.d_model, sizes.heads * sizes.head_dim);
        let mut linear = |name: &str, from, to, matrix| {
            let initial = options.initial(matrix, sizes);
            Linear::starting(scope.enter(name), from, to, options.has_biases, initial)
        };
        let scale = if options.scale_scores { (sizes.head_dim as f32).sqrt().recip() } else { 1.0 };
        Self {
            query: linear(names.query, d_model, inner, Matrix::Query),
            key: linear(names.key, d_model, inner, Matrix::KeyOrValue),
            value: linear(names.value, d_model, inner, Matrix::KeyOrValue),
            output: linear(names.output, inner, d_model, Matrix::AttentionOutput),
            residual: Residual::new(scope.enter(names.norm), options),
            heads: Heads { n: sizes.heads, head_dim: sizes.head_dim, scale },
        }
    }

    /// The shape of attention of rows of `width` places to each other.
    pub(super) fn shape(
        &self,
        width: usize,
        lengths: &[usize],
        dropout: Dropout,
    ) -> AttentionShape {
        let Heads { n, head_dim, scale } = self.heads;
        let shape = AttentionShape::whole(width, n, head_dim, lengths);
        AttentionShape { scale, dropout, ..shape }
    }

    /// Queries, keys and values of one state.
    pub(super) fn inputs(&self, state: Tensor<2>, rows: Rows) -> [Tensor<2>; 3] {
        Linear::forward_all([&self.query, &self.key, &self.value], state, rows)
    }

    /// Keys and values of a state.
    pub(super) fn keys_and_values(&self, state: Tensor<2>, rows: Rows) -> [Tensor<2>; 2] {
        Linear::forward_all([&self.key, &self.value], state, rows)
    }
}

/// The feed-forward network and the sum around it.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    /// The layer whose output goes through the function where `up`'s is its factor.
    pub(super) gate: Option<Linear>,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) residual: Residual,
    #[module(skip)]
    activation: Activation,
}

impl FeedForward {
    pub(super) fn new(
        scope: &mut Scope<'_>,
        names: &FeedForwardNames,
        options: &Options,
        sizes: &StackSizes,
    ) -> Self {
        let (d_model, inner) = (options.d_model, sizes.inner);
        let mut linear = |name: &str, from, to, matrix| {
            let initial = options.initial(matrix, sizes);
            Linear::starting(scope.enter(name), from, to, options.has_biases, initial)
        };
        Self {
            gate: options.is_gated.then(|| linear(names.gate, d_model, inner, Matrix::Up)),
            up: linear(names.up[usize::from(options.is_gated)], d_model, inner, Matrix::Up),
            down: linear(names.down, inner, d_model, Matrix::Down),
            residual: Residual::new(scope.enter(names.norm), options),
            activation: options.activation,
        }
    }

    /// # Shapes
    /// `[rows, d_model]` → the same.
    pub(super) fn forward(&self, input: Tensor<2>, rows: Rows, dropout: Dropout) -> Tensor<2> {
        if self.gate.is_none() && rows == Rows::Many && !dropout.is_active() {
            let (up, down) = (self.up.weight(), self.down.weight());
            return kernels::feed_forward(input, up, down, self.activation);
        }
        let inner = match &self.gate {
            None => kernels::activate(self.up.forward(input, rows), self.activation),
            Some(gate) => {
                let [gate, up] = Linear::forward_all([gate, &self.up], input, rows);
                kernels::activate(gate, self.activation) * up
            }
        };
        self.down.forward(kernels::dropout(inner, dropout), rows)
    }
}
