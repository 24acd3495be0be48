//! Threaded, vectorised f32 kernels for the CPU, on plain slices.
//!
//! Nothing here knows about tensors, graphs or devices: sizes and slices in, results written into slices that
//! the caller gives. Every kernel is compiled for AVX-512, for AVX2 with FMA and for the plain target, and
//! the machine's best is chosen at run time ([`InstructionSet`]). Work is split over rayon's threads by
//! shape alone and partial sums are added in a fixed order, so the same inputs give the same bits on a
//! machine whatever the number and the timing of its threads; that rules out splitting one sum over
//! threads as they become free. Every function panics when sizes do not fit together, which is a broken
//! invariant; they are checked once per call, in arithmetic that does not wrap (`sizes`), before anything is
//! written.
#![allow(
    unsafe_code,
    reason = "vector instructions, packed panels and disjoint writes from several threads need raw \
              pointers; every block states why it is sound, and the public functions are safe"
)]

mod activation;
mod attention;
mod cross_entropy;
mod disjoint;
mod dots;
mod dropout;
mod embedding;
mod gemm;
mod instructions;
mod lanes;
mod linear;
mod math;
mod memory;
mod norm;
mod optimizer;
mod rotary;
mod scratch;
mod sizes;
mod statistics;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod wrong_sizes;

pub use activation::Activation;
pub use dropout::Dropout;
pub use optimizer::AdamW;
pub use statistics::RowStatistics;

pub use activation::{
    activation_backward, activation_forward, silu_product, silu_product_backward,
};
pub use attention::{
    AttentionGradients, AttentionInputs, AttentionShape, Sight, attention_backward,
    attention_forward,
};
pub use cross_entropy::cross_entropy;
pub use dots::{Projection, WeightData, linear_few_rows};
pub use dropout::dropout;
pub use embedding::{embedding_backward, embedding_forward};
pub use instructions::InstructionSet;
pub use linear::{
    LinearShape, bias_backward, linear_backward_input, linear_backward_weight, linear_forward,
};
pub use memory::{keep_freed_memory, prefer_large_pages};
pub use norm::{
    NormGradients, NormParameters, NormStatistics, add_rms_norm, layer_norm_backward,
    residual_norm, rms_norm, rms_norm_backward,
};
pub use optimizer::{adamw, sum_of_squares};
pub use rotary::rotate;
pub use scratch::with_scratch;

pub use statistics::{not_below_zero, row_statistics};
