//! Watchers of what a run does.

use std::ops::ControlFlow;

use ee_models::signal::{Agreement, Signal};

/// Told of every new token.
pub trait Watcher {
    /// Whether the signals of every exit are wanted with each token.
    fn wants_signals(&self) -> bool {
        false
    }

    /// A new token of prompt `row`, end tokens included, with the signals of the exits 1..=N where they
    /// were wanted. [`ControlFlow::Break`] ends this row.
    fn token(
        &mut self,
        row: usize,
        token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn token(
        &mut self,
        _row: usize,
        _token: u32,
        _signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
