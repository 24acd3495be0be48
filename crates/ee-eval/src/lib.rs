//! Measures early exits: traces, ideal exits, gates, real speed, comparison reports.
//!
//! A model runs once over a task and leaves a [`trace`]: the numbers of every exit for every
//! prediction. Ideal exits ([`exits::oracle`]), gates at every threshold ([`gates`], [`exits::sweep`]), scores and
//! reports are computed from traces in seconds with no model loaded. What needs the model again is
//! the clock ([`speed`]). Everything writes one `results.json` ([`output`]); reports are functions
//! of it.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod certify;
pub mod cli;
pub mod compare;
pub mod decode;
pub mod decoding;
pub mod error;
pub mod exits;
pub mod forecast;
pub mod gates;
pub mod interrupt;
pub mod labels;
pub mod machine;
pub mod observe;
pub mod output;
pub mod pace;
pub mod progress;
pub mod recommend;
pub mod report;
pub mod speculate;
pub mod speed;
pub mod spread;
pub mod subject;
pub mod trace;
pub mod trial;
mod words;

pub use error::{EvalError, Result};
