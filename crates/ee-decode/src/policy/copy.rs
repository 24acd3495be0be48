//! Copies keys and values of the exit's layer upward: cheapest, and furthest from the full model.

use ee_models::{Decoder, KvCache, Stream};

use super::{Filling, KvPolicy};

/// Copies those of the exit's layer.
#[derive(Debug)]
pub(super) struct Copy;

impl KvPolicy for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn rule(&self) -> &'static str {
        "keys and values of the exit's layer are copied to the skipped ones"
    }

    fn begin(&self, _: usize) -> Box<dyn Filling> {
        Box::new(Self)
    }
}

impl Filling for Copy {
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize {
        let (rows, start, width) = (stream.cache_rows(), start_of(stream), stream.width);
        let [key, value] = cache.layer(exit - 1).block(&rows, start, width);
        for index in exit..model.n_layers() {
            let layer = cache.layer(index);
            layer.append_rows(Some(&rows), key.clone(), value.clone(), start, width);
        }
        0
    }
}

fn start_of(stream: &Stream) -> usize {
    stream.placement.as_ref().expect("a decoder's stream has a place").start
}
