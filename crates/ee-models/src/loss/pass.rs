//! One pass: forward layer by layer, and back down with the exits' gradients.
//!
//! Where a decoder attends to an encoder, the encoder goes up first and comes down last, with the sum of the
//! gradients that the decoder's layers ask of its states.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Gradients, IndexingUpdateOp, Tensor};

use super::gradients::Gathered;
use super::head::{LOGIT_BYTES, Reader, differentiate, watch};
use super::{ExitReading, Pass, PassConfig, PassSeconds, Targets};
use crate::exit::{Backbone, Batch, DropoutKey, ExitModel, Memory, Stream};
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
            let reader = Reader { targets, dropout: None, smoothing: 0.0, logits: LOGIT_BYTES };
            watch(model, &stream.hidden, reader)
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

/// Some layers, and the same without autodiff.
#[derive(Clone, Copy)]
struct Stack<'m> {
    layers: &'m dyn Backbone,
    plain: &'m dyn Backbone,
}

/// A stack that has gone up.
struct Ascended<'m> {
    stack: Stack<'m>,
    /// Depth 0; what it attends to is without autodiff.
    embedded: Stream,
    rungs: Vec<Rung>,
    /// The deepest state, without autodiff.
    state: Tensor<2>,
}

impl Ascended<'_> {
    /// The deepest state for a decoder to attend to, without autodiff.
    fn memory(&self) -> Memory {
        let Stream { lengths, width, .. } = &self.embedded;
        let hidden = self.stack.plain.last_state(self.state.clone());
        Memory { hidden, lengths: lengths.clone(), width: *width }
    }
}

impl<M: ExitModel + Module> Sweep<'_, M> {
    fn run(&mut self, batch: &Batch) {
        let (model, plain) = (self.model, self.plain.clone());
        let encoder = model.encoder().map(|encoder| {
            let source = batch.source().expect("an encoder reads a source");
            let dropout = self.config.dropout.map(DropoutKey::of_source);
            let stack = Stack { layers: encoder, plain: plain.encoder().expect("the same model") };
            self.ascend(stack, encoder.embed(source, dropout), encoder.n_layers())
        });
        let embedded = model.backbone().embed(batch, self.config.dropout);
        let embedded = match &encoder {
            Some(encoder) => embedded.with_memory(encoder.memory()),
            None => embedded,
        };
        let is_read = |&depth: &usize| self.config.watch || self.config.weights[depth - 1] != 0.0;
        let deepest = (1..=self.exits.len()).rev().find(is_read).expect("some exit has weight");
        let stack = Stack { layers: model.backbone(), plain: plain.backbone() };
        let decoder = self.ascend(stack, embedded, deepest);
        let of_memory = self.descend(decoder, None, true);
        if let (Some(encoder), Some(of_memory)) = (encoder, of_memory) {
            let upstream = self.through_last_state(&encoder, of_memory);
            self.descend(encoder, upstream, false);
        }
    }

    /// Runs some layers up to a depth.
    fn ascend<'m>(&self, stack: Stack<'m>, embedded: Stream, deepest: usize) -> Ascended<'m> {
        let mut rungs = Vec::with_capacity(deepest);
        let mut state = embedded.hidden.clone().inner();
        // A frozen embedding asks for no gradient, and the lowest layer need not give one.
        let mut wanted = embedded.hidden.is_tracked();
        for index in 0..deepest {
            let hidden = Tensor::from_inner(state.clone());
            let hidden = if wanted { hidden.require_grad() } else { hidden };
            // A leaf of the layer's own graph, of which the gradient is asked for where the encoder learns.
            let memory = embedded.memory.clone().map(|memory| memory.map(Tensor::from_inner));
            let memory = memory.map(|memory| memory.map(Tensor::require_grad));
            let input = Stream { hidden, memory, ..embedded.clone() };
            let output = match self.config.gradient_checkpointing {
                false => {
                    let output = stack.layers.layer(index, input.clone()).hidden;
                    state = output.clone().inner();
                    Some(output)
                }
                true => {
                    let input = Stream { hidden: state, ..embedded.clone() };
                    state = stack.plain.layer(index, input).hidden;
                    None
                }
            };
            rungs.push(Rung { input, output });
            wanted = true;
        }
        Ascended { stack, embedded, rungs, state }
    }

    /// Goes back down with the gradient of the last state, to which those of the exits are added where they are
    /// `read`; the gradient of the memory.
    fn descend(
        &mut self,
        ascended: Ascended<'_>,
        mut upstream: Option<Tensor<2>>,
        read: bool,
    ) -> Option<Tensor<2>> {
        let Ascended { stack, embedded, mut rungs, mut state } = ascended;
        let mut of_memory: Option<Tensor<2>> = None;
        while let Some(Rung { input, output }) = rungs.pop() {
            let index = rungs.len();
            if read {
                upstream = self.read(index + 1, state, upstream);
            }
            state = input.hidden.clone().inner();
            let Some(gradient) = upstream.take() else { continue };
            let leaf = input.hidden.clone();
            let memory = input.memory.as_ref().map(|memory| memory.hidden.clone());
            let output = output.unwrap_or_else(|| stack.layers.layer(index, input).hidden);
            if !output.is_tracked() {
                continue;
            }
            let mut backward = kernels::pull(output, gradient).backward();
            upstream = leaf.grad_remove(&mut backward);
            if let Some(further) = memory.and_then(|memory| memory.grad_remove(&mut backward)) {
                of_memory = Some(match of_memory {
                    Some(sum) => sum + further,
                    None => further,
                });
            }
            self.gathered.add(self.model, backward);
        }
        if let Some(gradient) = upstream
            && embedded.hidden.is_tracked()
        {
            let backward = kernels::pull(embedded.hidden, gradient).backward();
            self.gathered.add(self.model, backward);
        }
        of_memory
    }

    /// From the gradient of what a decoder attends to, to that of the encoder's last layer.
    fn through_last_state(
        &mut self,
        encoder: &Ascended<'_>,
        of_memory: Tensor<2>,
    ) -> Option<Tensor<2>> {
        let leaf = Tensor::from_inner(encoder.state.clone()).require_grad();
        let last = encoder.stack.layers.last_state(leaf.clone());
        let mut backward = kernels::pull(last, of_memory).backward();
        let upstream = leaf.grad_remove(&mut backward);
        self.gathered.add(self.model, backward);
        upstream
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
        let smoothing = self.config.label_smoothing;
        let reader = Reader { targets: self.targets, dropout, smoothing, logits: self.logits };
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
