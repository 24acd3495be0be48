//! What a weight file claims to hold, checked before anything of that size is allocated.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ee_files::caught;
use pytorch_reader::PytorchReader;
use safetensors::tensor::Metadata;

use super::format::Format;
use crate::error::{Error, Result};

/// A stored tensor.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    pub(super) format: Format,
    pub(super) place: Place,
}

/// Where the numbers of a tensor are in its file.
#[derive(Debug)]
pub(super) enum Place {
    /// Bytes of the file.
    Range { start: u64, length: usize },
    /// A tensor of a PyTorch archive.
    Archive(Box<pytorch_reader::Tensor>),
}

/// The tensors of a safetensors file, by name.
pub(super) fn safetensors(path: &Path) -> Result<Vec<(String, Entry)>> {
    let broken = |complaint: String| Error::Weights { path: path.to_owned(), complaint };
    let mut file = File::open(path).map_err(Error::io("cannot read", path))?;
    let size = file.metadata().map_err(Error::io("cannot read", path))?.len();
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
    file.take(header_length).read_to_end(&mut header).map_err(Error::io("cannot read", path))?;
    // Ranges that overlap, leave gaps or do not fit their shapes are reported by the library.
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| broken(format!("no safetensors file: {error}")))?;
    let data = 8 + header_length;
    let expected = data.saturating_add(metadata.data_len() as u64);
    if expected != size {
        return Err(broken(format!("truncated: {expected} bytes expected, {size} found")));
    }
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let place = Place::Range { start: data + start as u64, length: end - start };
        (name, Entry { shape: info.shape.clone(), format: info.dtype.into(), place })
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}

/// The tensors of a PyTorch archive, by name.
pub(super) fn archive(path: &Path) -> Result<Vec<(String, Entry)>> {
    let broken = |complaint: String| Error::Weights { path: path.to_owned(), complaint };
    let size = path.metadata().map_err(Error::io("cannot read", path))?.len();
    let opened = caught(|| PytorchReader::new(path));
    let reader = match opened {
        Ok(Ok(reader)) => reader,
        Ok(Err(error)) => return Err(broken(format!("no PyTorch weights: {error}"))),
        Err(panic) => return Err(broken(format!("no PyTorch weights: {panic}"))),
    };
    let entry = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let bytes = tensor.byte_len() as u64;
        // A view can repeat its storage; no parameter does, and the file then bounds what is read of it.
        if bytes > size {
            return Err(broken(format!(
                "tensor '{name}' is of {bytes} bytes, the whole file of {size}"
            )));
        }
        let (shape, format) = (tensor.shape().to_vec(), tensor.dtype().into());
        Ok((name, Entry { shape, format, place: Place::Archive(Box::new(tensor)) }))
    };
    reader.into_tensors().into_iter().map(entry).collect()
}
