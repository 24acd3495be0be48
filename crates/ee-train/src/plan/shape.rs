//! What of a model decides how much memory its training takes.

use ee_models::arch::bert::{Encoder, EncoderConfig};
use ee_models::arch::llama::{Llama, LlamaConfig};
use ee_models::arch::{self, Kind};
use ee_models::checkpoint::ParameterShapes;
use ee_tasks::{AnyTask, TextTokenizer, Tokenizer};

use crate::config::{Lessons, LoraConfig, ModelConfig, RunConfig};
use crate::error::Result;

/// Numbers, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelShape {
    pub(super) is_decoder: bool,
    pub(super) layers: f64,
    pub(super) d_model: f64,
    /// Columns of the head.
    pub(super) outputs: f64,
    /// In all matrices, additions of low rank included.
    pub(super) matrices: f64,
    pub(super) vectors: f64,
    /// In the trained ones.
    pub(super) trained_matrices: f64,
    trained_vectors: f64,
    /// What one layer keeps of a token for its backward pass.
    pub(super) kept_per_token: f64,
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
            (ModelConfig::Checkpoint { path, .. }, labels) => match arch::of_folder(path)?.kind {
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

    pub(super) fn trained(&self) -> f64 {
        self.trained_matrices + self.trained_vectors
    }

    fn decoder(config: &LlamaConfig, lora: Option<&LoraConfig>) -> Self {
        let sizes = DecoderSizes::of(config);
        let DecoderSizes { d_model, inner, d_query, d_kv } = sizes;
        let counted = Self::count(config.num_hidden_layers, |layers| {
            let mut shapes = ParameterShapes::default();
            let mut config = config.clone();
            config.num_hidden_layers = layers;
            drop(Llama::new(&config, &mut shapes));
            shapes.into_inner()
        });
        let shape = Self {
            is_decoder: true,
            d_model,
            outputs: config.vocab_size as f64,
            // The layer's sum and both norms' outputs, the rotated query, key and value, what attention gives,
            // and of the feed-forward network both halves and their product.
            kept_per_token: 3.0 * d_model + 2.0 * d_query + 2.0 * d_kv + 3.0 * inner,
            ..counted
        };
        match lora {
            Some(lora) => shape.with_lora(lora, &sizes),
            None => shape,
        }
    }

    fn encoder(config: &EncoderConfig) -> Self {
        let (d_model, inner) = (config.hidden_size as f64, config.intermediate_size as f64);
        let counted = Self::count(config.num_hidden_layers, |layers| {
            let mut shapes = ParameterShapes::default();
            let mut config = config.clone();
            config.num_hidden_layers = layers;
            drop(Encoder::new(&config, &mut shapes));
            shapes.into_inner()
        });
        Self {
            d_model,
            outputs: config.n_labels() as f64,
            // The input, query, key, value, what attention gives, both sums and the first norm's output, and
            // the feed-forward network's inner state.
            kept_per_token: 9.0 * d_model + inner,
            ..counted
        }
    }

    /// Counts the parameters of a model of so many layers on one of two at most: the others are as the second.
    fn count(layers: usize, parameters: impl Fn(usize) -> Vec<(String, Vec<usize>)>) -> Self {
        let numbers = |layers: usize| {
            let of_kind = |parameters: &[(String, Vec<usize>)], is_matrix: bool| -> f64 {
                let of_kind = parameters.iter().filter(|(_, shape)| (shape.len() > 1) == is_matrix);
                of_kind.map(|(_, shape)| shape.iter().map(|&n| n as f64).product::<f64>()).sum()
            };
            let parameters = parameters(layers);
            [of_kind(&parameters, true), of_kind(&parameters, false)]
        };
        let one = numbers(1);
        let two = if layers > 1 { numbers(2) } else { one };
        let more = (layers - 1) as f64;
        let [matrices, vectors] = [0, 1].map(|kind| one[kind] + more * (two[kind] - one[kind]));
        Self {
            is_decoder: false,
            layers: layers as f64,
            d_model: 0.0,
            outputs: 0.0,
            matrices,
            vectors,
            trained_matrices: matrices,
            trained_vectors: vectors,
            kept_per_token: 0.0,
        }
    }

    /// With additions to some matrices, and everything else frozen.
    fn with_lora(self, lora: &LoraConfig, sizes: &DecoderSizes) -> Self {
        let DecoderSizes { d_model, inner, d_query, d_kv } = *sizes;
        let sides = |target: &str| match target {
            "q_proj" => d_model + d_query,
            "k_proj" | "v_proj" => d_model + d_kv,
            "o_proj" => d_query + d_model,
            "gate_proj" | "up_proj" | "down_proj" => d_model + inner,
            _ => 0.0,
        };
        let ends: f64 = lora.targets.iter().map(|target| sides(target)).sum();
        let rank = lora.rank as f64;
        let added = self.layers * rank * ends;
        Self {
            matrices: self.matrices + added,
            trained_matrices: added,
            trained_vectors: 0.0,
            kept_per_token: self.kept_per_token + rank * lora.targets.len() as f64,
            ..self
        }
    }
}

/// Widths of a decoder.
struct DecoderSizes {
    d_model: f64,
    inner: f64,
    d_query: f64,
    d_kv: f64,
}

impl DecoderSizes {
    fn of(config: &LlamaConfig) -> Self {
        let heads = |n: usize| n as f64 * config.head_dim as f64;
        Self {
            d_model: config.hidden_size as f64,
            inner: config.intermediate_size as f64,
            d_query: heads(config.num_attention_heads),
            d_kv: heads(config.num_key_value_heads),
        }
    }
}
