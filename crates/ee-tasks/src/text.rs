//! Text files, read without the byte-order mark that some editors put before them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Error;

/// U+FEFF at a file's beginning says that UTF-8 follows and is not part of the text.
const MARK: char = '\u{FEFF}';

/// What Python's `strip` and `split` take for space: four separators more than Unicode's white space.
pub(crate) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&char)
}

/// The words of a text whose sub-words are marked with `@@ ` (subword-nmt).
pub(crate) fn joined_words(text: &str) -> String {
    format!("{text} ").replace("@@ ", "").trim_end_matches(is_space).to_owned()
}

/// A text file without its byte-order mark.
///
/// # Errors
/// A file that cannot be read or is not UTF-8; of UTF-16 that is said.
pub fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Error::file(path, "expected UTF-8, found UTF-16: save it as UTF-8"));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Error::file(path, format!("expected UTF-8, found other bytes at byte {place}"))
    })?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// A JSON object in a text file.
pub(crate) fn json_object(path: &Path) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(&read(path)?)
        .map_err(|error| Error::file(path, format!("expected a JSON object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_text_and_other_encodings_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("text");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            read(&path).map_err(|error| error.to_string())
        };
        assert_eq!(read("\u{FEFF}a\u{FEFF}b".as_bytes()).unwrap(), "a\u{FEFF}b");
        assert_eq!(read(b"").unwrap(), "");
        assert!(
            read(&[0xFF, 0xFE, b'a', 0])
                .unwrap_err()
                .contains("text: expected UTF-8, found UTF-16")
        );
        assert!(read(b"ab\xFFc").unwrap_err().contains("found other bytes at byte 2"));
    }
}
