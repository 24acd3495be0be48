//! Rows out of data files, whatever their form.
//!
//! Each format yields the wanted columns of a file as text, with the line that each row came
//! from. Decided: everything is read into memory (the largest GLUE set is 100 MB), integers and
//! strings both become text, and a task compares labels as text. That costs a copy and buys one
//! path for five formats.

mod delimited;
mod jsonl;
mod parquet;

use std::path::Path;

use crate::error::Error;
use crate::suggest::did_you_mean;

/// The form of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Tab-separated, quotes are ordinary characters: the GLUE archive's way.
    Tsv,
    /// Tab-separated, fields may be quoted as in CSV.
    QuotedTsv,
    /// Comma-separated, fields may be quoted (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet, flat columns of strings, whole numbers or truth values.
    Parquet,
}

/// Every format by its name in a task file.
pub const FORMATS: &[(&str, Format)] = &[
    ("tsv", Format::Tsv),
    ("quoted-tsv", Format::QuotedTsv),
    ("csv", Format::Csv),
    ("jsonl", Format::Jsonl),
    ("parquet", Format::Parquet),
];

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The form of the file.
    pub format: Format,
    /// Whether the first line of a delimited file names the columns; without, they are named
    /// by their 0-based number. JSONL and Parquet carry their own names.
    pub header: bool,
    /// Whether lines with too few fields are left out (and counted) instead of being an error.
    pub skip_short_lines: bool,
}

/// The wanted cells of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1-based line of the file on which the row begins; in Parquet the row's number.
    pub line: usize,
    /// In the order of the columns asked for; `None` for a null.
    pub cells: Vec<Option<String>>,
}

/// The rows of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// Lines left out for having too few fields.
    pub short_lines: usize,
}

/// Reads `columns` of a file.
///
/// # Errors
/// A missing, empty or damaged file; a line with the wrong number of columns or not in UTF-8; a
/// column or field that is not there. Each names the file and, where there is one, the line.
pub fn read(path: &Path, layout: Layout, columns: &[&str]) -> Result<Rows, Error> {
    let rows = match layout.format {
        Format::Tsv => delimited::read_unquoted(path, layout, columns),
        Format::QuotedTsv => delimited::read_quoted(path, b'\t', layout, columns),
        Format::Csv => delimited::read_quoted(path, b',', layout, columns),
        Format::Jsonl => jsonl::read(path, columns),
        Format::Parquet => parquet::read(path, columns),
    }?;
    match rows.rows.is_empty() && rows.short_lines == 0 {
        true => Err(Error::file(path, "the file is empty, expected at least one row")),
        false => Ok(rows),
    }
}

/// Where the wanted columns stand among those of the file.
fn locate(path: &Path, known: &[String], columns: &[&str]) -> Result<Vec<usize>, Error> {
    let find = |column: &&str| {
        known.iter().position(|name| name == column).ok_or_else(|| {
            let hint = did_you_mean(column, known.iter().map(String::as_str));
            Error::file(path, format!("no column `{column}`{hint}"))
        })
    };
    columns.iter().map(find).collect()
}

#[cfg(test)]
mod tests;
