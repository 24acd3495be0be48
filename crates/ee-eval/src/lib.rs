//! Measures early exits: traces, ideal exits, gates, real speed, comparison reports.
//!
//! A model runs once over a task and leaves a [`trace`]: the numbers of every exit for every
//! prediction. Ideal exits ([`oracle`]), gates at every threshold ([`gates`], [`sweep`]), scores and
//! reports are computed from traces in seconds with no model loaded. What needs the model again is
//! the clock ([`speed`]). Everything writes one `results.json` ([`results`]); reports are functions
//! of it.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod calibrate;
pub mod cli;
pub mod compare;
pub mod constant;
pub mod cut;
pub mod decode;
pub mod decoding;
pub mod error;
pub mod forecast;
pub mod gates;
pub mod ideal;
pub mod interrupt;
pub mod machine;
pub mod oracle;
pub mod output;
pub mod pace;
pub mod paired;
pub mod progress;
pub mod recommend;
pub mod replay;
pub mod report;
pub mod results;
pub mod score;
pub mod speculate;
pub mod speed;
pub mod subject;
pub mod summary;
pub mod sweep;
pub mod trace;
pub mod trial;
mod words;
pub mod workload;

pub use error::{EvalError, Result};
