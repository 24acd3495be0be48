//! What decides how much memory a model's training takes.

use ee_models::arch::bert::{BERT, EncoderConfig};
use ee_models::arch::llama::{LLAMA, LlamaConfig};
use ee_models::arch::{self, ModelSize};
use ee_tasks::{AnyTask, BpeSize, TextTokenizer, Tokenizer};

use crate::config::{LearntConfig, Lessons, LoraConfig, ModelConfig, PairConfig, RunConfig};
use crate::error::Result;

/// A model's size with what of it is trained; numbers, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelShape {
    /// Additions of low rank included.
    pub(super) model: ModelSize,
    pub(super) trained_matrices: f64,
    trained_vectors: f64,
}

impl ModelShape {
    pub(super) fn of(config: &RunConfig) -> Result<Self> {
        let model = size(config)?;
        let (trained_matrices, trained_vectors) = (model.matrices, model.vectors);
        Ok(match &config.lora {
            Some(lora) if model.is_adaptable => Self::with_lora(model, lora),
            _ => Self { model, trained_matrices, trained_vectors },
        })
    }

    pub(super) fn trained(&self) -> f64 {
        self.trained_matrices + self.trained_vectors
    }

    /// With additions to some matrices, and everything else frozen.
    fn with_lora(mut model: ModelSize, lora: &LoraConfig) -> Self {
        let added = model.low_rank(lora.rank, &lora.targets);
        model.matrices += added;
        model.kept_per_token += lora.rank as f64 * lora.targets.len() as f64;
        Self { model, trained_matrices: added, trained_vectors: 0.0 }
    }
}

/// Entries beside the merges of a dictionary that is not learnt yet: characters and special tokens.
const CHARACTERS: usize = 256;

/// The size of a new encoder-decoder.
fn pair_size(pair: &PairConfig, learnt: Option<&LearntConfig>) -> Result<ModelSize> {
    let (vocabularies, end, padding) = match &pair.tokenizer {
        Some(folder) => {
            let tokenizer = TextTokenizer::of_pair(folder)?;
            let sizes = [tokenizer.prompt_vocabulary_size(), tokenizer.vocabulary_size()];
            (sizes, tokenizer.end_id().unwrap_or(0), tokenizer.padding_id())
        }
        None => {
            let size = match learnt.map(|LearntConfig(settings)| settings.size) {
                Some(BpeSize::Vocabulary(size)) => size,
                Some(BpeSize::Merges(merges)) => merges.saturating_add(CHARACTERS),
                None => CHARACTERS,
            };
            ([size; 2], 0, None)
        }
    };
    Ok(pair.model(vocabularies, end, padding)?.size())
}

fn size(config: &RunConfig) -> Result<ModelSize> {
    if let ModelConfig::Pair(pair) = &config.model {
        return pair_size(pair, config.tokenizer.as_ref());
    }
    let labels = match &config.task.lessons {
        Lessons::Task { file } => match AnyTask::read(file)? {
            AnyTask::Classification(task) => Some(task.labels),
            AnyTask::Generation(_) => None,
        },
        Lessons::Text { .. } => None,
    };
    Ok(match (&config.model, labels) {
        (ModelConfig::Pair(_), _) => unreachable!("answered before"),
        (ModelConfig::Checkpoint { path, .. }, labels) => {
            arch::of_folder(path)?.size(path, labels.as_deref())?
        }
        (ModelConfig::Scratch(scratch), Some(labels)) => {
            let tokenizer = Tokenizer::from_folder(&scratch.tokenizer, config.task.max_length)?;
            let sizes = scratch.bert(tokenizer.vocabulary_size());
            let mut encoder = EncoderConfig::of_sizes(&BERT, &sizes)?;
            encoder.set_labels(&labels);
            encoder.size()
        }
        (ModelConfig::Scratch(scratch), None) => {
            let tokenizer = TextTokenizer::from_folder(&scratch.tokenizer)?;
            let sizes = scratch.llama(tokenizer.vocabulary_size());
            LlamaConfig::of_sizes(&LLAMA, &sizes)?.with_tied_head(scratch.tied_head).size()
        }
    })
}
