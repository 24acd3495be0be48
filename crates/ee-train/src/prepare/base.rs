//! Which weights low-rank additions are added to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// SHA-256 over the names and the contents of a checkpoint's files of weights, in the order of their names.
pub(super) fn fingerprint(folder: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("cannot read", folder))? {
        let entry = entry.map_err(Error::io("cannot read", folder))?;
        if entry.file_name().to_str().is_some_and(is_weights) {
            files.push(entry.path());
        }
    }
    files.sort();
    let hashes: Vec<Vec<u8>> = files.par_iter().map(|path| hash(path)).collect::<Result<_>>()?;
    let mut all = Sha256::new();
    for (path, hash) in files.iter().zip(hashes) {
        all.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        all.update(hash);
    }
    Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a file holds weights of the model; a gate that was fitted on it does not.
fn is_weights(name: &str) -> bool {
    (name.starts_with("model") && name.ends_with(".safetensors"))
        || (name.starts_with("pytorch_model") && name.ends_with(".bin"))
}

fn hash(path: &Path) -> Result<Vec<u8>> {
    let mut hash = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .map_err(Error::io("cannot read", path))?;
    Ok(hash.finalize().to_vec())
}
