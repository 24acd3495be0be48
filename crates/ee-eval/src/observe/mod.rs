//! Running a model over a task once and keeping the signals of every exit.

mod labels;
mod parts;
pub mod tokens;
pub mod workload;

pub use labels::observe;
