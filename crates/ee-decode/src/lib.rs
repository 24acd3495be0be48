//! The engine: continues texts, plainly, with early exits and by self-speculation.
//!
//! [`generate`] is plain decoding. [`walk`] lets tokens leave early: one loop for every rule ([`rule`]), every
//! policy for the keys and values of skipped layers ([`policy`]) and every way to read the head ([`head`]);
//! texts may differ from the full model's. [`speculate`] drafts with the first layers and verifies with all:
//! lossless. [`beam`] goes on with the best few beginnings of every text. This crate knows no command line, no file
//! formats but a gate's, and no task.

mod ask;
pub mod beam;
mod choose;
pub mod clock;
pub mod decay;
mod error;
pub mod gates;
pub mod generate;
pub mod head;
pub mod lane;
pub mod policy;
pub mod rule;
pub mod sample;
pub mod settings;
pub mod speculate;
#[cfg(test)]
mod tests;
pub mod walk;
mod watch;

pub use error::{Error, Result};
pub use head::HeadChoice;
pub use policy::PolicyChoice;
pub use rule::ExitRule;
pub use settings::{Settings, never_leaving};
pub use walk::{Decoded, decode};
