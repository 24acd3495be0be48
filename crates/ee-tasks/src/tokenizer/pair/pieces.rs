//! A side that SentencePiece cuts into pieces: Marian's folders, and T5's where `tokenizer.json` is missing.
//!
//! As transformers' slow `MarianTokenizer` and `T5Tokenizer`: special tokens written in a text stay whole, what is
//! between them is cut, pieces go through the dictionary, and one that it lacks is `<unk>`. Marian's ids are those
//! of `vocab.json`, which both sides share unless there is a `target_vocab.json`; the ids of its `.spm` files mean
//! nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tokenizers::AddedToken;

use super::dictionary::{self, Dictionary, Spelled, Spelling};
use crate::error::Error;
use crate::text::is_space;
use crate::tokenizer::sentencepiece::{SPACE, SentencePiece};
use crate::tokenizer::settings::Settings;

/// T5's file.
pub(super) const T5: &str = "spiece.model";
/// Marian's files: the pieces of both sides and the dictionary.
pub(super) const MARIAN: [&str; 3] = ["source.spm", "target.spm", "vocab.json"];
/// The target's dictionary, where it is another.
const MARIAN_TARGET: &str = "target_vocab.json";

#[derive(Debug)]
pub(super) struct Pieces {
    model: SentencePiece,
    /// Tokens that are not cut, the longest first.
    whole: Vec<AddedToken>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Texts may begin with a language's code: `>>fr<<`.
    Marian,
    /// A text that ends with the end token gets no second one.
    T5 {
        /// Whether a space is put before every part of a text, not only before its first.
        legacy: bool,
    },
}

/// Both sides of a Marian folder.
pub(super) fn marian(folder: &Path) -> Result<[Spelled<Pieces>; 2], Error> {
    if let Some(missing) = MARIAN.iter().find(|name| !folder.join(name).is_file()) {
        let there = MARIAN.iter().find(|name| folder.join(name).is_file());
        let message = format!("no {missing} beside {}", there.unwrap_or(&"the model"));
        return Err(Error::file(folder, message));
    }
    let settings = Settings::read(folder, None)?;
    let target = folder.join(MARIAN_TARGET);
    let has_own = settings.truth("separate_vocabs").unwrap_or(target.is_file());
    let [source_model, target_model, source] = MARIAN.map(|name| folder.join(name));
    let target = if has_own { target } else { source.clone() };
    let side = |model: &Path, dictionary: &Path| {
        let ids = dictionary::read(dictionary)?;
        Pieces::with_dictionary(
            SentencePiece::open(model)?,
            dictionary,
            ids,
            &settings,
            Kind::Marian,
        )
    };
    Ok([side(&source_model, &source)?, side(&target_model, &target)?])
}

/// The one tokenizer of a T5 folder.
pub(super) fn t5(folder: &Path) -> Result<Spelled<Pieces>, Error> {
    let path = folder.join(T5);
    let settings = Settings::read(folder, None)?;
    let legacy = settings.truth("legacy").unwrap_or(true);
    let model = SentencePiece::open(&path)?;
    let model = if legacy { model } else { model.without_dummy_prefix() };
    let mut ids: HashMap<String, u32> =
        (0..).map_while(|id| Some((model.piece(id)?.to_owned(), id))).collect();
    let n_extra = settings.n_extra_ids();
    let last = model.n_pieces() + n_extra;
    ids.extend((0..n_extra).map(|extra| (sentinel(extra), (last - 1 - extra) as u32)));
    Pieces::with_dictionary(model, &path, ids, &settings, Kind::T5 { legacy })
}

/// T5's token for the gap number `extra`.
fn sentinel(extra: usize) -> String {
    format!("<extra_id_{extra}>")
}

impl Pieces {
    fn with_dictionary(
        model: SentencePiece,
        path: &Path,
        mut ids: HashMap<String, u32>,
        settings: &Settings,
        kind: Kind,
    ) -> Result<Spelled<Self>, Error> {
        let name = |key, customary: &str| settings.token(key).unwrap_or(customary).to_owned();
        let [end, unknown, padding] =
            [("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")]
                .map(|(key, customary)| name(key, customary));
        let mut whole: BTreeMap<String, AddedToken> = BTreeMap::new();
        let is_t5 = matches!(kind, Kind::T5 { .. });
        for extra in 0..settings.n_extra_ids() * usize::from(is_t5) {
            let token = AddedToken::from(sentinel(extra), true).lstrip(true).rstrip(true);
            whole.insert(token.content.clone(), token);
        }
        for (id, token) in settings.added_by_id() {
            ids.entry(token.content.clone()).or_insert(id);
            whole.insert(token.content.clone(), token);
        }
        let more = settings.special(&[]).into_iter().map(|special| special.content().to_owned());
        for content in [&end, &unknown, &padding].into_iter().cloned().chain(more) {
            let token = AddedToken::from(content.clone(), true);
            whole.entry(content).or_insert(token).special = true;
        }
        let mut whole: Vec<AddedToken> = whole.into_values().collect();
        whole.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        let special = whole.iter().filter(|token| token.special);
        let special = special.map(|token| token.content.as_str());
        let rows = ids.into_iter().collect();
        let dictionary = Dictionary::new(path, rows, [&unknown, &end], special)?;
        Ok(Spelled { dictionary, spelling: Self { model, whole, kind } })
    }

    /// The pieces of a text between tokens that are not cut.
    fn cut(&self, dictionary: &Dictionary, text: &str, pieces: &mut Vec<String>) {
        match self.kind {
            Kind::Marian => {
                let code = text.starts_with(">>").then(|| text.find("<<")).flatten();
                let (code, text) = text.split_at(code.map_or(0, |at| at + 2));
                pieces.extend((!code.is_empty()).then(|| code.to_owned()));
                pieces.extend(self.model.encode(text));
            }
            // Without a prefix of its own the model would drop a space that begins a text: it is hidden.
            Kind::T5 { legacy: false } if text.starts_with([' ', '▁']) => {
                let unknown = dictionary.unknown();
                let n_hidden = self.model.encode(unknown).len();
                let hidden = self.model.encode(&format!("{unknown}{text}"));
                pieces.extend(hidden.into_iter().skip(n_hidden));
            }
            Kind::T5 { .. } => pieces.extend(self.model.encode(text)),
        }
    }
}

impl Spelling for Pieces {
    fn pieces(&self, dictionary: &Dictionary, text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        let spaced = match self.kind {
            Kind::T5 { legacy: false } if !text.is_empty() => {
                format!("{SPACE}{}", text.replace(SPACE, " "))
            }
            _ => text.to_owned(),
        };
        for part in parts(&spaced, &self.whole) {
            match part {
                Part::Whole(token) => pieces.push(token.to_owned()),
                Part::Text(text) => self.cut(dictionary, text, &mut pieces),
            }
        }
        if self.kind == (Kind::T5 { legacy: false })
            && pieces.len() > 1
            && pieces[0] == SPACE
            && dictionary.is_special(&pieces[1])
        {
            pieces.remove(0);
        }
        pieces
    }

    fn text(&self, pieces: &[&str]) -> String {
        let text = self.model.decode(pieces.iter().copied());
        text.replace(SPACE, " ").trim_matches(is_space).to_owned()
    }

    fn ends_once(&self) -> bool {
        self.kind != Kind::Marian
    }
}

enum Part<'t> {
    Text(&'t str),
    Whole(&'t str),
}

/// A text cut at the tokens that stay whole; some of them swallow the spaces around them.
fn parts<'t>(text: &'t str, whole: &[AddedToken]) -> Vec<Part<'t>> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    let add = |parts: &mut Vec<Part<'t>>, text: &'t str| {
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
    };
    while at < text.len() {
        let token = whole.iter().find(|token| text[at..].starts_with(token.content.as_str()));
        let Some(token) = token else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let before = &text[begin..at];
        add(&mut parts, if token.lstrip { before.trim_end_matches(is_space) } else { before });
        parts.push(Part::Whole(&text[at..at + token.content.len()]));
        at += token.content.len();
        if token.rstrip {
            at = text.len() - text[at..].trim_start_matches(is_space).len();
        }
        begin = at;
    }
    add(&mut parts, &text[begin..]);
    parts
}

#[cfg(test)]
mod tests;
