//! The exit state is carried upward, and each skipped layer projects its own keys and values from it: what
//! CALM does. Cheap, and not what the layers would have computed.

use ee_models::{Decoder, KvCache, Stream};

use super::{Cost, Filling, KvPolicy};

/// Projects from the exit state.
#[derive(Debug)]
pub(super) struct Recompute;

impl KvPolicy for Recompute {
    fn name(&self) -> &'static str {
        "recompute"
    }

    fn rule(&self) -> &'static str {
        "each skipped layer projects its keys and values from the exit state, with its own norm"
    }

    fn cost(&self) -> Cost {
        Cost::Projections
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Recompute {
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize {
        for index in exit..model.n_layers() {
            model.write_kv(index, stream, cache.layer(index));
        }
        model.n_layers() - exit
    }
}
