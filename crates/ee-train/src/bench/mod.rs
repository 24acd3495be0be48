//! The time and memory of training steps on random weights and tokens.

mod decoder;
mod encoder;
mod translation;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use ee_models::ExitModel;
use ee_models::checkpoint::ParameterNames;
use ee_models::device::{device, peak_memory_mib};
use ee_models::loss::Objective;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub(crate) use self::decoder::{DecoderTrain, decoder_train};
pub(crate) use self::encoder::{EncoderTrain, encoder_train};
pub(crate) use self::translation::{TranslationTrain, translation_train};
use crate::error::{Error, Result};
use crate::optimizer::{AdamW, AdamWConfig};
use crate::step::{MicroBatch, StepConfig, StepReport, step};

/// The sizes that both have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, clap::Args)]
pub(crate) struct Work {
    /// Sum the losses of all exits instead of the last one's alone
    #[arg(long)]
    joint: bool,
    /// Number of layers
    #[arg(long, default_value_t = 12)]
    layers: usize,
    /// Width of the hidden state; heads have 64 columns
    #[arg(long, default_value_t = 768)]
    dim: usize,
    /// Tokens per row
    #[arg(long, default_value_t = 128)]
    seq: usize,
    /// Steps that are timed, after one that is not
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// cpu, cuda:I, tch:cpu, tch:cuda:I
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Work {
    /// The device, where every size, these and others, is above 0.
    fn device(&self, others: &[usize]) -> Result<Device> {
        if [self.layers, self.dim, self.seq, self.steps].iter().chain(others).any(|&size| size == 0)
        {
            return Err(Error::Mismatch("every size must be above 0".to_owned()));
        }
        Ok(device(&self.device)?)
    }

    /// What the exits count.
    fn weights(&self) -> Vec<f64> {
        let objective = if self.joint { Objective::JOINT } else { Objective::FINAL };
        objective.weights(self.layers)
    }
}

/// Medians over the timed steps, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Timing {
    /// A whole step: forward, backward, clipping and AdamW.
    pub(crate) seconds: f64,
    /// The part spent in the layers and the embedding.
    pub(crate) layers_seconds: f64,
    /// The part spent in the head, at every exit that was read.
    pub(crate) heads_seconds: f64,
    /// The part spent on the gradients' norm and the update.
    pub(crate) optimizer_seconds: f64,
    /// Peak resident memory of the process.
    pub(crate) peak_mib: Option<f64>,
}

/// Makes one step and then `steps` that are timed, each of the same micro-batch.
fn timed_steps<M: ExitModel + Module>(
    mut model: M,
    names: &ParameterNames,
    micro_batch: &MicroBatch,
    steps: usize,
    device: &Device,
    config: impl Fn(u64) -> StepConfig,
) -> Result<Timing> {
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let (mut seconds, mut reports) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    for number in 0..=steps as u64 {
        let started = Instant::now();
        let micro_batches = std::slice::from_ref(micro_batch);
        let report;
        (model, report) = step(model, &mut optimizer, names, micro_batches, &config(number))
            .map_err(|found| Error::Mismatch(format!("{} is {}", found.what, found.value)))?;
        device.sync().map_err(|error| Error::Mismatch(error.to_string()))?;
        seconds.push(started.elapsed().as_secs_f64());
        reports.push(report);
    }
    let of = |part: fn(&StepReport) -> f64| {
        median(&mut reports[1..].iter().map(part).collect::<Vec<_>>())
    };
    Ok(Timing {
        seconds: median(&mut seconds[1..]),
        layers_seconds: of(|report| report.seconds.layers),
        heads_seconds: of(|report| report.seconds.heads),
        optimizer_seconds: of(|report| report.seconds.optimizer),
        peak_mib: peak_memory_mib(),
    })
}

/// Where random tokens and labels come from.
fn generator() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
