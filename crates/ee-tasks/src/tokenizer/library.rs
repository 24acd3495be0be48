//! Texts that Hugging Face's `tokenizers` spells: those of decoders, T5, BART, and of what this project learns.
//!
//! A source is framed as `tokenizer.json` and the settings beside it say; a decoder's prompt loses what follows the
//! text. An answer is the text's tokens and the end token: whatever else some tokenizers put before a target
//! (BART's `<s>`, a language) is what the decoder opens with, and belongs to the model.

use std::collections::BTreeSet;
use std::path::Path;

use super::backend::Backend;
use super::long::Placed;
use super::settings::Kind;
use super::side::Side;
use crate::error::Error;

#[derive(Debug, Clone)]
pub(super) struct Library {
    pub(super) backend: Backend,
    pub(super) special: BTreeSet<u32>,
    beginning: Option<u32>,
    end: Option<u32>,
}

impl Library {
    /// The tokenizer of the file `name` in a folder, or that of older vocabulary files.
    pub(super) fn open(folder: &Path, name: &str, kind: Option<Kind>) -> Result<Self, Error> {
        let (backend, settings) = Backend::open(folder, name, kind)?;
        let id = |key| settings.token(key).and_then(|name| backend.inner.token_to_id(name));
        let (beginning, end) = (id("bos_token"), id("eos_token"));
        Ok(Self { special: backend.special(), beginning, end, backend })
    }

    /// The same of an encoder-decoder: all of them end a text with `</s>`, though their settings may not say so.
    pub(super) fn of_side(folder: &Path, name: &str, kind: Option<Kind>) -> Result<Self, Error> {
        let mut library = Self::open(folder, name, kind)?;
        let customary = library.backend.inner.token_to_id("</s>");
        library.end = library.end.or(customary);
        Ok(library)
    }

    /// A decoder's prompt: ids, and for each the end of its text in bytes.
    pub(super) fn prompt(
        &self,
        text: &str,
        enough: Option<usize>,
    ) -> Result<(Vec<u32>, Vec<usize>), Error> {
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

impl Side for Library {
    fn source(&self, text: &str) -> Result<Vec<u32>, Error> {
        let (tokens, _) = self.backend.spell(text, None)?;
        Ok(self.backend.framed(&tokens, None, text)?.get_ids().to_vec())
    }

    fn answer(&self, text: &str) -> Result<Vec<u32>, Error> {
        let end = self.end.ok_or_else(|| {
            let message =
                "no end token for an answer, expected `eos_token` in tokenizer_config.json";
            Error::file(&self.backend.path, message)
        })?;
        let (tokens, _) = self.backend.spell(text, None)?;
        Ok(tokens.iter().map(|token| token.0).chain([end]).collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.backend.decode(ids)
    }

    fn name(&self, id: u32) -> Option<String> {
        self.backend.inner.id_to_token(id)
    }

    fn is_silent(&self, id: u32) -> bool {
        self.special.contains(&id) || self.name(id).is_none()
    }

    fn beginning_id(&self) -> Option<u32> {
        self.beginning
    }

    fn end_id(&self) -> Option<u32> {
        self.end
    }

    fn size(&self) -> usize {
        self.backend.size()
    }

    fn path(&self) -> &Path {
        &self.backend.path
    }
}
