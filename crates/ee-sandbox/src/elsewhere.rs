//! On systems other than Linux there is no sandbox.

use std::convert::Infallible;
use std::path::Path;

use super::{Limits, Outcome};
use crate::error::Error;

/// Never constructed: the walls exist on Linux only.
#[derive(Debug)]
pub struct Sandbox(Infallible);

impl Sandbox {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn new(python: Option<&Path>) -> Result<Self, Error> {
        Self::with_limits(python, Limits::default())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn with_limits(_python: Option<&Path>, _limits: Limits) -> Result<Self, Error> {
        let system = std::env::consts::OS;
        Err(Error::Isolation(format!("expected Linux (seccomp and Landlock), found {system}")))
    }

    /// Python's version.
    pub fn python_version(&self) -> &str {
        match self.0 {}
    }

    /// What a program may use.
    pub fn limits(&self) -> Limits {
        match self.0 {}
    }

    /// Runs a program.
    ///
    /// # Errors
    /// None: there is no sandbox.
    pub fn run(&self, _program: &str) -> Result<Outcome, Error> {
        match self.0 {}
    }

    /// Runs a program and tests of it.
    ///
    /// # Errors
    /// None: there is no sandbox.
    pub fn check(&self, _program: &str, _tests: &str) -> Result<Outcome, Error> {
        match self.0 {}
    }
}
