//! Prompts to token ids and ids back to text, for decoders.
//!
//! Decoders differ from classifiers in what they need of a tokenizer: a beginning but no end, no
//! padding, no longest length, and the way back. Only `tokenizer.json` is read: the older files
//! do not say how a decoder frames a prompt. Decided: a prompt and its response are spelled as the one
//! text that they are, so that training and teacher forcing see the tokens that any other program
//! would; spaces before punctuation are left as they are (`clean_up_tokenization_spaces`).

use std::collections::BTreeSet;
use std::path::Path;

use super::backend::Backend;
use super::long::Placed;
use crate::error::Error;

/// The ids of a prompt followed by its response, without an end token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptedEncoding {
    /// Token ids of both, the beginning included.
    pub ids: Vec<u32>,
    /// How many of them lie entirely in the prompt; those after it are gold.
    pub prompt_length: usize,
}

/// A decoder's tokenizer.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    backend: Backend,
    special: BTreeSet<u32>,
    beginning: Option<u32>,
    end: Option<u32>,
}

impl TextTokenizer {
    /// Takes the tokenizer from a checkpoint folder.
    ///
    /// # Errors
    /// No `tokenizer.json`, or one that cannot be read.
    pub fn from_folder(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            let older = ["tokenizer.model", "spiece.model", "vocab.json"];
            let found = older.into_iter().find(|name| folder.join(name).is_file());
            let message = match found {
                None => "no tokenizer, expected tokenizer.json".to_owned(),
                Some(name) => format!(
                    "expected tokenizer.json, found {name} alone: convert it with transformers, \
                     AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
                ),
            };
            return Err(Error::file(folder, message));
        }
        let (backend, settings) = Backend::open(folder, None)?;
        let added = backend.inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id);
        let id = |key| settings.token(key).and_then(|name| backend.inner.token_to_id(name));
        let (beginning, end) = (id("bos_token"), id("eos_token"));
        Ok(Self { special: special.collect(), beginning, end, backend })
    }

    /// The same for a model whose embedding has `rows` rows: a text with a token beyond them is an error.
    #[must_use]
    pub fn for_rows(mut self, rows: usize) -> Self {
        self.backend.limit(rows);
        self
    }

    /// # Errors
    /// An id that the model's embedding has no row for.
    pub fn check(&self, ids: &[u32]) -> Result<(), Error> {
        self.backend.check(ids)
    }

    /// The ids of a prompt, with what the tokenizer puts before a text (often a beginning) and
    /// without what it puts after one.
    ///
    /// # Errors
    /// A model that cannot spell the text: a vocabulary without an unknown token.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.encode(text, None)?.0)
    }

    /// The same, where more than `enough` tokens are of no use: of a long text the rest may be missing.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_prompt`].
    pub fn encode_prompt_within(&self, text: &str, enough: usize) -> Result<Vec<u32>, Error> {
        Ok(self.encode(text, Some(enough))?.0)
    }

    /// The ids of a prompt followed by its response, and where the response begins. A token with
    /// text of both counts as response.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_prompt`].
    pub fn encode_prompted(&self, prompt: &str, response: &str) -> Result<PromptedEncoding, Error> {
        self.prompted(prompt, response, None)
    }

    /// The same, where more than `enough` tokens are of no use: of a long text the rest may be missing.
    pub(crate) fn encode_prompted_within(
        &self,
        prompt: &str,
        response: &str,
        enough: usize,
    ) -> Result<PromptedEncoding, Error> {
        self.prompted(prompt, response, Some(enough))
    }

    fn prompted(
        &self,
        prompt: &str,
        response: &str,
        enough: Option<usize>,
    ) -> Result<PromptedEncoding, Error> {
        let (ids, ends) = self.encode(&format!("{prompt}{response}"), enough)?;
        let prompt_length = ends.iter().position(|end| *end > prompt.len()).unwrap_or(ids.len());
        Ok(PromptedEncoding { ids, prompt_length })
    }

    /// The text of generated ids, without special tokens and ids that the vocabulary lacks.
    ///
    /// # Errors
    /// A decoder that fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.backend.decode(ids)
    }

    /// Whether an id leaves no trace in a text: a special token, or none at all.
    pub(super) fn is_silent(&self, id: u32) -> bool {
        self.special.contains(&id) || self.backend.inner.id_to_token(id).is_none()
    }

    /// The token that begins a text, where the tokenizer's settings name one.
    pub fn beginning_id(&self) -> Option<u32> {
        self.beginning
    }

    /// The token that ends a text, where the tokenizer's settings name one. A checkpoint may
    /// stop at others too.
    pub fn end_id(&self) -> Option<u32> {
        self.end
    }

    /// Number of ids, added tokens included; a model may have fewer rows, see [`TextTokenizer::for_rows`].
    pub fn vocabulary_size(&self) -> usize {
        self.backend.size()
    }

    /// Ids, and for each the end of its text in bytes.
    fn encode(&self, text: &str, enough: Option<usize>) -> Result<(Vec<u32>, Vec<usize>), Error> {
        let (spelled, _) = self.backend.spell(text, enough)?;
        let mut ids = self.before(spelled.first(), text)?;
        let mut ends = vec![0; ids.len()];
        ids.extend(spelled.iter().map(|token| token.0));
        ends.extend(spelled.iter().map(|token| token.2));
        self.backend.check(&ids)?;
        Ok((ids, ends))
    }

    /// What is put before a text, found on its first token.
    fn before(&self, first: Option<&Placed>, text: &str) -> Result<Vec<u32>, Error> {
        let framed = self.backend.framed(first.map_or(&[], std::slice::from_ref), None, text)?;
        // The mask marks what was put around the text, not special tokens written in it.
        let around = framed.get_special_tokens_mask();
        let ids = framed.get_ids();
        let length = match around.iter().position(|around| *around == 0) {
            Some(first) => first,
            // Around no text, the end alone tells what follows it.
            None => ids.iter().take_while(|id| Some(**id) != self.end).count(),
        };
        Ok(ids[..length].to_vec())
    }
}

#[cfg(test)]
mod tests;
