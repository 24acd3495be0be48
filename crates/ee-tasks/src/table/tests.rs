use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, Float32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::fixture;

const SENTENCES: [&str; 2] = ["sentence", "label"];

pub(super) fn layout(format: Format) -> Layout {
    Layout { format, header: true, skip_short_lines: false }
}

pub(super) fn write(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = fixture::folder(&[]);
    fixture::write(&folder, "data", content);
    let path = folder.path().join("data");
    (folder, path)
}

/// Lines and cells of a file with this content.
fn rows(content: &str, layout: Layout, columns: &[&str]) -> Vec<(usize, Vec<String>)> {
    let (_folder, path) = write(content);
    let rows = read(&path, layout, columns).expect("a sound file").rows;
    let cells = |row: Row| row.cells.into_iter().map(|cell| cell.expect("no null")).collect();
    rows.into_iter().map(|row| (row.line, cells(row))).collect()
}

/// The message about a file with this content, without the path.
pub(super) fn complaint(content: impl AsRef<[u8]>, format: Format, columns: &[&str]) -> String {
    let (_folder, path) = write(content);
    let message = read(&path, layout(format), columns).expect_err("a faulty file").to_string();
    let path = format!("{}: ", path.display());
    message.strip_prefix(&path).unwrap_or_else(|| panic!("{message} names {path}")).to_owned()
}

/// Writes a Parquet file of these columns.
fn write_parquet(path: &Path, columns: impl IntoIterator<Item = (&'static str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = fs::File::create(path).expect("a temporary file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), None).expect("a schema Parquet knows");
    writer.write(&batch).and_then(|()| writer.close().map(|_| ())).expect("written");
}

fn row(line: usize, cells: [&str; 2]) -> (usize, Vec<String>) {
    (line, cells.map(str::to_owned).to_vec())
}

#[test]
fn tsv_takes_quotes_as_they_are() {
    let content = "\u{feff}index\tsentence\tlabel\r\n0\t\"open quote\t1\r\n1\tits \"end\"\t0\r\n";
    let expected = [row(2, ["\"open quote", "1"]), row(3, ["its \"end\"", "0"])];
    assert_eq!(rows(content, layout(Format::Tsv), &SENTENCES), expected);
}

#[test]
fn tsv_without_a_header_names_columns_by_number() {
    let bare = Layout { header: false, ..layout(Format::Tsv) };
    assert_eq!(rows("gj04\t1\t\tShe ran.\n", bare, &["3", "1"]), [row(1, ["She ran.", "1"])]);
}

#[test]
fn quoted_fields_hold_separators_quotes_and_line_breaks() {
    let csv = "sentence,label\n\"one, \"\"two\"\"\nthree\",1\nfour,0\n";
    let expected = [row(2, ["one, \"two\"\nthree", "1"]), row(4, ["four", "0"])];
    assert_eq!(rows(csv, layout(Format::Csv), &SENTENCES), expected);
    let tsv = "label\tsentence\n1\t\"a \"\"b\"\"\"\n";
    assert_eq!(rows(tsv, layout(Format::QuotedTsv), &SENTENCES), [row(2, ["a \"b\"", "1"])]);
}

#[test]
fn jsonl_reads_text_and_numbers_and_skips_blank_lines() {
    let content =
        "{\"label\": 1, \"sentence\": \"a\"}\n\n{\"sentence\": \"b\", \"label\": \"x\"}\n";
    let expected = [row(1, ["a", "1"]), row(3, ["b", "x"])];
    assert_eq!(rows(content, layout(Format::Jsonl), &SENTENCES), expected);
}

#[test]
fn a_json_array_reads_as_its_objects_would_line_by_line() {
    let content = "[\n  {\"sentence\": \"a{\\n\", \"label\": 1},\n  {\n    \"label\": [\"x\"],\n    \"sentence\": \"b\"},{\"sentence\": \"c\",\"label\": [2]}\n]\n";
    let (_folder, path) = write(content);
    let json = layout(Format::Json);
    let records = read_records(&path, json, &[]).expect("a sound file");
    assert_eq!(records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 3, 5]);
    assert_eq!(records[2].fields["sentence"], "c");
    let plain = content.replace("[\"x\"]", "2").replace("[2]", "3");
    assert_eq!(rows(&plain, json, &SENTENCES)[0], row(2, ["a{\n", "1"]));
    for (content, expected) in [
        (
            content.as_bytes(),
            "line 3: field `label`: expected text or a number, found a list or an object",
        ),
        (b"[{}]\n", "line 1: no field `sentence` (known: )"),
        (b"[\n\n\"\xff\"]", "line 3: not UTF-8"),
        (b"[]", "the file is empty, expected at least one row"),
    ] {
        assert_eq!(complaint(content, Format::Json, &SENTENCES), expected);
    }
}

#[test]
fn nested_fields_are_found_by_their_paths() {
    let content = "{\"qa\": [{\"question\": \"a\"}], \"label\": {\"gold\": true}}\n";
    let paths = ["qa.0.question", "label.gold"];
    assert_eq!(rows(content, layout(Format::Jsonl), &paths), [row(1, ["a", "true"])]);
    assert_eq!(
        complaint(content, Format::Jsonl, &["qa.1.question"]),
        "line 1: field `qa.1.question`: no element `1` in a list of 1, counted from 0"
    );
}

#[test]
fn records_of_delimited_text_hold_the_wanted_columns() {
    let (_folder, path) = write("article,highlights,id\n\"a,\nb\",c,1\n");
    let records = read_records(&path, layout(Format::Csv), &["highlights", "article"]);
    let fields = [("article", "a,\nb"), ("highlights", "c")];
    let fields = fields.map(|(name, text)| (name.to_owned(), Value::from(text)));
    let expected = [Record { line: 2, fields: fields.into_iter().collect() }];
    assert_eq!(records.expect("a sound file"), expected);
}

#[test]
fn nested_parquet_reads_as_the_same_json_does() {
    let (_folder, path) = write("");
    let de: ArrayRef = Arc::new(StringArray::from(vec!["Haus", "Hof"]));
    let en: ArrayRef = Arc::new(StringArray::from(vec![Some("house"), None]));
    let field = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    let translation = StructArray::from(vec![(field("de"), de), (field("en"), en)]);
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("x"), Some("y")]);
    texts.append_value(Vec::<Option<&str>>::new());
    let score: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 2.0]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"a" as &[u8], b"\xff"]));
    let columns: [(_, ArrayRef); 4] = [
        ("translation", Arc::new(translation)),
        ("texts", Arc::new(texts.finish())),
        ("score", score),
        ("picture", bytes),
    ];
    write_parquet(&path, columns);
    let parquet = layout(Format::Parquet);
    let found = read_records(&path, parquet, &["translation.de", "texts.*", "score"]);
    let rows = [
        json!({"translation": {"de": "Haus", "en": "house"}, "texts": ["x", "y"], "score": 0.1}),
        json!({"translation": {"de": "Hof", "en": null}, "texts": [], "score": 2.0}),
    ];
    for ((index, record), row) in found.expect("a sound file").into_iter().enumerate().zip(rows) {
        assert_eq!((record.line, Value::Object(record.fields)), (index + 1, row));
    }
    let error = read_records(&path, parquet, &["picture"]).expect_err("no JSON form").to_string();
    let expected = "line 2: column `picture`: expected text, found bytes that are not UTF-8";
    assert!(error.ends_with(expected), "{error}");
    let error = read(&path, parquet, &["texts"]).expect_err("no text").to_string();
    let expected = "line 1: field `texts`: expected text or a number, found a list or an object";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn parquet_reads_strings_whole_numbers_and_nulls_in_the_order_asked_for() {
    let (_folder, path) = write("");
    let sentences: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![1, -1]));
    write_parquet(&path, [("sentence", sentences), ("label", labels)]);
    let found =
        read(&path, layout(Format::Parquet), &["label", "sentence"]).expect("a sound file").rows;
    let cells = |line, label: &str, sentence: Option<&str>| Row {
        line,
        cells: vec![Some(label.to_owned()), sentence.map(str::to_owned)],
    };
    assert_eq!(found, [cells(1, "1", Some("a")), cells(2, "-1", None)]);
    let missing = read(&path, layout(Format::Parquet), &["sentense"]).expect_err("no such column");
    let expected = "no column `sentense`, did you mean `sentence`? (known: sentence, label)";
    assert!(missing.to_string().ends_with(expected), "{missing}");
}

#[test]
fn faults_name_the_line_and_what_was_expected() {
    let cases: [(Format, &[u8], &str); 10] = [
        (Format::Tsv, b"sentence\tlabel\na\t1\nb\n", "line 3: expected 2 columns, found 1"),
        (Format::Tsv, b"sentence\tlabel\na\t1\t2\n", "line 2: expected 2 columns, found 3"),
        (Format::Tsv, b"sentence\tlabel\na\xff\t1\n", "line 2: not UTF-8"),
        (
            Format::Tsv,
            b"sentense\tlabel\na\t1\n",
            "no column `sentence`, did you mean `sentense`? (known: sentense, label)",
        ),
        (Format::Csv, b"sentence,label\n\"a\nb\",1\nc\n", "line 4: expected 2 columns, found 1"),
        (Format::Csv, b"sentence,label\na,1\n\xff,1\n", "line 3: not UTF-8"),
        (
            Format::Jsonl,
            b"{\"sentence\": \"a\", \"label\": 1}\n{\"sentence\": \"a\"}\n",
            "line 2: no field `label` (known: sentence)",
        ),
        (Format::Jsonl, b"{\n", "line 1: expected a JSON object…"),
        (Format::Parquet, b"PAR1 and no more", "not a readable Parquet file…"),
        (Format::Tsv, b"sentence\tlabel\n", "the file is empty, expected at least one row"),
    ];
    let formats = [Format::Tsv, Format::QuotedTsv, Format::Csv, Format::Jsonl].into_iter();
    let empty = "the file is empty, expected at least one row";
    let empty = formats.map(|format| (format, &b""[..], empty));
    for (format, content, expected) in cases.into_iter().chain(empty) {
        let message = complaint(content, format, &SENTENCES);
        match expected.strip_suffix('…') {
            Some(start) => assert!(message.starts_with(start), "{format:?}: {message}"),
            None => assert_eq!(message, expected, "{format:?}"),
        }
    }
    let missing =
        read(Path::new("no/such.tsv"), layout(Format::Tsv), &SENTENCES).expect_err("no such file");
    assert!(missing.to_string().starts_with("no/such.tsv: "), "{missing}");
}

#[test]
fn short_lines_are_counted_where_they_are_skipped() {
    let (_folder, path) = write("sentence\tlabel\na\t1\nbroken\nb\t0\n");
    let lenient = Layout { skip_short_lines: true, ..layout(Format::Tsv) };
    let found = read(&path, lenient, &SENTENCES).expect("a sound file");
    assert_eq!((found.rows.len(), found.short_lines), (2, 1));
}
