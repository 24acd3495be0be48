use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use ee_models::Batch;
use ee_models::arch::llama::{self, LLAMA, LlamaConfig, LlamaSizes, Loaded};
use ee_models::checkpoint::Precision;
use ee_models::kernels::{Rows, Weight, project};
use ee_models::loss::Targets;
use rand::RngExt;
use serde::Serialize;

use super::{Timing, Work, generator, median, timed_steps};
use crate::error::{Error, Result};
use crate::step::{MicroBatch, StepConfig};

/// Columns of an attention head.
const HEAD: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, clap::Args)]
pub(crate) struct DecoderTrain {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) work: Work,
    /// Keep each layer's input alone and run the layer again on the way back
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Width of the feed-forward network
    #[arg(long, default_value_t = 2048)]
    pub(crate) inner: usize,
    /// Entries of the vocabulary
    #[arg(long, default_value_t = 32000)]
    pub(crate) vocab: usize,
    /// Rows per step
    #[arg(long, default_value_t = 4)]
    pub(crate) batch: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MeasuredDecoder {
    pub(crate) verb: &'static str,
    #[serde(flatten)]
    pub(crate) timing: Timing,
    /// Arithmetic of a step's products, in 10⁹ operations, see [`DecoderTrain::operations`].
    pub(crate) gflop: f64,
    /// The rate of one of them alone, the one into the feed-forward network, measured after the steps.
    pub(crate) matmul_gflop_per_second: f64,
    /// `seconds` ÷ the time that `gflop` would take at that rate.
    pub(crate) over_arithmetic: f64,
    #[serde(flatten)]
    pub(crate) flags: DecoderTrain,
}

impl DecoderTrain {
    /// Additions and multiplications of a step's matrix products, and of nothing else.
    ///
    /// A product of T rows with a matrix of P numbers is 2 T P, and there are three of them: forward, the
    /// gradient of the input and that of the matrix. T are the tokens of the batch, P the numbers of all
    /// layers' matrices, and those of the head for each exit that is read. Causal attention has two products
    /// forward and four backward, in which a query meets (seq + 1) / 2 keys on average; that scores are
    /// computed twice rather than kept is not counted. Gradient checkpointing adds the layers' forward products.
    pub(crate) fn operations(&self) -> f64 {
        let Work { joint, layers, dim, seq, .. } = self.work;
        let sizes = [layers, dim, self.inner, self.vocab, seq, self.batch];
        let [layers, dim, inner, vocab, seq, batch] = sizes.map(|size| size as f64);
        let tokens = batch * seq;
        let exits = if joint { layers } else { 1.0 };
        let product = 2.0 * tokens * (4.0 * dim * dim + 3.0 * dim * inner);
        let attention = 2.0 * tokens * dim * (seq + 1.0) / 2.0;
        let forward = layers * (product + 2.0 * attention);
        let backward = layers * (2.0 * product + 4.0 * attention);
        let heads = exits * 3.0 * 2.0 * tokens * dim * vocab;
        let again = if self.gradient_checkpointing { forward } else { 0.0 };
        forward + again + backward + heads
    }
}

/// Trains a random Llama on random tokens, every row full and every position predicting the next token, and
/// times the steps: forward, backward, clipping and AdamW.
pub(crate) fn decoder_train(flags: DecoderTrain) -> Result<MeasuredDecoder> {
    let DecoderTrain { ref work, inner, vocab, batch, .. } = flags;
    let Work { layers, dim, seq, steps, .. } = *work;
    let device = work.device(&[inner, vocab, batch])?;
    let heads = (dim / HEAD).max(1);
    let config = LlamaConfig::of_sizes(
        &LLAMA,
        &LlamaSizes {
            vocabulary: vocab,
            d_model: dim,
            layers,
            heads,
            kv_heads: heads,
            inner,
            positions: seq.max(2048),
        },
    )?;
    let Loaded { model, names, .. } = llama::random(config, 0, Precision::F32, &device);
    let config = |_| StepConfig {
        weights: work.weights(),
        watch: false,
        label_smoothing: 0.0,
        gradient_checkpointing: flags.gradient_checkpointing,
        learning_rate: 2e-5,
        dropout: None,
    };
    let rows = random_rows(&flags)?;
    let timing = timed_steps(model.train(), &names, &rows, steps, &device, config)?;
    let gflop = flags.operations() / 1e9;
    let rate = product_rate([batch * seq, dim, inner], 4 * steps, &device)?;
    let over_arithmetic = timing.seconds * rate / gflop;
    Ok(MeasuredDecoder {
        verb: "decoder-train",
        timing,
        gflop,
        matmul_gflop_per_second: rate,
        over_arithmetic,
        flags,
    })
}

fn random_rows(flags: &DecoderTrain) -> Result<MicroBatch> {
    let DecoderTrain { work: Work { seq, .. }, batch, vocab, .. } = *flags;
    let mut generator = generator();
    let (mut ids, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..batch {
        let row: Vec<u32> = (0..=seq).map(|_| generator.random_range(0..vocab as u32)).collect();
        ids.extend(&row[..seq]);
        labels.extend(&row[1..]);
    }
    let targets = Targets::new((0..batch * seq).collect(), labels);
    let batch = Batch::new(ids, vec![0; batch * seq], vec![seq; batch], seq)?;
    Ok(MicroBatch { batch, targets })
}

/// 10⁹ operations per second of a product of `[rows, inputs]` with a weight `[outputs, inputs]`: the median of
/// `rounds` rounds.
fn product_rate(
    [rows, inputs, outputs]: [usize; 3],
    rounds: usize,
    device: &Device,
) -> Result<f64> {
    let normal = Distribution::Normal(0.0, 1.0);
    let state = Tensor::<2>::random([rows, inputs], normal, device);
    let matrix = Tensor::<2>::random([outputs, inputs], normal, device);
    let mut seconds = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let weight = Weight { matrix: matrix.clone(), bias: None };
        let started = Instant::now();
        let [output] = project(state.clone(), [weight], Rows::Many);
        device.sync().map_err(|error| Error::Mismatch(error.to_string()))?;
        seconds.push(started.elapsed().as_secs_f64());
        drop(output);
    }
    Ok(2.0 * (rows * inputs * outputs) as f64 / median(&mut seconds) / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_six_times_the_parameters_and_attention() {
        let (joint, device) = (false, "cpu".to_owned());
        let work = Work { joint, layers: 2, dim: 4, seq: 3, steps: 1, device };
        let gradient_checkpointing = false;
        let plain = DecoderTrain { work, gradient_checkpointing, inner: 8, vocab: 10, batch: 5 };
        // 15 tokens; 2 layers of 4·16 + 3·32 = 160 numbers and a head of 40; 6 products of 15 · 4 · 2 · 2.
        let parameters = 6 * 15 * (2 * 160 + 40);
        let attention = 2 * 6 * (2 * 15 * 4 * 2);
        assert_eq!(plain.operations(), f64::from(parameters + attention));
        let mut joint = plain.clone();
        joint.work.joint = true;
        assert_eq!(joint.operations() - plain.operations(), f64::from(6 * 15 * 40));
        let again = DecoderTrain { gradient_checkpointing: true, ..plain.clone() };
        let forward = 2 * 15 * 2 * 160 + 2 * 2 * (2 * 15 * 4 * 2);
        assert_eq!(again.operations() - plain.operations(), f64::from(forward));
    }
}
