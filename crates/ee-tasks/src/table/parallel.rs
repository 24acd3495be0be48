//! Parallel text: a file of sources and one or several files of references, line by line.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Record;
use super::lines::{lines, text};
use crate::error::Error;

/// Reads records with the fields `source` and `references`, a list of one text per file.
pub(crate) fn read_parallel(source: &Path, references: &[PathBuf]) -> Result<Vec<Record>, Error> {
    let sources = read_lines(source)?;
    if sources.is_empty() {
        return Err(Error::file(source, "the file is empty, expected at least one line"));
    }
    let mut columns = Vec::with_capacity(references.len());
    for path in references {
        let column = read_lines(path)?;
        if column.len() != sources.len() {
            let message = format!(
                "expected {} lines, as many as {} has, found {}",
                sources.len(),
                source.display(),
                column.len()
            );
            return Err(Error::file(path, message));
        }
        columns.push(column.into_iter());
    }
    let record = |(index, source): (usize, String)| {
        let references = columns.iter_mut().map(|column| column.next().expect("as many lines"));
        let references = references.map(Value::String).collect();
        let fields = Map::from_iter([
            ("source".to_owned(), Value::String(source)),
            ("references".to_owned(), Value::Array(references)),
        ]);
        Record { line: index + 1, fields }
    };
    Ok(sources.into_iter().enumerate().map(record).collect())
}

fn read_lines(path: &Path) -> Result<Vec<String>, Error> {
    let bytes = fs::read(path).map_err(|reason| Error::io(path, reason))?;
    Ok(lines(text(path, &bytes)?).map(|(_, line)| line.to_owned()).collect())
}
