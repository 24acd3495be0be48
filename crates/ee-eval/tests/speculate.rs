//! `ee-eval speculate` from outside: the texts of `generate`, and results that hold together.

mod fixture;

use ee_eval::trace::read_texts;
use fixture::{World, array, decoder, number};
use serde_json::Value;

const EXAMPLES: usize = 10;

/// A folder with a random decoder `model`, its tokenizer, and a task of short lines `task.toml`.
fn world() -> World {
    decoder::world((4, 0.1), "\"chrf\", \"bleu\"", 12, &[("dev", EXAMPLES)])
}

#[test]
fn greedy_texts_are_those_of_generate_and_results_hold_together() {
    let world = world();
    let generated = world.succeed("generate --model model --task task.toml");
    // Behind the texts are their scores.
    let expected = &generated[..=generated.rfind("\n\n").unwrap()];
    for (how, folder) in [("--draft-exit 2 --draft-length 3", "fixed"), ("--adaptive", "adaptive")]
    {
        let words = "speculate --model model --task task.toml --batch 3";
        let found = world.succeed(&format!("{words} {how} --output {folder}"));
        assert!(found.starts_with(expected), "{found}\n{expected}");
        let same = found.lines().find(|line| line.starts_with("same tokens")).unwrap();
        assert!(same.ends_with("yes"), "{same}");
        let results = world.results(folder);
        assert_eq!(results["same_tokens"], true);
        assert_eq!(results["differing_texts"], 0);
        assert_eq!((&results["texts"], &results["batch"]), (&EXAMPLES.into(), &3.into()));
        assert_eq!((&results["layers"], &results["rounds"]), (&4.into(), &3.into()));
        // The facts of every way of decoding.
        assert_eq!(results["task"], serde_json::json!(["echo", "dev"]));
        assert_eq!(results["metrics"][0]["name"], "chrf");
        // No token ends a text here.
        assert_eq!(results["speculation"]["tokens"], 3 * EXAMPLES * 12);
        assert_eq!(results["plain"]["tokens"], 3 * EXAMPLES * 12);
        // One token of each text comes with its prompt.
        let row_rounds: f64 =
            array(&results["plans"]).iter().map(|of| number(&of["row_rounds"])).sum();
        let per_round = (EXAMPLES * 11) as f64 / row_rounds;
        assert!((number(&results["tokens_per_round"]) - per_round).abs() < 1e-12);
        let shares = results["shares"].as_object().unwrap().values();
        let sum: f64 = shares.map(number).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        for score in array(&results["scores"]) {
            assert_eq!(score["score"], score["plain_score"], "{}", score["name"]);
        }
        let names: Vec<&Value> =
            array(&results["scores"]).iter().map(|score| &score["name"]).collect();
        assert_eq!(names, ["chrf", "bleu"]);
        let texts = read_texts(&world.path(folder).join("speculate.parquet")).unwrap();
        let written: String = texts.iter().map(|text| format!("{}\n", text.prediction)).collect();
        assert_eq!(written, expected);
    }
    let fixed = world.results("fixed");
    assert_eq!(fixed["draft"], "exit 2, 3 tokens");
    assert_eq!(array(&fixed["acceptance"]).iter().map(|of| &of["exit"]).collect::<Vec<_>>(), [2]);
    // Weights of 32 · (2 · 32 + 2 · 16) numbers in attention and 3 · 32 · 48 after it, four bytes each.
    assert_eq!(fixed["bound"]["layer_bytes"], 4 * (32 * 96 + 3 * 32 * 48));
}

#[test]
fn a_file_of_prompts_is_as_good_as_typed_ones() {
    let world = world();
    world.write("prompts.txt", "The\n\ndog\n");
    for command in ["generate", "speculate --adaptive"] {
        let words = format!("{command} --model model --max-new-tokens 8");
        let lines = |prompts: &str, n| {
            let found = world.succeed(&format!("{words} {prompts}"));
            found.lines().take(n).map(str::to_owned).collect::<Vec<_>>()
        };
        let apart = [lines("--prompt The", 1), lines("--prompt dog", 1)].concat();
        assert_eq!(lines("--prompts prompts.txt", 2), apart);
    }
    world.fail("generate --model model --prompts absent.txt", 1, &["absent.txt"]);
    world.fail("generate --model model", 2, &["--prompts"]);
}

#[test]
fn drawn_texts_repeat_with_their_seed_and_are_not_compared() {
    let world = world();
    let sampled = |seed: u32| {
        let words = "speculate --model model --prompt The --max-new-tokens 20 --temperature 1.2";
        let words = format!("{words} --top-p 0.9 --draft-exit 1 --draft-length 2 --seed {seed}");
        let found = world.succeed(&format!("{words} --output drawn"));
        assert_eq!(world.results("drawn")["same_tokens"], Value::Null);
        assert!(found.contains("drawn: same distribution"), "{found}");
        found.lines().next().unwrap().to_owned()
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn what_cannot_draft_is_said() {
    let world = world();
    let words = "speculate --model model --prompt The";
    world.fail(words, 2, &["--draft-exit", "--adaptive"]);
    world.fail(&format!("{words} --draft-exit 2"), 2, &["--draft-length"]);
    world.fail(&format!("{words} --adaptive --draft-length 2"), 2, &["--adaptive"]);
    let deep = format!("{words} --draft-exit 4 --draft-length 2");
    world.fail(&deep, 2, &["draft exit 4", "exits 1 to 3 of the model's 4"]);
}
