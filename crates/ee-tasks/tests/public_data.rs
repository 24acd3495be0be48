//! Real public data, where it is available: the folder in EE_SHARED, or `shared` beside the project.
//! It does not belong to the project, so these tests say that they were skipped where it is not.

use std::path::{Path, PathBuf};

use ee_tasks::{GenerationTask, Split, Task, TextExample, Tokenizer};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of public data or checkpoints, or a line saying what was skipped.
fn shared(part: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("EE_SHARED").map_or_else(|| project().join("../shared"), PathBuf::from);
    let folder = root.join(part);
    if !folder.is_dir() {
        println!("SKIPPED: {} is not there (set EE_SHARED)", folder.display());
        return None;
    }
    Some(folder)
}

fn read(file: &str, split: &str, data: &Path) -> Split {
    let task = Task::read(&project().join("configs/tasks").join(file)).expect("a sound task file");
    task.read_split(split, Some(data), None).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn public_sets_have_as_many_rows_as_they_should() {
    let rows = [
        ("cola-public.toml", "cola", "train", 8551, 0),
        ("cola-public.toml", "cola", "dev", 527 + 516, 0),
        ("cola-public.toml", "cola", "dev_in_domain", 527, 0),
        ("mrpc-quoted.toml", "mrpc", "train", 3668, 0),
        ("mrpc-quoted.toml", "mrpc", "dev", 408, 0),
        ("sst2-bare.toml", "sst2", "train", 67349, 0),
        ("sst2-bare.toml", "sst2", "dev", 872, 0),
        ("qnli-dev.toml", "qnli", "all", 5463, 0),
        ("qnli-dev.toml", "qnli", "train", 4370, 0),
        ("qnli-dev.toml", "qnli", "dev", 1093, 0),
        ("qqp-quora.toml", "qqp", "all", 20212, 2),
    ];
    for (file, folder, split, n, unlabelled) in rows {
        let Some(data) = shared(&format!("data/{folder}")) else { continue };
        let found = read(file, split, &data);
        assert_eq!(
            (found.examples.len(), found.skipped_unlabelled),
            (n, unlabelled),
            "{file} {split}"
        );
        assert_eq!(found.skipped_short, 0, "{file} {split}");
    }
}

fn read_texts(task: &str, split: &str, data: &Path) -> Vec<TextExample> {
    let path = project().join(format!("configs/tasks/{task}.toml"));
    let task = GenerationTask::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let split = task.read_split(split, Some(data), None);
    split.unwrap_or_else(|error| panic!("{error}")).examples
}

#[test]
fn public_sets_of_texts_have_as_many_examples_and_references_as_they_should() {
    let sets = [
        ("wmt22-de-en", "wmt22", "test", 1984, 2),
        ("wmt22-en-de", "wmt22", "test", 2037, 2),
        ("wmt22-de-fr", "wmt22", "test", 1984, 1),
        ("wmt22-fr-de", "wmt22", "test", 2006, 1),
        ("wmt14-en-de", "wmt14", "train", 10000, 1),
        ("wmt14-en-de", "wmt14", "dev", 3000, 1),
        ("wmt14-de-en", "wmt14", "test", 2737, 1),
        ("iwslt14-de-en", "iwslt14", "dev", 6969, 1),
        ("iwslt14-de-en", "iwslt14", "test", 6750, 1),
        ("multi30k", "multi30k", "train", 29000, 1),
        ("multi30k", "multi30k", "dev", 1014, 1),
        ("multi30k", "multi30k", "test", 1000, 1),
        ("cnndm", "cnndm", "dev", 500, 1),
        ("narrativeqa", "narrativeqa", "dev", 3461, 2),
        // Five of the 7473 are shown in every prompt.
        ("gsm8k", "gsm8k", "train", 7468, 1),
        ("gsm8k", "gsm8k", "test", 1319, 1),
        // Set-up code, which is often empty, and three assertions.
        ("mbpp", "mbpp", "test", 500, 4),
        ("mbpp", "mbpp", "dev", 90, 4),
        ("mbpp", "mbpp", "train", 374, 4),
        ("strategyqa", "strategyqa", "dev", 229, 1),
        ("alpaca", "alpaca", "train", 7154, 1),
        ("alpaca", "alpaca", "dev", 376, 1),
    ];
    for (task, folder, split, n, references) in sets {
        let Some(data) = shared(&format!("data/{folder}")) else { continue };
        let found = read_texts(task, split, &data);
        assert_eq!(found.len(), n, "{task} {split}");
        for example in found {
            let n_references = example.references.len();
            assert_eq!(n_references, references, "{task} {split} line {}", example.line);
        }
    }
}

#[test]
fn prompts_of_public_sets_are_whole() {
    if let Some(data) = shared("data/mbpp") {
        let first = &read_texts("mbpp", "test", &data)[0];
        assert_eq!(first.line, 11);
        assert_eq!(first.prompt.matches("You are an expert Python programmer").count(), 4);
        assert_eq!(first.prompt.matches("[DONE]\n\n").count(), 3);
        assert!(first.prompt.ends_with("\n[BEGIN]\n") && first.response.ends_with("\n[DONE]"));
    }
    if let Some(data) = shared("data/alpaca") {
        let mut all = read_texts("alpaca", "train", &data);
        all.extend(read_texts("alpaca", "dev", &data));
        let bare = all.iter().filter(|example| !example.prompt.contains("\n### Input:\n")).count();
        assert_eq!((all.len(), bare), (7530, 5201));
    }
    if let Some(data) = shared("data/strategyqa") {
        let first = &read_texts("strategyqa", "dev", &data)[0];
        assert_eq!((first.response.as_str(), first.references[0].as_str()), (" no", "no"));
    }
}

#[test]
fn a_tokenizer_built_from_its_vocabulary_equals_the_stored_one_on_real_text() {
    let (Some(checkpoint), Some(cola), Some(mrpc)) =
        (shared("checkpoints/minilm-l6"), shared("data/cola"), shared("data/mrpc"))
    else {
        return;
    };
    let bare = tempfile::tempdir().expect("a temporary folder");
    for name in ["vocab.txt", "tokenizer_config.json", "special_tokens_map.json"] {
        std::fs::copy(checkpoint.join(name), bare.path().join(name)).expect("copied");
    }
    for max_length in [24, 128] {
        let stored = Tokenizer::from_folder(&checkpoint, max_length).expect("tokenizer.json");
        let built = Tokenizer::from_folder(bare.path(), max_length).expect("vocab.txt");
        assert_eq!(stored.vocabulary_size(), built.vocabulary_size());
        assert_eq!(stored.padding_id(), built.padding_id());
        for (file, data, split) in [
            ("cola-public.toml", &cola, "train"),
            ("cola-public.toml", &cola, "dev"),
            ("mrpc-quoted.toml", &mrpc, "train"),
            ("mrpc-quoted.toml", &mrpc, "dev"),
        ] {
            let examples = read(file, split, data).examples;
            let encode =
                |tokenizer: &Tokenizer| tokenizer.encode_all(&examples).expect("encodings");
            assert!(encode(&stored) == encode(&built), "{file} {split} at {max_length}");
        }
    }
}
