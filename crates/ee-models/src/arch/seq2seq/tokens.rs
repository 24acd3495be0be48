//! The tokens that an encoder-decoder's texts begin and end with, of `config.json` and `generation_config.json`.
//!
//! As in transformers: where the latter is there, what it does not force or rule out is not, whatever the former
//! says. Its sampling settings, beams and lengths are ignored.

use serde_json::{Map, Value, json};

use crate::arch::SpecialTokens;
use crate::arch::special::{self, IdReader};
use crate::checkpoint::Keys;

/// What a decoder's texts begin and end with, and what they never hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The decoder's first token.
    pub start: u32,
    /// The token that follows it, where one must.
    pub forced_beginning: Option<u32>,
    /// The token that a text of the longest length ends with, where one must.
    pub forced_end: Option<u32>,
    /// Tokens that are never generated, in ascending order.
    pub never: Vec<u32>,
    /// The tokens that begin and end a text.
    pub special: SpecialTokens,
}

/// What the tokens are where a configuration does not say.
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) struct TokenDefaults {
    /// The decoder's first token, given the padding and the beginning of a text.
    pub(super) start: fn(padding: u32, beginning: Option<u32>) -> Option<u32>,
    pub(super) beginning: Option<u32>,
    pub(super) end: u32,
    pub(super) forced_end: Option<u32>,
    /// Whether the padding is never generated, whatever the files say.
    pub(super) never_padding: bool,
}

/// What a decoder's files say besides the ids of [`IdReader`].
impl IdReader<'_> {
    fn id(&mut self, key: &str) -> Option<u32> {
        self.ids(key)?.first().copied()
    }

    /// Says which rules of the file change what transformers generates, and nothing here.
    fn ignored(&mut self) {
        let usual = |key: &str| if key == "repetition_penalty" { 1.0 } else { 0.0 };
        for key in ["no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "repetition_penalty"] {
            let value = self.json.get(key).and_then(Value::as_f64);
            if let Some(value) = value.filter(|&value| value != usual(key)) {
                self.notices.push(format!("'{key}' {value} is ignored"));
            }
        }
    }

    /// The tokens that `bad_words_ids` and `suppress_tokens` rule out; sequences of several are not.
    fn never(&mut self) -> Vec<u32> {
        let mut never = self.ids("suppress_tokens").unwrap_or_default();
        let key = "bad_words_ids";
        let Some(value) = self.json.get(key).filter(|value| !value.is_null()) else { return never };
        let words: Option<Vec<&Vec<Value>>> =
            value.as_array().and_then(|words| words.iter().map(Value::as_array).collect());
        let Some(words) = words else {
            self.wrong.push(format!("'{key}' must be lists of token ids, found {value}"));
            return never;
        };
        for word in words {
            match word.as_slice() {
                [id] if id.as_u64().is_some_and(|id| id < self.vocab_size as u64) => {
                    never.extend(id.as_u64().map(|id| id as u32));
                }
                _ => self.notices.push(format!(
                    "'{key}': {} is no single token of the vocabulary and not ruled out",
                    json!(word)
                )),
            }
        }
        never
    }
}

impl Tokens {
    /// The tokens that `config.json` states, with the family's where it is silent; and what never occurs.
    pub(super) fn of_config(
        keys: &mut Keys<'_>,
        json: &Map<String, Value>,
        defaults: &TokenDefaults,
        padding: usize,
        vocabulary: usize,
    ) -> (Self, Vec<String>) {
        let usual = [defaults.beginning, Some(defaults.end)];
        let (special, mut notices) = special::of_config(keys, json, vocabulary, usual);
        let known = |id: &u32| (*id as usize) < vocabulary;
        let mut reader = IdReader::new(json, vocabulary);
        let key = "decoder_start_token_id";
        let stated = reader.id(key);
        let start = stated.or_else(|| (defaults.start)(padding as u32, special.beginning));
        let mut forced_beginning = reader.id("forced_bos_token_id");
        // What old files of BART have for it.
        let is_forced = json.get("force_bos_token_to_be_generated") == Some(&Value::Bool(true));
        if is_forced && forced_beginning.is_none() {
            forced_beginning = special.beginning;
        }
        let mut forced_end = reader.id("forced_eos_token_id");
        if !keys.has("forced_eos_token_id") {
            forced_end = defaults.forced_end.filter(known);
        }
        let never = reader.never();
        reader.ignored();
        reader.wrong.into_iter().for_each(|wrong| keys.complain(wrong));
        notices.extend(reader.notices);
        if start.is_none_or(|start| !known(&start)) && keys.is_sound() {
            keys.complain(match start {
                Some(start) => format!("'{key}' is {start} where it is absent, which is outside the vocabulary of {vocabulary}"),
                None => format!("'{key}' names no token of the vocabulary of {vocabulary}"),
            });
        }
        let start = start.unwrap_or(0);
        let mut tokens = Self { start, forced_beginning, forced_end, never, special };
        tokens.rule_out(defaults, padding);
        (tokens, notices)
    }

    /// Takes what `generation_config.json` says; what is wrong with it, and what never occurs.
    pub(super) fn take(
        &mut self,
        generation: &Map<String, Value>,
        defaults: &TokenDefaults,
        padding: usize,
        vocabulary: usize,
    ) -> Vec<String> {
        if generation.is_empty() {
            return Vec::new();
        }
        let (mut wrong, mut notices) = self.special.take(generation, vocabulary);
        let mut reader = IdReader::new(generation, vocabulary);
        if let Some(start) = reader.id("decoder_start_token_id") {
            self.start = start;
        }
        self.forced_beginning = reader.id("forced_bos_token_id");
        self.forced_end = reader.id("forced_eos_token_id");
        self.never = reader.never();
        reader.ignored();
        wrong.extend(reader.wrong);
        notices.extend(reader.notices);
        self.rule_out(defaults, padding);
        // transformers uses what it can from this file.
        let wrong =
            wrong.into_iter().map(|wrong| format!("generation_config.json: {wrong}; ignored"));
        wrong.chain(notices).collect()
    }

    fn rule_out(&mut self, defaults: &TokenDefaults, padding: usize) {
        self.never.extend(defaults.never_padding.then_some(padding as u32));
        self.never.sort_unstable();
        self.never.dedup();
    }

    /// The tokens that a text begins with.
    pub(super) fn opening(&self) -> Vec<u32> {
        std::iter::once(self.start).chain(self.forced_beginning).collect()
    }

    /// The keys that state these tokens, in either file.
    pub(super) fn to_json(&self, padding: usize) -> Map<String, Value> {
        let Self { start, forced_beginning, forced_end, never, special } = self;
        let mut json = Map::new();
        let mut put = |key: &str, value: Value| json.insert(key.to_owned(), value);
        put("bos_token_id", json!(special.beginning));
        put(
            "eos_token_id",
            match special.ends.as_slice() {
                [] => Value::Null,
                ends => special::ends_to_json(ends),
            },
        );
        put("pad_token_id", json!(padding));
        put("decoder_start_token_id", json!(start));
        put("forced_bos_token_id", json!(forced_beginning));
        put("forced_eos_token_id", json!(forced_end));
        if !never.is_empty() {
            let words: Vec<[u32; 1]> = never.iter().map(|&id| [id]).collect();
            put("bad_words_ids", json!(words));
        }
        json
    }
}
