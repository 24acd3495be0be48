//! A tiny task with its tokenizer and run file, in a folder of its own: does a sentence hold more `good`
//! than `bad`?

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const WORDS: [&str; 8] = ["good", "bad", "the", "film", "was", "very", "and", "then"];

pub(crate) struct Playground {
    folder: TempDir,
}

impl Playground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let playground = Self { folder };
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let vocabulary: Vec<&str> = special.into_iter().chain(WORDS).collect();
        playground.write("tokenizer/vocab.txt", &(vocabulary.join("\n") + "\n"));
        playground.write("train.tsv", sentences(64, 1));
        playground.write("dev.tsv", sentences(32, 2));
        playground.write(
            "task.toml",
            "name = 'mood'\nlabels = ['bad', 'good']\ntext = ['sentence']\nlabel = 'label'\n\
             metrics = ['accuracy']\ndata_dir = '.'\n\
             [splits.train]\nfiles = ['train.tsv']\n[splits.dev]\nfiles = ['dev.tsv']\n",
        );
        playground.write(
            "run.toml",
            "[model]\ntokenizer = 'tokenizer'\nlayers = 2\nd_model = 32\nheads = 2\ninner = 64\npositions = 16\n\
             [task]\nfile = 'task.toml'\nmax_length = 16\n\
             [optimizer]\nlearning_rate = 2e-3\n\
             [training]\nepochs = 4\nbatch = 8\n",
        );
        playground
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Writes a decoder's tokenizer of letters to `letters`.
    pub(crate) fn letters(&self) {
        self.write("letters/tokenizer.json", LETTERS);
        self.write(
            "letters/tokenizer_config.json",
            r#"{"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}"#,
        );
    }

    /// `ee-train --config run.toml --output OUTPUT` and more.
    pub(crate) fn command(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ee-train"));
        command.arg("--config").arg(self.path("run.toml"));
        command.arg("--output").arg(self.path(output)).args(more);
        command
    }

    pub(crate) fn train(&self, output: &str, more: &[&str]) -> Output {
        self.command(output, more).output().unwrap()
    }

    /// Trains, kills it after so many seconds, and tells whether it was still at work.
    pub(crate) fn killed(&self, output: &str, more: &[&str], seconds: f64) -> bool {
        let mut command = self.command(output, more);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let is_at_work = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        is_at_work
    }

    /// Trains and checks that it ends with this code, one error and these words.
    pub(crate) fn refused(&self, output: &str, more: &[&str], code: i32, expected: &[&str]) {
        let refused = self.train(output, more);
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(code), "{more:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{more:?}: {message}");
        }
        assert_eq!(message.matches("error:").count(), 1, "{message}");
        assert!(message.matches("(os error").count() <= 1, "said twice: {message}");
    }

    /// Copies the files of a folder into another one.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        for name in listing(&self.path(from)) {
            self.write(&format!("{to}/{name}"), fs::read(self.path(from).join(&name)).unwrap());
        }
    }

    /// A file of JSON.
    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// The final weights of a run.
    pub(crate) fn weights(&self, output: &str) -> Vec<u8> {
        fs::read(self.path(output).join("last/model.safetensors")).unwrap()
    }

    /// The log without what depends on the clock.
    pub(crate) fn log(&self, output: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path(output).join("log.jsonl")).unwrap();
        text.lines()
            .map(|line| {
                let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                let object = value.as_object_mut().unwrap();
                object.remove("clock");
                value
            })
            .collect()
    }
}

/// Letters, `=` and the special tokens, one token each.
const LETTERS: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
  ],
  "normalizer": null,
  "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
  "decoder": {"type": "Fuse"},
  "model": {"type": "WordLevel", "unk_token": "</s>", "vocab": {"<s>": 0, "</s>": 1, "=": 2,
    "a": 3, "b": 4, "c": 5, "d": 6, "e": 7, "f": 8, "g": 9, "h": 10}}
}"#;

/// Checks that a command ended well, and shows what it said where it did not.
pub(crate) fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Names of what lies in a folder, sorted.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn sentences(n: usize, seed: u64) -> String {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "sentence\tlabel\n".to_owned();
    while text.lines().count() <= n {
        let length = generator.random_range(3..12);
        let words: Vec<&str> =
            (0..length).map(|_| *WORDS.choose(&mut generator).unwrap()).collect();
        let count = |word: &str| words.iter().filter(|found| **found == word).count();
        if count("good") != count("bad") {
            let label = if count("good") > count("bad") { "good" } else { "bad" };
            text += &format!("{}\t{label}\n", words.join(" "));
        }
    }
    text
}
