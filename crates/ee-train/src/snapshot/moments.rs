//! The optimizer's moments in one safetensors file, under the parameters' Hugging Face names.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use ee_models::arch::bert::{Encoder, Loaded};
use ee_models::checkpoint::ParameterNames;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};

use crate::error::{Error, Result};
use crate::optimizer::{AdamW, Moments};

const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";

/// Writes the moments of every parameter that has been updated.
pub(super) fn write(
    model: &Encoder,
    names: &ParameterNames,
    optimizer: &AdamW,
    path: &Path,
) -> Result<()> {
    let mut collector = Collector { names, optimizer, tensors: Vec::new() };
    model.visit(&mut collector);
    safetensors::serialize_to_file(collector.tensors, None, path)
        .map_err(|error| Error::io("cannot write", path)(std::io::Error::other(error)))
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
    tensors: Vec<(String, Stored)>,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(Moments { first, second }) = self.optimizer.moments::<D>(param.id) else { return };
        let name = self.names.get(param.id).expect("every parameter of the model has a name");
        self.tensors.push((format!("{name}.{FIRST}"), Stored::new(first)));
        self.tensors.push((format!("{name}.{SECOND}"), Stored::new(second)));
    }
}

/// Gives an optimizer the moments of a file, after `steps` steps.
pub(super) fn read(optimizer: &mut AdamW, loaded: &Loaded, steps: u64, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).map_err(Error::io("cannot read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| Error::broken(path, error))?;
    let mut reader =
        Reader { names: &loaded.names, file, moments: HashMap::new(), complaints: Vec::new() };
    loaded.model.visit(&mut reader);
    if !reader.complaints.is_empty() {
        return Err(Error::broken(path, reader.complaints.join("; ")));
    }
    optimizer.restore(steps, reader.moments);
    Ok(())
}

struct Reader<'a> {
    names: &'a ParameterNames,
    file: SafeTensors<'a>,
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

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.names.get(param.id).expect("every parameter of the model has a name");
        let (first, second) = (format!("{name}.{FIRST}"), format!("{name}.{SECOND}"));
        let parameter = param.val().inner();
        let first = self.tensor(&first, &parameter);
        let second = self.tensor(&second, &parameter);
        if let (Some(first), Some(second)) = (first, second) {
            self.moments.insert(param.id, Box::new(Moments { first, second }));
        }
    }
}
