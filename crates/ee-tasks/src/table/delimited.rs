//! TSV and CSV, with and without quoting.

use std::fs;
use std::path::Path;

use super::lines::{lines, text};
use super::{Layout, Row, Rows, locate};
use crate::error::Error;

/// Reads tab-separated lines in which quotes mean nothing.
pub(super) fn read_unquoted(path: &Path, layout: Layout, columns: &[&str]) -> Result<Rows, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let mut sieve = Sieve::new(path, '\t', layout, columns);
    for (line, text) in lines(text(path, &bytes)?) {
        sieve.take(line, text.split('\t'))?;
    }
    Ok(sieve.rows)
}

/// Reads separated fields that may be quoted and may then hold separators and line breaks.
pub(super) fn read_quoted(
    path: &Path,
    separator: u8,
    layout: Layout,
    columns: &[&str],
) -> Result<Rows, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = text(path, &bytes)?;
    check_quotes(text.as_bytes(), separator)
        .map_err(|(line, message)| Error::line(path, line, message))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut sieve = Sieve::new(path, char::from(separator), layout, columns);
    let mut record = csv::StringRecord::new();
    loop {
        let start = reader.position().line() as usize;
        let more = reader.read_record(&mut record);
        if !more.map_err(|error| Error::line(path, start, error.to_string()))? {
            break;
        }
        let line = record.position().map_or(start, |position| position.line() as usize);
        sieve.take(line, record.iter())?;
    }
    Ok(sieve.rows)
}

/// Where the reader stands among quotes.
#[derive(Clone, Copy)]
enum Quotes {
    /// Before a field.
    Before,
    /// In a field without quotes, in which a quote is text.
    Bare,
    /// In a field whose quote opened on this line.
    Open(usize),
    /// Behind a quote in such a field: it closes the field, or is the first of two that mean one.
    Closed(usize),
}

/// Refuses quotes that the lenient reader would resolve by joining rows.
fn check_quotes(text: &[u8], separator: u8) -> Result<(), (usize, String)> {
    let (mut line, mut state) = (1, Quotes::Before);
    for &byte in text {
        let ends_field = byte == separator || byte == b'\n' || byte == b'\r';
        state = match (state, byte) {
            (Quotes::Before, b'"') => Quotes::Open(line),
            (Quotes::Before | Quotes::Bare | Quotes::Closed(_), _) if ends_field => Quotes::Before,
            (Quotes::Before | Quotes::Bare, _) => Quotes::Bare,
            (Quotes::Open(opened), b'"') => Quotes::Closed(opened),
            (Quotes::Open(opened), _) => Quotes::Open(opened),
            (Quotes::Closed(opened), b'"') => Quotes::Open(opened),
            (Quotes::Closed(opened), _) => {
                let message = format!(
                    "text follows the quote that closes the field opened on line {opened}; a quote inside \
                     a quoted field is written twice"
                );
                return Err((line, message));
            }
        };
        line += usize::from(byte == b'\n');
    }
    match state {
        Quotes::Open(opened) => Err((opened, "the quote that opens here never closes".to_owned())),
        _ => Ok(()),
    }
}

/// Turns lines of fields into rows of the wanted columns.
struct Sieve<'a> {
    path: &'a Path,
    separator: char,
    layout: Layout,
    columns: &'a [&'a str],
    /// How many fields a line has, and which of them are wanted; known after the first line.
    shape: Option<(usize, Vec<usize>)>,
    rows: Rows,
}

impl<'a> Sieve<'a> {
    fn new(path: &'a Path, separator: char, layout: Layout, columns: &'a [&'a str]) -> Self {
        Self { path, separator, layout, columns, shape: None, rows: Rows::default() }
    }

    fn take<'f>(
        &mut self,
        line: usize,
        fields: impl Iterator<Item = &'f str>,
    ) -> Result<(), Error> {
        let fields: Vec<&str> = fields.collect();
        let (width, wanted) = match &self.shape {
            Some((width, wanted)) => (*width, wanted),
            None => {
                let wanted = self.wanted(&fields)?;
                let (_, wanted) = self.shape.insert((fields.len(), wanted));
                if self.layout.header {
                    return Ok(());
                }
                (fields.len(), &*wanted)
            }
        };
        if fields.len() < width && self.layout.skip_short_lines {
            self.rows.short_lines += 1;
        } else if fields.len() != width {
            let message = format!("expected {width} columns, found {}", fields.len());
            return Err(Error::line(self.path, line, message));
        } else {
            let cells = wanted.iter().map(|index| Some(fields[*index].to_owned())).collect();
            self.rows.rows.push(Row { line, cells });
        }
        Ok(())
    }

    /// The places of the wanted columns among the fields of the first line.
    fn wanted(&self, first: &[&str]) -> Result<Vec<usize>, Error> {
        let names: Vec<String> = match self.layout.header {
            true => first.iter().map(|name| (*name).to_owned()).collect(),
            false => (0..first.len()).map(|number| number.to_string()).collect(),
        };
        locate(self.path, &names, self.columns).map_err(|error| match self.other_separator(first) {
            Some(found) => Error::file(
                self.path,
                format!(
                    "the first line is one column, `{}`, separated by {:?}; expected columns separated by {:?}",
                    first[0], found, self.separator
                ),
            ),
            None => error,
        })
    }

    /// The separator that a first line of one column seems to use.
    fn other_separator(&self, first: &[&str]) -> Option<char> {
        let [only] = first else { return None };
        let is_header = |separator: &char| match self.layout.header {
            true => self.columns.iter().all(|column| only.split(*separator).any(|n| n == *column)),
            false => only.contains(*separator),
        };
        ['\t', ',', ';', '|'].into_iter().filter(|other| *other != self.separator).find(is_header)
    }
}
