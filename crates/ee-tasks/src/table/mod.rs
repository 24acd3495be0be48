//! Rows from data files of any format.
//!
//! A file is read as [`Record`]s, which may be nested, or as [`Rows`], whose wanted columns are
//! text; both know the line that each row came from. Decided: everything is read into memory (the
//! largest GLUE set is 100 MB), integers and strings both become text, and a task compares labels
//! as text. That costs a copy and buys one path for six formats. What two readers would understand in
//! two ways (a quote that never closes, two columns of one name) is an error.

mod delimited;
mod json;
mod lines;
mod parallel;
mod parquet;
pub(crate) mod path;

use std::path::Path;

pub(crate) use parallel::read_parallel;
use serde_json::{Map, Value};

use crate::error::Error;
use ee_files::did_you_mean;

/// The form of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tab-separated, quotes are ordinary characters: the GLUE archive's way.
    Tsv,
    /// Tab-separated, fields may be quoted as in CSV.
    QuotedTsv,
    /// Comma-separated, fields may be quoted (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// One JSON value: an array of objects, an object with one such array, or an object of columns.
    Json,
    /// Apache Parquet: text, numbers, truth values, dates, and structs, lists and maps of those.
    Parquet,
}

/// Every format by its name in a task file.
pub(crate) const FORMATS: &[(&str, Format)] = &[
    ("tsv", Format::Tsv),
    ("quoted-tsv", Format::QuotedTsv),
    ("csv", Format::Csv),
    ("jsonl", Format::Jsonl),
    ("json", Format::Json),
    ("parquet", Format::Parquet),
];

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    /// Whether the first line of a delimited file names the columns; without, they are named
    /// by their 0-based number. JSONL and Parquet carry their own names.
    pub(crate) header: bool,
    /// Whether lines with too few fields are left out (and counted) instead of being an error.
    pub(crate) skip_short_lines: bool,
}

/// The wanted cells of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// 1-based line of the file on which the row begins; in Parquet the row's number.
    pub(crate) line: usize,
    /// In the order of the columns asked for; `None` for a null.
    pub(crate) cells: Vec<Option<String>>,
}

/// The rows of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// In the order of the file.
    pub(crate) rows: Vec<Row>,
    /// Lines left out for having too few fields.
    pub(crate) short_lines: usize,
}

/// One row with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// As [`Row::line`].
    pub(crate) line: usize,
    /// Values by field; [`path::find`] looks inside.
    pub(crate) fields: Map<String, Value>,
}

/// Reads `columns` of a file as text; in JSON and Parquet they are [`path`]s.
pub(crate) fn read(path: &Path, layout: Layout, columns: &[&str]) -> Result<Rows, Error> {
    let rows = match layout.format {
        Format::Tsv => delimited::read_unquoted(path, layout, columns)?,
        Format::QuotedTsv => delimited::read_quoted(path, b'\t', layout, columns)?,
        Format::Csv => delimited::read_quoted(path, b',', layout, columns)?,
        Format::Jsonl => as_rows(path, json::read_lines(path)?, columns)?,
        Format::Json => as_rows(path, json::read_value(path)?, columns)?,
        Format::Parquet => as_rows(path, parquet::read(path, columns)?, columns)?,
    };
    match rows.rows.is_empty() && rows.short_lines == 0 {
        true => Err(Error::file(path, NO_ROWS)),
        false => Ok(rows),
    }
}

/// Reads whole rows of a file; of delimited text and Parquet only the columns in which one of the
/// `fields` lies, each of which must have one.
pub(crate) fn read_records(
    path: &Path,
    layout: Layout,
    fields: &[&str],
) -> Result<Vec<Record>, Error> {
    let records = match layout.format {
        Format::Jsonl => json::read_lines(path)?,
        Format::Json => json::read_value(path)?,
        Format::Parquet => parquet::read(path, fields)?,
        Format::Tsv | Format::QuotedTsv | Format::Csv => {
            let text = |cell: Option<String>| cell.map_or(Value::Null, Value::String);
            let record = |row: Row| {
                let names = fields.iter().map(|field| (*field).to_owned());
                Record {
                    line: row.line,
                    fields: names.zip(row.cells.into_iter().map(text)).collect(),
                }
            };
            read(path, layout, fields)?.rows.into_iter().map(record).collect()
        }
    };
    match records.is_empty() {
        true => Err(Error::file(path, NO_ROWS)),
        false => Ok(records),
    }
}

const NO_ROWS: &str = "the file is empty, expected at least one row";

/// The wanted fields of records as text.
fn as_rows(path: &Path, records: Vec<Record>, columns: &[&str]) -> Result<Rows, Error> {
    let cell = |fields: &Map<String, Value>, column: &str| {
        let value = path::find(fields, column)?;
        path::text(value).map_err(|found| format!("field `{column}`: {found}"))
    };
    let row = |Record { line, fields }: Record| {
        let cells: Result<_, _> = columns.iter().map(|column| cell(&fields, column)).collect();
        Ok(Row { line, cells: cells.map_err(|message| Error::line(path, line, message))? })
    };
    let rows = records.into_iter().map(row).collect::<Result<_, Error>>()?;
    Ok(Rows { rows, short_lines: 0 })
}

/// Where the wanted columns, or those in which wanted fields lie, stand among those of the file.
fn locate(path: &Path, known: &[String], fields: &[&str]) -> Result<Vec<usize>, Error> {
    let column = |name: &str| known.iter().position(|known| known == name);
    let find = |field: &&str| {
        // The longest beginning that is a column: names may hold dots.
        let ends = field.rmatch_indices('.').map(|(at, _)| at);
        let mut names = std::iter::once(*field).chain(ends.map(|at| &field[..at]));
        let (name, found) =
            names.find_map(|name| Some((name, column(name)?))).ok_or_else(|| {
                let hint = did_you_mean(field, known.iter().map(String::as_str));
                Error::file(path, format!("no column `{field}`{hint}"))
            })?;
        match known.iter().filter(|known| *known == name).count() {
            1 => Ok(found),
            n => Err(Error::file(path, format!("{n} columns are named `{name}`, expected one"))),
        }
    };
    fields.iter().map(find).collect()
}

#[cfg(test)]
mod dialect_tests;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod tests;
