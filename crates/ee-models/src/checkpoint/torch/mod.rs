//! Files of `torch.save`: a pickle of values, and the numbers of its tensors outside it.
//!
//! Newer files are zip archives whose members are stored as they are, older ones (before PyTorch 1.6) a row of
//! pickles and the numbers behind them. Either way a tensor's numbers are a range of the file's bytes, which is
//! found, checked against the file's length and not read here.

mod legacy;
mod pickle;
mod zipped;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::format::Format;
use super::headers::{Entry, Place};
use crate::error::{Error, Result};

use self::pickle::Pickle;
pub(super) use self::pickle::Value;

/// Bytes of the longest pickle that is read.
const LONGEST: u64 = 64 << 20;

/// Bytes of the file that a storage takes.
#[derive(Clone, Copy, Debug)]
struct Storage {
    start: u64,
    length: u64,
}

/// A file of `torch.save`.
#[derive(Debug)]
pub(super) struct TorchFile {
    pickle: Pickle,
    storages: HashMap<String, Storage>,
}

/// How the numbers of a storage are stored, and how many bytes each takes.
struct Element {
    format: Format,
    size: u64,
}

impl TorchFile {
    /// Reads everything but numbers.
    ///
    /// # Errors
    /// When it is absent, broken, or no file of `torch.save`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let read = || {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            let mut head = Vec::new();
            file.by_ref().take(64).read_to_end(&mut head)?;
            file.rewind()?;
            Ok((file, size, head))
        };
        let (file, size, head) = read().map_err(Error::io("cannot read", path))?;
        let opened = if head.starts_with(b"PK\x03\x04") {
            zipped::open(file, size)
        } else if legacy::is_magic(&head) {
            legacy::open(file, size)
        } else {
            Err("neither a zip archive nor the older form".to_owned())
        };
        opened.map_err(|complaint| Error::Weights {
            path: path.to_owned(),
            complaint: format!("no file of torch.save: {complaint}"),
        })
    }

    /// What was saved.
    pub(super) fn root(&self) -> Value<'_> {
        self.pickle.root()
    }

    /// A value as a tensor, where it is one. An error is a complaint about it.
    pub(super) fn tensor(&self, value: Value<'_>) -> std::result::Result<Option<Entry>, String> {
        let Some(["torch._utils", function]) = value.callee() else { return Ok(None) };
        let arguments = value.arguments();
        if let "_rebuild_parameter" | "_rebuild_parameter_with_state" = function {
            let inner = arguments.and_then(Value::first).map(|[inner]| inner);
            // Parameters hold tensors, never one another.
            return match inner.filter(|inner| is_tensor(*inner)) {
                Some(inner) => self.tensor(inner),
                None => Err("is a parameter without a tensor".to_owned()),
            };
        }
        if !is_tensor(value) {
            return Err(format!("is made by {function}, which is not read"));
        }
        let parts = arguments.and_then(Value::first::<4>);
        let [storage, offset, shape, strides] =
            parts.ok_or("is broken: four arguments are missing")?;
        let (element, storage) = self.storage(storage)?;
        let [shape, strides] = [shape, strides].map(|value| {
            let sizes = value.items()?.map(|size| usize::try_from(size.whole()?).ok());
            sizes.collect::<Option<Vec<_>>>()
        });
        let (shape, strides) = shape.zip(strides).ok_or("is broken: it has no shape")?;
        let n = shape.iter().try_fold(1_u64, |n, &size| n.checked_mul(size as u64));
        let within = || {
            let offset = u64::try_from(offset.whole()?).ok()?.checked_mul(element.size)?;
            let length = n?.checked_mul(element.size)?;
            (offset.checked_add(length)? <= storage.length).then_some((offset, length))
        };
        let (offset, length) = within().ok_or_else(|| {
            format!("of shape {shape:?} does not fit its {} stored bytes", storage.length)
        })?;
        if !lie_in_a_row(&shape, &strides) {
            return Err(format!(
                "of shape {shape:?} is stored with strides {strides:?}, expected rows one behind the other"
            ));
        }
        let place = Place::Range { start: storage.start + offset, length: length as usize };
        Ok(Some(Entry { shape, format: element.format, place }))
    }

    /// The storage that a value names, and what it holds.
    fn storage(&self, value: Value<'_>) -> std::result::Result<(Element, Storage), String> {
        let outside = value.outside();
        // The last of the older form, where a storage is a part of another one.
        let view = outside.and_then(Value::first::<6>).map(|[.., view]| view);
        if view.is_some_and(|view| !view.is_none()) {
            return Err("is stored as a part of another storage, which is not read".to_owned());
        }
        let named = outside.and_then(StorageName::of);
        let StorageName { class, key } = named.ok_or("is broken: it names no storage")?;
        let element = element(class).ok_or_else(|| format!("is stored as {class}"))?;
        let storage = self.storages.get(&key);
        let storage = storage.ok_or_else(|| format!("is broken: the file has no storage {key}"))?;
        Ok((element, *storage))
    }
}

/// What a pickle says of a storage: `("storage", class, key, device, length, …)`.
struct StorageName<'a> {
    class: &'a str,
    key: String,
}

impl<'a> StorageName<'a> {
    fn of(value: Value<'a>) -> Option<Self> {
        let [tag, class, key] = value.first()?;
        let is_storage = tag.text() == Some("storage");
        let key = key.text().map(str::to_owned).or_else(|| Some(key.whole()?.to_string()));
        Some(Self { class: class.name()?[1], key: key? }).filter(|_| is_storage)
    }
}

/// Whether a value is a tensor of its own.
fn is_tensor(value: Value<'_>) -> bool {
    matches!(value.callee(), Some(["torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2"]))
}

/// Whether a tensor's numbers lie one behind the other, the last axis fastest.
fn lie_in_a_row(shape: &[usize], strides: &[usize]) -> bool {
    if shape.len() != strides.len() || shape.contains(&0) {
        return shape.len() == strides.len();
    }
    let mut expected = 1;
    let mut axes = shape.iter().zip(strides).rev();
    axes.all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        // Its product is the number of elements, which fit the file.
        expected *= size;
        fits
    })
}

/// What a class of storages holds.
fn element(class: &str) -> Option<Element> {
    let (format, size) = match class {
        "FloatStorage" => (Format::F32, 4),
        "HalfStorage" => (Format::F16, 2),
        "BFloat16Storage" => (Format::Bf16, 2),
        "DoubleStorage" => (Format::F64, 8),
        "LongStorage" => (Format::Other("64-bit integers"), 8),
        "IntStorage" => (Format::Other("32-bit integers"), 4),
        "ShortStorage" => (Format::Other("16-bit integers"), 2),
        "CharStorage" => (Format::Other("I8"), 1),
        "ByteStorage" => (Format::Other("U8"), 1),
        "BoolStorage" => (Format::Other("BOOL"), 1),
        _ => return None,
    };
    Some(Element { format, size })
}

#[cfg(test)]
mod tests {
    use super::lie_in_a_row;

    #[test]
    fn views_whose_numbers_do_not_lie_in_a_row_are_told() {
        for (shape, strides, expected) in [
            (&[2, 3][..], &[3, 1][..], true),
            (&[3, 2], &[1, 3], false),
            (&[2, 3], &[6, 1], false),
            (&[1, 3], &[9, 1], true),
            (&[2, 0], &[7, 7], true),
            // A product that no number holds.
            (&[0, 1 << 40, 1 << 40], &[0, 1 << 40, 1], true),
            (&[], &[], true),
            (&[2], &[0], false),
            (&[2], &[1, 1], false),
        ] {
            assert_eq!(lie_in_a_row(shape, strides), expected, "{shape:?} {strides:?}");
        }
    }
}
