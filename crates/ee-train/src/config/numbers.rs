//! Numbers of a run file, with what they may be.

use ee_tasks::config::{FromValue, Section};

/// A whole number that cannot be 0; 1 stands in for a wrong one. Required where there is no default.
pub(super) fn above_zero<T: FromValue + Default + PartialEq + From<u8>>(
    section: &Section<'_>,
    key: &'static str,
    default: Option<T>,
) -> T {
    let absent = !section.has(key);
    match (optional_above_zero(section, key), default) {
        (None, Some(default)) if absent => default,
        (None, None) if absent => section.required(key),
        (value, _) => value.unwrap_or_else(|| T::from(1)),
    }
}

/// As [`above_zero`], where absence has its own meaning.
pub(super) fn optional_above_zero<T: FromValue + Default + PartialEq + From<u8>>(
    section: &Section<'_>,
    key: &'static str,
) -> Option<T> {
    let value: T = section.optional(key)?;
    if value == T::default() {
        section.complain(key, "expected a whole number above 0, found 0");
        return Some(T::from(1));
    }
    Some(value)
}

/// No width, length or number of rows is larger: products of two stay within 64 bits.
const LARGEST: usize = i32::MAX as usize;

/// [`above_zero`], of something that memory is allocated for.
pub(super) fn size(section: &Section<'_>, key: &'static str, default: Option<usize>) -> usize {
    limited(section, key, above_zero(section, key, default))
}

/// [`optional_above_zero`], of something that memory is allocated for.
pub(super) fn optional_size(section: &Section<'_>, key: &'static str) -> Option<usize> {
    optional_above_zero(section, key).map(|size| limited(section, key, size))
}

fn limited(section: &Section<'_>, key: &'static str, size: usize) -> usize {
    if size > LARGEST {
        section.complain(key, format!("expected at most {LARGEST}, found {size}"));
        return 1;
    }
    size
}

/// A number with a default and a range, described in words where it is violated.
pub(super) fn within(
    section: &Section<'_>,
    key: &'static str,
    default: f64,
    holds: impl Fn(f64) -> bool,
    range: &str,
) -> f64 {
    let value = section.or(key, default);
    if !holds(value) {
        section.complain(key, format!("expected a number {range}, found {value}"));
    }
    value
}
