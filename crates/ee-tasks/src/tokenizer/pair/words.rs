//! Sides of words: fairseq's folders, and those of transformers' `FSMTTokenizer`.
//!
//! fairseq's dictionaries name a word a line, `dict.de.txt`; the first has id 4. A text is taken as it stands, its
//! words between spaces, as fairseq takes it: where the folder has BPE codes (`bpecodes`, `code`) words are cut by
//! them, where it has a `sentencepiece.bpe.model`, by that. An FSMT folder says the same with `vocab-src.json`,
//! `vocab-tgt.json` and `merges.txt`, and its texts are normalised and tokenized by Moses' rules on the way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::dictionary::{self, Dictionary, Spelled, Spelling};
use crate::error::Error;
use crate::moses;
use crate::text::{self, is_space, joined_words};
use crate::tokenizer::sentencepiece::{SPACE, SentencePiece};
use crate::tokenizer::settings::Settings;
use crate::tokenizer::subword::Codes;

/// FSMT's dictionaries.
pub(in crate::tokenizer) const FSMT: [&str; 2] = ["vocab-src.json", "vocab-tgt.json"];
/// Names under which BPE codes are found beside fairseq's dictionaries.
pub(in crate::tokenizer) const CODES: [&str; 4] = ["bpecodes", "code", "codes", "bpe.codes"];
/// The same of SentencePiece.
pub(super) const PIECES: &str = "sentencepiece.bpe.model";
/// Words that every dictionary of fairseq begins with.
const FIRST: [&str; 4] = ["<s>", "<pad>", "</s>", "<unk>"];

/// How texts become entries of the dictionary.
#[derive(Debug, Clone)]
pub(super) enum Words {
    /// As they stand.
    Whole,
    Codes(Arc<Codes>),
    Pieces(Arc<SentencePiece>),
    Fsmt {
        codes: Arc<Codes>,
        language: String,
        lowercase: bool,
    },
}

/// Both sides, source first, and their languages.
pub(super) type Sides = ([Spelled<Words>; 2], [String; 2]);

/// Both sides of an FSMT folder.
pub(super) fn fsmt(folder: &Path) -> Result<Sides, Error> {
    let settings = Settings::read(folder, None)?;
    let languages = languages(folder, &settings).ok_or_else(|| {
        let message = "no languages, expected `langs` with two of them in tokenizer_config.json";
        Error::file(folder, message)
    })?;
    let lowercase = settings.truth("do_lower_case").unwrap_or(false);
    let codes = Arc::new(Codes::of_merges(&folder.join("merges.txt"))?);
    let side = |at: usize| {
        let path = folder.join(FSMT[at]);
        let words = dictionary::read(&path)?;
        let codes = codes.clone();
        let cut = Words::Fsmt { codes, language: languages[at].clone(), lowercase };
        let named = |key, customary| settings.token(key).unwrap_or(customary).to_owned();
        let special = [
            named("bos_token", FIRST[0]),
            named("pad_token", FIRST[1]),
            named("sep_token", FIRST[2]),
            named("unk_token", FIRST[3]),
        ];
        cut.with_dictionary(&path, words, &special)
    };
    Ok(([side(0)?, side(1)?], languages))
}

/// The languages that a folder's settings or configuration name.
fn languages(folder: &Path, settings: &Settings) -> Option<[String; 2]> {
    let config = text::json_object(&folder.join("config.json")).unwrap_or_default();
    let languages = settings.texts("langs").or_else(|| {
        let listed = config.get("langs")?.as_array()?.iter();
        listed.map(|language| language.as_str().map(str::to_owned)).collect()
    });
    languages.and_then(|languages: Vec<String>| languages.try_into().ok())
}

/// fairseq's dictionaries in a folder, by language.
pub(in crate::tokenizer) fn dictionaries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let language = path.file_name()?.to_str()?.strip_prefix("dict.")?.strip_suffix(".txt")?;
        Some((language.to_owned(), path.clone()))
    });
    let mut all: Vec<_> = named.collect();
    all.sort();
    all
}

/// Both sides of a fairseq folder; `stated` are its languages where the caller knows them.
pub(super) fn fairseq(folder: &Path, stated: Option<&[String; 2]>) -> Result<Sides, Error> {
    let all = dictionaries(folder);
    let settings = Settings::read(folder, None)?;
    let said = stated.cloned().or_else(|| languages(folder, &settings));
    let languages = match (said, &all[..]) {
        (Some(languages), _) => languages,
        (None, [(language, first), rest @ ..]) => {
            let content = text::read(first)?;
            for (_, path) in rest {
                if text::read(path)? != content {
                    let names: Vec<&str> = all.iter().map(|(language, _)| &**language).collect();
                    let message = format!(
                        "dictionaries of {}, of which nothing says which is the source's: expected `langs`, source \
                         first, in tokenizer_config.json",
                        names.join(" and ")
                    );
                    return Err(Error::file(folder, message));
                }
            }
            [language.clone(), language.clone()]
        }
        (None, []) => return Err(Error::file(folder, "no dictionary, expected dict.*.txt")),
    };
    let cut = fairseq_cut(folder)?;
    let [source, target] = languages.each_ref().map(|language| {
        let path = folder.join(format!("dict.{language}.txt"));
        let words = fairseq_dictionary(&path)?;
        cut.clone().with_dictionary(&path, words, &FIRST.map(str::to_owned))
    });
    Ok(([source?, target?], languages))
}

fn fairseq_cut(folder: &Path) -> Result<Words, Error> {
    let codes = CODES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let pieces = folder.join(PIECES);
    Ok(match codes {
        Some(codes) => Words::Codes(Arc::new(Codes::read(&codes)?)),
        None if pieces.is_file() => Words::Pieces(Arc::new(SentencePiece::open(&pieces)?)),
        None => Words::Whole,
    })
}

/// A word and its count a line; one that is there twice must say that it overwrites the first.
fn fairseq_dictionary(path: &Path) -> Result<Vec<(String, u32)>, Error> {
    let mut words: Vec<(String, u32)> =
        FIRST.iter().map(|word| (*word).to_owned()).zip(0..).collect();
    let mut known: BTreeSet<String> = FIRST.iter().map(|word| (*word).to_owned()).collect();
    let text = text::read(path)?;
    let body = text.strip_suffix('\n').unwrap_or(&text);
    for (number, line) in (1..).zip(body.split('\n')).take_while(|_| !body.is_empty()) {
        let wrong = |message| Error::line(path, number, message);
        let row = line.trim_end_matches(is_space);
        let (row, overwrites) = match row.strip_suffix(" #fairseq:overwrite") {
            Some(row) => (row, true),
            None => (row, false),
        };
        let (word, _) = row
            .rsplit_once(' ')
            .filter(|(_, count)| count.trim_matches(is_space).parse::<i64>().is_ok())
            .ok_or_else(|| wrong(format!("expected a word and its count, found {line:?}")))?;
        if !known.insert(word.to_owned()) && !overwrites {
            return Err(wrong(format!(
                "word `{word}` is there twice, expected `#fairseq:overwrite` at the end of the row that counts"
            )));
        }
        words.push((word.to_owned(), words.len() as u32));
    }
    Ok(words)
}

impl Words {
    /// `special`: beginning, padding, end, unknown.
    fn with_dictionary(
        self,
        path: &Path,
        words: Vec<(String, u32)>,
        special: &[String; 4],
    ) -> Result<Spelled<Self>, Error> {
        let [_, _, end, unknown] = special;
        let names = special.iter().map(String::as_str);
        let dictionary = Dictionary::new(path, words, [unknown, end], names)?;
        Ok(Spelled { dictionary, spelling: self })
    }
}

impl Spelling for Words {
    fn pieces(&self, _: &Dictionary, text: &str) -> Vec<String> {
        let split = |text: &str| {
            let words = text.split(is_space).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        match self {
            Self::Whole => split(text),
            Self::Codes(codes) => split(&codes.segmented(text)),
            Self::Pieces(model) => model.encode(text),
            Self::Fsmt { codes, language, lowercase } => {
                let text = if *lowercase { text.to_lowercase() } else { text.to_owned() };
                let text = moses::without_other_punctuation(&text);
                let text = without_controls(&moses::normalized(&text, language));
                let words: Vec<String> = split(&moses::tokenize(&text, language, true));
                words.iter().flat_map(|word| codes.cut(word)).collect()
            }
        }
    }

    fn text(&self, words: &[&str]) -> String {
        match self {
            Self::Whole => words.join(" "),
            Self::Codes(_) => joined_words(&words.join(" ")),
            Self::Pieces(_) => words.concat().replace(SPACE, " ").trim_matches(is_space).to_owned(),
            Self::Fsmt { language, .. } => {
                let words = words.iter().map(|word| word.replace(' ', "").replace("</w>", " "));
                moses::detokenize(&words.collect::<String>(), language)
            }
        }
    }
}

/// remove-non-printing-char.perl.
fn without_controls(text: &str) -> String {
    CONTROLS.replace_all(text, "").into_owned()
}

static CONTROLS: LazyLock<regex::Regex> =
    LazyLock::new(|| regex::Regex::new(r"\p{C}").expect("a sound pattern"));

#[cfg(test)]
mod tests;
