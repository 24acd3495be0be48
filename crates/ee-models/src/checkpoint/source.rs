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

/// Layers that follow each other, as `config.json` counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    /// The key that counts them.
    pub(crate) key: &'static str,
    /// The part between the prefix and a layer's number.
    pub(crate) names: &'static str,
    /// How many there are.
    pub(crate) layers: usize,
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
        let stack = Stack { key: "num_hidden_layers", names: naming.layers, layers };
        let weights = Weights::open(folder)?;
        Self::of_stacks((folder, weights), naming, &[stack], precision, device)
    }

    /// The same of several stacks of layers, in a folder's weights.
    pub(crate) fn of_stacks(
        (folder, weights): (&Path, Weights),
        naming: Naming,
        stacks: &[Stack],
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        let source = Self {
            weights,
            naming,
            precision,
            device: device.clone(),
            names: ParameterNames::default(),
            used: BTreeSet::new(),
            complaints: Vec::new(),
            new_head: None,
            passed_over: &[],
        };
        source.check(folder)?;
        stacks.iter().try_for_each(|stack| source.check_stack(stack, folder))?;
        Ok(source)
    }

    /// From now on, a tensor has another name.
    pub(crate) fn rename(&mut self, stored: &str, name: &str) {
        self.weights.rename(stored, name);
    }

    /// Whether the checkpoint holds a tensor whose name begins like this.
    pub(crate) fn has(&self, beginning: &str) -> bool {
        self.weights.names().any(|name| name.starts_with(beginning))
    }

    fn check(&self, folder: &Path) -> Result<()> {
        let Some((name, how)) = self.weights.quantized() else { return Ok(()) };
        Err(Error::Weights {
            path: folder.to_owned(),
            complaint: format!(
                "the weights are quantized, as '{name}' shows by {how}, though config.json has no \
                 'quantization_config'; take the checkpoint that they were made from"
            ),
        })
    }

    fn check_stack(&self, stack: &Stack, folder: &Path) -> Result<()> {
        let Stack { key, names, layers } = *stack;
        let complaint = match self.stored_layers(names) {
            0 => {
                let first = self.full_name(&format!("{names}0."));
                format!("holds no layer: no tensor's name begins with '{first}'")
            }
            found if found == layers => return Ok(()),
            found => {
                format!(
                    "the configuration says '{key}': {layers}, the weights are of {found} layers"
                )
            }
        };
        Err(Error::Weights { path: folder.to_owned(), complaint })
    }

    /// A name with the backbone's prefix, where it has one.
    fn full_name(&self, bare: &str) -> String {
        match self.naming.prefix {
            "" => bare.to_owned(),
            prefix => format!("{prefix}.{bare}"),
        }
    }

    /// The number after the highest layer's that a stored name has.
    fn stored_layers(&self, layers: &str) -> usize {
        let prefix = self.full_name("");
        let number = |name: &str| -> Option<usize> {
            let rest = name.strip_prefix(&prefix).unwrap_or(name).strip_prefix(layers)?;
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
        begins(name) || begins(&self.full_name(name))
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
            let bare = name.strip_prefix(&self.full_name("")).unwrap_or(name);
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
        let prefix = self.full_name("");
        let bare = name.strip_prefix(&prefix).filter(|_| !prefix.is_empty());
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
            self.complaints.push(chain(&error));
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

impl CheckpointParameters {
    /// A matrix of these values, which is called `name`.
    fn parameter(&mut self, name: &str, data: TensorData) -> Param<Tensor<2>> {
        let options = (&self.device, data.dtype());
        let tensor = Tensor::from_data(data, options);
        kernels::settle(&tensor);
        let param = Param::from_tensor(tensor);
        self.names.push(param.id, name);
        param
    }

    /// Complains of a further copy of a shared matrix that differs from it, where all fitted so far.
    fn compare(&mut self, name: &str, copy: &str, data: &TensorData) {
        let Some(copy) = self.stored_name(copy) else { return };
        if !self.used.insert(copy.clone()) || !self.complaints.is_empty() {
            return;
        }
        // torch.save writes a table that is shared once; it is not read again.
        if self.stored_name(name).is_some_and(|held| self.weights.are_one([&held, &copy])) {
            return;
        }
        match self.weights.data(&copy, self.precision) {
            Ok(other) if other == *data => {}
            Ok(_) => self.complaints.push(format!(
                "'{copy}' is not '{name}', and the configuration says that they are one table"
            )),
            Err(error) => self.complaints.push(chain(&error)),
        }
    }
}

/// An error and its reason, where it has one.
fn chain(error: &Error) -> String {
    let reason = std::error::Error::source(error);
    reason.map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"))
}

impl ParameterSource for CheckpointParameters {
    fn matrix(&mut self, name: &str, shape: [usize; 2], initial: Initial) -> Param<Tensor<2>> {
        let data = self.take(name, shape, initial, self.precision);
        self.parameter(name, data)
    }

    fn shared_matrix(
        &mut self,
        names: &[String],
        shape: [usize; 2],
        initial: Initial,
    ) -> Param<Tensor<2>> {
        let held = names.iter().position(|name| self.stored_name(name).is_some()).unwrap_or(0);
        let data = self.take(&names[held], shape, initial, self.precision);
        names[held + 1..].iter().for_each(|copy| self.compare(&names[held], copy, &data));
        self.parameter(&names[0], data)
    }

    fn stored_matrix(&mut self, name: &str, shape: [usize; 2]) -> Option<Param<Tensor<2>>> {
        self.stored_name(name)?;
        Some(self.matrix(name, shape, Initial::Zeros))
    }

    fn vector(&mut self, name: &str, length: usize, initial: Initial) -> Param<Tensor<1>> {
        let data = self.take(name, [length], initial, Precision::F32);
        let param = Param::from_tensor(Tensor::from_data(data, &self.device));
        self.names.push(param.id, name);
        param
    }
}
