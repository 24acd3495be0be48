//! What transformers writes over `tokenizer.json` from the settings beside it.
//!
//! The right value is `AutoTokenizer.from_pretrained(folder)`. Releases 4 and 5 differ: 5 takes
//! `add_bos_token`, `add_eos_token` and the first space of a byte-level vocabulary from `tokenizer.json`
//! alone, where 4 takes them from `tokenizer_config.json`. A folder is read as the release that wrote it
//! reads it: as 4 does, unless it bears the marks of 5, as most published checkpoints were trained with what 4
//! reads. One rule of 5 applies to all: where no class is named, the frame around a text is
//! `tokenizer.json`'s unless a switch is stated.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::settings::{Settings, Special};

/// Changes a tokenizer as its folder's settings say.
pub(super) fn write_over(inner: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    add_tokens(inner, settings)?;
    set_prefix_space(inner, settings);
    set_llama_space(inner, settings)?;
    set_case(inner, settings)?;
    set_frame(inner, settings)?;
    if settings.truth("split_special_tokens") == Some(true) {
        inner.set_encode_special_tokens(true);
    }
    Ok(())
}

fn add_tokens(inner: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    let in_file = inner.get_added_tokens_decoder().into_iter().collect();
    let listed = settings.added(in_file);
    let special = settings.special(&listed);
    let known = inner.get_added_tokens_decoder();
    let is_known =
        |content: &str| known.values().chain(&listed).any(|token| token.content == content);
    let missing: Vec<AddedToken> = special
        .iter()
        .filter_map(|special| match special {
            Special::Text(content) if is_known(content) => None,
            Special::Text(content) => Some(AddedToken::from(content, true)),
            Special::Token(token) if settings.is_newer && is_known(&token.content) => None,
            Special::Token(token) => (!listed.contains(token)).then(|| token.clone()),
        })
        .collect();
    let is_special =
        |token: &AddedToken| special.iter().any(|special| special.content() == token.content);
    let tokens = listed.into_iter().chain(missing).map(|token| {
        let special = token.special || is_special(&token);
        token.special(special)
    });
    let tokens: Vec<AddedToken> = tokens.collect();
    inner.add_tokens(tokens).map(|_| ()).map_err(|error| error.to_string())
}

/// Whether a byte-level vocabulary puts a space before a text; one inside a sequence is left alone.
fn set_prefix_space(inner: &mut Tokenizer, settings: &Settings) {
    let is_stated = settings.says("add_prefix_space");
    let class = settings.class();
    let is_left = class.leaves_prefix_space()
        || (class.is_plain() && !is_stated && (settings.is_newer || !settings.names_class()));
    let wanted = match settings.truth("add_prefix_space") {
        Some(wanted) => wanted,
        None if is_stated => return,
        None => false,
    };
    if let Some(PreTokenizerWrapper::ByteLevel(level)) = inner.get_pre_tokenizer()
        && !is_left
        && level.add_prefix_space != wanted
    {
        let mut level = *level;
        level.add_prefix_space = wanted;
        inner.with_pre_tokenizer(Some(level));
    }
}

/// The same for Llama's pieces, where it is stated; the decoder removes what was added.
fn set_llama_space(inner: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    let Some(wanted) = settings.truth("add_prefix_space") else { return Ok(()) };
    if !settings.class().leaves_prefix_space() {
        return Ok(());
    }
    let scheme = |part: &mut Value| {
        if part["type"] == "Metaspace" && wanted == (part["prepend_scheme"] == "never") {
            part["prepend_scheme"] = if wanted { "first" } else { "never" }.into();
        }
    };
    if let Some(part) = inner.get_pre_tokenizer() {
        let part = edited(part, scheme)?;
        inner.with_pre_tokenizer(Some(part));
    }
    // A tokenizer that is not legacy puts the space before the first piece alone, not after special tokens.
    let is_first_alone =
        settings.truth("legacy") == Some(false) && inner.get_pre_tokenizer().is_none();
    if wanted && !is_first_alone {
        return Ok(());
    }
    if let Some(part) = inner.get_normalizer() {
        let part = edited(part, |part| {
            without(part, "normalizers", "Prepend");
            if wanted {
                without(part, "normalizers", "Replace");
            }
        })?;
        inner.with_normalizer(Some(part)).map_err(|error| error.to_string())?;
    }
    if wanted {
        let part = json!({
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false,
        });
        let part: PreTokenizerWrapper =
            serde_json::from_value(part).map_err(|error| error.to_string())?;
        inner.with_pre_tokenizer(Some(part));
        return Ok(());
    }
    if let Some(part) = inner.get_decoder() {
        let part = edited(part, |part| {
            without(part, "decoders", "Strip");
            scheme(part);
        })?;
        inner.with_decoder(Some(part));
    }
    Ok(())
}

/// A part of a tokenizer, changed as JSON.
fn edited<T: Serialize + DeserializeOwned>(
    part: &T,
    edit: impl FnOnce(&mut Value),
) -> Result<T, String> {
    let mut json = serde_json::to_value(part).map_err(|error| error.to_string())?;
    edit(&mut json);
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// Takes the members of a kind out of a sequence.
fn without(part: &mut Value, members: &str, kind: &str) {
    if let Some(members) = part.get_mut(members).and_then(Value::as_array_mut) {
        members.retain(|member| member["type"] != kind);
    }
}

fn set_case(inner: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    if let Some(NormalizerWrapper::BertNormalizer(old)) = inner.get_normalizer()
        && settings.class().rewrites_normalizer
    {
        let normalizer = BertNormalizer::new(
            old.clean_text,
            settings.truth("tokenize_chinese_chars").unwrap_or(true),
            settings.truth("strip_accents"),
            settings.truth("do_lower_case").unwrap_or(true),
        );
        inner.with_normalizer(Some(normalizer)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The beginning and the end that the switches ask for.
fn set_frame(inner: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    let keys = ["add_bos_token", "add_eos_token"];
    let is_stated = keys.iter().any(|key| settings.truth(key).is_some());
    let defaults = match settings.class().frame {
        Some(defaults) => defaults,
        None if !settings.names_class() && is_stated => [true, false],
        None => return Ok(()),
    };
    if settings.is_newer {
        return Ok(());
    }
    let token = |at: usize| {
        let is_wanted = settings.truth(keys[at]).unwrap_or(defaults[at]);
        let name = settings.token(["bos_token", "eos_token"][at]).filter(|_| is_wanted)?;
        Some((name.to_owned(), inner.token_to_id(name)?))
    };
    let (beginning, end) = (token(0), token(1));
    let around = |sequence: &str, kind: u32| -> Vec<Value> {
        let special =
            |token: &(String, u32)| json!({"SpecialToken": {"id": token.0, "type_id": kind}});
        let text = json!({"Sequence": {"id": sequence, "type_id": kind}});
        beginning.iter().map(special).chain([text]).chain(end.iter().map(special)).collect()
    };
    let special: serde_json::Map<String, Value> = beginning
        .iter()
        .chain(&end)
        .map(|(name, id)| (name.clone(), json!({"id": name, "ids": [id], "tokens": [name]})))
        .collect();
    let (single, pair) = (around("A", 0), [around("A", 0), around("B", 1)].concat());
    let processor = json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": special,
    });
    let processor: PostProcessorWrapper =
        serde_json::from_value(processor).map_err(|error| error.to_string())?;
    inner.with_post_processor(Some(processor));
    Ok(())
}

#[cfg(test)]
mod tests;
