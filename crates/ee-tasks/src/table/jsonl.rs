//! One JSON object a line.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Row, Rows};
use crate::error::Error;
use crate::suggest::did_you_mean;

/// Reads the wanted fields of every line that is not blank.
pub(super) fn read(path: &Path, columns: &[&str]) -> Result<Rows, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let mut rows = Rows::default();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let failed = |message: String| Error::line(path, index + 1, message);
        let text = std::str::from_utf8(bytes).map_err(|_| failed("not UTF-8".to_owned()))?;
        if text.trim().is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| failed(format!("expected a JSON object: {error}")))?;
        let cells: Result<_, _> = columns.iter().map(|column| cell(&object, column)).collect();
        rows.rows.push(Row { line: index + 1, cells: cells.map_err(failed)? });
    }
    Ok(rows)
}

fn cell(object: &Map<String, Value>, column: &str) -> Result<Option<String>, String> {
    match object.get(column) {
        None => {
            let hint = did_you_mean(column, object.keys().map(String::as_str));
            Err(format!("no field `{column}`{hint}"))
        }
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => {
            Err(format!("field `{column}`: expected text or a number, found a list or an object"))
        }
    }
}
