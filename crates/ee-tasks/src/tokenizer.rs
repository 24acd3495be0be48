//! Text to token ids, as the checkpoint was trained to read it.
//!
//! A checkpoint folder holds `tokenizer.json`, or only the older `vocab.txt` (BERT WordPiece) or
//! `vocab.json` + `merges.txt` (RoBERTa byte-level BPE), from which the same tokenizer is built.
//! The work is done by Hugging Face's `tokenizers`; decided here: padding and truncation stored in
//! `tokenizer.json` are dropped, truncation is longest-first to a length that the caller states,
//! padding is left to [`crate::batch`]. Decoders have a type of their own, [`TextTokenizer`].

mod build;
mod stream;
mod text;

use std::fs;
use std::path::Path;

pub use stream::TextStream;
pub use text::{PromptedEncoding, TextTokenizer};
use tokenizers::{EncodeInput, PostProcessor, TruncationParams, TruncationStrategy};

use crate::error::Error;
use crate::task::Example;

/// Files that make up a tokenizer in a checkpoint folder.
const FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
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
    inner: tokenizers::Tokenizer,
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
        let settings = build::Settings::read(folder)?;
        let has = |name: &str| folder.join(name).is_file();
        let mut inner = if has("tokenizer.json") {
            from_json(&folder.join("tokenizer.json"))?
        } else if has("vocab.txt") {
            build::wordpiece(folder, &settings)?
        } else if has("vocab.json") && has("merges.txt") {
            build::byte_level_bpe(folder, &settings)?
        } else {
            let expected =
                "no tokenizer, expected tokenizer.json, vocab.txt, or vocab.json and merges.txt";
            return Err(Error::file(folder, expected));
        };
        let padding_id = settings.padding_id(&inner).ok_or_else(|| {
            Error::file(
                folder,
                "the tokenizer's vocabulary has no padding token, expected `[PAD]` or `<pad>`",
            )
        })?;
        inner.with_padding(None);
        truncate_to(&mut inner, max_length).map_err(Error::Request)?;
        Ok(Self { inner, padding_id, max_length })
    }

    /// The ids of a text or a pair of texts.
    ///
    /// # Errors
    /// A model that cannot spell the text: a vocabulary without an unknown token.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Encoding, Error> {
        let input = match pair {
            Some(pair) => EncodeInput::Dual(text.into(), pair.into()),
            None => EncodeInput::Single(text.into()),
        };
        let encoding = self.inner.encode_fast(input, true);
        encoding.map(|encoding| taken(&encoding)).map_err(|error| unspellable(&error))
    }

    /// The ids of many examples, in their order, on all cores.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_all(&self, examples: &[Example]) -> Result<Vec<Encoding>, Error> {
        let inputs = examples.iter().map(|example| match &example.pair {
            Some(pair) => EncodeInput::Dual(example.text.as_str().into(), pair.as_str().into()),
            None => EncodeInput::Single(example.text.as_str().into()),
        });
        let encodings = self.inner.encode_batch_fast(inputs.collect(), true);
        encodings.map(|all| all.iter().map(taken).collect()).map_err(|error| unspellable(&error))
    }

    /// Number of ids, added tokens included: the embedding must have at least as many rows.
    pub fn vocabulary_size(&self) -> usize {
        size(&self.inner)
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
    for name in FILES {
        let (source, target) = (from.join(name), to.join(name));
        if source.is_file() {
            fs::copy(&source, &target).map_err(|error| Error::io(&target, error))?;
        }
    }
    Ok(())
}

fn from_json(path: &Path) -> Result<tokenizers::Tokenizer, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    text.parse().map_err(|error| Error::file(path, format!("not a tokenizer: {error}")))
}

/// One more than the largest id; not the number of entries, since a vocabulary may have gaps.
fn size(inner: &tokenizers::Tokenizer) -> usize {
    inner.get_vocab(true).values().max().map_or(0, |largest| *largest as usize + 1)
}

fn taken(encoding: &tokenizers::Encoding) -> Encoding {
    Encoding { ids: encoding.get_ids().to_vec(), type_ids: encoding.get_type_ids().to_vec() }
}

fn unspellable(error: &tokenizers::Error) -> Error {
    Error::Request(format!("the tokenizer cannot encode a text: {error}"))
}

fn truncate_to(inner: &mut tokenizers::Tokenizer, max_length: usize) -> Result<(), String> {
    let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(true));
    // The library subtracts without looking, and a pair needs at least one token of each text.
    if max_length < special + 2 {
        let least = special + 2;
        return Err(format!(
            "a length of {max_length} tokens has no room for a pair, expected {least} or more"
        ));
    }
    let strategy = TruncationStrategy::LongestFirst;
    let truncation = TruncationParams { max_length, strategy, ..TruncationParams::default() };
    inner.with_truncation(Some(truncation)).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
