//! Writes a model as a Hugging Face folder that `transformers` loads.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, View};

use super::{EncoderConfig, ParameterNames};
use crate::arch::bert::Encoder;
use crate::error::{Error, Result};

/// One tensor, read from its device when its turn to be written comes.
struct Stored {
    shape: Vec<usize>,
    read: Box<dyn Fn() -> Vec<f32>>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (self.read)().iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * 4
    }
}

/// Collects the tensors of a module by parameter.
#[derive(Default)]
struct Collector {
    tensors: HashMap<ParamId, Stored>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let read = Box::new(move || {
            tensor.clone().into_data().try_into_vec::<f32>().expect("parameters are F32 in memory")
        });
        self.tensors.insert(param.id, Stored { shape, read });
    }
}

/// Writes `config.json` and `model.safetensors` into a folder, which is created.
///
/// Nothing is renamed into place: callers that must never leave a half-written folder write into a
/// temporary one beside it and rename that.
///
/// # Errors
/// When a file cannot be written.
pub fn save(
    model: &Encoder,
    config: &EncoderConfig,
    names: &ParameterNames,
    folder: &Path,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let path = folder.join("config.json");
    let mut json =
        serde_json::to_string_pretty(&config.to_json()).expect("JSON values always serialize");
    json.push('\n');
    write_synced(&path, json.as_bytes())?;

    let mut collector = Collector::default();
    model.visit(&mut collector);
    let tensors: Vec<(&str, Stored)> = names
        .iter()
        .map(|(id, name)| {
            let stored = collector.tensors.remove(&id).expect("every named parameter is visited");
            (name, stored)
        })
        .collect();
    let path = folder.join("model.safetensors");
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), &path)
        .map_err(|error| Error::io("cannot write", &path)(std::io::Error::other(error)))?;
    File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("cannot write", &path))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(Error::io("cannot write", path))
}
