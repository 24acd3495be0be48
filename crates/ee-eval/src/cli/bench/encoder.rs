//! Tracing with an encoder.

use clap::Args;
use ee_models::arch::bert::{BERT, BertSizes, EncoderConfig, random};
use ee_models::device::{device, peak_memory_mib};
use ee_models::signal::Signals;
use ee_models::{Batch, ExitModel};
use serde_json::json;

use super::super::groups::Device;
use super::super::values::positive;
use super::{FINITE, SEED, token};
use crate::error::Result;
use crate::spread::{Spread, timed};

/// `ee-eval bench encoder-trace`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Layers.
    #[arg(long, default_value = "12", value_parser = positive)]
    layers: usize,
    /// Width of the hidden state.
    #[arg(long, default_value = "768", value_parser = positive)]
    dim: usize,
    /// Tokens per example.
    #[arg(long, default_value = "128", value_parser = positive)]
    seq: usize,
    /// Examples per batch.
    #[arg(long, default_value = "8", value_parser = positive)]
    batch: usize,
    /// Entries of the vocabulary.
    #[arg(long, default_value = "30522", value_parser = positive)]
    vocab: usize,
    /// Timed steps; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
    #[command(flatten)]
    on: Device,
}

/// Times steps of: one batch through all layers, every exit read, all signals on the host.
pub(super) fn trace(flags: &Flags) -> Result<String> {
    let Flags { layers, dim, seq, batch, vocab, steps, .. } = *flags;
    let sizes = BertSizes {
        vocabulary: vocab,
        d_model: dim,
        layers,
        heads: dim.div_ceil(64),
        inner: 4 * dim,
        positions: seq.max(512),
        dropout: 0.0,
        initializer_range: 0.02,
    };
    let config = EncoderConfig::of_sizes(&BERT, &sizes)?;
    let model = random(config, SEED, &device(&flags.on.device)?).model;
    let tokens: Vec<u32> = (0..batch * seq).map(|at| token(at, vocab)).collect();
    let batch = Batch::new(tokens, vec![0; batch * seq], vec![seq; batch], seq)?;
    let Spread { median, min, max } = timed(steps, || {
        // Reading the signals waits for the device.
        let signals = Signals::read(model.exit_logits(&batch), layers).expect(FINITE);
        assert_eq!(signals.n_rows(), batch.n_rows());
    });
    Ok(json!({
        "verb": "encoder-trace", "layers": layers, "dim": dim, "seq": seq, "batch": batch.n_rows(),
        "vocab": vocab, "steps": steps, "device": flags.on.device,
        "seconds": median, "seconds_min": min, "seconds_max": max, "peak_mib": peak_memory_mib(),
    })
    .to_string())
}
