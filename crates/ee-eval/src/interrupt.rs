//! Ctrl-C, SIGTERM and a closed terminal as a request to stop: long work checks now and then, keeps what is done, ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{EvalError, Result};

/// Whether Ctrl-C was pressed. A second time ends the process at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn listen() -> Result<Self> {
        let pressed =
            ee_files::interrupt::listen().map_err(|source| EvalError::Signal { source })?;
        Ok(Self(pressed))
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends work of which nothing is kept.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_pressed() {
            let what = "interrupted: nothing is kept".to_owned();
            return Err(EvalError::Interrupted { what });
        }
        Ok(())
    }
}
