use ee_models::arch::bert::{BERT, BertSizes, EncoderConfig, random};
use ee_models::device::{device, peak_memory_mib};
use ee_models::signal::Signals;
use ee_models::{Batch, ExitModel};
use serde_json::json;

use super::{FINITE, SEED, token};
use crate::cli::EncoderTraceArguments;
use crate::error::Result;
use crate::spread::{Spread, timed};

/// Times steps of: one batch through all layers, every exit read, all signals on the host.
///
/// # Errors
/// Sizes that do not go together, or an unknown device.
pub fn encoder_trace(arguments: &EncoderTraceArguments) -> Result<String> {
    let EncoderTraceArguments { layers, dim, seq, batch, vocab, steps, .. } = *arguments;
    let config = EncoderConfig::of_sizes(
        &BERT,
        &BertSizes {
            vocabulary: vocab,
            d_model: dim,
            layers,
            heads: dim.div_ceil(64),
            inner: 4 * dim,
            positions: seq.max(512),
            dropout: 0.0,
            initializer_range: 0.02,
        },
    )?;
    let model = random(config, SEED, &device(&arguments.device)?).model;
    let tokens: Vec<u32> = (0..batch * seq).map(|at| token(at, vocab)).collect();
    let batch = Batch::new(tokens, vec![0; batch * seq], vec![seq; batch], seq)?;
    let Spread { median, min, max } = timed(steps, || {
        // Reading the signals waits for the device.
        let signals = Signals::read(model.exit_logits(&batch), layers).expect(FINITE);
        assert_eq!(signals.n_rows(), batch.n_rows());
    });
    Ok(json!({
        "verb": "encoder-trace", "layers": layers, "dim": dim, "seq": seq, "batch": batch.n_rows(),
        "vocab": vocab, "steps": steps, "device": arguments.device,
        "seconds": median, "seconds_min": min, "seconds_max": max, "peak_mib": peak_memory_mib(),
    })
    .to_string())
}
