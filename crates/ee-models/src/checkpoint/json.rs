//! JSON files of a checkpoint folder: configurations read key by key, all complaints at once.
//!
//! Nothing is guessed: a value of the wrong type, null included, is a complaint that says what
//! was expected and what was found. What an absent key means is up to the caller.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// No model's size is larger: products of two stay within 64 bits, and token ids within 32.
const LARGEST: u64 = i32::MAX as u64;
/// Characters of a wrong value that a complaint shows.
const SHOWN: usize = 60;

/// The object that a JSON file holds.
pub(crate) fn read_json(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("cannot read", path))?;
    let complain = |complaint: String| Error::Config { path: path.to_owned(), complaint };
    match serde_json::from_str(&text).map_err(|error| complain(error.to_string()))? {
        Value::Object(json) => Ok(json),
        _ => Err(complain("expected an object".to_owned())),
    }
}

/// Reads keys of a configuration and collects what is wrong with them.
pub(crate) struct Keys<'a> {
    json: &'a Map<String, Value>,
    complaints: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(json: &'a Map<String, Value>) -> Self {
        Self { json, complaints: Vec::new() }
    }

    /// Ends the reading; `path` is what complaints name.
    pub(crate) fn finish(self, path: &Path) -> Result<()> {
        if self.complaints.is_empty() {
            return Ok(());
        }
        let complaint = self.complaints.join("; ");
        Err(Error::Config { path: path.to_owned(), complaint })
    }

    /// The value of a key that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.json.contains_key(key)
    }

    /// All keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.json.keys().map(String::as_str)
    }

    /// Whether nothing was wrong so far. Where something was, the placeholder for it fits nothing else.
    pub(crate) fn is_sound(&self) -> bool {
        self.complaints.is_empty()
    }

    pub(crate) fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// The value of a key as `read` parses it; `None` and a complaint where it cannot read it.
    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.json.get(key)?;
        let result = read(value);
        if result.is_none() {
            self.complain(format!("'{key}' must be {expected}, found {}", shown(value)));
        }
        result
    }

    /// What `read` gives for a key that may be null; `None` where it is.
    pub(crate) fn or_null<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self, &str) -> T,
    ) -> Option<T> {
        let is_null = self.json.get(key).is_some_and(Value::is_null);
        (!is_null).then(|| read(self, key))
    }

    /// A whole number above zero; required where there is no default.
    pub(crate) fn size(&mut self, key: &str, default: Option<usize>) -> usize {
        if default.is_none() && !self.has(key) {
            self.complain(format!("missing key '{key}'"));
        }
        let expected = format!("a whole number from 1 to {LARGEST}");
        let within = |value: &Value| value.as_u64().filter(|size| (1..=LARGEST).contains(size));
        self.read(key, &expected, within).map_or(default.unwrap_or(1), |size| size as usize)
    }

    /// A whole number, zero included.
    pub(crate) fn index(&mut self, key: &str, default: usize) -> usize {
        let expected = format!("a whole number from 0 to {LARGEST}");
        let within = |value: &Value| value.as_u64().filter(|&index| index <= LARGEST);
        self.read(key, &expected, within).map_or(default, |index| index as usize)
    }

    /// A number for which `holds` is true; `range` describes those numbers in words.
    pub(crate) fn number(
        &mut self,
        key: &str,
        default: f64,
        range: &str,
        holds: impl Fn(f64) -> bool,
    ) -> f64 {
        let number = |value: &Value| value.as_f64().filter(|&x| (x as f32).is_finite() && holds(x));
        self.read(key, &format!("a number {range}"), number).unwrap_or(default)
    }

    /// The same, which must be there.
    pub(crate) fn required_number(
        &mut self,
        key: &str,
        range: &str,
        holds: impl Fn(f64) -> bool,
    ) -> f64 {
        if !self.has(key) {
            self.complain(format!("missing key '{key}'"));
        }
        self.number(key, 1.0, range, holds)
    }

    /// A probability of dropout: with 1 nothing would be left.
    pub(crate) fn dropout(&mut self, key: &str, default: f64) -> f64 {
        self.number(key, default, "from 0 to below 1", |p| (0.0..1.0).contains(&p))
    }

    pub(crate) fn truth(&mut self, key: &str, default: bool) -> bool {
        self.read(key, "true or false", Value::as_bool).unwrap_or(default)
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<&'a str> {
        self.read(key, "a text", Value::as_str)
    }

    /// A list, each value parsed by `read`.
    pub(crate) fn list<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.read(key, expected, |value| value.as_array()?.iter().map(read).collect())
    }

    pub(crate) fn object(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        self.read(key, "an object", Value::as_object)
    }

    /// The object under a key as `read` parses it; `None` where there is none.
    pub(crate) fn inside<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Keys<'_>) -> T,
    ) -> Option<T> {
        let mut keys = Keys::new(self.object(key)?);
        let value = read(&mut keys);
        self.complaints.extend(keys.complaints.into_iter().map(|text| format!("{key}: {text}")));
        Some(value)
    }
}

/// A value as the file has it, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
