//! The tensors of a checkpoint folder by name, whichever files they lie in. Only what is asked for is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Element, TensorData};
use half::{bf16, f16};
use pytorch_reader::PytorchReader;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use super::Precision;
use crate::error::{Error, Result};

/// Number format of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    F64,
    F32,
    F16,
    Bf16,
    /// Integers and flags: buffers, never parameters.
    Other,
}

#[derive(Debug)]
struct Entry {
    shape: Vec<usize>,
    format: Format,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Bytes of a safetensors file.
    Range { file: usize, start: u64, length: usize },
    /// A tensor of a PyTorch archive.
    Archive(Box<pytorch_reader::Tensor>),
}

/// The tensors of a checkpoint folder.
#[derive(Debug)]
pub struct Weights {
    folder: PathBuf,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

impl Weights {
    /// Finds the weights of a folder: `model.safetensors`, its sharded form with an index, or
    /// `pytorch_model.bin` (the pickle is parsed, never run).
    ///
    /// # Errors
    /// When there are none, or a header is broken.
    pub fn open(folder: &Path) -> Result<Self> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        let archive = folder.join("pytorch_model.bin");
        let mut weights =
            Self { folder: folder.to_owned(), files: Vec::new(), entries: BTreeMap::new() };
        if single.is_file() {
            weights.add_safetensors(single)?;
        } else if index.is_file() {
            for shard in shards(&index)? {
                weights.add_safetensors(folder.join(shard))?;
            }
        } else if archive.is_file() {
            weights.add_archive(archive)?;
        } else {
            return Err(Error::Weights {
                path: folder.to_owned(),
                complaint: "found none of model.safetensors, model.safetensors.index.json and \
                            pytorch_model.bin"
                    .to_owned(),
            });
        }
        Ok(weights)
    }

    /// The tensors of one safetensors file.
    ///
    /// # Errors
    /// When it is absent or broken.
    pub fn open_file(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut weights = Self { folder, files: Vec::new(), entries: BTreeMap::new() };
        weights.add_safetensors(path.to_owned())?;
        Ok(weights)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
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
    /// When the name is unknown, the values are no floating-point numbers, or the file cannot be read.
    pub fn data(&self, name: &str, precision: Precision) -> Result<TensorData> {
        let complain = |complaint: String| Error::Weights { path: self.folder.clone(), complaint };
        let entry =
            self.entries.get(name).ok_or_else(|| complain(format!("no tensor '{name}'")))?;
        let bytes = match &entry.place {
            Place::Range { file, start, length } => {
                read_range(&self.files[*file], *start, *length)?
            }
            Place::Archive(tensor) => {
                tensor.read().map_err(Error::io("cannot read", &self.files[0]))?
            }
        };
        let n: usize = entry.shape.iter().product();
        let found = entry.format.count(bytes.len());
        match found {
            None => Err(complain(format!("tensor '{name}' holds no floating-point numbers"))),
            Some(found) if found != n => {
                let shape = &entry.shape;
                Err(complain(format!("'{name}' of shape {shape:?} holds {found} numbers")))
            }
            Some(_) => Ok(decode(&bytes, &entry.shape, entry.format, precision)),
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

    fn add_safetensors(&mut self, path: PathBuf) -> Result<()> {
        let broken = |complaint: String| Error::Weights { path: path.clone(), complaint };
        let mut file = File::open(&path).map_err(Error::io("cannot read", &path))?;
        let size = file.metadata().map_err(Error::io("cannot read", &path))?.len();
        let mut length = [0_u8; 8];
        let header_length = match file.read_exact(&mut length) {
            Ok(()) => u64::from_le_bytes(length),
            Err(_) => return Err(broken(format!("no safetensors file: only {size} bytes"))),
        };
        if header_length > size.saturating_sub(8) {
            return Err(broken(format!(
                "no safetensors file or truncated: its header asks for {header_length} bytes, the file has {size}"
            )));
        }
        let mut header = Vec::new();
        file.take(header_length)
            .read_to_end(&mut header)
            .map_err(Error::io("cannot read", &path))?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| broken(format!("no safetensors file: {error}")))?;
        let data = 8 + header_length;
        let expected = data + metadata.data_len() as u64;
        if expected != size {
            return Err(broken(format!("truncated: {expected} bytes expected, {size} found")));
        }
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let format = match info.dtype {
                Dtype::F64 => Format::F64,
                Dtype::F32 => Format::F32,
                Dtype::F16 => Format::F16,
                Dtype::BF16 => Format::Bf16,
                _ => Format::Other,
            };
            let place = Place::Range {
                file: self.files.len(),
                start: data + start as u64,
                length: end - start,
            };
            let entry = Entry { shape: info.shape.clone(), format, place };
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(broken(format!("tensor '{name}' is in another shard, too")));
            }
        }
        self.files.push(path);
        Ok(())
    }

    fn add_archive(&mut self, path: PathBuf) -> Result<()> {
        let reader = PytorchReader::new(&path).map_err(|error| Error::Weights {
            path: path.clone(),
            complaint: format!("no PyTorch weights: {error}"),
        })?;
        for (name, tensor) in reader.into_tensors() {
            let format = match tensor.dtype() {
                pytorch_reader::DType::F64 => Format::F64,
                pytorch_reader::DType::F32 => Format::F32,
                pytorch_reader::DType::F16 => Format::F16,
                pytorch_reader::DType::BF16 => Format::Bf16,
                _ => Format::Other,
            };
            let shape = tensor.shape().to_vec();
            self.entries
                .insert(name, Entry { shape, format, place: Place::Archive(Box::new(tensor)) });
        }
        self.files.push(path);
        Ok(())
    }
}

/// The shard files that an index names, each once.
fn shards(index: &Path) -> Result<Vec<String>> {
    let broken = |complaint: String| Error::Weights { path: index.to_owned(), complaint };
    let text = std::fs::read_to_string(index).map_err(Error::io("cannot read", index))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    let map = json["weight_map"]
        .as_object()
        .ok_or_else(|| broken("needs an object 'weight_map'".to_owned()))?;
    let mut files = std::collections::BTreeSet::new();
    for (name, file) in map {
        let file = file
            .as_str()
            .filter(|file| !file.contains(['/', '\\']))
            .ok_or_else(|| broken(format!("'{name}' names no file of the folder")))?;
        files.insert(file.to_owned());
    }
    Ok(files.into_iter().collect())
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

impl Format {
    /// How many numbers so many bytes are; `None` where they are none.
    fn count(self, bytes: usize) -> Option<usize> {
        match self {
            Self::F64 => Some(bytes / 8),
            Self::F32 => Some(bytes / 4),
            Self::F16 | Self::Bf16 => Some(bytes / 2),
            Self::Other => None,
        }
    }
}

/// Bytes as numbers of the wanted format.
fn decode(bytes: &[u8], shape: &[usize], format: Format, precision: Precision) -> TensorData {
    fn each<const N: usize, T: Element>(
        bytes: &[u8],
        shape: &[usize],
        convert: impl Fn([u8; N]) -> T,
    ) -> TensorData {
        let values: Vec<T> = bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect();
        TensorData::new(values, shape)
    }
    let stored = match format {
        Format::F64 => each(bytes, shape, |chunk| f64::from_le_bytes(chunk) as f32),
        Format::F32 => each(bytes, shape, f32::from_le_bytes),
        Format::F16 => each(bytes, shape, f16::from_le_bytes),
        Format::Bf16 => each(bytes, shape, bf16::from_le_bytes),
        Format::Other => unreachable!("the caller has counted floating-point numbers"),
    };
    match precision {
        Precision::Stored => stored,
        Precision::F32 => stored.convert_dtype(DType::F32),
        Precision::F16 => stored.convert_dtype(DType::F16),
        Precision::Bf16 => stored.convert_dtype(DType::BF16),
    }
}
