//! How a speculating decoder drafts, as typed.

use std::fmt;

use ee_decode::speculate::{Adaptive, Plan, Strategy};

use crate::words::count;

/// One plan for all rounds, or the plan that measurements promise most of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drafts {
    /// This exit and length.
    Fixed(Plan),
    /// Chosen while decoding.
    Adaptive,
}

impl Drafts {
    /// The strategy for a model of so many layers, which knows nothing yet.
    #[must_use]
    pub fn strategy(self, n_layers: usize) -> Strategy {
        match self {
            Self::Fixed(plan) => Strategy::Fixed(plan),
            Self::Adaptive => Strategy::Adaptive(Box::new(Adaptive::new(n_layers))),
        }
    }
}

impl fmt::Display for Drafts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(Plan { exit, drafts }) => {
                write!(formatter, "exit {exit}, {}", count(*drafts, "token"))
            }
            Self::Adaptive => formatter.write_str("adaptive"),
        }
    }
}
