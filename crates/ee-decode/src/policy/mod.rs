//! What a decoder does about the keys and values that a token skipped by leaving early.
//!
//! A [`KvPolicy`] is chosen once; a [`Filling`] is the policy at work on one batch. A row of the batch is
//! named by its row of the cache. `recompute` and `copy` fill all layers at once with stand-ins, `deferred`
//! leaves them empty until a later token goes as deep, and then computes them exactly.

mod copy;
mod deferred;
mod full;
mod recompute;

use std::fmt;
use std::str::FromStr;

use ee_models::{Decoder, KvCache, Stream};

use crate::error::{Error, Result};

/// Every policy; the command line, its help and the tests walk this list.
pub const POLICIES: &[&dyn KvPolicy] =
    &[&recompute::Recompute, &copy::Copy, &deferred::Deferred, &full::Full];

/// The part of a layer's time that a skipped layer still costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Next to nothing.
    Nothing,
    /// Its projections of keys and values.
    Projections,
    /// The layer, run together with that of a later token that goes as deep.
    Later,
}

/// The policy used by default.
pub const DEFAULT: &dyn KvPolicy = POLICIES[0];

/// A way to treat the layers above an exit.
pub trait KvPolicy: Sync + fmt::Debug {
    /// The name on the command line and in files.
    fn name(&self) -> &'static str;
    /// The policy in one line.
    fn rule(&self) -> &'static str;
    /// Whether keys and values are those that the full model would have computed of the same tokens.
    fn is_exact(&self) -> bool {
        false
    }
    /// What a layer that a token skips still costs.
    fn cost(&self) -> Cost {
        Cost::Nothing
    }
    /// Whether an exit takes effect at all.
    fn takes_effect(&self) -> bool {
        true
    }
    /// The policy at work on a batch of `n_rows`.
    fn begin(&self, n_rows: usize) -> Box<dyn Filling>;
}

/// A policy at work.
pub trait Filling {
    /// Called before layer `index` runs; gives what is to run, with what has to run first.
    fn before(&mut self, _model: &dyn Decoder, _index: usize, streams: Vec<Stream>) -> Vec<Stream> {
        streams
    }

    /// Called with rows that have left at `exit` and their states there. Gives the number of layers whose
    /// projections of keys and values were read.
    fn left(
        &mut self,
        model: &dyn Decoder,
        cache: &mut KvCache,
        exit: usize,
        stream: &Stream,
    ) -> usize;

    /// Keeps the given rows alone, as the cache does.
    fn keep(&mut self, _rows: &[usize]) {}
}

/// The policy called `name`.
///
/// # Errors
/// [`Error::Unknown`], with the known names and the nearest.
pub fn by_name(name: &str) -> Result<&'static dyn KvPolicy> {
    let found = POLICIES.iter().copied().find(|policy| policy.name() == name);
    found.ok_or_else(|| Error::Unknown {
        what: "K/V policy",
        name: name.to_owned(),
        hint: ee_files::did_you_mean(name, POLICIES.iter().map(|policy| policy.name())),
    })
}

/// A policy as typed.
#[derive(Debug, Clone, Copy)]
pub struct PolicyChoice(pub &'static dyn KvPolicy);

impl FromStr for PolicyChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        by_name(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_name() {
        for policy in POLICIES {
            assert_eq!(by_name(policy.name()).unwrap().name(), policy.name());
        }
        let error = by_name("recomput").unwrap_err().to_string();
        assert!(error.contains("did you mean `recompute`?"), "{error}");
    }
}
