//! The lines of a text file, counted as every other tool counts them.
//!
//! Only `\n` and `\r\n` end a line: a form feed, NEL or U+2028 inside a segment is text. Python's
//! `splitlines` thinks otherwise and shifts parallel files against each other.

use std::path::Path;

use crate::error::Error;

/// The file without a byte-order mark, which some editors put first.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Every line with its 1-based number, without its end; what follows the last line break is no
/// line if it is empty.
pub(super) fn lines<'b>(
    path: &'b Path,
    bytes: &'b [u8],
) -> impl Iterator<Item = Result<(usize, &'b str), Error>> {
    let bytes = without_mark(bytes);
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let n_lines = match bytes.is_empty() {
        true => 0,
        false => usize::MAX,
    };
    body.split(|byte| *byte == b'\n').take(n_lines).enumerate().map(|(index, bytes)| {
        std::str::from_utf8(bytes.strip_suffix(b"\r").unwrap_or(bytes))
            .map(|text| (index + 1, text))
            .map_err(|_| Error::line(path, index + 1, "not UTF-8"))
    })
}
