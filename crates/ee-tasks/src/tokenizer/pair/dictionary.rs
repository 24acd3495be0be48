//! A side with a dictionary of its own: pieces to ids and back, special tokens told apart.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;
use crate::text;
use crate::tokenizer::side::Side;

/// The entries of a file.
#[derive(Debug)]
pub(super) struct Dictionary {
    path: PathBuf,
    ids: HashMap<String, u32>,
    names: HashMap<u32, String>,
    special: BTreeSet<u32>,
    unknown: u32,
    end: u32,
    size: usize,
}

/// How a text is cut into entries and put together again.
pub(super) trait Spelling: fmt::Debug + Send + Sync {
    /// The entries of a text, the end token left out.
    fn pieces(&self, dictionary: &Dictionary, text: &str) -> Vec<String>;

    /// The text of entries, special tokens left out.
    fn text(&self, pieces: &[&str]) -> String;

    /// Whether a text that ends with the end token gets no second one.
    fn ends_once(&self) -> bool {
        false
    }
}

/// A dictionary with the way to its entries.
#[derive(Debug)]
pub(super) struct Spelled<S> {
    pub(super) dictionary: Dictionary,
    pub(super) spelling: S,
}

impl Dictionary {
    /// `rows`: of a piece that is there twice the last id counts. `special`: those of the names that it has.
    pub(super) fn new<'n>(
        path: &Path,
        rows: Vec<(String, u32)>,
        [unknown, end]: [&str; 2],
        special: impl Iterator<Item = &'n str>,
    ) -> Result<Self, Error> {
        let names: HashMap<u32, String> =
            rows.iter().map(|(piece, id)| (*id, piece.clone())).collect();
        let size = names.keys().max().map_or(0, |largest| *largest as usize + 1);
        let ids: HashMap<String, u32> = rows.into_iter().collect();
        let id = |name: &str| {
            ids.get(name).copied().ok_or_else(|| {
                Error::file(path, format!("no special token `{name}` in the dictionary"))
            })
        };
        let (end, unknown) = (id(end)?, id(unknown)?);
        let special = special.filter_map(|name| ids.get(name).copied()).collect();
        Ok(Self { path: path.to_owned(), ids, names, special, unknown, end, size })
    }

    /// The name of the unknown token.
    pub(super) fn unknown(&self) -> &str {
        self.names.get(&self.unknown).map_or("", String::as_str)
    }

    pub(super) fn is_special(&self, piece: &str) -> bool {
        self.ids.get(piece).is_some_and(|id| self.special.contains(id))
    }
}

impl<S: Spelling> Side for Spelled<S> {
    fn source(&self, text: &str) -> Result<Vec<u32>, Error> {
        let Dictionary { ids, unknown, end, .. } = &self.dictionary;
        let pieces = self.spelling.pieces(&self.dictionary, text);
        let id = |piece: &String| ids.get(piece).copied().unwrap_or(*unknown);
        let mut ids: Vec<u32> = pieces.iter().map(id).collect();
        if !self.spelling.ends_once() || ids.last() != Some(end) {
            ids.push(*end);
        }
        Ok(ids)
    }

    fn answer(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.source(text)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        let Dictionary { names, special, .. } = &self.dictionary;
        let pieces = ids.iter().filter(|id| !special.contains(id));
        let pieces: Vec<&str> = pieces.filter_map(|id| names.get(id)).map(String::as_str).collect();
        Ok(self.spelling.text(&pieces))
    }

    fn name(&self, id: u32) -> Option<String> {
        self.dictionary.names.get(&id).cloned()
    }

    fn is_silent(&self, id: u32) -> bool {
        self.dictionary.special.contains(&id) || !self.dictionary.names.contains_key(&id)
    }

    fn beginning_id(&self) -> Option<u32> {
        None
    }

    fn end_id(&self) -> Option<u32> {
        Some(self.dictionary.end)
    }

    fn size(&self) -> usize {
        self.dictionary.size
    }

    fn path(&self) -> &Path {
        &self.dictionary.path
    }
}

/// The ids of a JSON file.
pub(super) fn read<C: FromIterator<(String, u32)>>(path: &Path) -> Result<C, Error> {
    let object = text::json_object(path)?;
    let entry = |(piece, id): (String, Value)| match id
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
    {
        Some(id) => Ok((piece, id)),
        None => Err(Error::file(path, format!("expected an id for piece `{piece}`, found {id}"))),
    };
    object.into_iter().map(entry).collect()
}
