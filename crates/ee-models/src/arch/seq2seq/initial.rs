//! What new parameters are drawn from.

use std::f64::consts::FRAC_1_SQRT_2;

use super::options::{Options, StackSizes, Start};
use crate::parameters::Initial;

/// What a matrix is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Matrix {
    Table,
    Head,
    Query,
    KeyOrValue,
    AttentionOutput,
    Up,
    Down,
    PositionBias,
}

impl Options {
    /// What a matrix of a stack of these sizes starts from. Normal ones without a deviation of their own take the
    /// source's, d_model^−½.
    pub(super) fn initial(&self, matrix: Matrix, sizes: &StackSizes) -> Initial {
        match self.start {
            Start::Fairseq => match matrix {
                Matrix::Table => Initial::NormalExceptRow(self.padding),
                Matrix::Head | Matrix::PositionBias => Initial::Normal,
                Matrix::Query | Matrix::KeyOrValue => Initial::Xavier(FRAC_1_SQRT_2),
                Matrix::AttentionOutput | Matrix::Up | Matrix::Down => Initial::Xavier(1.0),
            },
            Start::T5 => {
                let d_model = self.d_model as f64;
                let squared = match matrix {
                    Matrix::Table | Matrix::Head => 1.0,
                    Matrix::Query => d_model * sizes.head_dim as f64,
                    Matrix::KeyOrValue | Matrix::Up | Matrix::PositionBias => d_model,
                    Matrix::AttentionOutput => (sizes.heads * sizes.head_dim) as f64,
                    Matrix::Down => sizes.inner as f64,
                };
                Initial::Deviation(squared.powf(-0.5))
            }
        }
    }

    /// The standard deviation of normal parameters that have none of their own.
    pub(super) fn deviation(&self) -> f64 {
        (self.d_model as f64).powf(-0.5)
    }
}
