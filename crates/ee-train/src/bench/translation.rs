use burn::module::Module;
use ee_models::Batch;
use ee_models::arch::SpecialTokens;
use ee_models::arch::seq2seq::{
    self, Dropouts, Loaded, MARIAN, Options, Seq2SeqConfig, Seq2SeqSizes, Sharing, Tokens,
};
use ee_models::checkpoint::Precision;
use ee_models::kernels::Activation;
use ee_models::loss::Targets;
use rand::RngExt;
use serde::Serialize;

use super::{Timing, Work, generator, timed_steps};
use crate::error::Result;
use crate::step::{MicroBatch, StepConfig};

#[derive(Clone, Debug, PartialEq, Serialize, clap::Args)]
pub(crate) struct TranslationTrain {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) work: Work,
    /// Keep each layer's input alone and run the layer again on the way back
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Layers of the encoder
    #[arg(long, default_value_t = 6)]
    pub(crate) encoder_layers: usize,
    /// Width of the feed-forward networks
    #[arg(long, default_value_t = 2048)]
    pub(crate) inner: usize,
    /// Entries of the vocabulary, which both languages share
    #[arg(long, default_value_t = 32000)]
    pub(crate) vocab: usize,
    /// Pairs per step, each with `seq` tokens on either side
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// The share of the weight that labels give to the other outputs
    #[arg(long, default_value_t = 0.1)]
    pub(crate) label_smoothing: f64,
    /// Probability of dropout
    #[arg(long, default_value_t = 0.1)]
    pub(crate) dropout: f64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MeasuredTranslation {
    pub(crate) verb: &'static str,
    #[serde(flatten)]
    pub(crate) timing: Timing,
    /// Of a step, on the target's side.
    pub(crate) target_tokens: usize,
    #[serde(flatten)]
    pub(crate) flags: TranslationTrain,
}

/// Trains a random encoder-decoder on random pairs, every row full on both sides, one table for everything, and times
/// the steps: forward, backward, clipping and AdamW.
pub(crate) fn translation_train(flags: TranslationTrain) -> Result<MeasuredTranslation> {
    let TranslationTrain { ref work, encoder_layers, inner, vocab, batch, .. } = flags;
    let Work { layers, dim, seq, steps, .. } = *work;
    let device = work.device(&[encoder_layers, inner, vocab, batch])?;
    let (end, padding) = (0, vocab - 1);
    let tokens = Tokens {
        start: end,
        forced_beginning: None,
        forced_end: None,
        never: vec![padding as u32],
        special: SpecialTokens { beginning: None, ends: vec![end] },
    };
    let sizes = Seq2SeqSizes {
        source_vocabulary: vocab,
        target_vocabulary: vocab,
        sharing: Sharing::All,
        d_model: dim,
        encoder_layers,
        decoder_layers: layers,
        heads: (dim / 64).max(1),
        inner,
        positions: seq.max(512),
        dropouts: Dropouts { hidden: flags.dropout, ..Dropouts::default() },
        activation: Activation::Relu,
        padding,
    };
    let options = Seq2SeqConfig::of_sizes(&MARIAN, &sizes, &tokens)?.options;
    let options = Options { scale_embedding: true, ..options };
    let config = Seq2SeqConfig::of_options(&MARIAN, &options, &tokens)?;
    let Loaded { model, names, .. } = seq2seq::random(config, 0, Precision::F32, &device);
    let config = |number| StepConfig {
        weights: work.weights(),
        watch: false,
        label_smoothing: flags.label_smoothing,
        gradient_checkpointing: flags.gradient_checkpointing,
        learning_rate: 2e-5,
        dropout: Some((0, number)),
    };
    let rows = random_rows(&flags)?;
    let timing = timed_steps(model.train(), &names, &rows, steps, &device, config)?;
    Ok(MeasuredTranslation { verb: "translation-train", timing, target_tokens: batch * seq, flags })
}

fn random_rows(flags: &TranslationTrain) -> Result<MicroBatch> {
    let TranslationTrain { work: Work { seq, .. }, batch, vocab, .. } = *flags;
    let mut generator = generator();
    let mut draw = |n: usize| -> Vec<u32> {
        // Neither padding nor, but at the beginning, the end.
        (0..n).map(|_| generator.random_range(1..(vocab as u32 - 1).max(2))).collect()
    };
    let (source, labels) = (draw(batch * seq), draw(batch * seq));
    let rows = labels.chunks(seq).flat_map(|row| [&[0], &row[..seq - 1]].concat());
    let padded = |ids: Vec<u32>| Batch::new(ids, vec![0; batch * seq], vec![seq; batch], seq);
    let batch_of_rows = padded(rows.collect())?.with_source(padded(source)?)?;
    let targets = Targets::new((0..batch * seq).collect(), labels);
    Ok(MicroBatch { batch: batch_of_rows, targets })
}
