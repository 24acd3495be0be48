//! Tables found in practice: odd quotes, marks, encodings, and what Python writes into JSON.

use serde_json::json;

use super::tests::{complaint as complaint_of, layout, write};
use super::*;

/// The message about a file with this content, without the path.
fn complaint(content: &str, format: Format) -> String {
    complaint_of(content, format, &["text", "label"])
}

/// The cells of text and label.
fn cells(content: impl AsRef<[u8]>, format: Format) -> Vec<[Option<String>; 2]> {
    let (_folder, path) = write(content);
    let rows = read(&path, layout(format), &["text", "label"]);
    let rows = rows.unwrap_or_else(|error| panic!("{error}")).rows;
    rows.into_iter().map(|row| row.cells.try_into().expect("two cells")).collect()
}

fn two(text: &str, label: &str) -> [Option<String>; 2] {
    [Some(text.to_owned()), Some(label.to_owned())]
}

fn records(content: &str, format: Format) -> Vec<(usize, Value)> {
    let (_folder, path) = write(content);
    let records = read_records(&path, layout(format), &[]);
    let records = records.unwrap_or_else(|error| panic!("{error}"));
    records.into_iter().map(|record| (record.line, Value::Object(record.fields))).collect()
}

#[test]
fn a_quote_that_never_closes_is_named_by_the_line_on_which_it_opens() {
    let lost = "label,text\n0,the cat\n1,\"Toys R Us is great\n0,bad film\n1,good film\n";
    assert_eq!(complaint(lost, Format::Csv), "line 3: the quote that opens here never closes");
    let tabs = lost.replace(',', "\t");
    assert_eq!(
        complaint(&tabs, Format::QuotedTsv),
        "line 3: the quote that opens here never closes"
    );
    // In plain TSV a quote is text.
    assert_eq!(cells(&tabs, Format::Tsv).len(), 4);
    // Not the row's first line: the field's.
    let late = "text,label\n\"one\ntwo\",\"1\n";
    assert_eq!(complaint(late, Format::Csv), "line 3: the quote that opens here never closes");
    // A later quote closes it, and what follows reveals that.
    let joined = "label,text\n1,\"Toys R Us\n0,\"bad film\"\n";
    let message = complaint(joined, Format::Csv);
    let expected = "line 3: text follows the quote that closes the field opened on line 2";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn sound_quotes_stay_sound() {
    let content = "text,label\r\n\"a \"\"b\"\"\",1\r\n5\" pipe,0\r\n\"\",1\r\n\"x\r\ny\",0";
    let expected = [two("a \"b\"", "1"), two("5\" pipe", "0"), two("", "1"), two("x\r\ny", "0")];
    assert_eq!(cells(content, Format::Csv), expected);
}

#[test]
fn two_columns_of_one_name_are_refused_where_they_are_wanted() {
    for (format, separator) in [(Format::Csv, ","), (Format::Tsv, "\t"), (Format::QuotedTsv, "\t")]
    {
        let twice = "text,label,label\na,0,1\n".replace(',', separator);
        assert_eq!(complaint(&twice, format), "2 columns are named `label`, expected one");
        let unused = "text,label,,\na,0,1,2\n".replace(',', separator);
        assert_eq!(cells(unused, format), [two("a", "0")]);
    }
    for (format, content) in [
        (
            Format::Jsonl,
            "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"a\", \"label\": 0, \"label\": 1}\n",
        ),
        (
            Format::Json,
            "[{\"text\": \"a\", \"label\": 0},\n{\"text\": \"a\", \"label\": 0, \"label\": 1}]\n",
        ),
        (Format::Json, "\n{\"data\": [{\"text\": \"a\", \"label\": 0}],\"data\": []}"),
    ] {
        let message = complaint(content, format);
        assert!(message.starts_with("line 2: "), "{message}");
        assert!(message.contains("` occurs twice"), "{message}");
    }
}

#[test]
fn marks_are_no_text_and_other_encodings_are_named() {
    for (format, content) in [
        (Format::Csv, "\u{feff}\"text\",label\r\na,0\r\n"),
        (Format::Tsv, "\u{feff}text\tlabel\r\na\t0\r\n"),
        (Format::QuotedTsv, "\u{feff}text\tlabel\r\n\"a\"\t0\r\n"),
        (Format::Jsonl, "\u{feff}{\"text\": \"a\", \"label\": 0}\r\n"),
        (Format::Json, "\u{feff}[{\"text\": \"a\", \"label\": 0}]\r\n"),
    ] {
        assert_eq!(cells(content, format), [two("a", "0")]);
        assert_eq!(complaint("\u{feff}", format), "the file is empty, expected at least one row");
        let nul = format!("{content}\n\0");
        assert!(complaint(&nul, format).contains(": a NUL byte"), "{}", complaint(&nul, format));
        let utf16: Vec<u8> = content.encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(complaint_of(utf16, format, &["text", "label"]), "expected UTF-8, found UTF-16");
    }
}

#[test]
fn a_header_in_one_piece_names_what_separates_it() {
    assert_eq!(
        complaint("text;label\na;1\n", Format::Csv),
        "the first line is one column, `text;label`, separated by ';'; expected columns separated by ','"
    );
    let message = complaint("text,label\na,1\n", Format::Tsv);
    assert!(message.contains("separated by ','; expected columns separated by '\\t'"), "{message}");
    // A name of one column alone is a missing column.
    assert!(complaint("sentence\na\n", Format::Csv).starts_with("no column `text`"));
}

#[test]
fn what_python_writes_into_json_is_read_as_missing() {
    let line = "{\"text\": \"NaN, \\\"Infinity\\\" \\\\\", \"label\": 1, \"score\": NaN, \"s\": [-Infinity, Infinity]}";
    let expected =
        json!({"text": "NaN, \"Infinity\" \\", "label": 1, "score": null, "s": [null, null]});
    assert_eq!(records(line, Format::Jsonl), [(1, expected.clone())]);
    assert_eq!(records(&format!("[\n{line}]"), Format::Json), [(2, expected)]);
    assert_eq!(
        cells("{\"text\": \"a\", \"label\": NaN}", Format::Jsonl),
        [[Some("a".to_owned()), None]]
    );
    // Other words stay faults.
    assert!(
        complaint("{\"text\": nan}", Format::Jsonl).starts_with("line 1: expected a JSON object")
    );
}

#[test]
fn whole_numbers_of_any_size_keep_their_digits() {
    let big = "123456789012345678901234567890";
    let line = format!("{{\"text\": {big}, \"label\": -{big}}}");
    assert_eq!(cells(line, Format::Jsonl), [two(big, &format!("-{big}"))]);
    let ends = "{\"text\": 18446744073709551615, \"label\": -9223372036854775808}";
    assert_eq!(cells(ends, Format::Jsonl), [two("18446744073709551615", "-9223372036854775808")]);
}

#[test]
fn rows_are_found_in_wrappers_and_columns() {
    let rows = [two("a", "0"), two("b", "1")];
    for content in [
        r#"{"version": "1.1", "data": [{"text": "a", "label": 0}, {"text": "b", "label": 1}]}"#,
        r#"{"text": ["a", "b"], "label": [0, 1]}"#,
        // pandas' DataFrame.to_json, eleven rows of which are in the order of the file.
        r#"{"text": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}}"#,
        r#"{"text": {"10": "a", "9": "b"}, "label": {"10": 0, "9": 1}}"#,
    ] {
        assert_eq!(cells(content, Format::Json), rows, "{content}");
    }
    // The lists are columns, though one of them holds objects.
    let content = r#"{"text": ["a", "b"], "answers": [{"x": 1}, {"x": 2}]}"#;
    let expected = json!({"text": "b", "answers": {"x": 2}});
    assert_eq!(records(content, Format::Json)[1].1, expected);
    let lines = records("{\"data\": [\n{\"a\": 1},\n\n{\"a\": 2}]}", Format::Json);
    assert_eq!(lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn json_of_another_shape_is_explained() {
    for (content, expected) in [
        (r#"{"text": ["a"], "label": [0, 1]}"#, "`text` has 1 values, `label` 2"),
        (r#"{"text": {"0": "a"}, "label": {"1": 0}}"#, "`label` 1 others"),
        (r#"{"text": "a", "label": 0}"#, "found an object with `text`, `label`"),
        (
            "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"b\", \"label\": 1}\n",
            "format = \"jsonl\"",
        ),
        ("[{\"text\": \"a\"}, 3]", "found a single value in it"),
        ("7", "found a single value"),
        ("[{\"text\": \"a\",}]", "line 1: expected JSON: key must be a string"),
    ] {
        let message = complaint(content, Format::Json);
        assert!(message.contains(expected), "{content}: {message}");
    }
    for content in [
        "[{\"text\": \"a\", \"label\": 0}]",
        "[\n{\"text\": \"a\", \"label\": 0}\n]",
        "{\n\"text\": [\"a\"]\n}",
    ] {
        let message = complaint(content, Format::Jsonl);
        assert!(message.contains("format = \"json\""), "{content}: {message}");
    }
    let squad =
        r#"{"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [{"text": "q"}]}]}]}"#;
    let message = complaint(squad, Format::Json);
    assert!(message.contains("no field `text`"), "{message}");
    assert!(message.contains("there is one in `paragraphs.0.qas.0.text`"), "{message}");
}

#[test]
fn names_may_hold_dots() {
    let content = "meta.text,label.x\na,0\n";
    let (_folder, path) = write(content);
    let rows = read(&path, layout(Format::Csv), &["meta.text", "label.x"]).expect("sound").rows;
    assert_eq!(rows[0].cells, two("a", "0"));
    let nested = records("{\"a.b\": {\"c.d\": [5]}, \"a\": {\"b\": 6}}", Format::Jsonl);
    let Value::Object(fields) = &nested[0].1 else { unreachable!() };
    assert_eq!(path::find(fields, "a.b.c.d.0"), Ok(&json!(5)));
}
