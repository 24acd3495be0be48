//! The sandbox itself: finds Python, tests the walls, runs programs.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use seccompiler::BpfProgram;
use tempfile::TempDir;

use super::interpreter::Interpreter;
use super::supervise::{Process, supervise};
use super::walls::Walls;
use super::{Limits, Outcome, syscalls};
use crate::error::Error;

/// Runs the program and answers what its tests ask.
const PROGRAM: &str = include_str!("program.py");

/// Runs the tests, which decide.
const CHECKER: &str = include_str!("checker.py");

/// Tries what must be refused.
const PROBE: &str = include_str!("probe.py");

/// A place to run untrusted programs; may be used from many threads at once.
#[derive(Debug)]
pub struct Sandbox {
    interpreter: Interpreter,
    filter: Arc<BpfProgram>,
    limits: Limits,
}

impl Sandbox {
    /// A sandbox for `python`, or for the `python3` on the path, with the default limits.
    ///
    /// # Errors
    /// As [`Sandbox::with_limits`].
    pub fn new(python: Option<&Path>) -> Result<Self, Error> {
        Self::with_limits(python, Limits::default())
    }

    /// A sandbox with other limits. Before it is returned, a program in it tries to escape.
    ///
    /// # Errors
    /// No Python, a lock that this system lacks, or an open way out.
    pub fn with_limits(python: Option<&Path>, limits: Limits) -> Result<Self, Error> {
        let interpreter = Interpreter::find(python)?;
        let filter = Arc::new(syscalls::filter()?);
        let sandbox = Self { interpreter, filter, limits };
        sandbox.probe()?;
        Ok(sandbox)
    }

    /// Python's version: `3.11.7`.
    pub fn python_version(&self) -> &str {
        &self.interpreter.version
    }

    /// What a program may use.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Runs a program to its end or to a limit, in a folder that is gone afterwards. That it passed is what the
    /// program says of itself.
    ///
    /// # Errors
    /// Only faults outside the program: no folder or process could be made.
    pub fn run(&self, program: &str) -> Result<Outcome, Error> {
        self.check(program, "")
    }

    /// Runs a program, and tests of it in a second process, behind the same walls in a folder of its own. The tests
    /// decide, and the program can reach no part of them.
    ///
    /// # Errors
    /// As [`Sandbox::run`].
    pub fn check(&self, program: &str, tests: &str) -> Result<Outcome, Error> {
        let [of_program, of_checker] = [folder()?, folder()?];
        for (name, text) in [("program", program), ("tests", tests)] {
            let path = of_checker.path().join(name);
            fs::write(&path, text).map_err(|reason| Error::io(&path, reason))?;
        }
        let failed = |reason| Error::io(of_program.path(), reason);
        let (questions, asks) = io::pipe().map_err(failed)?;
        let (answers, says) = io::pipe().map_err(failed)?;
        let (printed, prints) = io::pipe().map_err(failed)?;
        let prints_too = prints.try_clone().map_err(failed)?;
        let process = |source, folder: &TempDir, [input, output, errors]: [Stdio; 3]| {
            self.start(source, folder.path(), [input, output, errors])
        };
        let program =
            process(PROGRAM, &of_program, [questions.into(), says.into(), prints.into()])?;
        let checker =
            process(CHECKER, &of_checker, [answers.into(), asks.into(), prints_too.into()])?;
        supervise([program, checker], printed, of_program.path(), &self.limits).map_err(failed)
    }

    /// Starts Python behind the walls.
    fn start(
        &self,
        source: &str,
        folder: &Path,
        [input, output, errors]: [Stdio; 3],
    ) -> Result<Process, Error> {
        let walls = Walls::prepare(&self.interpreter, folder, &self.filter, &self.limits)?;
        let mut command = Command::new(&self.interpreter.executable);
        command
            .args(["-s", "-S", "-B", "-c", source])
            .env_clear()
            // Sets of strings have the same order in every run, hence the same score. The option
            // `-I` would disregard this; the empty environment and folder do the rest of what it does.
            .env("PYTHONHASHSEED", "0")
            .current_dir(folder)
            .stdin(input)
            .stdout(output)
            .stderr(errors);
        walls.surround(&mut command);
        let child = command.spawn().map_err(|reason| {
            Error::Isolation(format!("the isolated process could not be started: {reason}"))
        })?;
        Ok(Process::of(child))
    }

    /// Fails unless everything that must be refused is refused.
    fn probe(&self) -> Result<(), Error> {
        let outside =
            tempfile::tempdir().map_err(|reason| Error::io(&std::env::temp_dir(), reason))?;
        let victim = outside.path().join("victim");
        fs::write(&victim, "").map_err(|reason| Error::io(&victim, reason))?;
        let path = serde_json::Value::from(victim.to_string_lossy());
        match self.run(&format!("victim = {path}\n{PROBE}"))? {
            Outcome::Passed => Ok(()),
            Outcome::Failed { ending, output } => Err(Error::Isolation(format!(
                "the program that tests the isolation failed with {ending}: {}",
                output.trim_end()
            ))),
            other => Err(Error::Isolation(format!("the program that tests it ended as {other:?}"))),
        }
    }
}

/// An empty folder.
fn folder() -> Result<TempDir, Error> {
    tempfile::tempdir().map_err(|reason| Error::io(&std::env::temp_dir(), reason))
}

#[cfg(test)]
mod forging;
#[cfg(test)]
mod tests;
