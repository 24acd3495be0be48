//! The whole head at every exit that a gate asks: exact, and as expensive as several layers each.

use burn::tensor::Tensor;
use ee_models::signal::NotFinite;

use super::{Head, Reader, Reading, Said};

/// Reads all outputs.
#[derive(Debug)]
pub(super) struct Full;

impl Head for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn rule(&self) -> &'static str {
        "the whole head at every exit that a gate asks"
    }

    fn begin(&self, _: usize, _: usize) -> Box<dyn Reading> {
        Box::new(Self)
    }
}

impl Reading for Full {
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        rows: &[usize],
        state: Tensor<2>,
    ) -> Result<Vec<Said>, NotFinite> {
        let signals = self.confirm(reader, rows, state)?;
        Ok(signals.into_iter().map(|signal| Said { signal, is_whole: true }).collect())
    }
}
