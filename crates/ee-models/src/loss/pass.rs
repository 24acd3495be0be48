//! One pass: forward layer by layer, and back down with the exits' gradients.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Gradients, IndexingUpdateOp, Tensor};

use super::gradients::Gathered;
use super::head::{LOGIT_BYTES, Reader, differentiate, watch};
use super::{ExitReading, Pass, PassConfig, PassSeconds, Targets};
use crate::exit::{Batch, ExitModel, Stream};
use crate::indices::indices;
use crate::kernels;

/// Runs the model on a batch, reads its exits and takes the gradient of the objective.
///
/// # Panics
/// When there is no target, no exit has weight, or there is not one weight per exit.
pub fn pass<M: ExitModel + Module>(
    model: &M,
    batch: &Batch,
    targets: &Targets,
    config: &PassConfig,
) -> Pass {
    pass_onto(model, batch, targets, config, None)
}

/// [`pass`], its gradients added to those of earlier passes.
///
/// # Panics
/// As [`pass`].
pub fn pass_onto<M: ExitModel + Module>(
    model: &M,
    batch: &Batch,
    targets: &Targets,
    config: &PassConfig,
    earlier: Option<Gradients>,
) -> Pass {
    pass_in_chunks(model, batch, targets, config, earlier, LOGIT_BYTES)
}

/// [`pass_onto`] with this many bytes of logits alive at once.
pub(super) fn pass_in_chunks<M: ExitModel + Module>(
    model: &M,
    batch: &Batch,
    targets: &Targets,
    config: &PassConfig,
    earlier: Option<Gradients>,
    logits: usize,
) -> Pass {
    let n_exits = model.n_layers();
    assert_eq!(config.weights.len(), n_exits, "one weight per exit");
    assert!(!targets.is_empty(), "a pass needs targets");
    let started = Instant::now();
    let mut sweep = Sweep {
        model,
        plain: model.valid(),
        targets,
        config,
        gathered: Gathered::new(earlier),
        exits: vec![None; n_exits],
        logits,
        heads: 0.0,
    };
    sweep.run(batch);
    let Sweep { gathered, exits, heads, .. } = sweep;
    let gradients = gathered.finish().expect("some exit has weight");
    let layers = started.elapsed().as_secs_f64() - heads;
    Pass { exits, gradients, seconds: PassSeconds { layers, heads } }
}

/// Reads every exit without a gradient; `model` is without autodiff.
///
/// # Panics
/// When there is no target.
pub fn evaluate<M: ExitModel>(model: &M, batch: &Batch, targets: &Targets) -> Vec<ExitReading> {
    assert!(!targets.is_empty(), "an evaluation needs targets");
    let mut stream = model.embed(batch, None);
    (0..model.n_layers())
        .map(|index| {
            stream = model.layer(index, stream.clone());
            watch(model, &stream.hidden, Reader { targets, dropout: None, logits: LOGIT_BYTES })
        })
        .collect()
}

/// A layer on its way back.
struct Rung {
    /// The layer's input, whose gradient is asked for if anything below wants one.
    input: Stream,
    /// Its output with its graph; absent where it is recomputed.
    output: Option<Tensor<2>>,
}

/// A pass under way.
struct Sweep<'a, M> {
    model: &'a M,
    /// The same without autodiff.
    plain: M,
    targets: &'a Targets,
    config: &'a PassConfig,
    gathered: Gathered,
    exits: Vec<Option<ExitReading>>,
    /// Bytes of logits that are alive at once.
    logits: usize,
    /// Seconds spent in the head.
    heads: f64,
}

impl<M: ExitModel + Module> Sweep<'_, M> {
    fn run(&mut self, batch: &Batch) {
        let embedded = self.model.embed(batch, self.config.dropout);
        let is_read = |&depth: &usize| self.config.watch || self.config.weights[depth - 1] != 0.0;
        let deepest = (1..=self.exits.len()).rev().find(is_read).expect("some exit has weight");
        let (mut rungs, mut state) = self.ascend(&embedded, deepest);
        let mut upstream = None;
        for depth in (1..=deepest).rev() {
            upstream = self.read(depth, state, upstream);
            let Rung { input, output } = rungs.pop().expect("a rung for every depth");
            state = input.hidden.clone().inner();
            let Some(gradient) = upstream.take() else { continue };
            let leaf = input.hidden.clone();
            let output = output.unwrap_or_else(|| self.model.layer(depth - 1, input).hidden);
            if !output.is_tracked() {
                continue;
            }
            let mut backward = kernels::pull(output, gradient).backward();
            upstream = leaf.grad_remove(&mut backward);
            self.gathered.add(self.model, backward);
        }
        if let Some(gradient) = upstream {
            let backward = kernels::pull(embedded.hidden, gradient).backward();
            self.gathered.add(self.model, backward);
        }
    }

    /// Runs the layers up to a depth; the state there is without autodiff.
    fn ascend(&self, embedded: &Stream, deepest: usize) -> (Vec<Rung>, Tensor<2>) {
        let mut rungs = Vec::with_capacity(deepest);
        let mut state = embedded.hidden.clone().inner();
        // A frozen embedding asks for no gradient, and the lowest layer need not give one.
        let mut wanted = embedded.hidden.is_tracked();
        for index in 0..deepest {
            let hidden = Tensor::from_inner(state.clone());
            let hidden = if wanted { hidden.require_grad() } else { hidden };
            let input = Stream { hidden, ..embedded.clone() };
            let output = match self.config.gradient_checkpointing {
                false => {
                    let output = self.model.layer(index, input.clone()).hidden;
                    state = output.clone().inner();
                    Some(output)
                }
                true => {
                    let input = Stream { hidden: state, ..embedded.clone() };
                    state = self.plain.layer(index, input).hidden;
                    None
                }
            };
            rungs.push(Rung { input, output });
            wanted = true;
        }
        (rungs, state)
    }

    /// Reads the exit at a depth if it is to be read, and adds its gradient to the one from above.
    fn read(
        &mut self,
        depth: usize,
        state: Tensor<2>,
        upstream: Option<Tensor<2>>,
    ) -> Option<Tensor<2>> {
        let weight = self.config.weights[depth - 1];
        if weight == 0.0 && !self.config.watch {
            return upstream;
        }
        let started = Instant::now();
        // Every exit has its own dropout masks.
        let dropout = self.config.dropout.map(|key| key.part(depth));
        let reader = Reader { targets: self.targets, dropout, logits: self.logits };
        let (reading, upstream) = if weight == 0.0 {
            (watch(&self.plain, &state, reader), upstream)
        } else {
            let factor = self.config.scale * weight / self.targets.len() as f64;
            let (reading, of_places) =
                differentiate(self.model, &state, reader, factor, &mut self.gathered);
            let upstream = upstream.unwrap_or_else(|| state.zeros_like());
            let places = indices(self.targets.places().iter().copied(), &state.device());
            let add = IndexingUpdateOp::Add;
            (reading, Some(upstream.select_assign(0, places, of_places, add)))
        };
        self.exits[depth - 1] = Some(reading);
        self.heads += started.elapsed().as_secs_f64();
        upstream
    }
}
