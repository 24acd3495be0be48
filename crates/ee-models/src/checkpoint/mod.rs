//! Hugging Face folders in and out.
//!
//! Loading is strict: a tensor that is missing, extra or misshapen is an error that names it, and all of
//! them are named at once. What a checkpoint may hold beyond the model is listed by its architecture. A
//! tensor is read when its turn comes, so that loading needs the memory of the model and of one tensor.
//! Nothing is allocated in a size that a file merely states: headers are checked against the files' lengths, and a
//! configuration's sizes against the stored shapes.
//! Matrices are kept in the format asked for ([`Precision`]), vectors always as F32: they are small, and
//! sums run in F32 anyway.

mod fairseq;
mod find;
mod finite;
mod format;
mod headers;
mod json;
mod read;
mod source;
mod torch;
mod write;

pub(crate) use fairseq::Fairseq;
#[cfg(test)]
pub(crate) use fairseq::files_read as fairseq_files_read;
pub(crate) use json::{Keys, read_json};
pub use read::Weights;
pub(crate) use source::{CheckpointParameters, Stack};
pub use write::{save, save_tensors};

pub use crate::parameters::{ParameterNames, ParameterShapes, Precision, RandomParameters};

/// How a family of checkpoints names its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// Prefix of the backbone's tensor names, empty where there is none; bare backbones may lack it.
    pub prefix: &'static str,
    /// The part between the prefix and a layer's number.
    pub layers: &'static str,
    /// Beginnings of the names of the head's tensors.
    pub head: &'static [&'static str],
    /// Whether a checkpoint may hold a tensor of this name, prefix not included, that the model does not
    /// use: heads of other tasks, and buffers that are not parameters.
    pub unused: fn(&str) -> bool,
}
