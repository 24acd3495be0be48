//! JSON: one object a line, or one array of objects.

use std::fs;
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};

use super::Record;
use super::lines::{lines, without_mark};
use crate::error::Error;

/// Reads the object of every line that is not blank.
pub(super) fn read_lines(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let mut records = Vec::new();
    for line in lines(path, &bytes) {
        let (line, text) = line?;
        if text.trim().is_empty() {
            continue;
        }
        let fields = serde_json::from_str(text)
            .map_err(|error| Error::line(path, line, format!("expected a JSON object: {error}")))?;
        records.push(Record { line, fields });
    }
    Ok(records)
}

/// Reads the objects of an array.
pub(super) fn read_array(path: &Path) -> Result<Vec<Record>, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = std::str::from_utf8(without_mark(&bytes)).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Error::line(path, line, "not UTF-8")
    })?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let objects: Vec<Map<String, Value>> = serde_json::from_str(text)
        .map_err(|error| Error::file(path, format!("expected a JSON array of objects: {error}")))?;
    let starts = element_lines(text, objects.len());
    let record = |(fields, line)| Record { line, fields };
    Ok(objects.into_iter().zip(starts).map(record).collect())
}

/// The line on which each element of a sound array of `n` begins.
fn element_lines(text: &str, n: usize) -> Vec<usize> {
    let (mut at, mut line) = (0, 1);
    let mut starts = Vec::with_capacity(n);
    for _ in 0..n {
        // Before an element stand the opening bracket or a comma, and white space.
        let before = text[at..].find('{').expect("an element is an object");
        line += text[at..at + before].matches('\n').count();
        starts.push(line);
        at += before;
        let mut stream = Deserializer::from_str(&text[at..]).into_iter::<IgnoredAny>();
        stream.next().expect("an element").expect("the array was read before");
        let end = at + stream.byte_offset();
        line += text[at..end].matches('\n').count();
        at = end;
    }
    starts
}
