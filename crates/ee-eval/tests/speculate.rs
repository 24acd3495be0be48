//! `ee-eval speculate` from outside: the texts of `generate`, and results that hold together.

mod fixture;

use std::path::Path;

use ee_eval::trace::read_texts;
use fixture::{decoder, fail, succeed};
use serde_json::Value;

const EXAMPLES: usize = 10;

/// A folder with a random decoder `model`, its tokenizer, and a task of short lines `task.toml`.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    decoder::checkpoint(&folder.path().join("model"), 4, 0.1, 5);
    decoder::task(folder.path(), "\"chrf\", \"bleu\"", 12, &[("dev", EXAMPLES)]);
    folder
}

fn results(here: &Path, folder: &str) -> Value {
    let text = std::fs::read_to_string(here.join(folder).join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn array(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().unwrap().iter()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn greedy_texts_are_those_of_generate_and_results_hold_together() {
    let world = world();
    let here = world.path();
    let generated = succeed(here, "generate --model model --task task.toml");
    // Behind the texts are their scores.
    let expected = &generated[..=generated.rfind("\n\n").unwrap()];
    for (how, folder) in [("--draft-exit 2 --draft-length 3", "fixed"), ("--adaptive", "adaptive")]
    {
        let words = "speculate --model model --task task.toml --batch 3";
        let found = succeed(here, &format!("{words} {how} --output {folder}"));
        assert!(found.starts_with(expected), "{found}\n{expected}");
        let same = found.lines().find(|line| line.starts_with("same tokens")).unwrap();
        assert!(same.ends_with("yes"), "{same}");
        let results = results(here, folder);
        assert_eq!(results["same_tokens"], true);
        assert_eq!(results["differing_texts"], 0);
        assert_eq!((&results["texts"], &results["batch"]), (&EXAMPLES.into(), &3.into()));
        assert_eq!((&results["layers"], &results["rounds"]), (&4.into(), &3.into()));
        // No token ends a text here.
        assert_eq!(results["speculation"]["tokens"], 3 * EXAMPLES * 12);
        assert_eq!(results["plain"]["tokens"], 3 * EXAMPLES * 12);
        // One token of each text comes with its prompt.
        let row_rounds: f64 = array(&results["plans"]).map(|of| number(&of["row_rounds"])).sum();
        let per_round = (EXAMPLES * 11) as f64 / row_rounds;
        assert!((number(&results["tokens_per_round"]) - per_round).abs() < 1e-12);
        let shares = results["shares"].as_object().unwrap().values();
        let sum: f64 = shares.map(number).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        for score in array(&results["scores"]) {
            assert_eq!(score["score"], score["plain_score"], "{}", score["name"]);
        }
        let names: Vec<&Value> = array(&results["scores"]).map(|score| &score["name"]).collect();
        assert_eq!(names, ["chrf", "bleu"]);
        let texts = read_texts(&here.join(folder).join("speculate.parquet")).unwrap();
        let written: String = texts.iter().map(|text| format!("{}\n", text.prediction)).collect();
        assert_eq!(written, expected);
    }
    let fixed = results(here, "fixed");
    assert_eq!(fixed["draft"], "exit 2, 3 tokens");
    assert_eq!(array(&fixed["acceptance"]).map(|of| &of["exit"]).collect::<Vec<_>>(), [2]);
    // Weights of 32 · (2 · 32 + 2 · 16) numbers in attention and 3 · 32 · 48 behind it, four bytes each.
    assert_eq!(fixed["bound"]["layer_bytes"], 4 * (32 * 96 + 3 * 32 * 48));
}

#[test]
fn a_file_of_prompts_is_as_good_as_typed_ones() {
    let world = world();
    let here = world.path();
    std::fs::write(here.join("prompts.txt"), "The\n\ndog\n").unwrap();
    for command in ["generate", "speculate --adaptive"] {
        let words = format!("{command} --model model --max-new-tokens 8");
        let lines = |prompts: &str, n| {
            let found = succeed(here, &format!("{words} {prompts}"));
            found.lines().take(n).map(str::to_owned).collect::<Vec<_>>()
        };
        let apart = [lines("--prompt The", 1), lines("--prompt dog", 1)].concat();
        assert_eq!(lines("--prompts prompts.txt", 2), apart);
    }
    fail(here, "generate --model model --prompts absent.txt", 1, &["absent.txt"]);
    fail(here, "generate --model model", 2, &["--prompts"]);
}

#[test]
fn drawn_texts_repeat_with_their_seed_and_are_not_compared() {
    let world = world();
    let here = world.path();
    let sampled = |seed: u32| {
        let words = "speculate --model model --prompt The --max-new-tokens 20 --temperature 1.2";
        let words = format!("{words} --top-p 0.9 --draft-exit 1 --draft-length 2 --seed {seed}");
        let found = succeed(here, &format!("{words} --output drawn"));
        assert_eq!(results(here, "drawn")["same_tokens"], Value::Null);
        assert!(found.contains("drawn: same distribution"), "{found}");
        found.lines().next().unwrap().to_owned()
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn what_cannot_draft_is_said() {
    let world = world();
    let here = world.path();
    let words = "speculate --model model --prompt The";
    fail(here, words, 2, &["--draft-exit", "--adaptive"]);
    fail(here, &format!("{words} --draft-exit 2"), 2, &["--draft-length"]);
    fail(here, &format!("{words} --adaptive --draft-length 2"), 2, &["--adaptive"]);
    let deep = format!("{words} --draft-exit 4 --draft-length 2");
    fail(here, &deep, 2, &["draft exit 4", "exits 1 to 3 of the model's 4"]);
}
