//! A long trace, batch by batch: what is done stays when the run ends early, and the next run goes on.
//!
//! Finished batches lie as small traces in the folder `<output>.parts`, beside a line that says of which
//! run they are. When all are there they become the trace, and the folder goes.

use std::fs;
use std::path::{Path, PathBuf};

use super::merge::{extend, sorted};
use super::{Trace, read, write};
use crate::decoding::{TextRecord, read_texts, write_texts};
use crate::error::{EvalError, Result};
use crate::output::write_text;

/// The finished batches of a run.
pub(super) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Opens or makes the folder for `output`; `identity` says what is run, one fact per line.
    ///
    /// # Errors
    /// [`EvalError::Io`]; [`EvalError::OtherParts`] when the folder holds batches of another run.
    pub(super) fn open(output: &Path, identity: &str) -> Result<Self> {
        let mut name = output.as_os_str().to_owned();
        name.push(".parts");
        let folder = PathBuf::from(name);
        let stated = folder.join("run.txt");
        if let Ok(found) = fs::read_to_string(&stated) {
            if found != identity {
                let differs = found.lines().zip(identity.lines()).find(|(a, b)| a != b);
                let (found, expected) = differs.unwrap_or(("less", "more"));
                return Err(EvalError::OtherParts {
                    path: folder,
                    found: found.to_owned(),
                    expected: expected.to_owned(),
                });
            }
        } else {
            write_text(&stated, identity)?;
        }
        Ok(Self { folder })
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(format!("batch-{index:06}.parquet"))
    }

    /// Whether a batch is done.
    pub(super) fn has(&self, index: usize) -> bool {
        // The trace is written last.
        self.path(index).is_file()
    }

    /// Keeps a batch.
    ///
    /// # Errors
    /// As [`write`].
    pub(super) fn keep(&self, index: usize, trace: &Trace, texts: &[TextRecord]) -> Result<()> {
        write_texts(&self.path(index), texts)?;
        write(trace, &self.path(index))
    }

    /// All batches as one trace with its texts, in the order of the examples.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) fn gather(&self, count: usize) -> Result<(Trace, Vec<TextRecord>)> {
        let mut trace = read(&self.path(0))?;
        let mut texts = read_texts(&self.path(0))?;
        for index in 1..count {
            let part = read(&self.path(index))?;
            extend(&mut trace, part);
            texts.extend(read_texts(&self.path(index))?);
        }
        texts.sort_by_key(|text| text.example);
        Ok((sorted(&trace), texts))
    }

    /// Takes the folder away.
    ///
    /// # Errors
    /// [`EvalError::Io`].
    pub(super) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).map_err(|source| EvalError::Io {
            action: "remove",
            path: self.folder,
            source,
        })
    }
}
