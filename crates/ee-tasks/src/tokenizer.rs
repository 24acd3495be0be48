//! Text to token ids, as the checkpoint was trained to read it.
//!
//! A checkpoint folder holds `tokenizer.json`, or only the older `vocab.txt` (BERT WordPiece) or
//! `vocab.json` + `merges.txt` (RoBERTa byte-level BPE), from which the same tokenizer is built.
//! The work is done by Hugging Face's `tokenizers`, and the folder's other files are written over
//! `tokenizer.json` as transformers does it. Decided here: padding and truncation stored in it are dropped,
//! truncation is longest-first to a length that the caller states, padding is left to [`crate::batch`].
//! Decoders have a type of their own, [`TextTokenizer`].

mod backend;
mod build;
mod learn;
mod library;
mod long;
mod over;
mod pair;
mod sentencepiece;
mod settings;
mod side;
mod stream;
mod subword;
mod text;

use std::fs;
use std::path::Path;

pub use learn::{BpeSettings, BpeSize, LearntBpe, SpecialOrder, train_bpe};
use rayon::prelude::*;
pub use stream::TextStream;
pub use text::{PromptedEncoding, TextTokenizer};

use self::backend::Backend;
use self::settings::Kind;
use crate::error::Error;
use crate::task::Example;

/// Files that make up a tokenizer in a checkpoint folder.
const FILES: [&str; 18] = [
    "tokenizer.json",
    pair::SOURCE,
    pair::TARGET,
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    pair::words::FSMT[0],
    pair::words::FSMT[1],
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
];

/// The ids of one example, special tokens included, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids; never empty with a tokenizer that adds special tokens.
    pub ids: Vec<u32>,
    /// Which text each token belongs to: 0 or 1 for BERT, all 0 for RoBERTa.
    pub type_ids: Vec<u32>,
}

/// A checkpoint's tokenizer with a longest length.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    backend: Backend,
    padding_id: u32,
    max_length: usize,
}

impl Tokenizer {
    /// Takes the tokenizer from a checkpoint folder; longer inputs are cut to `max_length` tokens,
    /// special tokens included, the longer text first.
    ///
    /// # Errors
    /// No tokenizer file, one that cannot be read, no padding token in the vocabulary, or a
    /// `max_length` that leaves no room beside the special tokens.
    pub fn from_folder(folder: &Path, max_length: usize) -> Result<Self, Error> {
        let has = |name: &str| folder.join(name).is_file();
        let kind = if has("tokenizer.json") {
            None
        } else if has("vocab.txt") {
            Some(Kind::WordPiece)
        } else if has("vocab.json") && has("merges.txt") {
            Some(Kind::ByteLevel)
        } else {
            let expected =
                "no tokenizer, expected tokenizer.json, vocab.txt, or vocab.json and merges.txt";
            return Err(Error::file(folder, expected));
        };
        let (backend, settings) = Backend::open(folder, "tokenizer.json", kind)?;
        let padding_id = settings.padding_id(&backend.inner).ok_or_else(|| {
            Error::file(
                folder,
                "the tokenizer's vocabulary has no padding token, expected `[PAD]` or `<pad>`",
            )
        })?;
        // A pair needs at least one token of each text.
        let least = backend.n_around(true) + 2;
        if max_length < least {
            return Err(Error::Request(format!(
                "a length of {max_length} tokens has no room for a pair, expected {least} or more"
            )));
        }
        Ok(Self { backend, padding_id, max_length })
    }

    /// The same for a model whose embedding has `rows` rows: a text with a token beyond them is an error.
    #[must_use]
    pub fn for_rows(mut self, rows: usize) -> Self {
        self.backend.limit(rows);
        if !self.backend.has_row(self.padding_id) {
            // Padding is masked: any row does.
            self.padding_id = 0;
        }
        self
    }

    /// The ids of a text or a pair of texts.
    ///
    /// # Errors
    /// A model that cannot spell the text: a vocabulary without an unknown token.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Encoding, Error> {
        let encoding = self.backend.cut(text, pair, self.max_length)?;
        Ok(Encoding {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
        })
    }

    /// The ids of many examples, in their order, on all cores.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_all(&self, examples: &[Example]) -> Result<Vec<Encoding>, Error> {
        let encode = |example: &Example| self.encode(&example.text, example.pair.as_deref());
        examples.par_iter().map(encode).collect()
    }

    /// Number of ids, added tokens included; a model may have fewer rows, see [`Tokenizer::for_rows`].
    pub fn vocabulary_size(&self) -> usize {
        self.backend.size()
    }

    /// The id that fills short rows of a batch.
    pub fn padding_id(&self) -> u32 {
        self.padding_id
    }

    /// The longest encoding, in tokens.
    pub fn max_length(&self) -> usize {
        self.max_length
    }
}

/// Copies the tokenizer's files from one checkpoint folder to another.
///
/// # Errors
/// A file that cannot be copied.
pub fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    let dictionaries = pair::words::dictionaries(from);
    let dictionaries = dictionaries.iter().filter_map(|(_, path)| path.file_name()?.to_str());
    for name in FILES.into_iter().chain(pair::words::CODES).chain(dictionaries) {
        let (source, target) = (from.join(name), to.join(name));
        if source.is_file() {
            fs::copy(&source, &target).map_err(|error| Error::io(&target, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
