//! A decoder under examination: the model on its device, its tokenizer, and what ends its texts.

use std::path::Path;

use ee_models::Decoder;
use ee_models::arch::{self, LoadedDecoder};
use ee_models::checkpoint::Precision;
use ee_models::device::device;
use ee_models::loss::Objective;
use ee_tasks::TextTokenizer;

use super::checkpoint::Checkpoint;
use super::prompts::{Prompt, Room};
use crate::error::Result;
use crate::trace::TraceFacts;

/// A loaded decoder, with or without an encoder that reads its prompts, and its tokenizer.
pub(crate) struct DecoderSubject {
    checkpoint: Checkpoint,
    loaded: LoadedDecoder,
    tokenizer: TextTokenizer,
    weights: Precision,
}

impl DecoderSubject {
    /// Loads the checkpoint of `folder` onto the device called `device_name`.
    pub(crate) fn open(folder: &Path, weights: Precision, device_name: &str) -> Result<Self> {
        let loaded = arch::decoder(folder, weights, &device(device_name)?)?;
        let tokenizer = tokenizer(folder, &loaded)?;
        for notice in &loaded.notices {
            ee_files::note!("notice: {notice}");
        }
        if loaded.special.ends.is_empty() {
            ee_files::note!(
                "notice: {} names no end token: every text goes on to its longest length",
                folder.display()
            );
        }
        let checkpoint = Checkpoint::open(folder, device_name, loaded.model_type)?;
        Ok(Self { checkpoint, loaded, tokenizer, weights })
    }

    pub(crate) fn model(&self) -> &dyn Decoder {
        &*self.loaded.model
    }

    /// Layers of the encoder that reads the prompts; none where there is no encoder.
    pub(crate) fn encoder_layers(&self) -> Option<usize> {
        self.model().encoder().map(|encoder| encoder.n_layers())
    }

    pub(crate) fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The tokens that end a text.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.loaded.special.ends
    }

    /// The token that training teaches to end a text with: the tokenizer's, else the first of the model's.
    pub(crate) fn taught_end(&self) -> Option<u32> {
        let end = self.tokenizer.end_id().filter(|&end| (end as usize) < self.vocabulary_size());
        end.or(self.ends().first().copied())
    }

    /// The ids of a prompt, which must fit beside this many new tokens or may be cut to (`truncate`). Of an empty
    /// one the token that a text begins with; where an encoder reads prompts there are none, and nothing is written.
    pub(crate) fn prompt(
        &self,
        (number, text): (usize, &str),
        new_tokens: usize,
        truncate: bool,
    ) -> Result<Prompt> {
        let room = Room::of(self.model(), new_tokens, truncate);
        if room.has_encoder && text.trim().is_empty() {
            return Ok(Prompt { ids: Vec::new(), is_truncated: false });
        }
        // Of one that fits in no way and is not cut either, the end may be missing.
        let mut ids = match truncate {
            true => self.tokenizer.encode_prompt(text)?,
            false => self.tokenizer.encode_prompt_within(text, room.enough())?,
        };
        if ids.is_empty() && !room.has_encoder {
            ids.extend(self.loaded.special.beginning);
        }
        room.fit(number, ids)
    }

    /// A prompt and the gold answer that the model is given after it, at most this many tokens of it; the end token
    /// is one of them.
    pub(crate) fn with_answer(
        &self,
        (number, text): (usize, &str),
        answer: &str,
        new_tokens: usize,
        truncate: bool,
    ) -> Result<(Prompt, Vec<u32>)> {
        if !self.model().opening().is_empty() && text.trim().is_empty() {
            return Ok((Prompt { ids: Vec::new(), is_truncated: false }, Vec::new()));
        }
        let (ids, mut answer) = if self.model().opening().is_empty() {
            let encoding = self.tokenizer.encode_prompted(text, answer)?;
            let mut ids = encoding.ids;
            let mut answer = ids.split_off(encoding.prompt_length);
            answer.extend(self.taught_end());
            (ids, answer)
        } else {
            (self.tokenizer.encode_prompt(text)?, self.tokenizer.encode_answer(answer)?)
        };
        answer.truncate(new_tokens);
        let room = Room::of(self.model(), answer.len(), truncate);
        Ok((room.fit(number, ids)?, answer))
    }

    /// The longest text, in tokens.
    pub(crate) fn max_positions(&self) -> usize {
        self.model().max_positions()
    }

    pub(crate) fn vocabulary_size(&self) -> usize {
        self.model().vocabulary_size()
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

/// The tokenizer of a model's folder, which has two sides where an encoder reads the prompts.
fn tokenizer(folder: &Path, loaded: &LoadedDecoder) -> Result<TextTokenizer> {
    let model = &*loaded.model;
    let tokenizer = match (model.opening(), &loaded.languages) {
        ([], _) => TextTokenizer::from_folder(folder)?,
        (_, Some(languages)) => TextTokenizer::of_languages(folder, languages)?,
        (_, None) => TextTokenizer::of_pair(folder)?,
    };
    Ok(tokenizer.for_rows_of(model.prompt_vocabulary(), model.vocabulary_size()))
}
