//! The text of a file and its lines, counted as every other tool counts them.
//!
//! Only `\n` and `\r\n` end a line: a form feed, NEL or U+2028 inside a segment is text. Python's
//! `splitlines` thinks otherwise and shifts parallel files against each other.

use std::path::Path;

use crate::error::Error;

/// The file's text without a byte-order mark, which some editors put first.
pub(super) fn text<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str, Error> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::file(path, "expected UTF-8, found UTF-16"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line_of = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::line(path, line_of(error.valid_up_to()), "not UTF-8"))?;
    match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => Err(Error::line(path, line_of(at), "a NUL byte, expected text in UTF-8")),
        None => Ok(text),
    }
}

/// Every line with its 1-based number, without its end; what follows the last line break is no
/// line if it is empty.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let n_lines = if text.is_empty() { 0 } else { usize::MAX };
    let without_return = |line: &'_ str| line.len() - usize::from(line.ends_with('\r'));
    body.split('\n')
        .take(n_lines)
        .enumerate()
        .map(move |(index, line)| (index + 1, &line[..without_return(line)]))
}
