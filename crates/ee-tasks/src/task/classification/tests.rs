use tempfile::TempDir;

use super::*;
use crate::fixture::{self, folder};

const PAIRS: &str = r#"
name = "pairs"
kind = "classification"
text = ["question", "answer"]
label = "gold"
labels = ["wrong", "right"]
metrics = ["f1", "accuracy"]
skip_unlabelled = true

[splits.train]
files = ["one.tsv", "two.tsv"]

[splits.dev]
files = ["one.tsv", "two.tsv"]
part = "75..100%"
"#;

fn task(text: &str) -> Result<Task, ConfigError> {
    Task::from_document(Document::parse(text, "task.toml"), Path::new(""))
}

fn complaints(text: &str) -> String {
    task(text).expect_err("a faulty task").to_string()
}

/// Two files, five rows, one of them without a label.
fn data() -> TempDir {
    let one = "question\tanswer\tgold\nq0\ta0\tright\nq1\ta1\t0\n";
    let two = "gold\tquestion\tanswer\n1\tq2\ta2\n\tq\ta\nwrong\tq3\ta3\n";
    folder(&[("one.tsv", one), ("two.tsv", two)])
}

/// Reads the split `train` of a sound task.
fn train(text: &str, data: &TempDir) -> Result<Split, Error> {
    task(text).expect("a sound task").read_split("train", Some(data.path()), None)
}

/// Gives a file rows of which each has this column of gold labels.
fn relabel(data: &TempDir, name: &str, labels: &[&str]) {
    let rows: String = labels.iter().map(|label| format!("{label}\tq\ta\n")).collect();
    fixture::write(data, name, format!("gold\tquestion\tanswer\n{rows}"));
}

#[test]
fn a_split_joins_its_files_and_counts_rows_without_a_label() {
    let train = train(PAIRS, &data()).expect("sound files");
    assert_eq!(train.labels().expect("labels"), [1, 0, 1, 0]);
    assert_eq!((train.skipped_unlabelled, train.skipped_short), (1, 0));
    let second = Example { text: "q1".to_owned(), pair: Some("a1".to_owned()), label: Some(0) };
    assert_eq!(train.examples[1], second);
}

#[test]
fn a_part_and_a_limit_are_taken_in_the_order_of_rows() {
    let (task, data) = (task(PAIRS).expect("a sound task"), data());
    let texts = |split, limit| -> Vec<String> {
        let split = task.read_split(split, Some(data.path()), limit).expect("sound files");
        split.examples.into_iter().map(|example| example.text).collect()
    };
    assert_eq!(texts("dev", None), ["q3"]);
    assert_eq!(texts("train", Some(2)), ["q0", "q1"]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (task, data) = (task(PAIRS).expect("a sound task"), data());
    let refused = |split, folder, limit| {
        task.read_split(split, folder, limit).expect_err("refused").to_string()
    };
    let folder = Some(data.path());
    for ((split, folder, limit), expected) in [
        (("train", folder, Some(0)), "a limit of 0 leaves no example, expected 1 or more"),
        (("tran", folder, None), "unknown split `tran`, did you mean `train`? (known: dev, train)"),
        (("train", None, None), "task `pairs` states no data folder, expected --data-dir"),
    ] {
        assert_eq!(refused(split, folder, limit), expected);
    }
}

#[test]
fn an_unknown_label_names_file_line_and_the_known_ones() {
    let data = data();
    let path = data.path().join("two.tsv");
    for unknown in ["rigth", "2", "-2"] {
        relabel(&data, "two.tsv", &[unknown]);
        let message = train(PAIRS, &data).expect_err("unknown").to_string();
        let start = format!("{}: line 2: column `gold`: unknown label `{unknown}`", path.display());
        assert!(message.starts_with(&start), "{message}");
        assert!(message.ends_with("(known: wrong, right)"), "{message}");
    }
}

#[test]
fn rows_that_say_they_have_no_label_are_skipped_and_counted() {
    let data = data();
    let words = ["", "-", "-1", "-1.0", "NaN", "null", "None"];
    relabel(&data, "two.tsv", &[&words[..], &["1.0", "0"]].concat());
    let split = train(PAIRS, &data).expect("sound files");
    assert_eq!(split.skipped_unlabelled, words.len());
    assert_eq!(split.labels().expect("labels"), [1, 0, 1, 0]);
    // What the task counts among its labels is one.
    let stated = PAIRS.replace("[splits.train]", "label_values = [\"-1\", \"1\"]\n[splits.train]");
    relabel(&data, "one.tsv", &["-1"]);
    relabel(&data, "two.tsv", &["-"]);
    let split = train(&stated, &data).expect("sound files");
    assert_eq!((split.examples[0].label, split.skipped_unlabelled), (Some(0), 1));
}

#[test]
fn a_split_without_labels_is_read_and_says_so() {
    let data = data();
    for name in ["one.tsv", "two.tsv"] {
        relabel(&data, name, &["-1", ""]);
    }
    let read = |text: &str| train(text, &data);
    // No row has one, whether rows without one would be skipped or not.
    let strict = PAIRS.replace("skip_unlabelled = true", "");
    for text in [PAIRS, &strict] {
        let split = read(text).expect("sound files");
        assert_eq!((split.examples.len(), split.has_labels()), (4, false));
        assert_eq!(split.skipped_unlabelled, 0);
        let error = split.labels().expect_err("no labels").to_string();
        assert_eq!(error, "split `train` has no labels, expected one per row");
    }
    // One row has one: the others are a fault, unless they are skipped.
    relabel(&data, "two.tsv", &["right"]);
    let error = read(&strict).expect_err("mixed").to_string();
    assert!(error.contains("one.tsv: line 2: column `gold`: unknown label `-1`"), "{error}");
    assert!(error.ends_with("`skip_unlabelled = true` leaves rows without a label out"), "{error}");
    assert_eq!(read(PAIRS).expect("skipped").skipped_unlabelled, 2);
    // The column need not be there.
    for name in ["one.tsv", "two.tsv"] {
        fixture::write(&data, name, "question\tanswer\nq\ta\n");
    }
    assert!(read(PAIRS).expect_err("no column").to_string().contains("no column `gold`"));
    let said = strict.replace("[splits.train]", "[splits.train]\nlabelled = false");
    assert!(!read(&said).expect("sound files").has_labels());
    let bare =
        strict.replace("label = \"gold\"", "").replace("metrics = [\"f1\", \"accuracy\"]", "");
    assert!(!read(&bare).expect("sound files").has_labels());
    let scored = strict.replace("label = \"gold\"", "");
    assert!(complaints(&scored).contains("metrics compare with labels"), "{}", complaints(&scored));
}

#[test]
fn stated_label_values_alone_count() {
    let stated =
        PAIRS.replace("[splits.train]", "label_values = [\"0.0\", \"1.0\"]\n[splits.train]");
    let data = data();
    relabel(&data, "two.tsv", &["1.0"]);
    let message = train(&stated, &data).expect_err("names no longer count").to_string();
    assert!(message.contains("unknown label `right`"), "{message}");
    relabel(&data, "one.tsv", &["0.0"]);
    assert_eq!(train(&stated, &data).expect("sound files").labels().expect("labels"), [0, 1]);
}

#[test]
fn every_fault_of_a_task_file_is_reported_at_once() {
    let text = PAIRS
        .replace("[\"question\", \"answer\"]", "[]")
        .replace("[\"wrong\", \"right\"]", "[\"right\", \"right\"]")
        .replace("[\"f1\", \"accuracy\"]", "[\"acuracy\"]")
        .replace("75..100%", "75..110%")
        .replace("skip_unlabelled", "skip_unlabeled")
        .replace("classification", "regression");
    let found = complaints(&text);
    for expected in [
        "task.toml:3: `kind`: unknown value `regression` (known: classification)",
        "task.toml:4: `text`: expected one or two columns, found 0",
        "task.toml:6: `labels`: a label name occurs twice",
        "task.toml:7: `metrics`: unknown metric `acuracy`, did you mean `accuracy`?",
        "task.toml:8: `skip_unlabeled`: unknown key, did you mean `skip_unlabelled`?",
        "task.toml:15: `splits.dev.part`: expected a range",
    ] {
        assert!(found.contains(expected), "{expected}\nin\n{found}");
    }
    let bare = complaints("");
    for key in ["name", "labels", "text", "splits"] {
        assert!(bare.contains(&format!("`{key}`: missing")), "{key} in\n{bare}");
    }
    let split = complaints(&PAIRS.replace("splits.dev", "splits.test"));
    assert!(split.contains("unknown split `dev`"), "{split}");
}

#[test]
fn the_stated_data_folder_is_relative_to_the_task_file() {
    let folder = data();
    fixture::write(&folder, "task.toml", format!("data_dir = \".\"\n{PAIRS}"));
    let task = Task::read(&folder.path().join("task.toml")).expect("a sound task");
    assert_eq!(task.read_split("train", None, None).expect("sound files").examples.len(), 4);
}
