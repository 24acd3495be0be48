//! JSON: one object a line, or one value that holds all rows.
//!
//! The value is an array of objects, alone or as the one list of objects in an object (`{"data": […]}`),
//! or an object of columns: lists of one length, or pandas' objects with the same keys. As Python writes
//! JSON, `NaN` and `Infinity` are read, as null, and integers of any size, as their digits. A key that
//! occurs twice is an error: every reader drops one of its values, and not all the same one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Record;
use super::lines::{lines, text};
use crate::error::Error;

/// Reads the object of every line that is not blank.
pub(super) fn read_lines(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let whole = text(path, &bytes)?;
    let mut records = Vec::new();
    for (line, text) in lines(whole) {
        if text.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(&plain(text)) {
            Ok(Strict(Value::Object(fields))) => records.push(Record { line, fields }),
            Ok(Strict(other)) => {
                let found = kind(&other);
                let hint = match (&other, records.is_empty()) {
                    (Value::Array(_), true) => hint_of_one_value(whole),
                    _ => "",
                };
                let message = format!("expected a JSON object, found {found}{hint}");
                return Err(Error::line(path, line, message));
            }
            Err(error) => {
                let hint = if records.is_empty() { hint_of_one_value(whole) } else { "" };
                let message = format!("expected a JSON object: {}{hint}", without_line(&error));
                return Err(Error::line(path, line, message));
            }
        }
    }
    Ok(records)
}

/// Said of a file that is one JSON value where lines were expected.
fn hint_of_one_value(whole: &str) -> &'static str {
    match serde_json::from_str::<IgnoredAny>(&plain(whole)) {
        Ok(_) => "; the file is one JSON value, which format = \"json\" reads",
        Err(_) => "",
    }
}

/// Reads the rows of a file that is one JSON value.
pub(super) fn read_value(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = plain(text(path, &bytes)?);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let sound: Result<IgnoredAny, _> = serde_json::from_str(&text);
    sound.map_err(|error| {
        let first = lines(&text).find(|(_, line)| !line.trim().is_empty());
        let is_lines =
            first.is_some_and(|(_, line)| serde_json::from_str::<Map<_, Value>>(line).is_ok());
        let hint = match is_lines {
            true => "; the file has one JSON object a line, which format = \"jsonl\" reads",
            false => "",
        };
        Error::line(path, error.line(), format!("expected JSON: {}{hint}", without_line(&error)))
    })?;
    let source = Source { path, text: &text };
    let whole = Part::at(&text, beyond_space(&text, 0)).0;
    match whole.first() {
        b'[' => source.rows(&whole.elements()),
        b'{' => source.of_object(whole),
        _ => Err(Error::file(path, "expected a JSON array of objects, found a single value")),
    }
}

/// A value of a sound JSON text, as it stands there.
#[derive(Clone, Copy)]
struct Part<'a> {
    whole: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    /// The value that begins here, and the place after it.
    fn at(whole: &'a str, start: usize) -> (Self, usize) {
        let mut values =
            serde_json::Deserializer::from_str(&whole[start..]).into_iter::<IgnoredAny>();
        values.next().expect("a value").expect("the text was read before");
        let end = start + values.byte_offset();
        (Self { whole, start, end }, end)
    }

    fn text(self) -> &'a str {
        &self.whole[self.start..self.end]
    }

    fn first(self) -> u8 {
        self.whole.as_bytes()[self.start]
    }

    /// The values of a list, or the keys and values of an object in turn.
    fn elements(self) -> Vec<Self> {
        let (mut elements, mut at) = (Vec::new(), self.start + 1);
        loop {
            at = beyond_space(self.whole, at);
            if at + 1 >= self.end {
                return elements;
            }
            let (element, end) = Self::at(self.whole, at);
            elements.push(element);
            at = end;
        }
    }
}

/// The place of the first byte from here on that is not white space between values, comma or colon.
fn beyond_space(text: &str, at: usize) -> usize {
    let between = |byte: &u8| b" \t\r\n,:".contains(byte);
    at + text.as_bytes()[at..].iter().take_while(|byte| between(byte)).count()
}

/// A file's text, in which values know their line.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    /// The rows in an object: the objects of its one list of them, or its columns side by side.
    fn of_object(&self, object: Part<'a>) -> Result<Vec<Record>, Error> {
        let pairs = self.pairs(object)?;
        if pairs.len() > 1 && pairs.iter().all(|(_, value)| value.first() == b'[') {
            return self.of_columns(&pairs);
        }
        let lists = pairs.iter().filter(|(_, value)| value.first() == b'[');
        let lists: Vec<Vec<Part<'_>>> = lists
            .map(|(_, value)| value.elements())
            .filter(|items| !items.is_empty() && items.iter().all(|item| item.first() == b'{'))
            .collect();
        match lists.as_slice() {
            [rows] => self.rows(rows),
            [] => self.of_columns(&pairs),
            _ => Err(self.unclear(&pairs)),
        }
    }

    /// The entries of an object in their order, no key of which occurs twice.
    fn pairs(&self, object: Part<'a>) -> Result<Vec<(String, Part<'a>)>, Error> {
        let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
        for entry in object.elements().chunks_exact(2) {
            let key: String = self.strictly(entry[0])?;
            if !seen.insert(key.clone()) {
                let message = format!("the key `{key}` occurs twice");
                return Err(Error::line(self.path, self.line(entry[0].start), message));
            }
            pairs.push((key, entry[1]));
        }
        Ok(pairs)
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    fn strictly<T: Deserialize<'a>>(&self, part: Part<'a>) -> Result<T, Error> {
        serde_json::from_str(part.text()).map_err(|error| {
            let line = self.line(part.start) + error.line() - 1;
            Error::line(self.path, line, without_line(&error))
        })
    }

    fn rows(&self, items: &[Part<'a>]) -> Result<Vec<Record>, Error> {
        let (mut at, mut line) = (0, 1);
        let mut records = Vec::with_capacity(items.len());
        for item in items {
            line += self.text[at..item.start].matches('\n').count();
            at = item.start;
            match self.strictly(*item)? {
                Strict(Value::Object(fields)) => records.push(Record { line, fields }),
                Strict(other) => {
                    let message =
                        format!("expected a JSON array of objects, found {} in it", kind(&other));
                    return Err(Error::line(self.path, line, message));
                }
            }
        }
        Ok(records)
    }

    fn of_columns(&self, pairs: &[(String, Part<'a>)]) -> Result<Vec<Record>, Error> {
        let mut columns = Vec::with_capacity(pairs.len());
        for (name, column) in pairs {
            let (keys, values) = match column.first() {
                b'[' => (Vec::new(), column.elements()),
                b'{' => self.pairs(*column)?.into_iter().unzip(),
                _ => return Err(self.unclear(pairs)),
            };
            columns.push((name, keys, values));
        }
        let Some((first, first_keys, values)) = columns.first() else { return Ok(Vec::new()) };
        let n_rows = values.len();
        for (name, keys, values) in &columns {
            if values.len() != n_rows || keys != first_keys {
                let message = format!(
                    "expected columns of one length: `{first}` has {n_rows} values, `{name}` {}{}",
                    values.len(),
                    if values.len() == n_rows { " others" } else { "" }
                );
                return Err(Error::file(self.path, message));
            }
        }
        let mut records: Vec<Record> =
            (1..=n_rows).map(|line| Record { line, fields: Map::new() }).collect();
        for (name, _, values) in columns {
            for (record, part) in records.iter_mut().zip(values) {
                let Strict(value) = self.strictly(part)?;
                record.fields.insert(name.clone(), value);
            }
        }
        Ok(records)
    }

    fn unclear(&self, pairs: &[(String, Part<'_>)]) -> Error {
        let keys: Vec<String> = pairs.iter().map(|(key, _)| format!("`{key}`")).collect();
        let message = format!(
            "expected a JSON array of objects, an object with one such array, or an object of columns; found \
             an object with {}",
            keys.join(", ")
        );
        Error::file(self.path, message)
    }
}

/// What serde says without the place, which it counts in the part that it was given.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => format!("{} at column {}", &text[..at], error.column()),
        None => text,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        _ => "a single value",
    }
}

/// The text with what Python writes beyond JSON put into JSON: `NaN` and infinities become null, and
/// integers that no machine number holds become text of the same digits.
fn plain(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut plain = String::new();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = bytes[at..].iter().take_while(|byte| is_word(byte)).count();
                let word = &text[at..at + length];
                if let Some(instead) = instead(word) {
                    plain.push_str(&text[copied..at]);
                    plain.push_str(&instead);
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(plain + &text[copied..]),
    }
}

/// The place after the string that begins at a quote.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What stands for a word that JSON does not know or that would lose digits.
fn instead(word: &str) -> Option<String> {
    if ["NaN", "Infinity", "-Infinity"].contains(&word) {
        return Some("null".to_owned());
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let is_huge = digits.len() > 18 && word.parse::<i64>().is_err() && word.parse::<u64>().is_err();
    (is_integer && is_huge).then(|| format!("\"{word}\""))
}

/// A value in which no key occurs twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

macro_rules! plain {
    ($($visit:ident: $type:ty),*) => {$(
        fn $visit<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        }
    )*};
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    plain!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` occurs twice")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
