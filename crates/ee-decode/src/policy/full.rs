//! No exit takes effect: the oracle, which records the exits that would have been taken.

use ee_models::{Decoder, KvCache, Stream};

use super::{Filling, KvPolicy};

/// Changes nothing.
#[derive(Debug)]
pub(super) struct Full;

impl KvPolicy for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn rule(&self) -> &'static str {
        "no exit takes effect: the full model's tokens, with the exits that would have been taken"
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn takes_effect(&self) -> bool {
        false
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Full {
    fn left(&mut self, _: &dyn Decoder, _: &mut KvCache, _: usize, _: &Stream) -> usize {
        0
    }
}
