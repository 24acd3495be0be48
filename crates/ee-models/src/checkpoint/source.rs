//! Gives a module the parameters of a checkpoint, and remembers what did not fit.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::read::Weights;
use super::{ParameterNames, RandomParameters};
use crate::arch::Architecture;
use crate::error::{Error, Result};
use crate::layers::{Initial, ParameterSource};

/// A head that is drawn because the checkpoint has none.
#[derive(Debug)]
struct NewHead {
    seed: u64,
    deviation: f64,
    names: Vec<String>,
}

#[derive(Debug)]
pub(super) struct CheckpointParameters {
    weights: Weights,
    architecture: &'static Architecture,
    device: Device,
    names: ParameterNames,
    used: BTreeSet<String>,
    complaints: Vec<String>,
    new_head: Option<NewHead>,
}

impl CheckpointParameters {
    pub(super) fn new(
        weights: Weights,
        architecture: &'static Architecture,
        device: Device,
    ) -> Self {
        Self {
            weights,
            architecture,
            device,
            names: ParameterNames::default(),
            used: BTreeSet::new(),
            complaints: Vec::new(),
            new_head: None,
        }
    }

    /// Whether the checkpoint holds the whole classification head: its last product above all.
    pub(super) fn has_head(&self) -> bool {
        self.weights.names().any(|name| name.starts_with("classifier."))
    }

    /// From now on, head parameters that the checkpoint lacks are drawn.
    pub(super) fn draw_head(&mut self, seed: u64, deviation: f64) {
        self.new_head = Some(NewHead { seed, deviation, names: Vec::new() });
    }

    /// Names, new head parameters and unused tensors.
    ///
    /// # Errors
    /// When anything was missing or misshapen, or the checkpoint holds what nobody knows.
    pub(super) fn finish(
        mut self,
        folder: &Path,
    ) -> Result<(ParameterNames, Vec<String>, Vec<String>)> {
        let mut unused = Vec::new();
        for name in self.weights.names().filter(|name| !self.used.contains(*name)) {
            let prefix = format!("{}.", self.architecture.prefix);
            let bare = name.strip_prefix(&prefix).unwrap_or(name);
            if self.architecture.unused.iter().any(|known| bare.starts_with(known)) {
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
        let prefix = format!("{}.", self.architecture.prefix);
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
    fn take(&mut self, name: &str, shape: &[usize], initial: Initial) -> Vec<f32> {
        let n = shape.iter().product();
        let Some(stored) = self.stored_name(name) else {
            return self.draw(name, shape, initial);
        };
        let found = self.weights.shape(&stored).unwrap_or_default().to_vec();
        self.used.insert(stored.clone());
        if found != shape {
            self.complaints.push(format!("'{stored}' has shape {found:?}, expected {shape:?}"));
            return vec![0.0; n];
        }
        self.weights.values(&stored).unwrap_or_else(|error| {
            self.complaints.push(error.to_string());
            vec![0.0; n]
        })
    }

    fn draw(&mut self, name: &str, shape: &[usize], initial: Initial) -> Vec<f32> {
        let n = shape.iter().product();
        let is_head = self.architecture.head.iter().any(|head| name.starts_with(head));
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
        let values = self.take(name, &shape, initial);
        let data = TensorData::new(values, shape);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let values = self.take(name, &[length], initial);
        let data = TensorData::new(values, [length]);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }
}
