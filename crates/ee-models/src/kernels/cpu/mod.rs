//! Threaded, vectorised f32 kernels for the CPU, on plain slices.
//!
//! Nothing here knows of tensors, graphs or devices: sizes and slices in, results written into slices that
//! the caller gives. Every kernel is compiled for AVX-512, for AVX2 with FMA and for the plain target, and
//! the machine's best is chosen at run time ([`InstructionSet`]). Work is split over rayon's threads by
//! shape alone and partial sums are added in a fixed order, so the same inputs give the same bits on a
//! machine whatever the number and the timing of its threads; that rules out splitting one sum over
//! threads as they come free. Sizes that do not fit together are a broken invariant and panic.
#![allow(
    unsafe_code,
    reason = "vector instructions, packed panels and disjoint writes from several threads need raw \
              pointers; every block states why it is sound, and the public functions are safe"
)]

mod activation;
mod attention;
mod disjoint;
mod dots;
mod dropout;
mod embedding;
mod gemm;
mod instructions;
mod lanes;
mod linear;
mod math;
mod norm;
mod optimizer;
mod rms_norm;
mod rotary;
mod scratch;
mod statistics;

#[cfg(test)]
mod reference;

pub use activation::{Activation, activation_backward, activation_forward, silu_product};
pub use attention::{
    AttentionGradients, AttentionInputs, AttentionShape, CausalShape, attention_backward,
    attention_forward, causal_attention, causal_attention_rows,
};
pub use dots::{Projection, WeightData, project};
pub use dropout::{Dropout, dropout};
pub use embedding::{embedding_backward, embedding_forward};
pub use gemm::{Epilogue, MatrixView, gemm};
pub use instructions::InstructionSet;
pub use linear::{
    LinearShape, bias_backward, linear_activation_forward, linear_backward_input,
    linear_backward_weight, linear_forward, linear_stored,
};
pub use norm::{
    NormGradients, NormParameters, NormStatistics, layer_norm, layer_norm_backward, residual_norm,
};
pub use optimizer::{AdamW, adamw, sum_of_squares};
pub use rms_norm::{add_rms_norm, rms_norm};
pub use rotary::rotate;
pub use statistics::{RowStatistics, row_statistics};
