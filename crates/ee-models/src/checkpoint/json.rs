//! JSON files of a checkpoint folder: configurations read key by key, all complaints at once.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

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

    pub(crate) fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// A whole number above zero.
    pub(crate) fn size(&mut self, key: &str, default: Option<usize>) -> usize {
        match (self.get(key), default) {
            (None, Some(default)) => default,
            (None, None) => {
                self.complain(format!("missing key '{key}'"));
                1
            }
            (Some(value), _) => match value.as_u64() {
                Some(size) if size > 0 => size as usize,
                _ => {
                    self.complain(format!("'{key}' must be a whole number above 0, found {value}"));
                    1
                }
            },
        }
    }

    pub(crate) fn index(&mut self, key: &str, default: usize) -> usize {
        match self.get(key) {
            None => default,
            Some(value) => value.as_u64().map(|index| index as usize).unwrap_or_else(|| {
                self.complain(format!("'{key}' must be a whole number, found {value}"));
                default
            }),
        }
    }

    pub(crate) fn number(&mut self, key: &str, default: f64) -> f64 {
        match self.get(key) {
            None => default,
            Some(value) => value.as_f64().unwrap_or_else(|| {
                self.complain(format!("'{key}' must be a number, found {value}"));
                default
            }),
        }
    }

    pub(crate) fn truth(&mut self, key: &str, default: bool) -> bool {
        match self.get(key) {
            None => default,
            Some(value) => value.as_bool().unwrap_or_else(|| {
                self.complain(format!("'{key}' must be true or false, found {value}"));
                default
            }),
        }
    }

    /// What `read` makes of the object under a key; `None` where there is none.
    pub(crate) fn inside<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Keys<'_>) -> T,
    ) -> Option<T> {
        let Some(json) = self.get(key)?.as_object() else {
            self.complain(format!("'{key}' must be an object"));
            return None;
        };
        let mut keys = Keys::new(json);
        let value = read(&mut keys);
        self.complaints.extend(keys.complaints.into_iter().map(|text| format!("{key}: {text}")));
        Some(value)
    }
}
