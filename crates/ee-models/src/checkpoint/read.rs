//! The tensors of a checkpoint folder by name, whichever files they lie in. Only what is asked for is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use ee_files::caught;
use sha2::{Digest, Sha256};

use super::fairseq::Fairseq;
use super::find::{self, Form};
use super::finite::first_not_finite;
use super::format::{Format, decode};
use super::headers::{self, Entry, Place};
use crate::error::{Error, Result};
use crate::parameters::Precision;

/// The tensors of a checkpoint folder.
#[derive(Debug)]
pub struct Weights {
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// By name, each with the number of its file.
    entries: BTreeMap<String, (usize, Entry)>,
}

impl Weights {
    /// Finds the weights of a folder: `model.safetensors` or `pytorch_model.bin`, or the sharded form of
    /// either with its index; else the checkpoint of fairseq that the folder has. A pickle is parsed, never run.
    ///
    /// # Errors
    /// When there are none, an index does not fit its shards, or a header is broken.
    pub fn open(folder: &Path) -> Result<Self> {
        let (form, files) = find::files(folder)?;
        Self::of_files(folder, form, files)
    }

    /// The tensors of one safetensors file.
    ///
    /// # Errors
    /// When it is absent or broken.
    pub fn open_file(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::of_files(folder, Form::Safetensors, vec![path.to_owned()])
    }

    /// The tensors of a checkpoint of fairseq that is read already.
    pub(crate) fn of_fairseq(found: Fairseq) -> Self {
        let (path, tensors) = found.into_tensors();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let entries = tensors.into_iter().map(|(name, entry)| (name, (0, entry))).collect();
        Self { folder, files: vec![path], entries }
    }

    fn of_files(folder: &Path, form: Form, files: Vec<PathBuf>) -> Result<Self> {
        let mut entries: BTreeMap<String, (usize, Entry)> = BTreeMap::new();
        for (number, path) in files.iter().enumerate() {
            let found = match form {
                Form::Safetensors => headers::safetensors(path)?,
                Form::Archive => headers::archive(path)?,
                Form::Fairseq => Fairseq::read(path.clone(), Vec::new())?.into_tensors().1,
            };
            for (name, entry) in found {
                if let Some((other, _)) = entries.insert(name.clone(), (number, entry)) {
                    let other = files[other].display();
                    let complaint = format!("tensor '{name}' is in {other}, too");
                    return Err(Error::Weights { path: path.clone(), complaint });
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), files, entries })
    }

    /// A tensor whose name or format shows that the weights are quantized, and how it does.
    pub(super) fn quantized(&self) -> Option<(&str, &str)> {
        // What GPTQ and AWQ, compressed-tensors and FP8, and bitsandbytes store beside or instead of a weight.
        const PARTS: [&str; 9] = [
            ".qweight",
            ".qzeros",
            ".weight_packed",
            ".weight_scale",
            ".weight_scale_inv",
            ".SCB",
            ".absmax",
            ".quant_map",
            ".weight_format",
        ];
        self.entries.iter().find_map(|(name, (_, entry))| match entry.format {
            _ if PARTS.iter().any(|part| name.ends_with(part)) => Some((name.as_str(), "its name")),
            Format::Other(format) if name.ends_with(".weight") => Some((name.as_str(), format)),
            _ => None,
        })
    }

    /// From now on, a tensor has another name.
    pub(super) fn rename(&mut self, stored: &str, name: &str) {
        if let Some(entry) = self.entries.remove(stored) {
            self.entries.insert(name.to_owned(), entry);
        }
    }

    /// Whether two tensors are the same bytes of a file.
    pub(super) fn are_one(&self, names: [&str; 2]) -> bool {
        let range = |name: &str| {
            let (file, Entry { shape, format, place }) = self.entries.get(name)?;
            let Place::Range { start, length } = place else { return None };
            Some((file, shape, format, start, length))
        };
        let [one, other] = names.map(range);
        one.is_some() && one == other
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// The values of a tensor as F32.
    ///
    /// # Errors
    /// As [`Weights::data`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let data = self.data(name, Precision::F32)?;
        Ok(data.try_into_vec().expect("the data was asked for as F32"))
    }

    /// The values of a tensor in some format.
    ///
    /// # Errors
    /// When the name is unknown, the values are no floating-point numbers, one of them is NaN or infinite in
    /// that format, or the file cannot be read.
    pub fn data(&self, name: &str, precision: Precision) -> Result<TensorData> {
        let Some((file, entry)) = self.entries.get(name) else {
            let complaint = format!("no tensor '{name}'");
            return Err(Error::Weights { path: self.folder.clone(), complaint });
        };
        let path = &self.files[*file];
        let complain = |complaint: String| Error::Weights { path: path.clone(), complaint };
        let Entry { shape, format, place } = entry;
        if let Format::Other(format) = format {
            return Err(complain(format!(
                "'{name}' is stored as {format}, expected F64, F32, F16 or BF16"
            )));
        }
        let bytes = match place {
            Place::Range { start, length } => read_range(path, *start, *length)?,
            Place::Archive(tensor) => caught(|| tensor.read())
                .map_err(|panic| complain(format!("'{name}' cannot be read: {panic}")))?
                .map_err(Error::io("cannot read", path))?,
        };
        let n: usize = shape.iter().product();
        match format.count(bytes.len()) {
            Some(found) if found == n => {
                let data = decode(&bytes, shape, *format, precision);
                drop(bytes);
                match first_not_finite(&data) {
                    Some((place, value)) => {
                        let dtype = data.dtype();
                        Err(complain(format!("'{name}' holds {value} at {place:?}, as {dtype:?}")))
                    }
                    None => Ok(data),
                }
            }
            found => {
                let found = found.unwrap_or(0);
                Err(complain(format!("'{name}' of shape {shape:?} holds {found} numbers")))
            }
        }
    }

    /// SHA-256 over all weight files, in hexadecimal.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn checksum(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for path in &self.files {
            let mut file = File::open(path).map_err(Error::io("cannot read", path))?;
            std::io::copy(&mut file, &mut hash).map_err(Error::io("cannot read", path))?;
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn read_range(path: &Path, start: u64, length: usize) -> Result<Vec<u8>> {
    let read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0_u8; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(Error::io("cannot read", path))
}
