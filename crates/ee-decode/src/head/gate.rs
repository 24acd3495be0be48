//! No head before a token leaves: for gates on states.

use super::full::Full;
use super::{Head, Reading};

/// Reads nothing before.
#[derive(Debug)]
pub(super) struct Gate;

impl Head for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn rule(&self) -> &'static str {
        "none: a gate on states decides, the head is read once, on leaving"
    }

    fn is_asked(&self) -> bool {
        false
    }

    fn begin(&self, _: usize, _: usize) -> Box<dyn Reading> {
        Box::new(Full)
    }
}
