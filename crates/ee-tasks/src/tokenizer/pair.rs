//! The two sides of an encoder-decoder's tokenizer: what its encoder reads, and what its decoder writes.
//!
//! Both may be one and the same. The files of a folder tell the kind, the most telling first:
//!
//! - `tokenizer.source.json` and `tokenizer.target.json`: two dictionaries, as this project learns them;
//! - `vocab-src.json`, `vocab-tgt.json` and `merges.txt`: FSMT;
//! - `dict.*.txt`: fairseq;
//! - `source.spm`, `target.spm` and `vocab.json`: Marian;
//! - `tokenizer.json`: one for both sides (T5, BART, and joined dictionaries of this project);
//! - `spiece.model`: T5, one for both sides;
//! - `vocab.json` and `merges.txt`: BART, one for both sides.

mod dictionary;
mod pieces;
pub(super) mod words;

use std::path::Path;
use std::sync::Arc;

use super::library::Library;
use super::settings::Kind;
use super::side::Side;
use crate::error::Error;

/// The file of the source's tokenizer where the two sides have dictionaries of their own.
pub(super) const SOURCE: &str = "tokenizer.source.json";
/// The same of the target's.
pub(super) const TARGET: &str = "tokenizer.target.json";

/// Both sides, and the rows that a model has for each.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    source: Arc<dyn Side>,
    pub(super) target: Arc<dyn Side>,
    /// Rows of the source's and of the target's embedding, where they are known.
    rows: [Option<usize>; 2],
    /// By which the files are told apart, source first; none where nothing has to be.
    pub(super) languages: Option<[String; 2]>,
}

impl Pair {
    /// The tokenizer of an encoder-decoder's folder, whatever files it has; `languages`, source first, where they
    /// are known from elsewhere.
    pub(super) fn open(folder: &Path, languages: Option<&[String; 2]>) -> Result<Self, Error> {
        let has = |name: &str| folder.join(name).is_file();
        if has(SOURCE) || has(TARGET) {
            let [source, target] =
                [SOURCE, TARGET].map(|name| Library::of_side(folder, name, None));
            return Ok(Self::new(Arc::new(source?), Arc::new(target?)));
        }
        if words::FSMT.into_iter().any(has) {
            return words::fsmt(folder).map(Self::of_words);
        }
        if !words::dictionaries(folder).is_empty() {
            return words::fairseq(folder, languages).map(Self::of_words);
        }
        if has(words::PIECES) && !has("tokenizer.json") {
            let message = format!(
                "found {} without tokenizer.json or dict.*.txt, expected one of them: the pieces alone do not say \
                 where languages and special tokens are",
                words::PIECES
            );
            return Err(Error::file(folder, message));
        }
        let [source, target, dictionary] = pieces::MARIAN.map(has);
        let explains = ["tokenizer.json", pieces::T5, "merges.txt"];
        if source || target || (dictionary && !explains.into_iter().any(has)) {
            let [source, target] = pieces::marian(folder)?;
            return Ok(Self::new(Arc::new(source), Arc::new(target)));
        }
        let kind = if has("tokenizer.json") {
            None
        } else if has(pieces::T5) {
            let shared = Arc::new(pieces::t5(folder)?);
            return Ok(Self::new(shared.clone(), shared));
        } else if dictionary && has("merges.txt") {
            Some(Kind::ByteLevel)
        } else {
            let expected = format!(
                "no tokenizer of an encoder-decoder, expected tokenizer.json, {SOURCE} and {TARGET}, \
                 source.spm, target.spm and vocab.json, spiece.model, dict.*.txt, or vocab.json and merges.txt"
            );
            return Err(Error::file(folder, expected));
        };
        let shared = Arc::new(Library::of_side(folder, "tokenizer.json", kind)?);
        Ok(Self::new(shared.clone(), shared))
    }

    fn new(source: Arc<dyn Side>, target: Arc<dyn Side>) -> Self {
        Self { source, target, rows: [None; 2], languages: None }
    }

    fn of_words(([source, target], languages): words::Sides) -> Self {
        Self { languages: Some(languages), ..Self::new(Arc::new(source), Arc::new(target)) }
    }

    /// For a model with so many rows in its source's and its target's embedding.
    pub(super) fn limit(&mut self, source_rows: usize, target_rows: usize) {
        self.rows = [Some(source_rows), Some(target_rows)];
    }

    pub(super) fn source_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let ids = self.source.source(text)?;
        check(&*self.source, self.rows[0], &ids)?;
        Ok(ids)
    }

    pub(super) fn answer_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let ids = self.target.answer(text)?;
        self.check(&ids)?;
        Ok(ids)
    }

    /// Refuses ids for which the target's embedding has no row.
    pub(super) fn check(&self, ids: &[u32]) -> Result<(), Error> {
        check(&*self.target, self.rows[1], ids)
    }

    /// The padding, where both sides have it under one id.
    pub(super) fn padding_id(&self) -> Option<u32> {
        let is_padding = |id: &u32| {
            [&self.source, &self.target]
                .iter()
                .all(|side| side.name(*id).as_deref() == Some("<pad>"))
        };
        (0..self.target.size() as u32).find(is_padding)
    }

    pub(super) fn source_size(&self) -> usize {
        self.source.size()
    }
}

fn check(side: &dyn Side, rows: Option<usize>, ids: &[u32]) -> Result<(), Error> {
    let Some(rows) = rows else { return Ok(()) };
    let Some(id) = ids.iter().find(|id| **id as usize >= rows) else { return Ok(()) };
    Err(super::backend::no_row(side.path(), &side.name(*id).unwrap_or_default(), *id, rows))
}

#[cfg(test)]
mod tests;
