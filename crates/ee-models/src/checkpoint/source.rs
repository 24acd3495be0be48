//! Gives a module the parameters of a checkpoint, and remembers what did not fit.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::read::Weights;
use super::{Naming, ParameterNames, Precision, RandomParameters};
use crate::error::{Error, Result};
use crate::kernels;
use crate::layers::{Initial, ParameterSource};

/// A head that is drawn because the checkpoint has none.
#[derive(Debug)]
struct NewHead {
    seed: u64,
    deviation: f64,
    names: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct CheckpointParameters {
    weights: Weights,
    naming: Naming,
    precision: Precision,
    device: Device,
    names: ParameterNames,
    used: BTreeSet<String>,
    complaints: Vec<String>,
    new_head: Option<NewHead>,
}

impl CheckpointParameters {
    pub(crate) fn new(
        weights: Weights,
        naming: Naming,
        precision: Precision,
        device: Device,
    ) -> Self {
        Self {
            weights,
            naming,
            precision,
            device,
            names: ParameterNames::default(),
            used: BTreeSet::new(),
            complaints: Vec::new(),
            new_head: None,
        }
    }

    /// Whether the checkpoint holds a tensor whose name begins so.
    pub(crate) fn has(&self, beginning: &str) -> bool {
        self.weights.names().any(|name| name.starts_with(beginning))
    }

    /// From now on, head parameters that the checkpoint lacks are drawn.
    pub(crate) fn draw_head(&mut self, seed: u64, deviation: f64) {
        self.new_head = Some(NewHead { seed, deviation, names: Vec::new() });
    }

    /// Names, new head parameters and unused tensors.
    ///
    /// # Errors
    /// When anything was missing or misshapen, or the checkpoint holds what nobody knows.
    pub(crate) fn finish(
        mut self,
        folder: &Path,
    ) -> Result<(ParameterNames, Vec<String>, Vec<String>)> {
        let mut unused = Vec::new();
        for name in self.weights.names().filter(|name| !self.used.contains(*name)) {
            let prefix = format!("{}.", self.naming.prefix);
            let bare = name.strip_prefix(&prefix).unwrap_or(name);
            if (self.naming.unused)(bare) {
                unused.push(name.to_owned());
            } else {
                self.complaints.push(format!("extra tensor '{name}'"));
            }
        }
        if !self.complaints.is_empty() {
            return Err(Error::Tensors { path: folder.to_owned(), complaints: self.complaints });
        }
        let new_head = self.new_head.map(|head| head.names).unwrap_or_default();
        Ok((self.names, new_head, unused))
    }

    /// The name under which the checkpoint holds a parameter: as it is, without the backbone's prefix
    /// (bare encoders), and with the older names of γ and β.
    fn stored_name(&self, name: &str) -> Option<String> {
        let prefix = format!("{}.", self.naming.prefix);
        let bare = name.strip_prefix(&prefix);
        let older = |name: &str| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta")
        };
        [Some(name), bare]
            .into_iter()
            .flatten()
            .flat_map(|name| [name.to_owned(), older(name)])
            .find(|candidate| self.weights.shape(candidate).is_some())
    }

    /// Values of a parameter; zeros and a complaint where the checkpoint does not fit.
    fn take(
        &mut self,
        name: &str,
        shape: &[usize],
        initial: Initial,
        precision: Precision,
    ) -> TensorData {
        let zeros = || TensorData::zeros::<f32, _>(shape);
        let Some(stored) = self.stored_name(name) else {
            return TensorData::new(self.draw(name, shape, initial), shape);
        };
        let found = self.weights.shape(&stored).unwrap_or_default().to_vec();
        self.used.insert(stored.clone());
        if found != shape {
            self.complaints.push(format!("'{stored}' has shape {found:?}, expected {shape:?}"));
            return zeros();
        }
        self.weights.data(&stored, precision).unwrap_or_else(|error| {
            self.complaints.push(error.to_string());
            zeros()
        })
    }

    fn draw(&mut self, name: &str, shape: &[usize], initial: Initial) -> Vec<f32> {
        let n = shape.iter().product();
        let is_head = self.naming.head.iter().any(|head| name.starts_with(head));
        match &mut self.new_head {
            Some(head) if is_head => {
                head.names.push(name.to_owned());
                let columns = shape[shape.len() - 1];
                RandomParameters::draw(head.seed, head.deviation, name, n, columns, initial)
            }
            _ => {
                self.complaints.push(format!("missing tensor '{name}' of shape {shape:?}"));
                vec![0.0; n]
            }
        }
    }
}

impl ParameterSource for CheckpointParameters {
    fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>> {
        let data = self.take(name, &shape, initial, self.precision);
        let options = (&self.device, data.dtype());
        let tensor = Tensor::from_data(data, options);
        kernels::settle(&tensor);
        let param = Param::from_tensor(tensor);
        self.names.push(param.id, name);
        param
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let data = self.take(name, &[length], initial, Precision::F32);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }
}
