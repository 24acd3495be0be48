//! Token-level early exit while decoding: true early exit, whose texts may differ from the full model's.
//!
//! One loop ([`walk`]) runs every rule ([`rule`]), every policy for the keys and values of skipped layers
//! ([`policy`]) and every way to read the head ([`head`]). [`mod@measure`] times it against plain decoding,
//! prompt by prompt in turn, at the same rows and tokens; [`fidelity`] says what became of the texts.

mod ask;
pub mod clock;
pub mod command;
pub mod decay;
pub mod fidelity;
pub mod head;
pub(crate) mod lengths;
pub(crate) mod material;
pub mod measure;
pub mod pace;
pub mod policy;
pub mod report;
pub mod results;
pub mod rule;
pub mod settings;
pub mod states;
pub mod walk;

pub use command::run;
pub use head::HeadChoice;
pub use policy::PolicyChoice;
pub use rule::ExitRule;
pub use settings::Settings;
pub use walk::{Decoded, decode};

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
