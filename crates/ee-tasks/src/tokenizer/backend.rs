//! The library's tokenizer, as a folder describes it, behind one interface: every text goes through here.
//!
//! Errors and panics name the file that the tokenizer came from. Padding and truncation stored in it do not
//! apply. A text is spelled whole and cut afterwards: tokenizers 0.23 on its own stops spelling at the limit, and
//! then cuts a pair of long texts differently from before where the room is odd.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ee_files::caught;
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use super::long::{Placed, Spelled};
use super::settings::{Kind, Settings};
use super::{build, long, over};
use crate::error::Error;
use crate::text;

/// Characters of a text that an error shows.
const SHOWN: usize = 40;

/// A tokenizer and where it came from.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) inner: Tokenizer,
    /// The file that says most of it.
    pub(super) path: PathBuf,
    /// The side on which texts that are too long lose tokens.
    direction: TruncationDirection,
    /// Rows of the model's embedding, where they are known: a token beyond them has none.
    rows: Option<usize>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Backend").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Backend {
    /// The tokenizer of the file `name` (`tokenizer.json` as a rule), or that of the older vocabulary files.
    pub(super) fn open(
        folder: &Path,
        name: &str,
        kind: Option<Kind>,
    ) -> Result<(Self, Settings), Error> {
        let settings = Settings::read(folder, kind)?;
        if let Some(class) = kind.and_then(|kind| settings.class_unlike(kind)) {
            let message = format!(
                "found vocabulary files of a {class}, expected those of a BertTokenizer or RobertaTokenizer, or \
                 tokenizer.json"
            );
            return Err(Error::file(folder, message));
        }
        let (path, inner) = match kind {
            None => {
                let path = folder.join(name);
                (path.clone(), parsed(&path, &text::read(&path)?)?)
            }
            Some(Kind::WordPiece) => {
                let path = folder.join("vocab.txt");
                (path.clone(), parsed(&path, &build::wordpiece(&path, &settings)?)?)
            }
            Some(Kind::ByteLevel) => {
                let path = folder.join("vocab.json");
                let json = build::byte_level_bpe(&path, &folder.join("merges.txt"), &settings)?;
                (path.clone(), parsed(&path, &json)?)
            }
        };
        let (inner, direction) = caught(|| changed(inner, &settings))
            .and_then(|result| result)
            .map_err(|message| unusable(&path, &message))?;
        Ok((Self { inner, path, direction, rows: None }, settings))
    }

    /// The same for a model whose embedding has `rows` rows.
    pub(super) fn limit(&mut self, rows: usize) {
        self.rows = Some(rows);
    }

    /// Whether an id has a row in the model's embedding.
    pub(super) fn has_row(&self, id: u32) -> bool {
        self.rows.is_none_or(|rows| (id as usize) < rows)
    }

    /// The tokens of a text without what is put around it; a long one in pieces. With `enough` it may end after
    /// that many tokens.
    pub(super) fn spell(&self, text: &str, enough: Option<usize>) -> Result<Spelled, Error> {
        match long::spell(text, enough, |piece| self.whole(piece))? {
            Some(spelled) => Ok(spelled),
            None => Ok((self.whole(text)?, true)),
        }
    }

    fn whole(&self, text: &str) -> Result<Vec<Placed>, Error> {
        let encoding = self.guarded(text, || self.inner.encode(text, false))?;
        let offsets = encoding.get_offsets().iter();
        let tokens = encoding.get_ids().iter().zip(offsets);
        Ok(tokens.map(|(id, (from, to))| (*id, *from, *to)).collect())
    }

    /// Tokens of a text, or two, with what is put around them.
    pub(super) fn framed(
        &self,
        tokens: &[Placed],
        second: Option<&[Placed]>,
        text: &str,
    ) -> Result<Encoding, Error> {
        let first = encoding(tokens, 0);
        let second = second.map(|tokens| encoding(tokens, 1));
        self.guarded(text, || self.inner.post_process(first, second, true))
    }

    /// A text or a pair of at most `max_length` tokens, the frame included, the longer cut first.
    pub(super) fn cut(
        &self,
        text: &str,
        pair: Option<&str>,
        max_length: usize,
    ) -> Result<Encoding, Error> {
        let room = max_length - self.n_around(pair.is_some());
        let is_prefix = self.direction == TruncationDirection::Right;
        let Some(pair) = pair else {
            let (tokens, _) = self.spell(text, is_prefix.then_some(room))?;
            return self.checked(self.framed(self.side(&tokens, room), None, text)?);
        };
        // Which of the two is the longer decides: both are spelled to their end.
        let ((first, _), (second, _)) = (self.spell(text, None)?, self.spell(pair, None)?);
        let [n_first, n_second] = longest_first([first.len(), second.len()], room);
        let second = self.side(&second, n_second);
        self.checked(self.framed(self.side(&first, n_first), Some(second), text)?)
    }

    /// The tokens that stay of a text.
    fn side<'t>(&self, tokens: &'t [Placed], length: usize) -> &'t [Placed] {
        let length = length.min(tokens.len());
        match self.direction {
            TruncationDirection::Right => &tokens[..length],
            TruncationDirection::Left => &tokens[tokens.len() - length..],
        }
    }

    fn checked(&self, encoding: Encoding) -> Result<Encoding, Error> {
        self.check(encoding.get_ids())?;
        Ok(encoding)
    }

    /// How many tokens are added around a text or a pair.
    pub(super) fn n_around(&self, is_pair: bool) -> usize {
        self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(is_pair))
    }

    /// The text of ids, without special tokens.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        caught(|| self.inner.decode(ids, true).map_err(|error| error.to_string()))
            .and_then(|result| result)
            .map_err(|message| Error::file(&self.path, format!("cannot decode ids: {message}")))
    }

    /// One more than the largest id; not the number of entries, since a vocabulary may have gaps.
    pub(super) fn size(&self) -> usize {
        let vocabulary = self.inner.get_vocab(true);
        vocabulary.values().max().map_or(0, |largest| *largest as usize + 1)
    }

    pub(super) fn check(&self, ids: &[u32]) -> Result<(), Error> {
        let Some(id) = ids.iter().find(|id| !self.has_row(**id)) else { return Ok(()) };
        let name = self.inner.id_to_token(*id).unwrap_or_default();
        Err(no_row(&self.path, &name, *id, self.rows.unwrap_or(0)))
    }

    /// Ids of special tokens.
    pub(super) fn special(&self) -> BTreeSet<u32> {
        let added = self.inner.get_added_tokens_decoder();
        added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect()
    }

    fn guarded<T>(
        &self,
        text: &str,
        work: impl FnOnce() -> tokenizers::Result<T>,
    ) -> Result<T, Error> {
        caught(|| work().map_err(|error| error.to_string()))
            .and_then(|result| result)
            .map_err(|message| self.unspellable(text, &message))
    }

    fn unspellable(&self, text: &str, message: &str) -> Error {
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Error::file(&self.path, format!("cannot encode the text {shown:?}: {message}"))
    }
}

/// What is wrong with a token that has no row in the model's embedding.
pub(super) fn no_row(path: &Path, name: &str, id: u32, rows: usize) -> Error {
    Error::file(
        path,
        format!(
            "token `{name}` has id {id}, but the model's embedding has {rows} rows: leave it out \
             of the text, or use the tokenizer that the model was trained with"
        ),
    )
}

/// How many tokens stay of two texts that have `room` together: the longer is cut to the shorter, then both, and
/// of an odd number the longer keeps one more, the second of two equally long ones (`truncate_encodings` of
/// tokenizers, before 0.23).
fn longest_first(lengths: [usize; 2], room: usize) -> [usize; 2] {
    let [first, second] = lengths;
    if first + second <= room {
        return lengths;
    }
    let shorter = first.min(second).min(room / 2);
    let longer = room - shorter;
    if first > second { [longer, shorter] } else { [shorter, longer] }
}

/// As the library would have it, but without the tokens' names, which no processor needs.
fn encoding(tokens: &[Placed], type_id: u32) -> Encoding {
    let n = tokens.len();
    Encoding::new(
        tokens.iter().map(|token| token.0).collect(),
        vec![type_id; n],
        vec![String::new(); n],
        vec![None; n],
        tokens.iter().map(|token| (token.1, token.2)).collect(),
        vec![0; n],
        vec![1; n],
        Vec::new(),
        Default::default(),
    )
}

fn parsed(path: &Path, json: &str) -> Result<Tokenizer, Error> {
    caught(|| json.parse::<Tokenizer>().map_err(|error| error.to_string()))
        .and_then(|result| result)
        .map_err(|message| unusable(path, &message))
}

/// With what is written over the file, and without its padding and truncation.
fn changed(
    mut inner: Tokenizer,
    settings: &Settings,
) -> Result<(Tokenizer, TruncationDirection), String> {
    let direction = match settings.text("truncation_side") {
        Some("left") => TruncationDirection::Left,
        Some(_) => TruncationDirection::Right,
        None => inner.get_truncation().map(|stored| stored.direction).unwrap_or_default(),
    };
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|error| error.to_string())?;
    over::write_over(&mut inner, settings)?;
    // What would fail on every text is found now, not at the first text.
    inner.encode("", true).map_err(|error| error.to_string())?;
    Ok((inner, direction))
}

fn unusable(path: &Path, message: &str) -> Error {
    Error::file(path, format!("not a tokenizer: {message}"))
}

#[cfg(test)]
mod tests;
