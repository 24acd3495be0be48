//! What the tests read from tests/golden.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use ee_models::arch::llama::{self, Llama, Loaded};
use ee_models::checkpoint::{ParameterNames, Precision, Weights};
use ee_models::kernels::Rows;
use ee_models::{Batch, ExitModel};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A file or folder.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

pub(crate) fn read<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(folder(file)).unwrap()).unwrap()
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// A batch of padded rows.
#[derive(Deserialize)]
pub(crate) struct Padded {
    pub(crate) input_ids: Vec<Vec<u32>>,
    pub(crate) attention_mask: Vec<Vec<usize>>,
    pub(crate) token_type_ids: Option<Vec<Vec<u32>>>,
}

impl Padded {
    pub(crate) fn width(&self) -> usize {
        self.input_ids[0].len()
    }

    pub(crate) fn batch(&self) -> Batch {
        let lengths: Vec<usize> = self.attention_mask.iter().map(|row| row.iter().sum()).collect();
        let types = self.token_type_ids.as_ref().map(|types| types.concat());
        let types = types.unwrap_or_else(|| vec![0; self.width() * lengths.len()]);
        Batch::new(self.input_ids.concat(), types, lengths, self.width()).unwrap()
    }
}

/// A decoder as it is stored.
pub(crate) fn decoder(folder: &Path) -> Loaded {
    llama::load(folder, Precision::Stored, &Device::flex()).unwrap()
}

/// A batch of one text.
pub(crate) fn alone(text: &[u32]) -> Batch {
    Batch::new(text.to_vec(), vec![0; text.len()], vec![text.len()], text.len()).unwrap()
}

/// The logits of every exit at some tokens of a text, run whole.
pub(crate) fn whole(model: &Llama, text: &[u32], positions: &[usize]) -> Vec<Vec<f32>> {
    let mut stream = model.embed(&alone(text), None);
    (0..model.n_layers())
        .map(|index| {
            stream = model.layer(index, stream.clone());
            values(model.read(stream.select(positions), Rows::Many))
        })
        .collect()
}

/// The largest difference; NaN where there is one.
pub(crate) fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |worst: f32, next| if next.is_nan() { next } else { worst.max(next) })
}

/// Gradients by Hugging Face name.
struct ByName<'a> {
    gradients: Gradients,
    names: &'a ParameterNames,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for ByName<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.names.get(param.id).expect("every parameter has a name").to_owned();
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            self.found.insert(name, values(gradient));
        }
    }
}

pub(crate) fn by_name<M: Module>(
    model: &M,
    names: &ParameterNames,
    gradients: Gradients,
) -> BTreeMap<String, Vec<f32>> {
    let mut visitor = ByName { gradients, names, found: BTreeMap::new() };
    model.visit(&mut visitor);
    visitor.found
}

/// Holds gradients to those of a file, each to `tolerance` of the parameter's largest. `smallest` stands for the
/// latter where it is lower: a parameter without influence (the key's bias shifts all scores alike) has rounding
/// alone.
pub(crate) fn check_gradients(
    found: &BTreeMap<String, Vec<f32>>,
    file: &str,
    tolerance: f32,
    smallest: f32,
) {
    let theirs = Weights::open_file(&folder(file)).unwrap();
    for parameter in theirs.names() {
        let expected = theirs.values(parameter).unwrap();
        let scale = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        let ours = found.get(parameter).unwrap_or_else(|| panic!("{file}: no {parameter}"));
        let difference = worst(ours, &expected);
        assert!(
            difference <= tolerance * scale.max(smallest),
            "{file} {parameter}: {difference} of {scale}"
        );
    }
    for (parameter, gradient) in found {
        let known = theirs.shape(parameter).is_some();
        assert!(known || gradient.iter().all(|&value| value == 0.0), "{file} {parameter}");
    }
}
