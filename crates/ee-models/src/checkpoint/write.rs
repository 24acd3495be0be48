//! Writes a model as a Hugging Face folder that `transformers` loads.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::parameters::ParameterNames;

/// One tensor, read from its device when its turn to be written comes.
#[derive(Clone)]
struct Stored {
    shape: Vec<usize>,
    dtype: DType,
    read: Rc<dyn Fn(DType) -> TensorData>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (self.read)(self.dtype).as_bytes().to_vec().into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// Collects the tensors of a module by parameter.
#[derive(Default)]
struct Collector {
    tensors: HashMap<ParamId, Stored>,
    /// The format of the matrices; F32 if they differ.
    dtype: Option<DType>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let (shape, dtype) = (tensor.dims().to_vec(), tensor.dtype());
        if D > 1 {
            let same = self.dtype.is_none_or(|before| before == dtype);
            self.dtype = Some(if same { dtype } else { DType::F32 });
        }
        let read = Rc::new(move |dtype| tensor.clone().into_data().convert_dtype(dtype));
        self.tensors.insert(param.id, Stored { shape, dtype, read });
    }
}

/// The name of a format in `config.json`.
fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    }
}

/// Writes `config.json` and `model.safetensors` into a folder, which is created.
///
/// All tensors are written in the format of the matrices.
///
/// Nothing is renamed into place: callers that must never leave a half-written folder write into a
/// temporary one beside it and rename that.
///
/// # Errors
/// When a file cannot be written.
pub fn save<M: Module>(
    model: &M,
    mut config: Map<String, Value>,
    names: &ParameterNames,
    folder: &Path,
) -> Result<()> {
    let mut collector = Collector::default();
    model.visit(&mut collector);
    let dtype = collector.dtype.unwrap_or(DType::F32);
    std::fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let path = folder.join("config.json");
    // Both names that versions of transformers have for it.
    config.insert("torch_dtype".into(), torch_name(dtype).into());
    config.remove("dtype");
    let mut json = serde_json::to_string_pretty(&config).expect("JSON values always serialize");
    json.push('\n');
    write_synced(&path, json.as_bytes())?;

    let tensors: Vec<(&str, Stored)> = names
        .written()
        .map(|(id, name)| {
            let stored = collector.tensors.get(&id).expect("every named parameter is visited");
            (name, Stored { dtype, ..stored.clone() })
        })
        .collect();
    let path = folder.join("model.safetensors");
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    save_tensors(tensors, Some(metadata), &path)
}

/// Writes a safetensors file with the permissions of an ordinary new file, forced to the disk.
///
/// # Errors
/// When it cannot be written.
pub fn save_tensors<S, V>(
    tensors: Vec<(S, V)>,
    metadata: Option<HashMap<String, String>>,
    path: &Path,
) -> Result<()>
where
    S: AsRef<str> + Ord + Display,
    V: View,
{
    // The library renames a file of the owner's alone onto the place: it takes the mode of a new file.
    let mode = File::create(path).and_then(|file| file.metadata());
    let mode = mode.map_err(Error::io("cannot write", path))?.permissions();
    safetensors::serialize_to_file(tensors, metadata, path).map_err(|error| {
        Error::io("cannot write", path)(match error {
            SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        })
    })?;
    let written = File::open(path).and_then(|file| {
        file.set_permissions(mode)?;
        file.sync_all()
    });
    written.map_err(Error::io("cannot write", path))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(Error::io("cannot write", path))
}
