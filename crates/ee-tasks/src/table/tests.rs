use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use tempfile::TempDir;

use super::*;

const SENTENCES: [&str; 2] = ["sentence", "label"];

fn layout(format: Format) -> Layout {
    Layout { format, header: true, skip_short_lines: false }
}

fn write(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data");
    fs::write(&path, content).expect("a temporary file");
    (folder, path)
}

/// Lines and cells of a file with this content.
fn rows(content: &str, layout: Layout, columns: &[&str]) -> Vec<(usize, Vec<String>)> {
    let (_folder, path) = write(content.as_bytes());
    let rows = read(&path, layout, columns).expect("a sound file").rows;
    let cells = |row: Row| row.cells.into_iter().map(|cell| cell.expect("no null")).collect();
    rows.into_iter().map(|row| (row.line, cells(row))).collect()
}

/// The message about a file with this content, without the path.
fn complaint(content: &[u8], layout: Layout, columns: &[&str]) -> String {
    let (folder, path) = write(content);
    let error = read(&path, layout, columns).expect_err("a faulty file");
    let path = path.display().to_string();
    drop(folder);
    let message = error.to_string();
    message.strip_prefix(&path).unwrap_or_else(|| panic!("{message} names {path}")).to_owned()
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
fn parquet_reads_strings_whole_numbers_and_nulls_in_the_order_asked_for() {
    let (_folder, path) = write(b"");
    let sentences: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![1, -1]));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("sentence", sentences, true),
        ("label", labels, false),
    ]);
    let batch = batch.expect("columns of one length");
    let file = fs::File::create(&path).expect("a temporary file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), None).expect("a schema Parquet knows");
    writer.write(&batch).and_then(|()| writer.close().map(|_| ())).expect("written");
    let found =
        read(&path, layout(Format::Parquet), &["label", "sentence"]).expect("a sound file").rows;
    let cells = |line, label: &str, sentence: Option<&str>| Row {
        line,
        cells: vec![Some(label.to_owned()), sentence.map(str::to_owned)],
    };
    assert_eq!(found, [cells(1, "1", Some("a")), cells(2, "-1", None)]);
    let missing = read(&path, layout(Format::Parquet), &["sentense"])
        .expect_err("no such column")
        .to_string();
    assert!(
        missing
            .ends_with("no column `sentense`, did you mean `sentence`? (known: sentence, label)"),
        "{missing}"
    );
}

#[test]
fn faults_name_the_line_and_what_was_expected() {
    let tsv = layout(Format::Tsv);
    assert_eq!(
        complaint(b"sentence\tlabel\na\t1\nb\n", tsv, &SENTENCES),
        ": line 3: expected 2 columns, found 1"
    );
    assert_eq!(
        complaint(b"sentence\tlabel\na\t1\t2\n", tsv, &SENTENCES),
        ": line 2: expected 2 columns, found 3"
    );
    assert_eq!(complaint(b"sentence\tlabel\na\xff\t1\n", tsv, &SENTENCES), ": line 2: not UTF-8");
    assert_eq!(
        complaint(b"sentense\tlabel\na\t1\n", tsv, &SENTENCES),
        ": no column `sentence`, did you mean `sentense`? (known: sentense, label)"
    );
    let csv = layout(Format::Csv);
    assert_eq!(
        complaint(b"sentence,label\n\"a\nb\",1\nc\n", csv, &SENTENCES),
        ": line 4: expected 2 columns, found 1"
    );
    assert_eq!(complaint(b"sentence,label\na,1\n\xff,1\n", csv, &SENTENCES), ": line 3: not UTF-8");
    let jsonl = layout(Format::Jsonl);
    let field = complaint(
        b"{\"sentence\": \"a\", \"label\": 1}\n{\"sentence\": \"a\"}\n",
        jsonl,
        &SENTENCES,
    );
    assert_eq!(field, ": line 2: no field `label` (known: sentence)");
    assert!(complaint(b"{\n", jsonl, &SENTENCES).starts_with(": line 1: expected a JSON object"));
    let parquet = complaint(b"PAR1 and no more", layout(Format::Parquet), &SENTENCES);
    assert!(parquet.starts_with(": not a readable Parquet file"), "{parquet}");
}

#[test]
fn empty_and_missing_files_are_named() {
    for format in [Format::Tsv, Format::QuotedTsv, Format::Csv, Format::Jsonl] {
        assert_eq!(
            complaint(b"", layout(format), &SENTENCES),
            ": the file is empty, expected at least one row"
        );
    }
    let header_alone = complaint(b"sentence\tlabel\n", layout(Format::Tsv), &SENTENCES);
    assert_eq!(header_alone, ": the file is empty, expected at least one row");
    let missing =
        read(Path::new("no/such.tsv"), layout(Format::Tsv), &SENTENCES).expect_err("no such file");
    assert!(missing.to_string().starts_with("no/such.tsv: "), "{missing}");
}

#[test]
fn short_lines_are_counted_where_they_are_skipped() {
    let (_folder, path) = write(b"sentence\tlabel\na\t1\nbroken\nb\t0\n");
    let lenient = Layout { skip_short_lines: true, ..layout(Format::Tsv) };
    let found = read(&path, lenient, &SENTENCES).expect("a sound file");
    assert_eq!((found.rows.len(), found.short_lines), (2, 1));
}
