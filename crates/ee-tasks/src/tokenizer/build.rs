//! The two tokenizers that older checkpoints describe by vocabulary files alone.
//!
//! Settings and defaults are those of transformers' `BertTokenizer` and `RobertaTokenizer`.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Error;

/// `tokenizer_config.json` over `special_tokens_map.json`, as far as they are there.
pub(super) struct Settings(Map<String, Value>);

impl Settings {
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let mut all = Map::new();
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = folder.join(name);
            if path.is_file() {
                let text = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
                let settings: Map<String, Value> =
                    serde_json::from_str(&text).map_err(|error| {
                        Error::file(&path, format!("expected a JSON object: {error}"))
                    })?;
                all.extend(settings);
            }
        }
        Ok(Self(all))
    }

    /// A special token, written as a string or as an object with its `content`.
    pub(super) fn token(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    fn truth(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    /// The id of the stated padding token, or of the two customary ones.
    pub(super) fn padding_id(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let names = self.token("pad_token").into_iter().chain(["[PAD]", "<pad>"]);
        names.into_iter().find_map(|name| tokenizer.token_to_id(name))
    }
}

/// BERT: `vocab.txt`, one token a line.
pub(super) fn wordpiece(folder: &Path, settings: &Settings) -> Result<Tokenizer, Error> {
    refuse_added_tokens(folder)?;
    let path = folder.join("vocab.txt");
    let unknown = settings.token("unk_token").unwrap_or("[UNK]");
    let model = WordPiece::from_file(&path.to_string_lossy())
        .unk_token(unknown.to_owned())
        .max_input_chars_per_word(100)
        .build()
        .map_err(|error| Error::file(&path, format!("not a WordPiece vocabulary: {error}")))?;
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        settings.truth("tokenize_chinese_chars").unwrap_or(true),
        settings.truth("strip_accents"),
        settings.truth("do_lower_case").unwrap_or(true),
    );
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(|error| Error::file(&path, error.to_string()))?;
    let special =
        special(&path, &tokenizer, settings, ["sep_token", "cls_token"], ["[SEP]", "[CLS]"])?;
    let [separator, class] = special;
    tokenizer.with_post_processor(Some(BertProcessing::new(separator, class)));
    let names = [
        ("pad_token", "[PAD]"),
        ("unk_token", "[UNK]"),
        ("cls_token", "[CLS]"),
        ("sep_token", "[SEP]"),
        ("mask_token", "[MASK]"),
    ];
    mark_special(&path, &mut tokenizer, settings, &names)?;
    Ok(tokenizer)
}

/// RoBERTa: `vocab.json` and `merges.txt`.
pub(super) fn byte_level_bpe(folder: &Path, settings: &Settings) -> Result<Tokenizer, Error> {
    refuse_added_tokens(folder)?;
    let (vocabulary, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let model = BPE::from_file(&name(&vocabulary), &name(&merges)).build().map_err(|error| {
        Error::file(&vocabulary, format!("not a byte-level vocabulary with its merges: {error}"))
    })?;
    let mut tokenizer = Tokenizer::new(model);
    let prefix_space = settings.truth("add_prefix_space").unwrap_or(false);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prefix_space, true, true)));
    let special =
        special(&vocabulary, &tokenizer, settings, ["sep_token", "cls_token"], ["</s>", "<s>"])?;
    let [separator, class] = special;
    let processor = RobertaProcessing::new(separator, class).add_prefix_space(prefix_space);
    tokenizer.with_post_processor(Some(processor));
    let names = [
        ("bos_token", "<s>"),
        ("pad_token", "<pad>"),
        ("eos_token", "</s>"),
        ("unk_token", "<unk>"),
        ("mask_token", "<mask>"),
    ];
    mark_special(&vocabulary, &mut tokenizer, settings, &names)?;
    Ok(tokenizer)
}

/// Tokens outside the vocabulary files would be spelled out, silently.
fn refuse_added_tokens(folder: &Path) -> Result<(), Error> {
    let path = folder.join("added_tokens.json");
    match path.is_file() {
        true => Err(Error::file(
            &path,
            "added tokens need a tokenizer.json, found vocabulary files alone: save the tokenizer with transformers' fast form",
        )),
        false => Ok(()),
    }
}

/// The tokens that frame a text, with their ids.
fn special(
    path: &Path,
    tokenizer: &Tokenizer,
    settings: &Settings,
    keys: [&str; 2],
    defaults: [&str; 2],
) -> Result<[(String, u32); 2], Error> {
    let find = |key: &str, default: &str| {
        let name = settings.token(key).unwrap_or(default);
        let id = tokenizer.token_to_id(name);
        id.map(|id| (name.to_owned(), id)).ok_or_else(|| {
            Error::file(path, format!("no special token `{name}` in the vocabulary"))
        })
    };
    Ok([find(keys[0], defaults[0])?, find(keys[1], defaults[1])?])
}

/// Keeps special tokens whole where they occur in a text.
fn mark_special(
    path: &Path,
    tokenizer: &mut Tokenizer,
    settings: &Settings,
    names: &[(&str, &str)],
) -> Result<(), Error> {
    let known = names.iter().filter_map(|(key, default)| {
        let name = settings.token(key).unwrap_or(default);
        tokenizer.token_to_id(name)?;
        // RoBERTa's mask swallows the space before it.
        Some(AddedToken::from(name, true).lstrip(name == "<mask>"))
    });
    let known: Vec<AddedToken> = known.collect();
    tokenizer
        .add_special_tokens(known)
        .map(|_| ())
        .map_err(|error| Error::file(path, error.to_string()))
}
