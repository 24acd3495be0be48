//! Measures early exits: traces, ideal exits, gates, real speed, comparison reports.
//!
//! A model runs once over a task and leaves a [`trace`]: the numbers of every exit for every
//! prediction. Ideal exits ([`ideal_exits`]), gates at every threshold ([`curve`]), scores and
//! reports are computed from traces in seconds with no model loaded. What needs the model again is
//! the clock. Everything writes one `results.json`; reports are functions of it.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod advise;
mod certify;
mod cli;
mod compare;
mod decoding;
mod error;
mod exits;
mod gates;
mod interrupt;
mod labels;
mod machine;
mod observe;
mod output;
mod pace;
mod progress;
mod report;
mod spread;
mod subject;
mod tokens;
pub mod trace;
mod trial;
mod words;

pub use cli::{Arguments, run};
pub use error::{EvalError, Result};
pub use exits::oracle::ideal_exits;
pub use exits::score::Scorer;
pub use exits::sweep::{Candidate, curve};
pub use gates::exits_on;
pub use observe::observe;
pub use observe::workload::{RowBatch, Selection, Workload};
pub use subject::Subject;
pub use trial::labels::{Answers, Leaving, answers};
