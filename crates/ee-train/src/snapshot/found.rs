//! A checkpoint as it lies on the disk: whose it is, whether it is whole, and its removal.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::state::Record;
use super::{FACTS, OPTIMIZER, STATE, remove_file};
use crate::error::{Error, Result};

/// What every checkpoint holds beside its state; of those of earlier versions no more is known.
const ALWAYS: [&str; 4] = ["config.json", "model.safetensors", OPTIMIZER, FACTS];

/// Files of a checkpoint of an earlier version, which has no list of them.
const EARLIER: [&str; 11] = [
    "config.json",
    "model.safetensors",
    OPTIMIZER,
    FACTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// A folder with a state file that can be read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) record: Record,
}

impl Found {
    /// The checkpoint in a folder, else what is wrong with its state file.
    pub(super) fn at(path: PathBuf) -> std::result::Result<Self, String> {
        let state = path.join(STATE);
        let complain = |complaint: String| format!("{}: {complaint}", state.display());
        let text = fs::read_to_string(&state).map_err(|error| complain(error.to_string()))?;
        let record: Record =
            serde_json::from_str(&text).map_err(|error| complain(error.to_string()))?;
        // What is listed may be removed: nothing outside this folder.
        let is_outside = |name: &&String| Path::new(name).file_name() != Some(name.as_ref());
        if let Some(name) = record.files.keys().find(is_outside) {
            return Err(complain(format!("'{name}' is no name of a file in this folder")));
        }
        Ok(Self { path, record })
    }

    /// What keeps a run from continuing here, if anything: a file that is absent, cannot be opened or
    /// has not the length with which it was written.
    pub(super) fn complaint(&self) -> Option<String> {
        let Record { state, files, .. } = &self.record;
        let known = files.iter().map(|(name, bytes)| (name.as_str(), Some(*bytes)));
        let always = ALWAYS.into_iter().map(|name| (name, None));
        // Before the first step there are no moments.
        let needed = known.chain(always).filter(|(name, _)| *name != OPTIMIZER || state.step > 0);
        needed.into_iter().find_map(|(name, bytes)| self.complaint_about(name, bytes))
    }

    fn complaint_about(&self, name: &str, bytes: Option<u64>) -> Option<String> {
        let path = self.path.join(name);
        let found = match File::open(&path).and_then(|file| file.metadata()) {
            Ok(found) => found.len(),
            Err(error) => return Some(format!("{}: {error}", path.display())),
        };
        let bytes = bytes.filter(|bytes| *bytes != found)?;
        Some(format!("{}: {found} bytes, expected {bytes}", path.display()))
    }

    /// Whether a model can be loaded from here, with or without what its training takes.
    pub(super) fn has_model(&self) -> bool {
        let known = self.record.files.iter().map(|(name, bytes)| (name.as_str(), Some(*bytes)));
        let needed = known.chain(ALWAYS.into_iter().map(|name| (name, None)));
        let mut needed = needed.filter(|(name, _)| *name != OPTIMIZER);
        needed.all(|(name, bytes)| self.complaint_about(name, bytes).is_none())
    }

    /// Removes the files that were written here, and the folder unless something else lies in it. The state
    /// file goes last: what is half removed is still known as a checkpoint and removed by the next attempt.
    pub(super) fn remove(&self) -> Result<()> {
        let listed = self.record.files.keys().map(String::as_str);
        for name in listed.chain(EARLIER).chain([STATE]) {
            remove_file(&self.path.join(name))?;
        }
        remove_if_empty(&self.path)
    }
}

/// Removes a folder in which nothing lies.
pub(super) fn remove_if_empty(folder: &Path) -> Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
            Err(Error::io("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::state::TrainingState;
    use super::*;

    fn written(folder: &Path, files: &[(&str, u64)]) {
        let files: BTreeMap<_, _> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        let record = Record { state: TrainingState::default(), run: None, files };
        fs::write(folder.join(STATE), serde_json::to_string(&record).unwrap()).unwrap();
    }

    #[test]
    fn nothing_outside_its_folder_belongs_to_a_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../precious", "/precious", "a/b", "..", ""] {
            written(folder.path(), &[(name, 1)]);
            let refused = Found::at(folder.path().to_owned()).unwrap_err();
            assert!(refused.contains("is no name of a file in this folder"), "{refused}");
        }
    }

    #[test]
    fn a_truncated_model_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ALWAYS {
            fs::write(folder.path().join(name), "whole").unwrap();
        }
        written(folder.path(), &[("model.safetensors", 5)]);
        let found = Found::at(folder.path().to_owned()).unwrap();
        assert!(found.has_model());
        fs::write(folder.path().join("model.safetensors"), "who").unwrap();
        assert!(!found.has_model());
    }
}
