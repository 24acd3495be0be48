//! Every task file of the project is sound, and the bundled corpus can be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ee_tasks::config::Document;
use ee_tasks::{Task, Tokenizer};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Task files by their name without `.toml`.
fn tasks() -> BTreeMap<String, Task> {
    let folder = project().join("configs/tasks");
    let files = folder
        .read_dir()
        .expect("configs/tasks is there")
        .map(|entry| entry.expect("readable").path());
    let named = |path: PathBuf| {
        let task = Task::read(&path).unwrap_or_else(|error| panic!("{error}"));
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), task)
    };
    files.map(named).collect()
}

#[test]
fn every_task_file_is_sound() {
    for (file, task) in tasks() {
        assert!(task.split_names().any(|split| split == "train"), "{file} has a train split");
        assert!(task.split_names().any(|split| split == task.evaluation_split), "{file}");
        assert!(
            file == task.name || file.starts_with(&format!("{}-", task.name)),
            "{file} is named after its task"
        );
    }
}

#[test]
fn every_glue_task_has_both_forms_and_they_ask_the_same() {
    let tasks = tasks();
    for name in ["cola", "mrpc", "qnli", "qqp", "rte", "mnli", "sst2"] {
        let (hub, archive) = (&tasks[name], &tasks[&format!("{name}-tsv")]);
        assert_eq!(hub.labels, archive.labels, "{name}");
        assert_eq!(hub.metrics, archive.metrics, "{name}");
        assert_eq!(hub.text.len(), archive.text.len(), "{name}");
        assert_eq!(
            hub.split_names().collect::<Vec<_>>(),
            archive.split_names().collect::<Vec<_>>(),
            "{name}"
        );
    }
    assert_eq!(tasks["mnli"].n_labels(), 3);
    assert_eq!(tasks["mrpc"].build_metrics()[0].name(), "f1");
    assert_eq!(tasks["cola"].build_metrics()[0].name(), "matthews");
}

#[test]
fn a_misspelt_key_in_a_task_file_is_a_complaint() {
    let text =
        std::fs::read_to_string(project().join("configs/tasks/cola.toml")).expect("readable");
    let misspelt = Document::parse(&text.replace("metrics", "metric"), "cola.toml");
    let error =
        Task::from_document(misspelt, Path::new("")).expect_err("an unknown key").to_string();
    assert!(error.contains("`metric`: unknown key, did you mean `metrics`?"), "{error}");
    assert!(error.contains("`metrics`: missing"), "{error}");
}

#[test]
fn the_bundled_corpus_is_balanced_and_every_word_of_it_is_in_its_vocabulary() {
    let task = &tasks()["reviews"];
    let tokenizer = Tokenizer::from_folder(&project().join("data/reviews/tokenizer"), 64)
        .expect("the bundled tokenizer");
    let unknown = tokenizer.encode("xyzzy", None).expect("an encoding").ids[1];
    let mut seen = std::collections::BTreeSet::new();
    for split in ["train", "dev", "test"] {
        let examples = task.read_split(split, None, None).expect("the bundled files").examples;
        let entailed = examples.iter().filter(|example| example.label == 0).count();
        assert!(
            (entailed * 2).abs_diff(examples.len()) <= 1 + examples.len() / 50,
            "{split} is balanced"
        );
        for encoding in tokenizer.encode_all(&examples).expect("encodings") {
            assert!(!encoding.ids.contains(&unknown), "{split} has an unknown word");
        }
        for example in examples {
            assert!(seen.insert((example.text, example.pair)), "{split} repeats a pair");
        }
    }
}
