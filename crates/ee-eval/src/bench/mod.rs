//! The cost of building blocks on random weights, each as one line of JSON to be compared with other
//! programs.

mod decoder;
mod encoder;
mod exits;
mod promise;
mod speculate;

pub use decoder::{decode, decoder_trace};
pub use encoder::encoder_trace;
pub use exits::exits;
pub use promise::promise;
pub use speculate::speculate;

/// The seed of weights and tokens.
const SEED: u64 = 0;

/// Small random weights, whatever the sizes.
const FINITE: &str = "small random weights give finite logits";

/// Tokens spread over the vocabulary without a random generator.
fn token(at: usize, vocabulary: usize) -> u32 {
    (at.wrapping_mul(2_654_435_761) % vocabulary) as u32
}
