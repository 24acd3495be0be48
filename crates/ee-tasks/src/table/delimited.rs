//! TSV and CSV, with and without quoting.

use std::fs;
use std::path::Path;

use super::lines::{lines, without_mark};
use super::{Layout, Row, Rows, locate};
use crate::error::Error;

/// Reads tab-separated lines in which quotes mean nothing.
pub(super) fn read_unquoted(path: &Path, layout: Layout, columns: &[&str]) -> Result<Rows, Error> {
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let mut sieve = Sieve::new(path, layout, columns);
    for line in lines(path, &bytes) {
        let (line, text) = line?;
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
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(without_mark(&bytes));
    let mut sieve = Sieve::new(path, layout, columns);
    let mut record = csv::ByteRecord::new();
    loop {
        let start = reader.position().line() as usize;
        let more = reader.read_byte_record(&mut record);
        if !more.map_err(|error| Error::line(path, start, error.to_string()))? {
            break;
        }
        let line = record.position().map_or(start, |position| position.line() as usize);
        let fields: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        let fields = fields.map_err(|_| Error::line(path, line, "not UTF-8"))?;
        sieve.take(line, fields.into_iter())?;
    }
    Ok(sieve.rows)
}

/// Turns lines of fields into rows of the wanted columns.
struct Sieve<'a> {
    path: &'a Path,
    layout: Layout,
    columns: &'a [&'a str],
    /// How many fields a line has, and which of them are wanted; known after the first line.
    shape: Option<(usize, Vec<usize>)>,
    rows: Rows,
}

impl<'a> Sieve<'a> {
    fn new(path: &'a Path, layout: Layout, columns: &'a [&'a str]) -> Self {
        Self { path, layout, columns, shape: None, rows: Rows::default() }
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
                let names: Vec<String> = match self.layout.header {
                    true => fields.iter().map(|name| (*name).to_owned()).collect(),
                    false => (0..fields.len()).map(|number| number.to_string()).collect(),
                };
                let wanted = locate(self.path, &names, self.columns)?;
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
}
