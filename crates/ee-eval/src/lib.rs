//! Measures early exits: traces, ideal exits, gates, real speed, comparison reports.
//!
//! A model runs once over a task and leaves a [`trace`]: the numbers of every exit for every
//! prediction. Ideal exits ([`exits::oracle`]), gates at every threshold ([`gates`], [`exits::sweep`]), scores and
//! reports are computed from traces in seconds with no model loaded. What needs the model again is
//! the clock ([`trial`]). Everything writes one `results.json` ([`output`]); reports are functions
//! of it.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod advise;
pub mod certify;
pub mod cli;
mod compare;
mod decoding;
pub mod error;
pub mod exits;
pub mod gates;
pub mod interrupt;
pub mod labels;
mod machine;
pub mod observe;
pub mod output;
mod pace;
pub mod progress;
pub mod report;
pub mod spread;
pub mod subject;
pub mod tokens;
pub mod trace;
pub mod trial;
mod words;

pub use error::{EvalError, Result};
