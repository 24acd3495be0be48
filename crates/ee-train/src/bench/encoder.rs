use burn::module::Module;
use ee_models::Batch;
use ee_models::arch::bert::{self, BERT, BertSizes, EncoderConfig, Loaded};
use ee_models::loss::Targets;
use rand::RngExt;
use serde::Serialize;

use super::{Timing, Work, generator, timed_steps};
use crate::error::Result;
use crate::step::{MicroBatch, StepConfig};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, clap::Args)]
pub(crate) struct EncoderTrain {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) work: Work,
    /// Rows per step
    #[arg(long, default_value_t = 8)]
    pub(crate) batch: usize,
    /// Entries of the vocabulary
    #[arg(long, default_value_t = 30522)]
    pub(crate) vocab: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MeasuredEncoder {
    pub(crate) verb: &'static str,
    #[serde(flatten)]
    pub(crate) timing: Timing,
    #[serde(flatten)]
    pub(crate) flags: EncoderTrain,
}

/// Fine-tunes a random BERT of two labels on random tokens, every row full, and times the steps: forward,
/// backward, clipping and AdamW.
pub(crate) fn encoder_train(flags: EncoderTrain) -> Result<MeasuredEncoder> {
    let EncoderTrain { ref work, batch, vocab } = flags;
    let Work { layers, dim, seq, steps, .. } = *work;
    let device = work.device(&[batch, vocab])?;
    let config = EncoderConfig::of_sizes(
        &BERT,
        &BertSizes {
            vocabulary: vocab,
            d_model: dim,
            layers,
            heads: (dim / 64).max(1),
            inner: 4 * dim,
            positions: seq.max(512),
            dropout: 0.1,
            initializer_range: 0.02,
        },
    )?;
    let Loaded { model, names, .. } = bert::random(config, 0, &device);
    let config = |number| StepConfig {
        weights: work.weights(),
        watch: true,
        label_smoothing: 0.0,
        gradient_checkpointing: false,
        learning_rate: 2e-5,
        dropout: Some((0, number)),
    };
    let rows = random_rows(&flags)?;
    let timing = timed_steps(model.train(), &names, &rows, steps, &device, config)?;
    Ok(MeasuredEncoder { verb: "encoder-train", timing, flags })
}

fn random_rows(flags: &EncoderTrain) -> Result<MicroBatch> {
    let EncoderTrain { work: Work { seq, .. }, batch, vocab } = *flags;
    let mut generator = generator();
    let ids = (0..batch * seq).map(|_| generator.random_range(0..vocab as u32)).collect();
    let labels: Vec<usize> = (0..batch).map(|_| generator.random_range(0..2)).collect();
    let batch = Batch::new(ids, vec![0; batch * seq], vec![seq; batch], seq)?;
    let targets = Targets::first_positions(&batch, &labels);
    Ok(MicroBatch { batch, targets })
}
