//! Real public data, where it is at hand: the folder in EE_SHARED, or `shared` beside the project.
//! None of it belongs to the project, so these tests say that they were skipped where it is not.

use std::path::{Path, PathBuf};

use ee_tasks::{Split, Task, Tokenizer};

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
