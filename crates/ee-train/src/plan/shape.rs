//! What of a model decides how much memory its training takes.

use ee_models::arch::bert::{Encoder, EncoderConfig};
use ee_models::arch::llama::{Llama, LlamaConfig};
use ee_models::arch::{self, Kind};
use ee_models::checkpoint::ParameterShapes;
use ee_tasks::{AnyTask, TextTokenizer, Tokenizer};

use crate::config::{Lessons, LoraConfig, ModelConfig, RunConfig};
use crate::error::Result;

/// Numbers, not bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelShape {
    pub(super) is_decoder: bool,
    pub(super) layers: usize,
    pub(super) d_model: usize,
    /// Columns of the head.
    pub(super) outputs: usize,
    /// In all matrices, additions of low rank included.
    pub(super) matrices: usize,
    pub(super) vectors: usize,
    /// In the trained ones.
    pub(super) trained_matrices: usize,
    trained_vectors: usize,
    /// What one layer keeps of a token for its backward pass.
    pub(super) kept_per_token: usize,
}

impl ModelShape {
    pub(super) fn of(config: &RunConfig) -> Result<Self> {
        let labels = match &config.task.lessons {
            Lessons::Task { file } => match AnyTask::read(file)? {
                AnyTask::Classification(task) => Some(task.labels),
                AnyTask::Generation(_) => None,
            },
            Lessons::Text { .. } => None,
        };
        match (&config.model, labels) {
            (ModelConfig::Checkpoint { path }, labels) => match arch::of_folder(path)?.kind {
                Kind::Encoder => {
                    let mut encoder = EncoderConfig::read(path)?;
                    if let Some(labels) = labels {
                        encoder.set_labels(&labels);
                    }
                    Ok(Self::encoder(&encoder))
                }
                Kind::Decoder => Ok(Self::decoder(&LlamaConfig::read(path)?, config.lora.as_ref())),
            },
            (ModelConfig::Scratch(scratch), Some(labels)) => {
                let tokenizer = Tokenizer::from_folder(&scratch.tokenizer, config.task.max_length)?;
                let sizes = scratch.bert(tokenizer.vocabulary_size());
                let mut encoder = EncoderConfig::bert(&sizes)?;
                encoder.set_labels(&labels);
                Ok(Self::encoder(&encoder))
            }
            (ModelConfig::Scratch(scratch), None) => {
                let tokenizer = TextTokenizer::from_folder(&scratch.tokenizer)?;
                let sizes = scratch.llama(tokenizer.vocabulary_size());
                let decoder = LlamaConfig::llama(&sizes)?.with_tied_head(scratch.tied_head);
                Ok(Self::decoder(&decoder, config.lora.as_ref()))
            }
        }
    }

    pub(super) fn trained(&self) -> usize {
        self.trained_matrices + self.trained_vectors
    }

    fn decoder(config: &LlamaConfig, lora: Option<&LoraConfig>) -> Self {
        let mut shapes = ParameterShapes::default();
        drop(Llama::new(config, &mut shapes));
        let (d_model, inner) = (config.hidden_size, config.intermediate_size);
        let d_query = config.num_attention_heads * config.head_dim;
        let d_kv = config.num_key_value_heads * config.head_dim;
        // The layer's sum and both norms' outputs, the rotated query, key and value, what attention gives, and
        // of the feed-forward network both halves and their product.
        let kept = 3 * d_model + 2 * d_query + 2 * d_kv + 3 * inner;
        let shape = Self {
            is_decoder: true,
            layers: config.num_hidden_layers,
            d_model,
            outputs: config.vocab_size,
            kept_per_token: kept,
            ..Self::count(&shapes.into_inner())
        };
        match lora {
            Some(lora) => shape.with_lora(lora, config),
            None => shape,
        }
    }

    fn encoder(config: &EncoderConfig) -> Self {
        let mut shapes = ParameterShapes::default();
        drop(Encoder::new(config, &mut shapes));
        let (d_model, inner) = (config.hidden_size, config.intermediate_size);
        // The input, query, key, value, what attention gives, both sums and the first norm's output, and the
        // feed-forward network's inner state.
        let kept = 9 * d_model + inner;
        Self {
            is_decoder: false,
            layers: config.num_hidden_layers,
            d_model,
            outputs: config.n_labels(),
            kept_per_token: kept,
            ..Self::count(&shapes.into_inner())
        }
    }

    fn count(parameters: &[(String, Vec<usize>)]) -> Self {
        let numbers = |is_matrix: bool| -> usize {
            let of_kind = parameters.iter().filter(|(_, shape)| (shape.len() > 1) == is_matrix);
            of_kind.map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        let (matrices, vectors) = (numbers(true), numbers(false));
        Self {
            is_decoder: false,
            layers: 0,
            d_model: 0,
            outputs: 0,
            matrices,
            vectors,
            trained_matrices: matrices,
            trained_vectors: vectors,
            kept_per_token: 0,
        }
    }

    /// With additions to some matrices, and everything else frozen.
    fn with_lora(self, lora: &LoraConfig, config: &LlamaConfig) -> Self {
        let (d_model, inner) = (config.hidden_size, config.intermediate_size);
        let d_query = config.num_attention_heads * config.head_dim;
        let d_kv = config.num_key_value_heads * config.head_dim;
        let sizes = |target: &str| match target {
            "q_proj" => d_model + d_query,
            "k_proj" | "v_proj" => d_model + d_kv,
            "o_proj" => d_query + d_model,
            "gate_proj" | "up_proj" | "down_proj" => d_model + inner,
            _ => 0,
        };
        let ends: usize = lora.targets.iter().map(|target| sizes(target)).sum();
        let added = config.num_hidden_layers * lora.rank * ends;
        Self {
            matrices: self.matrices + added,
            trained_matrices: added,
            trained_vectors: 0,
            kept_per_token: self.kept_per_token + lora.rank * lora.targets.len(),
            ..self
        }
    }
}
