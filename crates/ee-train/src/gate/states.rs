//! The states of every exit at the learned tokens, and whether their predictions are the last exit's.

use burn::tensor::Tensor;
use ee_models::ExitModel;
use ee_models::arch::llama::{Llama, LlamaConfig};
use ee_models::gate::features;
use ee_models::signal::Signals;
use ee_tasks::{GenerationTask, TextTokenizer, causal};

use super::GateFlags;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::step::MicroBatch;

const ROWS: usize = 8;

/// What was observed at the exits before the last.
pub(super) struct Observed {
    /// Of each exit, `[tokens, d_model]`.
    pub(super) features: Vec<Tensor<2>>,
    /// Of each exit, per token 1 where its prediction is the last exit's, else 0.
    pub(super) agrees: Vec<Vec<f32>>,
}

impl Observed {
    pub(super) fn tokens(&self) -> usize {
        self.agrees.first().map_or(0, Vec::len)
    }
}

pub(super) fn read(
    flags: &GateFlags,
    task: &GenerationTask,
    tokenizer: &TextTokenizer,
    config: &LlamaConfig,
) -> Result<Split> {
    let examples = task.read_split(&flags.split, flags.data_dir.as_deref(), Some(flags.limit))?;
    let end = tokenizer.end_id().or(config.special.ends.first().copied());
    let length = flags.max_length.min(config.max_position_embeddings);
    let (rows, _) = causal::instructions(tokenizer, &examples.examples, length, end)?;
    if config.num_hidden_layers < 2 {
        let message = "a model of one layer has no exit before its last".to_owned();
        return Err(Error::Mismatch(message));
    }
    Ok(Split::causal(rows))
}

/// Runs some rows through the model, until at least `tokens` tokens were seen.
pub(super) fn observe(
    model: &Llama,
    split: &Split,
    rows: &[usize],
    tokens: usize,
) -> Result<Observed> {
    let n_exits = model.n_layers() - 1;
    let mut features_of = vec![Vec::new(); n_exits];
    let mut agrees = vec![Vec::new(); n_exits];
    for rows in rows.chunks(ROWS) {
        let MicroBatch { batch, targets } = split.batch(rows)?;
        let mut stream = model.embed(&batch, None);
        let mut states = Vec::with_capacity(model.n_layers());
        for index in 0..model.n_layers() {
            stream = model.layer(index, stream);
            states.push(stream.select(targets.places()));
        }
        let signals = Signals::of_states(model, &states).map_err(|error| {
            let place = targets.places()[error.row] / batch.width();
            ee_models::Error::from(error.of_row(|_| rows[place]))
        })?;
        for exit in 0..n_exits {
            features_of[exit].push(features(states[exit].clone()));
            let agree = |row: usize| f32::from(signals.row(row)[exit].1.final_rank == 1);
            agrees[exit].extend((0..signals.n_rows()).map(agree));
        }
        if agrees[0].len() >= tokens {
            break;
        }
    }
    let features = features_of.into_iter().map(|parts| Tensor::cat(parts, 0)).collect();
    Ok(Observed { features, agrees })
}
