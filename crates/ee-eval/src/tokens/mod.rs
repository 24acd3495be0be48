//! What a trace of generated text says about gates before anything is decoded.
//!
//! Every token is judged on the full model's own context. Errors that grow while decoding, and stand-ins for
//! keys and values, are not seen here: only trials show them.

pub(crate) mod replay;
pub(crate) mod states;
mod watched;

pub(crate) use watched::TokenGate;
pub(crate) use watched::{Watched, agreement_per_exit, shallowest};
