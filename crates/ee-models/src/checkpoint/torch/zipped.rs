//! The zip archives that `torch.save` writes since PyTorch 1.6.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};

use ee_files::caught;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::Pickle;
use super::{LONGEST, Storage, TorchFile};

type Archive = ZipArchive<BufReader<File>>;

/// Reads an archive of `size` bytes. An error is a complaint about it.
pub(super) fn open(file: File, size: u64) -> Result<TorchFile, String> {
    caught(|| read(file, size)).unwrap_or_else(Err)
}

fn read(file: File, size: u64) -> Result<TorchFile, String> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let names: Vec<String> = archive.file_names().filter_map(Result::ok).map(Into::into).collect();
    let ends = |name: &&String| name.strip_suffix("data.pkl").is_some_and(is_folder);
    let Some(main) = names.iter().filter(ends).min_by_key(|name| name.len()) else {
        return Err("the archive has no data.pkl".to_owned());
    };
    let root = &main[..main.len() - "data.pkl".len()];
    if member(&mut archive, &format!("{root}byteorder"), size)?.is_some_and(|order| order == b"big")
    {
        return Err("its numbers begin with their highest byte".to_owned());
    }
    let bytes = member(&mut archive, main, size)?.ok_or("the archive has no data.pkl")?;
    let (pickle, _) = Pickle::read(&bytes)?;
    let mut storages = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        let Ok(name) = entry.name() else { continue };
        let folder = name.strip_prefix(root).and_then(|name| name.strip_prefix("data/"));
        let (Some(key), length) = (folder, entry.size()) else { continue };
        let start = entry.data_start().filter(|start| {
            let is_within = start.checked_add(length).is_some_and(|end| end <= size);
            is_within && entry.compression() == CompressionMethod::Stored
        });
        let Some(start) = start else {
            return Err(format!(
                "its member {name} is compressed or reaches beyond the file's end"
            ));
        };
        storages.insert(key.to_owned(), Storage { start, length });
    }
    Ok(TorchFile { pickle, storages })
}

fn is_folder(name: &str) -> bool {
    name.is_empty() || name.ends_with('/')
}

/// The bytes of a member, where there is one.
fn member(archive: &mut Archive, name: &str, size: u64) -> Result<Option<Vec<u8>>, String> {
    let Some(index) = archive.index_for_name(name) else { return Ok(None) };
    let broken = |error: &dyn std::fmt::Display| format!("its member {name}: {error}");
    let mut entry = archive.by_index(index).map_err(|error| broken(&error))?;
    let length = entry.size();
    if length > size.min(LONGEST) || entry.compression() != CompressionMethod::Stored {
        return Err(format!("its member {name} of {length} bytes is compressed or too long"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    Ok(Some(bytes))
}
