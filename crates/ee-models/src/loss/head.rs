//! Reads one exit's states at the targets through the head, a chunk at a time.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::gradients::Gathered;
use super::{ExitReading, Targets};
use crate::exit::{DropoutKey, ExitModel};
use crate::indices::indices;
use crate::kernels::{self, HeadGradients, HeadLoss, Scoring, Weight};

/// Bytes of logits that are alive at once.
pub const LOGIT_BYTES: usize = 64 << 20;

/// States whose logits take at most this many bytes, or one.
fn chunk(weight: &Weight, bytes: usize) -> usize {
    let [outputs, _] = weight.matrix.dims();
    (bytes / 4 / outputs.max(1)).max(1)
}

/// The states of some places, `[n, d_model]`.
fn select(states: &Tensor<2>, places: &[usize]) -> Tensor<2> {
    let consecutive = places.last().is_some_and(|last| last - places[0] + 1 == places.len());
    if consecutive {
        return states.clone().narrow(0, places[0], places.len());
    }
    states.clone().select(0, indices(places.iter().copied(), &states.device()))
}

/// Sums over the targets of one exit.
#[derive(Default)]
struct Sums {
    loss: f64,
    smoothed: f64,
    right: usize,
}

impl Sums {
    fn add(&mut self, part: &HeadLoss) {
        self.loss += part.loss;
        self.smoothed += part.smoothed;
        self.right += part.right;
    }

    fn reading(&self, n: usize) -> ExitReading {
        let mean = |sum: f64| sum / n as f64;
        ExitReading {
            loss: mean(self.loss),
            smoothed: mean(self.smoothed),
            accuracy: mean(self.right as f64),
        }
    }
}

/// How an exit is read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) targets: &'a Targets,
    pub(super) dropout: Option<DropoutKey>,
    pub(super) smoothing: f64,
    /// Bytes of logits that are alive at once.
    pub(super) logits: usize,
}

/// Reads an exit and differentiates nothing; `model` and `states` are without autodiff.
pub(super) fn watch<M: ExitModel>(
    model: &M,
    states: &Tensor<2>,
    Reader { targets, dropout, smoothing, logits }: Reader<'_>,
) -> ExitReading {
    let weight = model.head_weight();
    let chunk = chunk(&weight, logits);
    let scoring = Scoring { smoothing, factor: None };
    let mut sums = Sums::default();
    let parts = targets.places.chunks(chunk).zip(targets.labels.chunks(chunk));
    for (number, (places, labels)) in parts.enumerate() {
        let dropout = dropout.map(|key| key.part(number));
        let normed = model.head_state(select(states, places), dropout);
        sums.add(&kernels::head_loss(normed, &weight, labels, scoring, None));
    }
    sums.reading(targets.len())
}

/// Reads an exit whose loss is minimized: its reading, and the gradient of its states at the targets'
/// places, `[n, d_model]`. The head's gradients go to `gathered`. `states` are without autodiff; gradients
/// are those of `factor` · Σ smoothed loss.
pub(super) fn differentiate<M: ExitModel + Module>(
    model: &M,
    states: &Tensor<2>,
    Reader { targets, dropout, smoothing, logits }: Reader<'_>,
    factor: f64,
    gathered: &mut Gathered,
) -> (ExitReading, Tensor<2>) {
    let tracked = model.head_weight();
    let weight = Weight {
        matrix: tracked.matrix.clone().inner(),
        bias: tracked.bias.clone().map(Tensor::inner),
    };
    let chunk = chunk(&weight, logits);
    let mut gradients = HeadGradients {
        matrix: begin(&tracked.matrix, gathered),
        bias: tracked.bias.as_ref().and_then(|bias| begin(bias, gathered)),
    };
    let scoring = Scoring { smoothing, factor: Some(factor) };
    let mut sums = Sums::default();
    let mut of_states = Vec::new();
    let parts = targets.places.chunks(chunk).zip(targets.labels.chunks(chunk));
    for (number, (places, labels)) in parts.enumerate() {
        let leaf = Tensor::from_inner(select(states, places)).require_grad();
        let normed = model.head_state(leaf.clone(), dropout.map(|key| key.part(number)));
        let plain = normed.clone().inner();
        let part = kernels::head_loss(plain, &weight, labels, scoring, Some(&mut gradients));
        sums.add(&part);
        let of_normed = part.of_states.expect("was asked for");
        let mut backward = kernels::pull(normed, of_normed).backward();
        of_states.push(leaf.grad_remove(&mut backward).expect("the head reads its states"));
        gathered.add(model, backward);
    }
    if let Some(gradient) = gradients.matrix {
        gathered.put(&tracked.matrix, gradient);
    }
    if let (Some(bias), Some(gradient)) = (&tracked.bias, gradients.bias) {
        gathered.put(bias, gradient);
    }
    let of_states =
        if of_states.len() == 1 { of_states.remove(0) } else { Tensor::cat(of_states, 0) };
    (sums.reading(targets.len()), of_states)
}

/// What a parameter's gradient is before more is added; `None` where none is wanted.
fn begin<const D: usize>(parameter: &Tensor<D>, gathered: &mut Gathered) -> Option<Tensor<D>> {
    if !parameter.is_require_grad() {
        return None;
    }
    let earlier = gathered.take(parameter);
    // Of F32 whatever the parameter's format: many parts are summed.
    let zeros = || parameter.clone().inner().zeros_like().cast(DType::F32);
    Some(earlier.unwrap_or_else(zeros))
}
