//! The two tokenizers that older checkpoints describe by vocabulary files alone, as `tokenizer.json`.
//!
//! Settings and defaults are those of transformers' `BertTokenizer` and `RobertaTokenizer`; special and added
//! tokens are marked as for any other folder.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::error::Error;
use crate::text;

/// BERT: `vocab.txt`, one token a line.
pub(super) fn wordpiece(path: &Path, settings: &Settings) -> Result<String, Error> {
    let lines = text::read(path)?;
    let names = lines.lines().map(str::trim_end).enumerate();
    let vocabulary: Map<String, Value> =
        names.map(|(id, name)| (name.to_owned(), id.into())).collect();
    let frame = frame(path, &vocabulary, settings, ["[SEP]", "[CLS]"])?;
    let json = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": settings.truth("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": settings.truth("strip_accents"),
            "lowercase": settings.truth("do_lower_case").unwrap_or(true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": frame[0], "cls": frame[1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": settings.token("unk_token").unwrap_or("[UNK]"),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    Ok(json.to_string())
}

/// RoBERTa: `vocab.json` and `merges.txt`.
pub(super) fn byte_level_bpe(
    path: &Path,
    merges: &Path,
    settings: &Settings,
) -> Result<String, Error> {
    let vocabulary = text::json_object(path)?;
    let lines = text::read(merges)?;
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        match line.split_once(' ') {
            _ if line.is_empty() || line.starts_with("#version") => {}
            Some((left, right)) if !right.contains(' ') => pairs.push([left, right]),
            _ => {
                let message =
                    format!("expected two tokens with a space between them, found {line:?}");
                return Err(Error::line(merges, number, message));
            }
        }
    }
    let frame = frame(path, &vocabulary, settings, ["</s>", "<s>"])?;
    let prefix_space = settings.truth("add_prefix_space").unwrap_or(false);
    let level = json!({
        "type": "ByteLevel",
        "add_prefix_space": prefix_space,
        "trim_offsets": true,
        "use_regex": true,
    });
    let json = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": level,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": frame[0],
            "cls": frame[1],
            "trim_offsets": true,
            "add_prefix_space": prefix_space,
        },
        "decoder": level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": pairs},
    });
    Ok(json.to_string())
}

/// The tokens that frame a text, separator first, with their ids.
fn frame(
    path: &Path,
    vocabulary: &Map<String, Value>,
    settings: &Settings,
    customary: [&str; 2],
) -> Result<[(String, u64); 2], Error> {
    let find = |key: &str, customary: &str| {
        let name = settings.token(key).unwrap_or(customary);
        let id = vocabulary.get(name).and_then(Value::as_u64);
        id.map(|id| (name.to_owned(), id)).ok_or_else(|| {
            Error::file(path, format!("no special token `{name}` in the vocabulary"))
        })
    };
    Ok([find("sep_token", customary[0])?, find("cls_token", customary[1])?])
}
