//! A decoder under examination: the model on its device, its tokenizer, and what ends its texts.

use std::path::Path;

use ee_models::Decoder;
use ee_models::arch::llama::{self, Llama, Loaded};
use ee_models::checkpoint::Precision;
use ee_models::device::device;
use ee_models::loss::Objective;
use ee_tasks::TextTokenizer;

use super::checkpoint::Checkpoint;
use crate::error::Result;
use crate::trace::TraceFacts;

/// A loaded decoder with its tokenizer.
pub(crate) struct DecoderSubject {
    checkpoint: Checkpoint,
    loaded: Loaded,
    tokenizer: TextTokenizer,
    weights: Precision,
}

impl DecoderSubject {
    /// Loads the checkpoint of `folder` onto the device called `device_name`.
    pub(crate) fn open(folder: &Path, weights: Precision, device_name: &str) -> Result<Self> {
        let tokenizer = TextTokenizer::from_folder(folder)?;
        let loaded = llama::load(folder, weights, &device(device_name)?)?;
        let tokenizer = tokenizer.for_rows(loaded.config.vocab_size);
        for notice in &loaded.config.notices {
            ee_files::note!("notice: {notice}");
        }
        if loaded.config.special.ends.is_empty() {
            ee_files::note!(
                "notice: {} names no end token: every text goes on to its longest length",
                folder.display()
            );
        }
        Ok(Self {
            checkpoint: Checkpoint::open(
                folder,
                device_name,
                loaded.config.family.facts.model_type,
            )?,
            loaded,
            tokenizer,
            weights,
        })
    }

    pub(crate) fn model(&self) -> &Llama {
        &self.loaded.model
    }

    pub(crate) fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The tokens that end a text.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.loaded.config.special.ends
    }

    /// The token that training teaches to end a text with: the tokenizer's, else the first of the model's.
    pub(crate) fn taught_end(&self) -> Option<u32> {
        let end = self.tokenizer.end_id().filter(|&end| (end as usize) < self.vocabulary_size());
        end.or(self.ends().first().copied())
    }

    /// The ids of a prompt; of an empty one the token that a text begins with. Of one that fits the model in
    /// no way and is not cut either (`truncate`), the end may be missing.
    pub(crate) fn encode(&self, prompt: &str, truncate: bool) -> Result<Vec<u32>> {
        let mut ids = match truncate {
            true => self.tokenizer.encode_prompt(prompt)?,
            false => self.tokenizer.encode_prompt_within(prompt, self.max_positions() + 1)?,
        };
        if ids.is_empty() {
            ids.extend(self.loaded.config.special.beginning);
        }
        Ok(ids)
    }

    /// The longest text, in tokens.
    pub(crate) fn max_positions(&self) -> usize {
        self.loaded.config.max_position_embeddings
    }

    pub(crate) fn vocabulary_size(&self) -> usize {
        self.loaded.config.vocab_size
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.checkpoint.folder
    }

    pub(crate) fn device(&self) -> &str {
        &self.checkpoint.device
    }

    /// The format of the weights as it was asked for.
    pub(crate) fn weights(&self) -> &'static str {
        match self.weights {
            Precision::Stored => "stored",
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
        }
    }

    /// SHA-256 of the weights, in hexadecimal.
    pub(crate) fn checksum(&self) -> &str {
        &self.checkpoint.checksum
    }

    /// Bytes of a layer's matrices and of the head.
    pub(crate) fn weight_bytes(&self) -> (usize, usize) {
        let bytes = self.model().weight_bytes();
        (bytes.layer, bytes.head)
    }

    pub(crate) fn architecture(&self) -> &'static str {
        self.checkpoint.architecture()
    }

    /// How the checkpoint was trained, where its folder says.
    pub(crate) fn objective(&self) -> Option<Objective> {
        self.checkpoint.objective()
    }

    /// The facts of a trace that are the checkpoint's.
    pub(crate) fn facts(&self) -> TraceFacts {
        self.checkpoint.facts()
    }
}
