//! Files that pyarrow wrote, and what it reads of them (`scripts/goldens_tables.py`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::fixture;
use crate::table::{self, Format, Layout};

const LAYOUT: Layout = Layout { format: Format::Parquet, header: true, skip_short_lines: false };

fn golden(name: &str) -> PathBuf {
    fixture::golden("tables").join(name)
}

#[test]
fn every_codec_and_every_type_reads_as_pyarrow_reads_it() {
    let files: BTreeMap<String, Vec<Map<String, Value>>> = fixture::read("tables/values.json");
    assert_eq!(files.len(), 7);
    for (name, rows) in files {
        let columns: Vec<&str> = rows[0].keys().map(String::as_str).collect();
        let found = read(&golden(&name), &columns).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.len(), rows.len(), "{name}");
        for (record, row) in found.iter().zip(&rows) {
            for (column, expected) in row {
                let line = record.line;
                assert_eq!(record.fields.get(column), Some(expected), "{name}, {line}, {column}");
            }
        }
    }
}

#[test]
fn labels_and_nested_fields_are_found_in_every_type() {
    let columns = ["dictionary", "dots.in.name", "struct.b", "map.k", "fixed_list.1", "half"];
    let rows = table::read(&golden("types.parquet"), LAYOUT, &columns[..1]).expect("sound").rows;
    let labels: Vec<_> = rows.into_iter().map(|row| row.cells[0].clone()).collect();
    assert_eq!(labels, [Some("pos".to_owned()), Some("neg".to_owned()), None]);
    let records = table::read_records(&golden("types.parquet"), LAYOUT, &columns).expect("sound");
    let texts: Vec<String> = columns
        .iter()
        .map(|column| table::path::find(&records[0].fields, column).expect(column).to_string())
        .collect();
    assert_eq!(texts, ["\"pos\"", "\"a\"", "\"x\"", "1", "2", "0.0999755859375"]);
}

#[test]
fn two_columns_of_one_name_are_refused_where_they_are_wanted() {
    let complaint = |columns: &[&str]| {
        read(&golden("twins.parquet"), columns).expect_err("ambiguous").to_string()
    };
    assert!(complaint(&["text", "label"]).ends_with("2 columns are named `label`, expected one"));
    assert_eq!(read(&golden("twins.parquet"), &["text"]).expect("clear").len(), 1);
}

#[test]
fn a_panic_of_the_library_becomes_an_error_that_names_the_file() {
    let folder = fixture::folder(&[]);
    let path = folder.path().join("broken.parquet");
    for (codec, step) in
        [("none", 1), ("zstd", 7), ("brotli", 7), ("lz4", 7), ("gzip", 7), ("snappy", 7)]
    {
        let bytes = std::fs::read(golden(&format!("{codec}.parquet"))).expect("a golden");
        // Bytes turned over, of the footer every one: several of these make the library panic.
        let footer = bytes.len() - 400..bytes.len();
        let places = if step == 1 { footer } else { 0..bytes.len() };
        for at in places.step_by(step) {
            let mut broken = bytes.clone();
            broken[at] ^= 0xff;
            fixture::write(&folder, "broken.parquet", broken);
            if let Err(error) = read(&path, &["text", "label"]) {
                assert!(error.to_string().contains("broken.parquet"), "{error}");
            }
        }
    }
}
