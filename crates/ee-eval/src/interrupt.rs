//! Ctrl-C as a wish: long work looks now and then, keeps what is done and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{EvalError, Result};

/// Whether somebody pressed Ctrl-C. A second time ends the process at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system lets nobody listen.
    pub fn listen() -> Result<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let failed = |source| EvalError::Signal { source };
        // In this order: the first press finds the flag down and raises it.
        let signal = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_shutdown(signal, 130, pressed.clone())
            .map_err(failed)?;
        signal_hook::flag::register(signal, pressed.clone()).map_err(failed)?;
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
