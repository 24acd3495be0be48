//! Running a model over a task once and keeping the signals of every exit.

mod labels;
mod parts;
pub(crate) mod tokens;
pub(crate) mod workload;

pub use labels::observe;
