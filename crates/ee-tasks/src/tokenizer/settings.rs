//! What a checkpoint's folder says about its tokenizer besides `tokenizer.json`.
//!
//! `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, read as transformers reads
//! them: where the first lists the added tokens, the other two do not count; else they take precedence. The
//! class that it names decides what is written over `tokenizer.json` and which tokens are special where
//! nothing says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Error;
use crate::text;

/// Special tokens by name, in transformers' order.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A class of transformers, as far as it does more than read `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    /// Names without `Tokenizer` and `TokenizerFast`.
    names: &'static str,
    /// Special tokens where the folder names none.
    tokens: &'static [(&'static str, &'static str)],
    /// Whether it puts a beginning and an end around texts where the folder does not say; none where it
    /// leaves that to `tokenizer.json`.
    pub(super) frame: Option<[bool; 2]>,
    /// Whether its settings of case, accents and Chinese take precedence over those of `tokenizer.json`.
    pub(super) rewrites_normalizer: bool,
}

/// Any class that reads `tokenizer.json` and no more, `PreTrainedTokenizerFast` first.
const PLAIN: Class = Class { names: "", tokens: &[], frame: None, rewrites_normalizer: false };

const BERT: Class = Class {
    names: "Bert DistilBert Electra MobileBert SqueezeBert ConvBert LayoutLM Lxmert",
    tokens: &[
        ("unk_token", "[UNK]"),
        ("sep_token", "[SEP]"),
        ("pad_token", "[PAD]"),
        ("cls_token", "[CLS]"),
        ("mask_token", "[MASK]"),
    ],
    rewrites_normalizer: true,
    ..PLAIN
};

const ROBERTA: Class = Class {
    names: "Roberta Longformer Bart",
    tokens: &[
        ("bos_token", "<s>"),
        ("eos_token", "</s>"),
        ("unk_token", "<unk>"),
        ("sep_token", "</s>"),
        ("pad_token", "<pad>"),
        ("cls_token", "<s>"),
        ("mask_token", "<mask>"),
    ],
    ..PLAIN
};

const LLAMA: Class = Class {
    names: "Llama CodeLlama",
    tokens: &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
    frame: Some([true, false]),
    ..PLAIN
};

const END: &str = "<|endoftext|>";

const QWEN2: Class = Class {
    names: "Qwen2",
    tokens: &[("eos_token", END), ("unk_token", END), ("pad_token", END)],
    ..PLAIN
};

const GPT2: Class = Class {
    names: "GPT2",
    tokens: &[("bos_token", END), ("eos_token", END), ("unk_token", END)],
    ..PLAIN
};

const GPT_NEOX: Class = Class { names: "GPTNeoX", frame: Some([false, false]), ..GPT2 };

/// A special token, as text or with what its folder says about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Special {
    Text(String),
    Token(AddedToken),
}

impl Special {
    pub(super) fn content(&self) -> &str {
        match self {
            Self::Text(content) => content,
            Self::Token(token) => &token.content,
        }
    }
}

pub(super) struct Settings {
    all: Map<String, Value>,
    /// Tokens that `added_tokens.json` adds.
    added: BTreeMap<u32, String>,
    class: Class,
    /// The class, where one is named rather than guessed from the model's type.
    named: Option<String>,
    /// Whether transformers 5 wrote the folder: what it writes over `tokenizer.json` is in the file then.
    pub(super) is_newer: bool,
}

impl Settings {
    /// Reads a folder's settings, as far as they are there; `kind` is the class where nothing names one.
    pub(super) fn read(folder: &Path, kind: Option<Kind>) -> Result<Self, Error> {
        let object = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { text::json_object(&path) } else { Ok(Map::new()) }
        };
        let mut all = object("tokenizer_config.json")?;
        let mut added = BTreeMap::new();
        if !all.contains_key("added_tokens_decoder") {
            for (key, value) in object("special_tokens_map.json")? {
                join(&mut all, key, value);
            }
            for (content, id) in object("added_tokens.json")? {
                let stated = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let id = stated.ok_or_else(|| {
                    let message = format!("expected an id for token `{content}`, found {id}");
                    Error::file(&folder.join("added_tokens.json"), message)
                })?;
                added.insert(id, content);
            }
        }
        // A broken config.json is left to the reader of the model to report.
        let model = object("config.json").unwrap_or_default();
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key).and_then(Value::as_str).map(str::to_owned)
        };
        let named = text(&all, "tokenizer_class").or_else(|| text(&model, "tokenizer_class"));
        let class = match &named {
            Some(name) => class_of(name),
            None => match (kind, text(&model, "model_type").as_deref()) {
                (Some(Kind::WordPiece), _) | (None, Some("bert")) => BERT,
                (Some(Kind::ByteLevel), _) | (None, Some("roberta")) => ROBERTA,
                _ => PLAIN,
            },
        };
        let is_newer = named.as_deref() == Some("TokenizersBackend") || all.contains_key("backend");
        Ok(Self { all, added, class, named, is_newer })
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Whether a class is named, rather than guessed from the model's type.
    pub(super) fn names_class(&self) -> bool {
        self.named.is_some()
    }

    /// The named class where vocabulary files alone are not read as it reads them: it may cut words, or put
    /// tokens around a text, in a way that no file tells.
    pub(super) fn class_unlike(&self, kind: Kind) -> Option<&str> {
        let is_alike = match kind {
            Kind::WordPiece => self.class == BERT,
            Kind::ByteLevel => self.class == ROBERTA,
        };
        self.named.as_deref().filter(|_| !is_alike)
    }

    /// The text of a special token: the folder's, else the class's.
    pub(super) fn token(&self, key: &str) -> Option<&str> {
        match self.all.get(key) {
            Some(value) => value.as_str().or_else(|| value.get("content")?.as_str()),
            None => self.class.token(key),
        }
        .filter(|content| !content.is_empty())
    }

    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        self.all.get(key)?.as_bool()
    }

    /// Whether something is said under a key, though it be `null`.
    pub(super) fn says(&self, key: &str) -> bool {
        self.all.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.all.get(key)?.as_str()
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let listed = self.all.get(key)?.as_array()?.iter();
        listed.map(|text| text.as_str().map(str::to_owned)).collect()
    }

    /// The id of the stated padding token, or of the two customary ones.
    pub(super) fn padding_id(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let names = self.token("pad_token").into_iter().chain(["[PAD]", "<pad>"]);
        names.into_iter().find_map(|name| tokenizer.token_to_id(name))
    }

    /// The special tokens, each once, in transformers' order.
    pub(super) fn special(&self, added: &[AddedToken]) -> Vec<Special> {
        let mut all: Vec<Special> = Vec::new();
        let named = NAMES.iter().filter_map(|key| self.special_of(key, added));
        let more = ["additional_special_tokens", "extra_special_tokens"].into_iter();
        let more = more.filter_map(|key| self.all.get(key)).flat_map(|value| match value {
            Value::Array(values) => values.iter().collect::<Vec<_>>(),
            Value::Object(values) => values.values().collect(),
            _ => Vec::new(),
        });
        for special in named.chain(more.filter_map(special)) {
            if !special.content().is_empty()
                && all.iter().all(|known| known.content() != special.content())
            {
                all.push(special);
            }
        }
        all
    }

    fn special_of(&self, key: &str, added: &[AddedToken]) -> Option<Special> {
        let Some(value) = self.all.get(key) else {
            let content = self.class.token(key)?.to_owned();
            return Some(match key {
                // RoBERTa's mask swallows the space before it.
                "mask_token" if self.class == ROBERTA => {
                    Special::Token(AddedToken::from(content, true).lstrip(true))
                }
                _ => Special::Text(content),
            });
        };
        let stated = special(value)?;
        let known = added.iter().find(|token| token.content == stated.content());
        Some(known.cloned().map_or(stated, Special::Token))
    }

    /// The added tokens that the settings list, in the order of their ids.
    pub(super) fn added(&self, in_file: BTreeMap<u32, AddedToken>) -> Vec<AddedToken> {
        let mut all = self.added_by_id();
        if !self.says("added_tokens_decoder") {
            all.extend(in_file);
        }
        all.into_values().collect()
    }

    /// The same by id, without those of `tokenizer.json`.
    pub(super) fn added_by_id(&self) -> BTreeMap<u32, AddedToken> {
        if let Some(Value::Object(listed)) = self.all.get("added_tokens_decoder") {
            let listed = listed
                .iter()
                .filter_map(|(id, value)| Some((id.parse::<u32>().ok()?, added_token(value)?)));
            return listed.collect();
        }
        let special = self.special(&[]);
        let is_special =
            |content: &String| special.iter().any(|special| special.content() == content);
        let added = self.added.iter();
        added.map(|(id, content)| (*id, AddedToken::from(content, is_special(content)))).collect()
    }

    /// How many sentinels T5's tokenizer has behind its pieces.
    pub(super) fn n_extra_ids(&self) -> usize {
        let listed = self.all.get("additional_special_tokens").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(special);
        let listed = listed.filter(|token| token.content().contains("<extra_id_")).count();
        let stated = self.all.get("extra_ids").and_then(Value::as_u64);
        match listed {
            0 => stated.map_or(100, |stated| stated as usize),
            listed => listed,
        }
    }
}

/// What a folder with only vocabulary files is taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `vocab.txt`: BERT's.
    WordPiece,
    /// `vocab.json` and `merges.txt`: RoBERTa's.
    ByteLevel,
}

impl Class {
    fn token(self, key: &str) -> Option<&'static str> {
        self.tokens.iter().find(|(name, _)| *name == key).map(|(_, content)| *content)
    }

    /// Whether it does no more than read `tokenizer.json`.
    pub(super) fn is_plain(self) -> bool {
        self == PLAIN
    }

    /// Whether it is one of those that leave the first space to their vocabulary.
    pub(super) fn leaves_prefix_space(self) -> bool {
        self == LLAMA
    }
}

fn class_of(name: &str) -> Class {
    let name = name.strip_suffix("Fast").unwrap_or(name).strip_suffix("Tokenizer");
    let classes = [BERT, ROBERTA, LLAMA, QWEN2, GPT2, GPT_NEOX];
    let is_named = |class: &Class| class.names.split(' ').any(|known| Some(known) == name);
    classes.into_iter().find(is_named).unwrap_or(PLAIN)
}

/// `special_tokens_map.json` takes precedence, except for lists, which it extends.
fn join(all: &mut Map<String, Value>, key: String, value: Value) {
    match (all.get_mut(&key), value) {
        (Some(Value::Array(before)), Value::Array(more)) => {
            let new: Vec<Value> = more.into_iter().filter(|one| !before.contains(one)).collect();
            before.extend(new);
        }
        (_, mut value) => {
            if let Some(token) = value.as_object_mut() {
                token.insert("special".into(), true.into());
            }
            all.insert(key, value);
        }
    }
}

fn special(value: &Value) -> Option<Special> {
    match value {
        Value::String(content) => Some(Special::Text(content.clone())),
        _ => added_token(value).map(Special::Token),
    }
}

/// A token written as an object; what is not stated has transformers' default.
fn added_token(value: &Value) -> Option<AddedToken> {
    let content = value.get("content")?.as_str()?;
    let truth = |key: &str| value.get(key).and_then(Value::as_bool);
    let token = AddedToken::from(content, truth("special").unwrap_or(false));
    let normalized = truth("normalized").unwrap_or(token.normalized);
    Some(
        token
            .single_word(truth("single_word").unwrap_or(false))
            .lstrip(truth("lstrip").unwrap_or(false))
            .rstrip(truth("rstrip").unwrap_or(false))
            .normalized(normalized),
    )
}
