//! Text from ids as they arrive.
//!
//! A character may need several tokens, and a token's space may depend on what stands before it, so
//! each piece is the difference of two decodings of the last few ids. The joined pieces are what
//! [`TextTokenizer::decode`] gives for all ids, with one exception: a run of byte tokens of which a later
//! one breaks the UTF-8 of the whole run. SentencePiece's rule then replaces the run; here what was
//! shown stays. (`tokenizers`' own `DecodeStream` stops with an error there.)

use super::text::TextTokenizer;
use crate::error::Error;

/// What bytes that are not a character decode to.
const BROKEN: char = '\u{FFFD}';

/// A decoding in progress; made by [`TextTokenizer::stream`].
#[derive(Debug, Clone)]
pub struct TextStream<'t> {
    tokenizer: &'t TextTokenizer,
    /// Ids of the last piece, then those not shown yet.
    ids: Vec<u32>,
    /// How many of them are shown.
    n_shown: usize,
}

impl TextTokenizer {
    /// Decodes ids as they arrive.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, ids: Vec::new(), n_shown: 0 }
    }
}

impl TextStream<'_> {
    /// The text that this id completes; empty within a character.
    ///
    /// # Errors
    /// As [`TextTokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String, Error> {
        if self.tokenizer.is_silent(id) {
            return Ok(String::new());
        }
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids)?;
        match text.ends_with(BROKEN) {
            true => Ok(String::new()),
            false => self.show(&text),
        }
    }

    /// What is still held back: the beginning of a character that was never completed.
    ///
    /// # Errors
    /// As [`TextTokenizer::decode`].
    pub fn finish(mut self) -> Result<String, Error> {
        let text = self.tokenizer.decode(&self.ids)?;
        self.show(&text)
    }

    /// The part of `text`, the decoding of all ids held, that was not shown.
    fn show(&mut self, text: &str) -> Result<String, Error> {
        let shown = self.tokenizer.decode(&self.ids[..self.n_shown])?;
        let piece = match text.strip_prefix(&shown) {
            Some(piece) => piece.to_owned(),
            None => self.tokenizer.decode(&self.ids[self.n_shown..])?,
        };
        if piece.is_empty() {
            // A space alone shows once something follows it.
            return Ok(piece);
        }
        self.ids.drain(..self.n_shown);
        self.n_shown = self.ids.len();
        Ok(piece)
    }
}
