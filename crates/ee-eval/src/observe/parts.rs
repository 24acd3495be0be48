//! A long trace, batch by batch: what is done stays when the run ends early, and the next run continues.
//!
//! Finished batches lie as small traces in the folder `<output>.parts`, which carries our mark, beside what says
//! of which run they are. A batch counts as done when the checksums beside it match its files: what a
//! kill or a disk left of one is computed again. When all are there they become the trace, and the folder goes:
//! batches first, then what says whose they were, then the mark, so that a run killed at any moment of it is
//! gone on with.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ee_files::{FolderLock, Mark, foreign_entry, write_text};
use sha2::{Digest, Sha256};

use crate::error::{EvalError, Result};
use crate::trace::merge::{extend, sorted};
use crate::trace::{TextRecord, Trace, read, read_texts, texts_path, write, write_texts};

const MARK: Mark = Mark::new("the finished batches of a trace");

/// What says of which run the batches are.
const RUN: &str = "run.txt";

/// The finished batches of a run, held by this process alone.
pub(super) struct Parts {
    folder: PathBuf,
    _lock: FolderLock,
}

impl Parts {
    /// Opens or makes the folder for `output`; `identity` says what is run, one fact per line.
    pub(super) fn open(output: &Path, identity: &str) -> Result<Self> {
        let mut name = output.as_os_str().to_owned();
        name.push(".parts");
        let folder = PathBuf::from(name);
        MARK.claim(&folder)?;
        let lock = FolderLock::take(&folder, "ee-eval")?;
        // The previous holder may have removed the mark.
        MARK.claim(&folder)?;
        let parts = Self { folder, _lock: lock };
        let stated = parts.folder.join(RUN);
        match fs::read_to_string(&stated) {
            Ok(found) if found == identity => {}
            Ok(found) if parts.has_some() => {
                let differs = found.lines().zip(identity.lines()).find(|(a, b)| a != b);
                let (found, expected) = differs.unwrap_or(("less", "more"));
                return Err(EvalError::OtherParts {
                    path: parts.folder.clone(),
                    found: found.to_owned(),
                    expected: expected.to_owned(),
                });
            }
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(EvalError::Io { action: "read", path: stated, source });
            }
            _ => {
                // None, or batches of an unknown run.
                parts.clear()?;
                write_text(&stated, identity)?;
            }
        }
        ee_files::remove_abandoned(&parts.folder);
        Ok(parts)
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(format!("batch-{index:06}.parquet"))
    }

    /// Whether a batch is done and whole; says so of one that is there and is not.
    pub(super) fn has(&self, index: usize) -> bool {
        let path = self.path(index);
        let Ok(noted) = fs::read_to_string(path.with_extension("sha256")) else { return false };
        let is_whole = checksums(&path).is_ok_and(|found| found == noted);
        if !is_whole {
            ee_files::note!("notice: {} is damaged and made again", path.display());
        }
        is_whole
    }

    pub(super) fn keep(&self, index: usize, trace: &Trace, texts: &[TextRecord]) -> Result<()> {
        let path = self.path(index);
        write_texts(&path, texts)?;
        write(trace, &path)?;
        let noted = checksums(&path).map_err(EvalError::read(&path))?;
        Ok(write_text(&path.with_extension("sha256"), &noted)?)
    }

    /// All batches as one trace with its texts, in the order of the examples.
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

    /// Removes what was made here, and the folder if nothing else lies in it.
    pub(super) fn remove(self) -> Result<()> {
        self.clear()?;
        self.take_away()
    }

    /// Removes what says whose batches were here, and the folder if nothing else lies in it.
    fn take_away(&self) -> Result<()> {
        gone(&self.folder.join(RUN))?;
        if foreign_entry(&self.folder)?.is_none() {
            MARK.remove(&self.folder)?;
        }
        Ok(())
    }

    /// Takes all batches away.
    fn clear(&self) -> Result<()> {
        self.files().map_err(EvalError::read(&self.folder))?.iter().try_for_each(|path| gone(path))
    }

    /// Whether anything of a batch exists.
    fn has_some(&self) -> bool {
        self.files().is_ok_and(|files| !files.is_empty())
    }

    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rest = name.strip_prefix("batch-").unwrap_or_default();
            let ending = rest.trim_start_matches(|of: char| of.is_ascii_digit());
            let digits = rest.len() - ending.len();
            if digits >= 6 && [".parquet", ".texts.jsonl", ".sha256"].contains(&ending) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

impl Drop for Parts {
    /// A run that ends before its first batch leaves nothing behind.
    fn drop(&mut self) {
        if !self.has_some() {
            // An error has no reader here; the next run takes a folder that stays.
            let _ = self.take_away();
        }
    }
}

/// The checksums of a batch's files, as `sha256sum` writes and checks them.
fn checksums(path: &Path) -> std::io::Result<String> {
    let mut lines = String::new();
    for file in [path, &texts_path(path)] {
        let hash = Sha256::digest(fs::read(file)?);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        lines.push_str(&format!("{hash}  {name}\n"));
    }
    Ok(lines)
}

/// Removes a file, if it is there.
fn gone(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(EvalError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    const IDENTITY: &str = "task sample\n";

    /// Parts of two batches, of example 0 and of example 1, and the whole.
    fn two_batches(folder: &Path) -> (PathBuf, Parts, Trace) {
        let output = folder.join("t.parquet");
        let parts = Parts::open(&output, IDENTITY).unwrap();
        let whole = sample::generated(&[3, 2], 4, 50, 2);
        for example in [0_u32, 1] {
            let rows: Vec<usize> =
                (0..whole.rows()).filter(|&row| whole.example[row] == example).collect();
            let texts = [sample::text(example, rows.len(), &[])];
            parts.keep(example as usize, &whole.select(&rows), &texts).unwrap();
        }
        (output, parts, whole)
    }

    #[test]
    fn batches_are_found_again_and_become_the_trace() {
        let folder = tempfile::tempdir().unwrap();
        let (output, parts, whole) = two_batches(folder.path());
        drop(parts);
        let parts = Parts::open(&output, IDENTITY).unwrap();
        assert!(parts.has(0) && parts.has(1) && !parts.has(2));
        let (trace, texts) = parts.gather(2).unwrap();
        assert_eq!((trace.signals, texts.len()), (whole.signals, 2));
        parts.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn damaged_batches_are_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let (_, parts, _) = two_batches(folder.path());
        let spoil = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
            let before = fs::read(path).unwrap();
            let mut bytes = before.clone();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
            assert!(!parts.has(0), "{}", path.display());
            fs::write(path, before).unwrap();
            assert!(parts.has(0));
        };
        let path = parts.path(0);
        for file in [path.clone(), texts_path(&path), path.with_extension("sha256")] {
            spoil(&file, &|bytes| bytes.truncate(bytes.len() / 2));
            spoil(&file, &Vec::clear);
            spoil(&file, &|bytes| bytes[20] ^= 1);
            let kept = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            assert!(!parts.has(0));
            fs::write(&file, kept).unwrap();
        }
        assert!(parts.has(1));
    }

    #[test]
    fn a_removal_goes_on_wherever_it_was_killed() {
        // Files go one by one, in whatever order the folder gives them; the run's line and the mark last.
        for killed_after in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            let (output, parts, _) = two_batches(folder.path());
            drop(parts);
            let place = folder.path().join("t.parquet.parts");
            let mut names: Vec<PathBuf> =
                fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
            let batch = |path: &PathBuf| path.to_string_lossy().contains("batch-");
            let mark = |path: &PathBuf| path.to_string_lossy().contains(".ee-");
            names.sort_by_key(|path| (!batch(path), mark(path)));
            for path in names.iter().take(killed_after) {
                fs::remove_file(path).unwrap();
            }
            let parts = Parts::open(&output, IDENTITY).unwrap();
            parts.remove().unwrap();
            assert!(!place.exists(), "killed after {killed_after}");
            // Another run may begin there, whatever was left of the first.
            Parts::open(&output, "task other\n").unwrap().remove().unwrap();
        }
    }

    #[test]
    fn a_run_without_a_batch_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("t.parquet");
        drop(Parts::open(&output, IDENTITY).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // Killed before its first batch: another run may take its place.
        MARK.claim(&folder.path().join("t.parquet.parts")).unwrap();
        fs::write(folder.path().join("t.parquet.parts/run.txt"), IDENTITY).unwrap();
        Parts::open(&output, "task other\n").unwrap();
    }

    #[test]
    fn batches_of_a_run_that_nobody_knows_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (output, parts, _) = two_batches(folder.path());
        fs::remove_file(parts.folder.join(RUN)).unwrap();
        drop(parts);
        let parts = Parts::open(&output, "task other\n").unwrap();
        assert!(!parts.has(0) && !parts.has(1));
    }

    #[test]
    fn others_folders_files_and_runs_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (output, parts, _) = two_batches(folder.path());
        let second = Parts::open(&output, IDENTITY).err().expect("it is locked").to_string();
        assert!(second.contains("in use by ee-eval, process"), "{second}");
        drop(parts);
        let other = Parts::open(&output, "task other\n").err().expect("another run").to_string();
        assert!(other.contains("task sample") && other.contains("task other"), "{other}");
        // Something that a person put there.
        let note = folder.path().join("t.parquet.parts/note.txt");
        fs::write(&note, "mine").unwrap();
        Parts::open(&output, IDENTITY).unwrap().remove().unwrap();
        assert!(note.exists());
        let foreign = folder.path().join("f.parquet.parts");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("precious"), "x").unwrap();
        let refused = Parts::open(&folder.path().join("f.parquet"), IDENTITY);
        let message = refused.err().expect("it is not ours").to_string();
        assert!(message.contains("precious"), "{message}");
        assert!(foreign.join("precious").exists());
    }
}
