//! The time and memory of a training step on random weights and tokens.

use std::time::Instant;

use burn::module::Module;
use ee_models::Batch;
use ee_models::arch::bert::{self, BertSizes, EncoderConfig, Loaded};
use ee_models::device::{device, peak_memory_mib};
use ee_models::loss::{Activations, Objective, Targets};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::optimizer::{AdamW, AdamWConfig};
use crate::step::{MicroBatch, StepConfig, step};

/// The sizes of the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, clap::Args)]
pub struct EncoderTrain {
    /// Sum the losses of all exits instead of the last one's alone
    #[arg(long)]
    pub joint: bool,
    /// Number of layers
    #[arg(long, default_value_t = 12)]
    pub layers: usize,
    /// Width of the hidden state; heads have 64 columns, the feed-forward network is 4 times as wide
    #[arg(long, default_value_t = 768)]
    pub dim: usize,
    /// Tokens per row
    #[arg(long, default_value_t = 128)]
    pub seq: usize,
    /// Rows per step
    #[arg(long, default_value_t = 8)]
    pub batch: usize,
    /// Entries of the vocabulary
    #[arg(long, default_value_t = 30522)]
    pub vocab: usize,
    /// Steps that are timed, after one that is not
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// cpu, cuda:I, tch:cpu, tch:cuda:I
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// `encoder-train`
    pub verb: &'static str,
    /// Median time of a step.
    pub seconds: f64,
    /// Peak resident memory of the process.
    pub peak_mib: Option<f64>,
    /// The sizes of the work.
    #[serde(flatten)]
    pub flags: EncoderTrain,
}

/// Fine-tunes a random BERT of two labels on random tokens, every row full, and times the steps: forward,
/// backward, clipping and AdamW.
///
/// # Errors
/// When the sizes do not go together, a size is 0 or the device is not there.
pub fn encoder_train(flags: EncoderTrain) -> Result<Measured> {
    let EncoderTrain { layers, dim, seq, batch, vocab, steps, .. } = flags;
    if [layers, dim, seq, batch, vocab, steps].contains(&0) {
        return Err(Error::Mismatch("every size must be above 0".to_owned()));
    }
    let device = device(&flags.device)?;
    let config = EncoderConfig::bert(&BertSizes {
        vocabulary: vocab,
        d_model: dim,
        layers,
        heads: (dim / 64).max(1),
        inner: 4 * dim,
        positions: seq.max(512),
        dropout: 0.1,
        initializer_range: 0.02,
    })?;
    let Loaded { model, names, .. } = bert::random(config, 0, &device);
    let mut model = model.train();
    let micro_batch = random_rows(&flags)?;
    let learning_rate = 2e-5;
    let mut optimizer = AdamW::new(AdamWConfig {
        learning_rate,
        weight_decay: 0.01,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        max_gradient_norm: 1.0,
    });
    let objective = if flags.joint { Objective::Joint } else { Objective::Final };
    let mut seconds = Vec::with_capacity(steps);
    for number in 0..=steps as u64 {
        let started = Instant::now();
        let config = StepConfig {
            weights: objective.weights(layers),
            watch: true,
            activations: Activations::Keep,
            learning_rate,
            dropout: Some((0, number)),
        };
        let micro_batches = std::slice::from_ref(&micro_batch);
        (model, _) = step(model, &mut optimizer, &names, micro_batches, &config)
            .map_err(|found| Error::Mismatch(format!("{} is {}", found.what, found.value)))?;
        device.sync().map_err(|error| Error::Mismatch(error.to_string()))?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    let seconds = median(&mut seconds[1..]);
    Ok(Measured { verb: "encoder-train", seconds, peak_mib: peak_memory_mib(), flags })
}

fn random_rows(flags: &EncoderTrain) -> Result<MicroBatch> {
    let EncoderTrain { seq, batch, vocab, .. } = *flags;
    let mut generator = ChaCha8Rng::seed_from_u64(0);
    let ids = (0..batch * seq).map(|_| generator.random_range(0..vocab as u32)).collect();
    let labels: Vec<usize> = (0..batch).map(|_| generator.random_range(0..2)).collect();
    let batch = Batch::new(ids, vec![0; batch * seq], vec![seq; batch], seq)?;
    let targets = Targets::first_positions(&batch, &labels);
    Ok(MicroBatch { batch, targets })
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
