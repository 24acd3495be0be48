//! Decoders at work: what is asked of them, and the texts that come of it.

mod beams;
mod request;
mod scoring;
mod watch;

pub(crate) use beams::{Beams, Found, Reach};
pub(crate) use request::{Limits, Request};
pub(crate) use scoring::{Scoring, Statistics, n_references, of_metric, score};
pub(crate) use watch::{Generated, TextWatcher};
