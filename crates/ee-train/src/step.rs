//! One optimizer step: forward and backward over the micro-batches, clipping, AdamW.
//!
//! The losses of a step are means over all its targets: micro-batch i counts with its share of them, so
//! that cutting a batch into micro-batches saves memory and changes the result by rounding alone.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Gradients;
use ee_models::checkpoint::ParameterNames;
use ee_models::loss::{ExitReading, PassConfig, Targets, pass_onto};
use ee_models::{Batch, DropoutKey, ExitModel};

use crate::optimizer::AdamW;
use crate::replicas::Replicas;

/// Rows that travel through the model together, and what the head is to say of them.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// Token ids and lengths.
    pub batch: Batch,
    /// Which states are read, and the right answer at each.
    pub targets: Targets,
}

/// What a step does beside its data.
#[derive(Clone, Debug)]
pub struct StepConfig {
    /// The weights of the exits 1..=N in the objective.
    pub weights: Vec<f64>,
    /// Whether exits of weight 0 are also read.
    pub watch: bool,
    /// The share of the weight that labels give to the other outputs.
    pub label_smoothing: f64,
    /// Whether layers are run again on the way back rather than kept.
    pub gradient_checkpointing: bool,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Seed and number of the step, from which dropout follows; `None` drops nothing.
    pub dropout: Option<(u64, u64)>,
}

/// What a step measured, in nats, before it changed the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The objective.
    pub loss: f64,
    /// The exits 1..=N; `None` where an exit was not read.
    pub exits: Vec<Option<ExitReading>>,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Number of rows.
    pub rows: usize,
    /// Number of targets.
    pub targets: usize,
    /// Where the time went.
    pub seconds: StepSeconds,
}

/// Where the time of a step went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepSeconds {
    /// The layers and the embedding, forward and backward.
    pub layers: f64,
    /// The head, at every exit that was read.
    pub heads: f64,
    /// The gradients' norm and the update.
    pub optimizer: f64,
}

/// Why a step was not made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// `the loss` or `the gradient norm`.
    pub what: &'static str,
    /// Its value.
    pub value: f64,
}

/// Makes one optimizer step.
///
/// # Errors
/// When the loss or the gradient norm is not finite; no weight has changed then.
///
/// # Panics
/// When there is no target.
pub fn step<M: ExitModel + Module>(
    model: M,
    optimizer: &mut AdamW,
    names: &ParameterNames,
    micro_batches: &[MicroBatch],
    config: &StepConfig,
) -> Result<(M, StepReport), NotFinite> {
    let replicas = Replicas::single(model);
    let (replicas, report) = step_on(replicas, optimizer, names, micro_batches, config)?;
    Ok((replicas.into_first(), report))
}

/// [`step`] with a model on several devices: micro-batch i runs on device i modulo their number.
pub(crate) fn step_on<M: ExitModel + Module>(
    replicas: Replicas<M>,
    optimizer: &mut AdamW,
    names: &ParameterNames,
    micro_batches: &[MicroBatch],
    config: &StepConfig,
) -> Result<(Replicas<M>, StepReport), NotFinite> {
    let work = Work { micro_batches, targets: n_targets(micro_batches), config };
    let stride = replicas.models().len();
    let mut report = StepReport {
        loss: 0.0,
        exits: vec![None; config.weights.len()],
        gradient_norm: 0.0,
        rows: micro_batches.iter().map(|micro| micro.batch.n_rows()).sum(),
        targets: work.targets,
        seconds: StepSeconds::default(),
    };
    let mut gradients = Vec::with_capacity(stride);
    for passed in replicas.each(|device, model| work.passes(model, device, stride)) {
        let passed = passed?;
        report.loss += passed.loss;
        add_share(&mut report.exits, &passed.exits, 1.0);
        report.seconds.layers = report.seconds.layers.max(passed.layers);
        report.seconds.heads = report.seconds.heads.max(passed.heads);
        gradients.push(passed.gradients);
    }
    let started = Instant::now();
    let gradients = replicas.exchange(gradients);
    let norm = replicas.gradient_norm(&gradients);
    report.gradient_norm = finite("the gradient norm", norm)?;
    let scale = optimizer.clipping(report.gradient_norm);
    optimizer.begin_step();
    let replicas = replicas.update(gradients, |model, gradients| {
        optimizer.update(model, gradients, names, config.learning_rate, scale)
    });
    report.seconds.optimizer = started.elapsed().as_secs_f64();
    Ok((replicas, report))
}

fn n_targets(micro_batches: &[MicroBatch]) -> usize {
    micro_batches.iter().map(|micro| micro.targets.len()).sum()
}

/// What all devices share in a step.
struct Work<'a> {
    micro_batches: &'a [MicroBatch],
    targets: usize,
    config: &'a StepConfig,
}

/// What one device found.
struct Passed {
    loss: f64,
    exits: Vec<Option<ExitReading>>,
    /// `None` where no micro-batch fell to it.
    gradients: Option<Gradients>,
    layers: f64,
    heads: f64,
}

impl Work<'_> {
    /// Runs micro-batches `first`, `first + stride`, … forward and backward.
    fn passes<M: ExitModel + Module>(
        &self,
        model: &M,
        first: usize,
        stride: usize,
    ) -> Result<Passed, NotFinite> {
        let config = self.config;
        let exits = vec![None; config.weights.len()];
        let mut passed = Passed { loss: 0.0, exits, gradients: None, layers: 0.0, heads: 0.0 };
        let numbered = self.micro_batches.iter().enumerate().skip(first).step_by(stride);
        // A micro-batch may hold nothing that counts, for example prompts alone.
        for (number, micro) in numbered.filter(|(_, micro)| !micro.targets.is_empty()) {
            let share = micro.targets.len() as f64 / self.targets as f64;
            let key = |(seed, step)| DropoutKey::new(&[seed, step, number as u64]);
            let pass_config = PassConfig {
                weights: config.weights.clone(),
                watch: config.watch,
                dropout: config.dropout.map(key),
                scale: share,
                label_smoothing: config.label_smoothing,
                gradient_checkpointing: config.gradient_checkpointing,
            };
            let earlier = passed.gradients.take();
            let pass = pass_onto(model, &micro.batch, &micro.targets, &pass_config, earlier);
            passed.layers += pass.seconds.layers;
            passed.heads += pass.seconds.heads;
            // Host synchronisation: a loss that is not a number must not reach the weights.
            passed.loss += finite("the loss", objective(&config.weights, &pass.exits))? * share;
            add_share(&mut passed.exits, &pass.exits, share);
            passed.gradients = Some(pass.gradients);
        }
        Ok(passed)
    }
}

/// Σ weight · smoothed loss over the exits that count.
fn objective(weights: &[f64], exits: &[Option<ExitReading>]) -> f64 {
    let counted = weights.iter().zip(exits).filter(|&(&weight, _)| weight != 0.0);
    counted.map(|(weight, exit)| weight * exit.map_or(f64::NAN, |exit| exit.smoothed)).sum()
}

/// Adds the measurements of a micro-batch to those of its step.
fn add_share(total: &mut [Option<ExitReading>], further: &[Option<ExitReading>], share: f64) {
    for (total, further) in total.iter_mut().zip(further) {
        let Some(further) = further else { continue };
        let nothing = ExitReading { loss: 0.0, smoothed: 0.0, accuracy: 0.0 };
        let so_far = total.unwrap_or(nothing);
        *total = Some(ExitReading {
            loss: so_far.loss + share * further.loss,
            smoothed: so_far.smoothed + share * further.smoothed,
            accuracy: so_far.accuracy + share * further.accuracy,
        });
    }
}

fn finite(what: &'static str, value: f64) -> Result<f64, NotFinite> {
    if value.is_finite() { Ok(value) } else { Err(NotFinite { what, value }) }
}
