//! The families of encoders, one file each: to add one that shares these layers, add its file and its lines here.

mod bert;
mod roberta;
mod xlm_roberta;

pub use self::bert::BERT;
use crate::arch::Facts;

/// Every family of encoders.
pub const FAMILIES: &[&EncoderFamily] = &[&BERT, &roberta::ROBERTA, &xlm_roberta::XLM_ROBERTA];

const KIND: &str = "an encoder that classifies";

/// How an encoder differs from others that share its layers.
#[derive(Debug)]
pub struct EncoderFamily {
    /// The facts that every family states.
    pub facts: Facts,
    /// `pad_token_id` where it is not stated.
    pub(super) padding: usize,
    /// Whether positions are counted from after the padding id, which must then be known.
    pub(super) counts_from_padding: bool,
    pub(super) head: HeadNames,
}

impl EncoderFamily {
    /// Positions that no token gets.
    pub(super) fn reserved(&self, padding: usize) -> usize {
        if self.counts_from_padding { padding + 1 } else { 0 }
    }
}

/// The two products of a classification head, with tanh between them.
#[derive(Debug)]
pub(super) struct HeadNames {
    pub(super) dense: &'static str,
    pub(super) output: &'static str,
    /// Whether dropout is also drawn before the first product.
    pub(super) drops_before: bool,
}
