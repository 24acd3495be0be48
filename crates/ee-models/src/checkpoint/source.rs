//! Gives a module the parameters of a checkpoint, and remembers what did not fit.
//!
//! Nothing of a size that the configuration states is made before the stored shape is seen to be the same: what
//! does not fit gets a single zero, and the model that holds it is never given out.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::Naming;
use super::read::Weights;
use crate::error::{Error, Result};
use crate::kernels;
use crate::parameters::{Initial, ParameterNames, ParameterSource, Precision, RandomParameters};

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
    /// Tensors whose names begin like this are treated as absent.
    passed_over: &'static [&'static str],
}

impl CheckpointParameters {
    /// Opens the weights of a folder, which must be numbers and have this many layers.
    pub(crate) fn open(
        folder: &Path,
        naming: Naming,
        layers: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let source = Self {
            weights: Weights::open(folder)?,
            naming,
            precision,
            device: device.clone(),
            names: ParameterNames::default(),
            used: BTreeSet::new(),
            complaints: Vec::new(),
            new_head: None,
            passed_over: &[],
        };
        source.check(layers, folder)?;
        Ok(source)
    }

    /// Whether the checkpoint holds a tensor whose name begins like this.
    pub(crate) fn has(&self, beginning: &str) -> bool {
        self.weights.names().any(|name| name.starts_with(beginning))
    }

    fn check(&self, layers: usize, folder: &Path) -> Result<()> {
        let complain =
            |complaint: String| Err(Error::Weights { path: folder.to_owned(), complaint });
        if let Some((name, how)) = self.weights.quantized() {
            return complain(format!(
                "the weights are quantized, as '{name}' shows by {how}, though config.json has no \
                 'quantization_config'; take the checkpoint that they were made from"
            ));
        }
        match self.stored_layers() {
            0 => {
                let Naming { prefix, layers, .. } = self.naming;
                complain(format!(
                    "holds no layer: no tensor's name begins with '{prefix}.{layers}0.'"
                ))
            }
            found if found == layers => Ok(()),
            found => complain(format!(
                "config.json says 'num_hidden_layers': {layers}, the weights are of {found} layers"
            )),
        }
    }

    /// The number after the highest layer's that a stored name has.
    fn stored_layers(&self) -> usize {
        let Naming { prefix, layers, .. } = self.naming;
        let number = |name: &str| -> Option<usize> {
            let bare = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
            let rest = bare.unwrap_or(name).strip_prefix(layers)?;
            rest.split('.').next()?.parse::<usize>().ok()?.checked_add(1)
        };
        self.weights.names().filter_map(number).max().unwrap_or(0)
    }

    /// From now on, tensors whose names begin like this are treated as absent.
    pub(crate) fn pass_over(&mut self, beginnings: &'static [&'static str]) {
        self.passed_over = beginnings;
    }

    fn is_passed_over(&self, name: &str) -> bool {
        let begins = |name: &str| self.passed_over.iter().any(|&part| name.starts_with(part));
        // A bare backbone's names lack the prefix, that of a pooler with them.
        begins(name) || begins(&format!("{}.{name}", self.naming.prefix))
    }

    /// From now on, head parameters that the checkpoint lacks are drawn.
    pub(crate) fn draw_head(&mut self, seed: u64, deviation: f64) {
        self.new_head = Some(NewHead { seed, deviation, names: Vec::new() });
    }

    /// Names, new head parameters and unused tensors.
    pub(crate) fn finish(
        mut self,
        folder: &Path,
    ) -> Result<(ParameterNames, Vec<String>, Vec<String>)> {
        let mut unused = Vec::new();
        for name in self.weights.names().filter(|name| !self.used.contains(*name)) {
            let prefix = format!("{}.", self.naming.prefix);
            let bare = name.strip_prefix(&prefix).unwrap_or(name);
            if (self.naming.unused)(bare) || self.is_passed_over(name) {
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
            .find(|candidate| {
                self.weights.shape(candidate).is_some() && !self.is_passed_over(candidate)
            })
    }

    /// Values of a parameter; a single zero and a complaint where the checkpoint does not fit.
    fn take<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        initial: Initial,
        precision: Precision,
    ) -> TensorData {
        let nothing = || TensorData::zeros::<f32, _>([1; D]);
        let Some(stored) = self.stored_name(name) else {
            return self.draw(name, shape, initial).unwrap_or_else(nothing);
        };
        let found = self.weights.shape(&stored).unwrap_or_default().to_vec();
        self.used.insert(stored.clone());
        if found != shape {
            self.complaints.push(format!("'{stored}' has shape {found:?}, expected {shape:?}"));
            return nothing();
        }
        self.weights.data(&stored, precision).unwrap_or_else(|error| {
            let reason = std::error::Error::source(&error);
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            self.complaints.push(format!("{error}{reason}"));
            nothing()
        })
    }

    /// A parameter of a new head. If anything before it did not fit, its size is also only a claim.
    fn draw<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        initial: Initial,
    ) -> Option<TensorData> {
        let is_head = self.naming.head.iter().any(|head| name.starts_with(head));
        match &mut self.new_head {
            Some(head) if is_head => {
                head.names.push(name.to_owned());
                if !self.complaints.is_empty() {
                    return None;
                }
                let (n, columns) = (shape.iter().product(), shape[D - 1]);
                let NewHead { seed, deviation, .. } = *head;
                let values = RandomParameters::draw(seed, deviation, name, n, columns, initial);
                Some(TensorData::new(values, shape))
            }
            _ => {
                self.complaints.push(format!("missing tensor '{name}' of shape {shape:?}"));
                None
            }
        }
    }
}

impl ParameterSource for CheckpointParameters {
    fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>> {
        let data = self.take(name, shape, initial, self.precision);
        let options = (&self.device, data.dtype());
        let tensor = Tensor::from_data(data, options);
        kernels::settle(&tensor);
        let param = Param::from_tensor(tensor);
        self.names.push(param.id, name);
        param
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let data = self.take(name, [length], initial, Precision::F32);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }
}
