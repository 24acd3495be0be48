//! Byte-pair encoding learnt from parallel text, for encoder-decoders trained from nothing.
//!
//! The merges are learnt by `tokenizers`' trainer. Decided: words begin with `▁`, as in SentencePiece, so that a
//! text comes back with its spaces; runs of punctuation are cut off words; texts are put into composed characters
//! (NFC), with one space between words. Where the special tokens stand is the model's concern, see
//! [`SpecialOrder`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ee_files::caught;
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    Model, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, PreTokenizerWrapper,
};

use super::pair;
use crate::config::Section;
use crate::error::Error;

const END: &str = "</s>";
const UNKNOWN: &str = "<unk>";
const PADDING: &str = "<pad>";
const BEGINNING: &str = "<s>";
/// How often two pieces must stand together to become one, as in subword-nmt.
const LEAST_COUNT: u64 = 2;

/// How a byte-pair encoding is learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BpeSettings {
    /// How large it becomes.
    pub size: BpeSize,
    /// Whether source and target have one dictionary, which may then share one embedding.
    pub joined: bool,
    /// Whether the merges are learnt on both languages together. Without a joined dictionary each side then has
    /// those of the pieces that occur in it (fairseq's recipe of IWSLT14).
    pub shared_merges: bool,
    /// Whether texts are lower-cased.
    pub lowercase: bool,
    /// Where the special tokens stand.
    pub order: SpecialOrder,
}

/// The ids of a dictionary's special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialOrder {
    /// `</s>` 0, `<unk>` 1, `<pad>` the last, as in Marian's checkpoints.
    Marian,
    /// `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3: for models whose positions are counted from the padding's id.
    Fairseq,
}

impl SpecialOrder {
    /// Those before the pieces and those after them.
    fn around(self) -> [&'static [&'static str]; 2] {
        match self {
            Self::Marian => [&[END, UNKNOWN], &[PADDING]],
            Self::Fairseq => [&[BEGINNING, PADDING, END, UNKNOWN], &[]],
        }
    }

    fn n_tokens(self) -> usize {
        self.around().concat().len()
    }
}

/// The size of a byte-pair encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BpeSize {
    /// So many merges, beside the characters.
    Merges(usize),
    /// So many entries, special tokens included; with dictionaries and merges of their own, in each.
    Vocabulary(usize),
}

impl BpeSettings {
    /// Takes them from a section of a run file: `kind = "bpe"`, `merges` or `vocabulary`, `joined` (true),
    /// `shared_merges` (as `joined`), `lowercase` (false); the order is Marian's. Faults are noted in the section.
    pub fn from_section(section: &Section<'_>) -> Self {
        section.choice("kind", &[("bpe", ())], ());
        let sizes = ["merges", "vocabulary"].map(|key| section.optional::<usize>(key));
        let size = match sizes {
            [Some(merges), None] => BpeSize::Merges(merges),
            [None, Some(vocabulary)] => BpeSize::Vocabulary(vocabulary),
            [None, None] => {
                section.complain("merges", "missing, expected `merges` or `vocabulary`");
                BpeSize::Merges(1)
            }
            [Some(_), Some(_)] => {
                section.complain("merges", "expected `merges` or `vocabulary`, found both");
                BpeSize::Merges(1)
            }
        };
        section.require("merges", size != BpeSize::Merges(0), "expected 1 or more, found 0");
        let joined = section.or("joined", true);
        let shared_merges = section.or("shared_merges", joined);
        let message = "a joined dictionary has shared merges, expected true";
        section.require("shared_merges", shared_merges || !joined, message);
        let (lowercase, order) = (section.or("lowercase", false), SpecialOrder::Marian);
        Self { size, joined, shared_merges, lowercase, order }
    }
}

/// A byte-pair encoding, ready to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearntBpe {
    /// `tokenizer.json` of the source, and of the target where it is another.
    files: Vec<String>,
    sizes: [usize; 2],
    order: SpecialOrder,
}

impl LearntBpe {
    /// Entries of the source's and of the target's dictionary, special tokens included.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Writes `tokenizer.json`, or `tokenizer.source.json` and `tokenizer.target.json`, and
    /// `tokenizer_config.json`, which [`super::TextTokenizer::of_pair`] reads; transformers'
    /// `PreTrainedTokenizerFast` reads each of them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let names: &[&str] = match self.files.len() {
            1 => &["tokenizer.json"],
            _ => &[pair::SOURCE, pair::TARGET],
        };
        let mut settings = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END,
            "unk_token": UNKNOWN,
            "pad_token": PADDING,
            "clean_up_tokenization_spaces": false,
        });
        if self.order == SpecialOrder::Fairseq {
            settings["bos_token"] = BEGINNING.into();
        }
        let settings = (&"tokenizer_config.json", format!("{settings:#}\n"));
        for (name, content) in names.iter().zip(self.files.iter().cloned()).chain([settings]) {
            let path = folder.join(name);
            fs::write(&path, content).map_err(|error| Error::io(&path, error))?;
        }
        Ok(())
    }
}

/// Learns a byte-pair encoding from the two sides of a parallel text. The same texts give the same bytes.
///
/// # Errors
/// Texts without a word, and a vocabulary without room for their characters.
pub fn train_bpe<T: AsRef<str> + Sync>(
    settings: &BpeSettings,
    source: &[T],
    target: &[T],
) -> Result<LearntBpe, Error> {
    let learnt = || match settings {
        BpeSettings { shared_merges: true, joined, .. } => {
            let both = Words::of(settings, source.iter().chain(target))?;
            let merges = both.learn(settings)?;
            if *joined {
                return Ok(vec![merges]);
            }
            let sides = [source, target].map(|texts| {
                let words = Words::of(settings, texts.iter())?;
                merges.of_words(&words)
            });
            sides.into_iter().collect()
        }
        _ => {
            let sides =
                [source, target].map(|texts| Words::of(settings, texts.iter())?.learn(settings));
            sides.into_iter().collect()
        }
    };
    let learnt: Vec<Merges> = caught(learnt).and_then(|learnt| learnt).map_err(|message| {
        Error::Request(format!("cannot learn a byte-pair encoding: {message}"))
    })?;
    let sizes = [learnt.first(), learnt.last()]
        .map(|merges| merges.map_or(0, |merges| merges.pieces.len() + settings.order.n_tokens()));
    let files = learnt.iter().map(|merges| merges.file(settings)).collect();
    Ok(LearntBpe { files, sizes, order: settings.order })
}

/// The words of texts and how often each occurs.
struct Words {
    counts: BTreeMap<String, u64>,
}

impl Words {
    fn of<'t, T: AsRef<str> + 't>(
        settings: &BpeSettings,
        texts: impl Iterator<Item = &'t T>,
    ) -> Result<Self, String> {
        let normalizer: NormalizerWrapper = part(normalizer(settings))?;
        let splitter: PreTokenizerWrapper = part(splitter())?;
        let mut counts = BTreeMap::new();
        for text in texts {
            let mut normalized = text.as_ref().into();
            normalizer.normalize(&mut normalized).map_err(|error| error.to_string())?;
            let mut split = PreTokenizedString::from(normalized);
            splitter.pre_tokenize(&mut split).map_err(|error| error.to_string())?;
            for (word, ..) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => _ = counts.insert(word.to_owned(), 1),
                }
            }
        }
        match counts.is_empty() {
            true => Err("the texts have no word".to_owned()),
            false => Ok(Self { counts }),
        }
    }

    fn learn(&self, settings: &BpeSettings) -> Result<Merges, String> {
        let n_special = settings.order.n_tokens();
        let characters: BTreeSet<char> = self.counts.keys().flat_map(|word| word.chars()).collect();
        let n_pieces = match settings.size {
            BpeSize::Merges(merges) => characters.len() + merges,
            BpeSize::Vocabulary(size) if size < characters.len() + n_special => {
                return Err(format!(
                    "a vocabulary of {size} has no room for the texts' {} characters and {n_special} special tokens",
                    characters.len()
                ));
            }
            BpeSize::Vocabulary(size) => size - n_special,
        };
        Merges::learn(self, n_pieces)
    }
}

/// Pieces in the order of their ids, special tokens left out, and the merges that make them.
struct Merges {
    pieces: Vec<String>,
    merges: Vec<[String; 2]>,
}

impl Merges {
    fn learn(words: &Words, n_pieces: usize) -> Result<Self, String> {
        let trainer = BpeTrainer::builder()
            .vocab_size(n_pieces)
            .min_frequency(LEAST_COUNT)
            .show_progress(false)
            .build();
        let mut model = BPE::default();
        let counts = words.counts.iter().map(|(word, count)| (word.as_str().into(), *count));
        trainer.do_train(&counts.collect(), &mut model).map_err(|error| error.to_string())?;
        let mut pieces: Vec<(String, u32)> = model.get_vocab().into_iter().collect();
        pieces.sort_by_key(|(_, id)| *id);
        let pieces = pieces.into_iter().map(|(piece, _)| piece).collect();
        let json = serde_json::to_value(&model).map_err(|error| error.to_string())?;
        let merges = serde_json::from_value(json["merges"].clone());
        Ok(Self { pieces, merges: merges.map_err(|error| error.to_string())? })
    }

    /// Those of the pieces that words are cut into, with what these are made of.
    fn of_words(&self, words: &Words) -> Result<Self, String> {
        let ids: BTreeMap<&str, u32> = self.pieces.iter().map(String::as_str).zip(0..).collect();
        let model = json!({"type": "BPE", "vocab": ids, "merges": self.merges}).to_string();
        let model: BPE = serde_json::from_str(&model).map_err(|error| error.to_string())?;
        let mut used: BTreeSet<String> = BTreeSet::new();
        for word in words.counts.keys() {
            let tokens = model.tokenize(word).map_err(|error| error.to_string())?;
            used.extend(tokens.into_iter().map(|token| token.value));
        }
        let mut merges = Vec::new();
        for [left, right] in self.merges.iter().rev() {
            if used.contains(&format!("{left}{right}")) {
                used.extend([left.clone(), right.clone()]);
                merges.push([left.clone(), right.clone()]);
            }
        }
        merges.reverse();
        let pieces = self.pieces.iter().filter(|piece| used.contains(*piece)).cloned().collect();
        Ok(Self { pieces, merges })
    }

    /// `tokenizer.json`.
    fn file(&self, settings: &BpeSettings) -> String {
        let [before, after] = settings.order.around();
        let pieces = self.pieces.iter().map(String::as_str);
        let names = before.iter().copied().chain(pieces).chain(after.iter().copied());
        let names: Vec<&str> = names.collect();
        let ids: Map<String, Value> =
            (0..).zip(&names).map(|(id, name)| ((*name).to_owned(), Value::from(id))).collect();
        let added = [before, after].concat().into_iter().map(|name| {
            json!({
                "id": ids[name], "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        });
        let added: Vec<Value> = added.collect();
        let end = json!({"SpecialToken": {"id": END, "type_id": 0}});
        let text = |id, kind| json!({"Sequence": {"id": id, "type_id": kind}});
        let file = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": normalizer(settings),
            "pre_tokenizer": splitter(),
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [text("A", 0), end],
                "pair": [text("A", 0), end, text("B", 0), end],
                "special_tokens": {END: {"id": END, "ids": [ids[END]], "tokens": [END]}},
            },
            "decoder": space(),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": UNKNOWN,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
                "byte_fallback": false, "ignore_merges": false, "vocab": ids,
                "merges": self.merges,
            },
        });
        format!("{file}\n")
    }
}

/// Composed characters, lower case if wanted, one space between words and none around them.
fn normalizer(settings: &BpeSettings) -> Value {
    let lowercase = settings.lowercase.then(|| json!({"type": "Lowercase"}));
    let spaces = json!({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "});
    let strip = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let all: Vec<Value> =
        [json!({"type": "NFC"})].into_iter().chain(lowercase).chain([spaces, strip]).collect();
    json!({"type": "Sequence", "normalizers": all})
}

/// Words that begin with `▁`, and runs of punctuation by themselves.
fn splitter() -> Value {
    let punctuation = json!({
        "type": "Split", "pattern": {"Regex": r"▁?\p{P}+"}, "behavior": "Isolated", "invert": false,
    });
    json!({"type": "Sequence", "pretokenizers": [space(), punctuation]})
}

fn space() -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})
}

/// A part of a tokenizer from what stands for it in `tokenizer.json`.
fn part<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
