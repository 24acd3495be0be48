//! Prompts to token ids and ids back to text, for models that answer in words.
//!
//! Decoders differ from classifiers in what they need of a tokenizer: a beginning but no end, no
//! padding, no longest length, and the way back. Only `tokenizer.json` is read for them: the older files
//! do not say how a decoder frames a prompt. Decided: a prompt and its response are spelled as the one
//! text that they are, so that training and teacher forcing see the tokens that any other program
//! would; spaces before punctuation are left as they are (`clean_up_tokenization_spaces`).
//! An encoder-decoder reads its prompt as a text of its own, to the end token, and its answers may have
//! another dictionary: [`TextTokenizer::of_pair`].

use std::path::Path;

use super::library::Library;
use super::pair::Pair;
use super::side::Side;
use crate::error::Error;

/// The ids of a prompt followed by its response, without an end token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptedEncoding {
    /// Token ids of both, the beginning included.
    pub ids: Vec<u32>,
    /// How many of them lie entirely in the prompt; those after it are gold.
    pub prompt_length: usize,
}

/// The tokenizer of a decoder or an encoder-decoder.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    sides: Sides,
}

#[derive(Debug, Clone)]
enum Sides {
    /// A decoder: prompts and answers are one text.
    One(Box<Library>),
    /// An encoder-decoder.
    Two(Pair),
}

impl TextTokenizer {
    /// Takes a decoder's tokenizer from a checkpoint folder.
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
        Ok(Self { sides: Sides::One(Box::new(Library::open(folder, "tokenizer.json", None)?)) })
    }

    /// Takes an encoder-decoder's tokenizer from a checkpoint folder, whatever files it has; of several the first
    /// of these counts: `tokenizer.source.json` and `tokenizer.target.json` (a dictionary for each side),
    /// `vocab-src.json`, `vocab-tgt.json` and `merges.txt` (FSMT), `dict.*.txt` with BPE codes (fairseq),
    /// `source.spm`, `target.spm` and `vocab.json` (Marian; `target_vocab.json` where the target's is another),
    /// `tokenizer.json` (one for both), `spiece.model` (T5), or `vocab.json` and `merges.txt` (BART).
    ///
    /// What the encoder reads is [`TextTokenizer::encode_prompt`], what the decoder writes is
    /// [`TextTokenizer::encode_answer`]; ids, sizes and decoding are the target's.
    ///
    /// # Errors
    /// A folder without such files, or with one that cannot be read.
    pub fn of_pair(folder: &Path) -> Result<Self, Error> {
        Ok(Self { sides: Sides::Two(Pair::open(folder, None)?) })
    }

    /// The same for languages that the caller knows, source first: a fairseq folder has a dictionary of each and
    /// does not say which is which.
    ///
    /// # Errors
    /// As [`TextTokenizer::of_pair`].
    pub fn of_languages(folder: &Path, languages: &[String; 2]) -> Result<Self, Error> {
        Ok(Self { sides: Sides::Two(Pair::open(folder, Some(languages))?) })
    }

    /// The languages, source first, by which an encoder-decoder's files are told apart; none where they need not be.
    pub fn languages(&self) -> Option<&[String; 2]> {
        match &self.sides {
            Sides::One(_) => None,
            Sides::Two(pair) => pair.languages.as_ref(),
        }
    }

    /// The same for a model whose embedding has `rows` rows: a text with a token beyond them is an error.
    #[must_use]
    pub fn for_rows(self, rows: usize) -> Self {
        self.for_rows_of(rows, rows)
    }

    /// The same for an encoder-decoder with an embedding for each side. Of a decoder, which has one, the target's
    /// count.
    #[must_use]
    pub fn for_rows_of(mut self, source_rows: usize, target_rows: usize) -> Self {
        match &mut self.sides {
            Sides::One(library) => library.backend.limit(target_rows),
            Sides::Two(pair) => pair.limit(source_rows, target_rows),
        }
        self
    }

    /// # Errors
    /// An id that the model's embedding has no row for.
    pub fn check(&self, ids: &[u32]) -> Result<(), Error> {
        match &self.sides {
            Sides::One(library) => library.backend.check(ids),
            Sides::Two(pair) => pair.check(ids),
        }
    }

    /// The ids of a prompt. A decoder's has what the tokenizer puts before a text (often a beginning) and
    /// not what it puts after one; an encoder-decoder's is all that the encoder reads, the end token included.
    ///
    /// # Errors
    /// A model that cannot spell the text: a vocabulary without an unknown token.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        match &self.sides {
            Sides::One(library) => Ok(library.prompt(text, None)?.0),
            Sides::Two(pair) => pair.source_ids(text),
        }
    }

    /// The same, where more than `enough` tokens are of no use: of a long text the rest may be missing. An
    /// encoder-decoder reads the whole in any case.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_prompt`].
    pub fn encode_prompt_within(&self, text: &str, enough: usize) -> Result<Vec<u32>, Error> {
        match &self.sides {
            Sides::One(library) => Ok(library.prompt(text, Some(enough))?.0),
            Sides::Two(pair) => pair.source_ids(text),
        }
    }

    /// The ids that an encoder-decoder's decoder writes for a text: without the token that it starts with, and
    /// with the end token.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_prompt`], and a decoder's tokenizer, which spells answers with their prompts.
    pub fn encode_answer(&self, text: &str) -> Result<Vec<u32>, Error> {
        match &self.sides {
            Sides::One(library) => Err(Error::file(
                &library.backend.path,
                "the tokenizer of a decoder, expected that of an encoder-decoder",
            )),
            Sides::Two(pair) => pair.answer_ids(text),
        }
    }

    /// The ids of a prompt followed by its response, and where the response begins. A token with
    /// text of both counts as response.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_prompt`], and an encoder-decoder's tokenizer: its prompts and answers are two
    /// texts.
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
        let library = match &self.sides {
            Sides::One(library) => library,
            Sides::Two(pair) => {
                let message = "the tokenizer of an encoder-decoder, expected that of a decoder";
                return Err(Error::file(pair.target.path(), message));
            }
        };
        let (ids, ends) = library.prompt(&format!("{prompt}{response}"), enough)?;
        let prompt_length = ends.iter().position(|end| *end > prompt.len()).unwrap_or(ids.len());
        Ok(PromptedEncoding { ids, prompt_length })
    }

    /// The text of generated ids, without special tokens and ids that the vocabulary lacks.
    ///
    /// # Errors
    /// A decoder that fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.target().decode(ids)
    }

    /// Whether an id leaves no trace in a text: a special token, or none at all.
    pub(super) fn is_silent(&self, id: u32) -> bool {
        self.target().is_silent(id)
    }

    /// The token that begins a text, where the tokenizer's settings name one.
    pub fn beginning_id(&self) -> Option<u32> {
        self.target().beginning_id()
    }

    /// The token that fills rows up, of an encoder-decoder both of whose sides have it under one id.
    pub fn padding_id(&self) -> Option<u32> {
        match &self.sides {
            Sides::One(_) => None,
            Sides::Two(pair) => pair.padding_id(),
        }
    }

    /// The token that ends a text, where the tokenizer's settings name one. A checkpoint may
    /// stop at others too.
    pub fn end_id(&self) -> Option<u32> {
        self.target().end_id()
    }

    /// Number of ids, added tokens included; a model may have fewer rows, see [`TextTokenizer::for_rows`].
    pub fn vocabulary_size(&self) -> usize {
        self.target().size()
    }

    /// The same of prompts: of an encoder-decoder the source's dictionary, of a decoder its only one.
    pub fn prompt_vocabulary_size(&self) -> usize {
        match &self.sides {
            Sides::One(library) => library.size(),
            Sides::Two(pair) => pair.source_size(),
        }
    }

    /// Where answers are spelled.
    fn target(&self) -> &dyn Side {
        match &self.sides {
            Sides::One(library) => &**library,
            Sides::Two(pair) => &*pair.target,
        }
    }
}

#[cfg(test)]
mod tests;
