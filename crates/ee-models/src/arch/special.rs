//! The tokens that begin and end a text, of `config.json` and `generation_config.json`.
//!
//! As in transformers: the latter takes precedence, one that is not JSON is ignored (with a notice), and
//! an id that the vocabulary does not have never occurs. All keys of the latter are written back.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::checkpoint::{Keys, read_json};
use crate::error::{Error, Result};

/// The tokens that begin and end a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The token that a text begins with.
    pub beginning: Option<u32>,
    /// The tokens that end a text; some checkpoints have several, some none.
    pub ends: Vec<u32>,
}

impl SpecialTokens {
    /// Takes what a file's JSON says; the rest stays. Returns complaints about what is not a token id, and notices of
    /// ids that the vocabulary does not have.
    pub(in crate::arch) fn take(
        &mut self,
        json: &Map<String, Value>,
        vocab_size: usize,
    ) -> (Vec<String>, Vec<String>) {
        let mut reader = IdReader::new(json, vocab_size);
        if let Some(beginning) = reader.ids("bos_token_id") {
            self.beginning = beginning.first().copied();
        }
        if let Some(ends) = reader.ids("eos_token_id") {
            self.ends = ends;
        }
        (reader.wrong, reader.notices)
    }
}

/// Token ids of a file, read key by key.
pub(in crate::arch) struct IdReader<'a> {
    pub(in crate::arch) json: &'a Map<String, Value>,
    pub(in crate::arch) vocab_size: usize,
    /// What is no token id.
    pub(in crate::arch) wrong: Vec<String>,
    /// What never occurs.
    pub(in crate::arch) notices: Vec<String>,
}

impl<'a> IdReader<'a> {
    pub(in crate::arch) fn new(json: &'a Map<String, Value>, vocab_size: usize) -> Self {
        Self { json, vocab_size, wrong: Vec::new(), notices: Vec::new() }
    }

    /// The ids under a key, within the vocabulary; `None` where there is none or null.
    pub(in crate::arch) fn ids(&mut self, key: &str) -> Option<Vec<u32>> {
        let value = self.json.get(key).filter(|value| !value.is_null())?;
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if !values.iter().all(|value| value.is_i64() || value.is_u64()) {
            self.wrong.push(format!("'{key}' must be token ids, found {value}"));
            return None;
        }
        let vocab_size = self.vocab_size;
        let usable = |value: &Value| value.as_u64().filter(|&id| id < vocab_size as u64);
        let ids: Vec<u32> = values.iter().filter_map(usable).map(|id| id as u32).collect();
        if ids.len() < values.len() {
            self.notices.push(format!(
                "'{key}' {value}: an id outside the vocabulary of {vocab_size} never occurs"
            ));
        }
        Some(ids)
    }
}

/// The tokens that `config.json` states, with the family's beginning and end where it has no such key; and what never
/// occurs.
pub(in crate::arch) fn of_config(
    keys: &mut Keys<'_>,
    json: &Map<String, Value>,
    vocab_size: usize,
    [first, last]: [Option<u32>; 2],
) -> (SpecialTokens, Vec<String>) {
    let mut special = SpecialTokens::default();
    let (wrong, notices) = special.take(json, vocab_size);
    wrong.into_iter().for_each(|wrong| keys.complain(wrong));
    let known = |id: &u32| (*id as usize) < vocab_size;
    if !keys.has("bos_token_id") {
        special.beginning = first.filter(known);
    }
    if !keys.has("eos_token_id") {
        special.ends = last.filter(known).into_iter().collect();
    }
    (special, notices)
}

/// A folder's `generation_config.json`; empty where there is none. Where it cannot be used, the notice says so.
pub(in crate::arch) fn generation(path: &Path) -> Result<(Map<String, Value>, Option<String>)> {
    if !path.is_file() {
        return Ok((Map::new(), None));
    }
    match read_json(path) {
        Ok(json) => Ok((json, None)),
        Err(Error::Config { complaint, .. }) => {
            let notice = format!("{}: {complaint}; the file is ignored", path.display());
            Ok((Map::new(), Some(notice)))
        }
        Err(error) => Err(error),
    }
}

/// The `generation_config.json` to write.
pub(in crate::arch) fn to_json(
    read: &Map<String, Value>,
    special: &SpecialTokens,
) -> Map<String, Value> {
    if !read.is_empty() {
        return read.clone();
    }
    let mut json = Map::from_iter([("_from_model_config".to_owned(), true.into())]);
    if let Some(beginning) = special.beginning {
        json.insert("bos_token_id".into(), beginning.into());
    }
    if !special.ends.is_empty() {
        json.insert("eos_token_id".into(), ends_to_json(&special.ends));
    }
    json
}

/// One id as a number, more as a list.
pub(in crate::arch) fn ends_to_json(ends: &[u32]) -> Value {
    match ends {
        [end] => json!(end),
        ends => json!(ends),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(value: Value) -> (SpecialTokens, usize) {
        let mut special = SpecialTokens { beginning: Some(1), ends: vec![2] };
        let (wrong, notices) = special.take(value.as_object().unwrap(), 10);
        (special, wrong.len() + notices.len())
    }

    #[test]
    fn what_a_file_says_goes_before_and_what_is_no_id_is_ignored() {
        let of = |beginning, ends: &[u32]| SpecialTokens { beginning, ends: ends.to_vec() };
        assert_eq!(taken(json!({})), (of(Some(1), &[2]), 0));
        assert_eq!(taken(json!({"eos_token_id": null})), (of(Some(1), &[2]), 0));
        assert_eq!(
            taken(json!({"bos_token_id": 0, "eos_token_id": [3, 4]})),
            (of(Some(0), &[3, 4]), 0)
        );
        assert_eq!(taken(json!({"eos_token_id": "</s>"})), (of(Some(1), &[2]), 1));
        assert_eq!(taken(json!({"eos_token_id": [3, 10]})), (of(Some(1), &[3]), 1));
        assert_eq!(taken(json!({"eos_token_id": -1})), (of(Some(1), &[]), 1));
    }

    #[test]
    fn a_file_is_written_back_whole_and_made_where_there_is_none() {
        let special = SpecialTokens { beginning: Some(1), ends: vec![2, 3] };
        let made = to_json(&Map::new(), &special);
        let expected =
            json!({"_from_model_config": true, "bos_token_id": 1, "eos_token_id": [2, 3]});
        assert_eq!(Value::Object(made), expected);
        let read = json!({"eos_token_id": 5, "temperature": 0.6});
        assert_eq!(&to_json(read.as_object().unwrap(), &special), read.as_object().unwrap());
    }

    #[test]
    fn a_broken_file_is_ignored_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation_config.json");
        assert_eq!(generation(&path).unwrap(), (Map::new(), None));
        for text in ["{", "[1]", ""] {
            std::fs::write(&path, text).unwrap();
            let (json, notice) = generation(&path).unwrap();
            assert!(json.is_empty());
            assert!(notice.unwrap().contains("generation_config.json: "), "{text}");
        }
    }
}
