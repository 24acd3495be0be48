//! Token-level early exit while decoding: true early exit, whose texts may differ from the full model's.
//!
//! One loop ([`walk`]) runs every rule ([`rule`]), every policy for the keys and values of skipped layers
//! ([`policy`]) and every way to read the head ([`head`]). [`mod@measure`] times it against plain decoding,
//! prompt by prompt in turn, at the same rows and tokens; [`fidelity`] says what became of the texts.

pub mod command;
pub mod fidelity;
pub(crate) mod lengths;
pub(crate) mod material;
pub mod measure;
pub mod pace;
pub mod report;
pub mod results;

pub use command::run;
