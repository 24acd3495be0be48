//! One optimizer step: forward and backward over the micro-batches, clipping, AdamW.
//!
//! The losses of a step are means over all its rows: micro-batch i counts with its share of the rows, so
//! that cutting a batch into micro-batches saves memory and changes the result by rounding alone.

use burn::tensor::Gradients;
use ee_models::arch::bert::Encoder;
use ee_models::checkpoint::ParameterNames;
use ee_models::loss::{Objective, losses};
use ee_models::{Batch, DropoutKey};

use crate::optimizer::{self, AdamW};

/// Rows that travel through the model together, and their labels.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// Token ids and lengths.
    pub batch: Batch,
    /// One label per row.
    pub labels: Vec<usize>,
}

/// What a step does beside its data.
#[derive(Clone, Copy, Debug)]
pub struct StepConfig {
    /// Which exits' losses are minimized.
    pub objective: Objective,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Seed and number of the step, from which dropout follows; `None` drops nothing.
    pub dropout: Option<(u64, u64)>,
}

/// What a step saw, in nats, before it changed the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// The objective.
    pub loss: f64,
    /// Mean loss of the exits 1..=N.
    pub exit_losses: Vec<f64>,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Number of rows.
    pub rows: usize,
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
/// When there is no micro-batch.
pub fn step(
    model: Encoder,
    optimizer: &mut AdamW,
    names: &ParameterNames,
    micro_batches: &[MicroBatch],
    config: StepConfig,
) -> Result<(Encoder, StepReport), NotFinite> {
    let rows: usize = micro_batches.iter().map(|micro| micro.labels.len()).sum();
    let mut loss = 0.0;
    let mut exit_losses = Vec::new();
    let mut gradients = None;
    for (number, micro) in micro_batches.iter().enumerate() {
        let share = micro.labels.len() as f64 / rows as f64;
        let dropout =
            config.dropout.map(|(seed, step)| DropoutKey::new(&[seed, step, number as u64]));
        let pass = backward(&model, micro, config.objective, dropout, share)?;
        loss += share * pass.loss;
        exit_losses.resize(pass.exit_losses.len(), 0.0);
        for (sum, exit) in exit_losses.iter_mut().zip(pass.exit_losses) {
            *sum += share * exit;
        }
        match &mut gradients {
            None => gradients = Some(pass.gradients),
            Some(total) => optimizer::accumulate(&model, total, pass.gradients),
        }
    }
    let gradients = gradients.expect("a step has at least one micro-batch");
    let gradient_norm = finite("the gradient norm", optimizer::gradient_norm(&model, &gradients))?;
    let scale = optimizer.clipping(gradient_norm);
    let model = optimizer.step(model, gradients, names, config.learning_rate, scale);
    Ok((model, StepReport { loss, exit_losses, gradient_norm, rows }))
}

/// The result of one forward and backward pass.
struct Pass {
    loss: f64,
    exit_losses: Vec<f64>,
    gradients: Gradients,
}

/// Runs one micro-batch forward and its loss, times `share`, backward.
fn backward(
    model: &Encoder,
    micro: &MicroBatch,
    objective: Objective,
    dropout: Option<DropoutKey>,
    share: f64,
) -> Result<Pass, NotFinite> {
    let losses = losses(model, &micro.batch, &micro.labels, objective, dropout);
    // Host synchronisation: a loss that is no number must not reach the weights.
    let exit_losses: Vec<f64> = losses.exits.inner().into_data().iter::<f64>().collect();
    let loss = match objective {
        Objective::Final => *exit_losses.last().expect("a model has at least one exit"),
        Objective::Joint => exit_losses.iter().sum(),
    };
    let loss = finite("the loss", loss)?;
    let scaled = if share == 1.0 { losses.objective } else { losses.objective.mul_scalar(share) };
    Ok(Pass { loss, exit_losses, gradients: scaled.backward() })
}

fn finite(what: &'static str, value: f64) -> Result<f64, NotFinite> {
    if value.is_finite() { Ok(value) } else { Err(NotFinite { what, value }) }
}
