//! Hugging Face folders in and out.
//!
//! Loading is strict: a tensor that is missing, extra or misshapen is an error that names it, and all of
//! them are named at once. What a checkpoint may hold beyond the model is listed by its architecture. A
//! tensor is read when its turn comes, so that loading needs the memory of the model and of one tensor.
//! Nothing is taken in a size that a file merely states: headers are held to the files' lengths, and a
//! configuration's sizes to the stored shapes.
//! Matrices are kept in the format asked for ([`Precision`]), vectors always as F32: they are small, and
//! sums run in F32 anyway.

mod find;
mod finite;
mod format;
mod headers;
mod json;
mod random;
mod read;
mod shapes;
mod source;
mod write;

use std::collections::HashMap;

use burn::module::ParamId;

pub(crate) use json::{Keys, read_json};
pub use random::RandomParameters;
pub use read::Weights;
pub use shapes::ParameterShapes;
pub(crate) use source::CheckpointParameters;
pub use write::{save, save_tensors};

/// What a family of checkpoints calls its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// Prefix of the backbone's tensor names; bare backbones may lack it.
    pub prefix: &'static str,
    /// What stands between the prefix and a layer's number.
    pub layers: &'static str,
    /// Beginnings of the names of the head's tensors.
    pub head: &'static [&'static str],
    /// Whether a checkpoint may hold a tensor of this name, prefix not included, that the model does not
    /// use: heads of other tasks, and buffers that are not parameters.
    pub unused: fn(&str) -> bool,
}

/// The format of a model's matrices in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As the checkpoint stores them; F64 becomes F32.
    #[default]
    Stored,
    /// 32 bits.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

/// The Hugging Face names of a model's parameters, in the order in which the model was built.
#[derive(Clone, Debug, Default)]
pub struct ParameterNames {
    order: Vec<(ParamId, String)>,
    by_id: HashMap<ParamId, usize>,
}

impl ParameterNames {
    fn push(&mut self, id: ParamId, name: &str) {
        self.by_id.insert(id, self.order.len());
        self.order.push((id, name.to_owned()));
    }

    /// Adds the names of further parameters.
    pub fn extend(&mut self, further: Self) {
        further.order.into_iter().for_each(|(id, name)| self.push(id, &name));
    }

    /// The name of a parameter.
    pub fn get(&self, id: ParamId) -> Option<&str> {
        self.by_id.get(&id).map(|&index| self.order[index].1.as_str())
    }

    /// All parameters, in building order.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &str)> {
        self.order.iter().map(|(id, name)| (*id, name.as_str()))
    }
}
