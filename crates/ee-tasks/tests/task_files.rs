//! Every task file of the project is sound, and the bundled corpus can be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ee_tasks::config::Document;
use ee_tasks::{AnyTask, GenerationTask, Task, TextTokenizer, Tokenizer};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Task files by their name without `.toml`.
fn all_tasks() -> BTreeMap<String, AnyTask> {
    let folder = project().join("configs/tasks");
    let files = folder
        .read_dir()
        .expect("configs/tasks is there")
        .map(|entry| entry.expect("readable").path());
    let named = |path: PathBuf| {
        let task = AnyTask::read(&path).unwrap_or_else(|error| panic!("{error}"));
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), task)
    };
    files.map(named).collect()
}

fn tasks() -> BTreeMap<String, Task> {
    let classification = |(file, task)| match task {
        AnyTask::Classification(task) => Some((file, task)),
        AnyTask::Generation(_) => None,
    };
    all_tasks().into_iter().filter_map(classification).collect()
}

#[test]
fn every_task_file_is_sound() {
    for (file, task) in all_tasks() {
        let name = task.name();
        assert!(task.split_names().contains(&task.evaluation_split()), "{file}");
        assert!(
            file == name || file.starts_with(&format!("{name}-")),
            "{file} is named after its task"
        );
    }
    for (file, task) in tasks() {
        assert!(task.split_names().any(|split| split == "train"), "{file} has a train split");
    }
}

/// The first prompt of a task of which every data file holds the same.
fn prompt(task: &str, split: &str, files: &[&str], content: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in files {
        std::fs::write(folder.path().join(name), content).expect("written");
    }
    let path = project().join(format!("configs/tasks/{task}.toml"));
    let task = GenerationTask::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let split = task.read_split(split, Some(folder.path()), None);
    split.unwrap_or_else(|error| panic!("{error}")).examples.remove(0).prompt
}

#[test]
fn the_papers_prompts_are_word_for_word() {
    for (from, source, to, target) in [
        ("German", "de", "English", "en"),
        ("English", "en", "German", "de"),
        ("German", "de", "French", "fr"),
        ("French", "fr", "German", "de"),
    ] {
        let pair = format!("{source}-{target}");
        let files = [
            format!("generaltest2022.{pair}.src.{source}"),
            format!("generaltest2022.{pair}.ref.A.{target}"),
            format!("generaltest2022.{pair}.ref.B.{target}"),
        ];
        let files = files.each_ref().map(String::as_str);
        assert_eq!(
            prompt(&format!("wmt22-{pair}"), "test", &files, "a {b}\n"),
            format!(
                "### Instruction:\nTranslate {from} to {to}:\n### Input:\na {{b}}\n### Response:\n"
            )
        );
    }
    assert_eq!(
        prompt("cnndm", "dev", &["validation.csv"], "article,highlights,id\na,h,1\n"),
        "### Instruction:\nSummarize the following article to a sentence:\n### Input:\na\n### Response:\n"
    );
    let row = r#"{"summary": "s", "qa": [{"question": "q?", "answers": ["a"]}]}"#;
    assert_eq!(
        prompt("narrativeqa", "dev", &["dev.jsonl"], row),
        "### Instruction: I will provide a context and a question to you. You need to answer me the \
         question based on the context.\n### Context: s\n### Question: q?\n### Answer:"
    );
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
        let entailed = examples.iter().filter(|example| example.label == Some(0)).count();
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

#[test]
fn the_bundled_numbers_are_spelled_in_pieces_and_asked_once() {
    let path = project().join("configs/tasks/numbers.toml");
    let task = GenerationTask::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let tokenizer = TextTokenizer::from_folder(&project().join("data/numbers/tokenizer"))
        .expect("the bundled tokenizer");
    let unknown = tokenizer.encode_prompt("7").expect("an encoding")[1];
    let mut seen = std::collections::BTreeSet::new();
    for split in ["train", "dev", "test"] {
        for example in task.read_split(split, None, None).expect("the bundled files").examples {
            let (prompt, response) = (&example.prompt, &example.response);
            let encoding = tokenizer.encode_prompted(prompt, response).expect("an encoding");
            assert_eq!(Some(encoding.ids[0]), tokenizer.beginning_id());
            assert!(!encoding.ids.contains(&unknown), "{prompt}{response}");
            let (asked, answered) = encoding.ids.split_at(encoding.prompt_length);
            assert_eq!(tokenizer.decode(asked).expect("a text"), *prompt);
            assert_eq!(tokenizer.decode(answered).expect("a text"), *response);
            // The end token is one more.
            assert!(answered.len() < task.max_new_tokens, "{response}");
            assert!(seen.insert(example.prompt), "{split} repeats a question");
        }
    }
    assert_eq!(tokenizer.encode_prompt("viertausendsieben").expect("an encoding").len(), 5);
}
