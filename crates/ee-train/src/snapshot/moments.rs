//! The optimizer's moments in one safetensors file, under the parameters' Hugging Face names.
//!
//! Where the checkpoint's weights are not the parameters to the bit, because they are of 16 bits or have
//! low-rank additions merged into them, the F32 values of all trained parameters are stored here too.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use ee_models::checkpoint::{ParameterNames, save_tensors};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};

use crate::error::{Error, Result};
use crate::optimizer::{AdamW, Moments};

const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
const MASTER: &str = "master";

/// Writes the moments of every parameter that has been updated.
pub(super) fn write<M: Module>(
    model: &M,
    names: &ParameterNames,
    optimizer: &AdamW,
    path: &Path,
) -> Result<()> {
    let keeps_values = is_rounded(model) || has_additions(names);
    let mut collector = Collector { names, optimizer, keeps_values, tensors: Vec::new() };
    model.visit(&mut collector);
    Ok(save_tensors(collector.tensors, None, path)?)
}

/// Whether a model has low-rank additions; nothing else is trained then.
fn has_additions(names: &ParameterNames) -> bool {
    names.iter().any(|(_, name)| is_addition(name))
}

fn is_addition(name: &str) -> bool {
    name.contains(".lora_")
}

/// Whether a model has parameters of 16 bits.
fn is_rounded<M: Module>(model: &M) -> bool {
    struct Formats(bool);
    impl ModuleVisitor for Formats {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.val().dtype() != DType::F32;
        }
    }
    let mut formats = Formats(false);
    model.visit(&mut formats);
    formats.0
}

/// One tensor, read from its device when its turn to be written comes.
struct Stored {
    shape: Vec<usize>,
    read: Box<dyn Fn() -> TensorData>,
}

impl Stored {
    fn new<const D: usize>(tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone();
        let shape = tensor.dims().to_vec();
        Self { shape, read: Box::new(move || tensor.to_data()) }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (self.read)().iter::<f32>().flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

struct Collector<'a> {
    names: &'a ParameterNames,
    optimizer: &'a AdamW,
    keeps_values: bool,
    tensors: Vec<(String, Stored)>,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(Moments { first, second, master }) = self.optimizer.moments::<D>(param.id) else {
            return;
        };
        let name = self.names.get(param.id).expect("every parameter of the model has a name");
        self.tensors.push((format!("{name}.{FIRST}"), Stored::new(first)));
        self.tensors.push((format!("{name}.{SECOND}"), Stored::new(second)));
        if self.keeps_values {
            let value = master.clone().unwrap_or_else(|| param.val().inner());
            self.tensors.push((format!("{name}.{MASTER}"), Stored::new(&value)));
        }
    }
}

/// Gives an optimizer the moments of a file, after `steps` steps, and the model's parameters the bits that
/// they had.
pub(super) fn read<M: Module>(
    optimizer: &mut AdamW,
    model: M,
    names: &ParameterNames,
    steps: u64,
    path: &Path,
) -> Result<M> {
    let bytes = std::fs::read(path).map_err(Error::io("cannot read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::broken(path, error))?;
    let has_additions = has_additions(names);
    let mut reader = Reader {
        names,
        file,
        has_additions,
        keeps_values: has_additions || is_rounded(&model),
        moments: HashMap::new(),
        complaints: Vec::new(),
    };
    let model = model.map(&mut reader);
    if !reader.complaints.is_empty() {
        return Err(Error::broken(path, reader.complaints.join("; ")));
    }
    optimizer.restore(steps, reader.moments);
    Ok(model)
}

struct Reader<'a> {
    names: &'a ParameterNames,
    file: SafeTensors<'a>,
    has_additions: bool,
    keeps_values: bool,
    moments: HashMap<ParamId, Box<dyn Any + Send>>,
    complaints: Vec<String>,
}

impl Reader<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, like: &Tensor<D>) -> Option<Tensor<D>> {
        let shape = like.dims();
        let stored = match self.file.tensor(name) {
            Ok(stored) if stored.dtype() == Dtype::F32 && stored.shape() == shape => stored,
            Ok(stored) => {
                let found = (stored.dtype(), stored.shape());
                self.complaints.push(format!("'{name}' is {found:?}, expected F32 {shape:?}"));
                return None;
            }
            Err(error) => {
                self.complaints.push(format!("'{name}': {error}"));
                return None;
            }
        };
        let values: Vec<f32> =
            stored.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Some(Tensor::from_data(TensorData::new(values, shape), &like.device()))
    }
}

impl ModuleMapper for Reader<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.names.get(param.id).expect("every parameter of the model has a name");
        if self.has_additions && !is_addition(name) {
            return param;
        }
        let (id, value, mapper) = param.consume();
        let names = [FIRST, SECOND, MASTER].map(|part| format!("{name}.{part}"));
        let parameter = value.clone().inner();
        let first = self.tensor(&names[0], &parameter);
        let second = self.tensor(&names[1], &parameter);
        let exact = self.keeps_values.then(|| self.tensor(&names[2], &parameter)).flatten();
        let is_f32 = parameter.dtype() == DType::F32;
        let value = match &exact {
            Some(exact) if is_f32 => exact.clone(),
            _ => value,
        };
        if let (Some(first), Some(second)) = (first, second) {
            let master = exact.filter(|_| !is_f32);
            self.moments.insert(id, Box::new(Moments { first, second, master }));
        }
        Param::from_mapped_value(id, value, mapper)
    }
}
