//! Where parameters come from when a module is built: a checkpoint or a random generator.
//!
//! One constructor per module serves both, and tells the name that the parameter has in Hugging Face
//! checkpoints. The source keeps the names, so that saving, weight-decay groups and gradient checks
//! speak of parameters by the names that users know.

mod random;
mod shapes;

use std::collections::HashMap;

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;

pub use self::random::RandomParameters;
pub use self::shapes::ParameterShapes;

/// How a parameter starts when no checkpoint gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// Drawn from a normal distribution of mean 0 and the source's standard deviation.
    Normal,
    /// As [`Initial::Normal`], with this row set to zero.
    NormalExceptRow(usize),
    /// Drawn from a normal distribution of mean 0 and this standard deviation.
    Deviation(f64),
    /// Drawn evenly from ±g √(6 / (rows + columns)), g the gain (Glorot & Bengio 2010).
    Xavier(f64),
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
}

/// Gives a parameter by its Hugging Face name.
///
/// A source that cannot give a parameter remembers why and gives zeros, so that all complaints come
/// at once when building is over.
pub trait ParameterSource {
    /// The matrix of this name, `[rows, columns]`.
    fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>>;
    /// The vector of this name.
    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>>;

    /// The matrix that stands under all of these names.
    fn shared_matrix(
        &mut self,
        names: &[String],
        shape: [usize; 2],
        initial: Initial,
    ) -> Param<Tensor<2>> {
        self.matrix(&names[0], shape, initial)
    }

    /// The matrix of this name where the source holds one; a new model has none.
    fn stored_matrix(&mut self, _name: &str, _shape: [usize; 2]) -> Option<Param<Tensor<2>>> {
        None
    }
}

/// A source together with the dotted prefix under which a module finds its parameters.
pub struct Scope<'a> {
    source: &'a mut dyn ParameterSource,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The outermost scope.
    pub fn root(source: &'a mut dyn ParameterSource) -> Self {
        Self { source, prefix: String::new() }
    }

    /// The scope of a part, for example `encoder.layer.3`.
    pub fn enter(&mut self, part: &str) -> Scope<'_> {
        Scope { prefix: self.name(part), source: &mut *self.source }
    }

    /// The matrix of this name within the scope, `[rows, columns]`.
    pub fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>> {
        let name = self.name(name);
        self.source.matrix(&name, shape, initial)
    }

    /// The vector of this name within the scope.
    pub fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let name = self.name(name);
        self.source.vector(&name, length, initial)
    }

    /// [`ParameterSource::stored_matrix`] of this name within the scope.
    pub fn stored_matrix(&mut self, name: &str, shape: [usize; 2]) -> Option<Param<Tensor<2>>> {
        let name = self.name(name);
        self.source.stored_matrix(&name, shape)
    }

    /// The name that a part has outside the scope.
    pub fn name(&self, part: &str) -> String {
        if self.prefix.is_empty() { part.to_owned() } else { format!("{}.{part}", self.prefix) }
    }
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
    /// Further names under which parameters are written.
    also: Vec<(ParamId, String)>,
}

impl ParameterNames {
    pub(crate) fn push(&mut self, id: ParamId, name: &str) {
        self.by_id.insert(id, self.order.len());
        self.order.push((id, name.to_owned()));
    }

    /// Adds the names of further parameters.
    pub fn extend(&mut self, further: Self) {
        further.order.into_iter().for_each(|(id, name)| self.push(id, &name));
        self.also.extend(further.also);
    }

    /// Has a parameter written under a second name, too: some readers look for a shared table under each of its
    /// names.
    pub(crate) fn write_also(&mut self, id: ParamId, name: &str) {
        self.also.push((id, name.to_owned()));
    }

    /// Parameters and names as they are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (ParamId, &str)> {
        self.iter().chain(self.also.iter().map(|(id, name)| (*id, name.as_str())))
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
