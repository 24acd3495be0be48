//! What `torch.save` wrote before PyTorch 1.6: a pickle each of a magic number, the form's version, facts of the
//! machine, what was saved and the keys of its storages, and then each storage's length and numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::pickle::{Pickle, Value};
use super::{LONGEST, Storage, StorageName, TorchFile, element};

/// The magic number 0x1950a86a20f9469cfc6c, the lowest byte first.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Bytes that are read at first: pickles are short as a rule, and the numbers behind them are not wanted here.
const FIRST: u64 = 1 << 20;

/// Whether the first bytes of a file hold the magic number.
pub(super) fn is_magic(head: &[u8]) -> bool {
    head.windows(MAGIC.len()).any(|bytes| bytes == MAGIC)
}

/// Reads a file of `size` bytes. An error is a complaint about it.
pub(super) fn open(mut file: File, size: u64) -> Result<TorchFile, String> {
    let mut head = Vec::new();
    let mut read = |length: u64| {
        let read = file.by_ref().take(length).read_to_end(&mut head);
        read.map_err(|error| error.to_string())?;
        pickles(&head)
    };
    let found = read(FIRST).or_else(|_| read(LONGEST - FIRST))?;
    let ([_magic, _version, machine, saved, keys], mut start) = found;
    if machine.root().get("little_endian").and_then(Value::truth) == Some(false) {
        return Err("its numbers begin with their highest byte".to_owned());
    }
    let sizes = sizes(&saved);
    let keys = keys.root().items().ok_or("its keys of storages are no list")?;
    let mut storages = HashMap::new();
    drop(head);
    for key in keys {
        let key = key.text().ok_or("a key of its storages is no text")?;
        let size_of_one =
            sizes.get(key).ok_or_else(|| format!("nothing names its storage {key}"))?;
        let mut length = [0; 8];
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut length));
        let length = u64::from_le_bytes(length).checked_mul(*size_of_one);
        let end = length.and_then(|length| start.checked_add(8)?.checked_add(length));
        let (Some(end), Ok(())) = (end.filter(|end| *end <= size), read) else {
            return Err(format!("it breaks off in its storage {key}"));
        };
        storages.insert(key.to_owned(), Storage { start: start + 8, length: end - start - 8 });
        start = end;
    }
    Ok(TorchFile { pickle: saved, storages })
}

/// The pickles with which a file begins, and their length.
fn pickles(head: &[u8]) -> Result<([Pickle; 5], u64), String> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Pickle::read(&head[at..])?;
        at += length;
        Ok::<_, String>(pickle)
    };
    Ok(([next()?, next()?, next()?, next()?, next()?], at as u64))
}

/// Bytes that a number of each storage takes.
fn sizes(saved: &Pickle) -> HashMap<String, u64> {
    let named = saved.outside().filter_map(StorageName::of);
    named.filter_map(|StorageName { class, key }| Some((key, element(class)?.size))).collect()
}
