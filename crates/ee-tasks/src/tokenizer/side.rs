//! One of the two sides of an encoder-decoder's tokenizer.

use std::fmt;
use std::path::Path;

use crate::error::Error;

/// One side's texts to ids and back.
pub(super) trait Side: fmt::Debug + Send + Sync {
    /// The ids of a text that the encoder reads, with all that stands around it.
    fn source(&self, text: &str) -> Result<Vec<u32>, Error>;

    /// The ids of a text that the decoder writes: nothing before it, the end token after it.
    fn answer(&self, text: &str) -> Result<Vec<u32>, Error>;

    /// The text of ids, without special tokens and ids that the dictionary lacks.
    fn decode(&self, ids: &[u32]) -> Result<String, Error>;

    /// The token of an id, where there is one.
    fn name(&self, id: u32) -> Option<String>;

    /// Whether an id leaves no trace in a text.
    fn is_silent(&self, id: u32) -> bool;

    /// The token that begins a text, where there is one.
    fn beginning_id(&self) -> Option<u32>;

    /// The token that ends a text.
    fn end_id(&self) -> Option<u32>;

    /// One more than the largest id.
    fn size(&self) -> usize;

    /// The file that says most of it, for errors.
    fn path(&self) -> &Path;
}
