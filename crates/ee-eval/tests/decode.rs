//! Early exit while decoding, from outside: `decode` on prompts and on a task.

mod fixture;

use std::path::Path;

use ee_eval::decode::results::DecodeResults;
use fixture::{decoder, fail, succeed};

/// A folder with a random decoder `model`, its tokenizer, a task `task.toml` and prompts `prompts.txt`.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    decoder::checkpoint(&folder.path().join("model"), 5, 0.3, 5);
    decoder::task(folder.path(), "\"chrf\"", 12, &[("dev", 5)]);
    std::fs::write(folder.path().join("prompts.txt"), "The cat\nA dog and\n").unwrap();
    folder
}

fn results(here: &Path, folder: &str) -> DecodeResults {
    let text = std::fs::read_to_string(here.join(folder).join("results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn prompts_are_continued_under_every_gate_and_policy() {
    let world = world();
    let here = world.path();
    let words = "decode --model model --prompts prompts.txt --max-new-tokens 15 --gate fixed:2 --gate none \
                 --kv recompute --kv deferred --kv full --output out";
    let printed = succeed(here, words);
    let found = results(here, "out");
    assert_eq!((found.runs.len(), found.facts.layers, found.facts.min_tokens), (6, 5, 4));
    for run in &found.runs {
        let output = &run.texts.outputs[0];
        let expected: &[usize] = if run.gate == "none" { &[5; 5] } else { &[5, 5, 5, 5, 2] };
        assert_eq!(&output.exits[..5], expected, "{} with {}", run.gate, run.kv);
        assert_eq!(output.tokens.len(), 15);
        let is_plain = run.gate == "none" || run.kv == "full";
        assert_eq!(run.fidelity.same_tokens, is_plain, "{} with {}", run.gate, run.kv);
        if run.gate == "fixed:2" {
            // Four tokens at exit 5, eleven at exit 2.
            assert!((run.average_exit - 42.0 / 15.0).abs() < 1e-12);
        }
        let shares = run.speed.shares;
        let sum = shares.layers + shares.heads + shares.gates + shares.kv + shares.rest;
        assert!((sum - 1.0).abs() < 1e-9 && shares.layers > 0.0, "{shares:?}");
        assert!(printed.contains(&output.text), "{printed}");
    }
    assert!(printed.contains("[5, 5, 5, 5, 2, 2,"), "exits stand beside the text");
    assert!(!printed.contains('\u{1b}'), "no colours but on a terminal");
    let page = std::fs::read_to_string(here.join("out/report.html")).unwrap();
    assert!(page.contains("title=\"exit 2\"") && page.contains("--depth:1.000"), "{page}");
    assert!(here.join("out/speed.csv").exists() && here.join("out/texts.csv").exists());
}

#[test]
fn a_task_is_scored_and_batches_change_nothing() {
    let world = world();
    let here = world.path();
    let words = "decode --model model --task task.toml --gate confidence:0.3 --gate ideal --head pruned:8 \
                 --kv recompute --kv copy --kv deferred --show 1";
    for batch in [1, 3] {
        succeed(here, &format!("{words} --batch {batch} --output batch-{batch}"));
    }
    let (one, three) = (results(here, "batch-1"), results(here, "batch-3"));
    assert_eq!(one.plain.outputs, three.plain.outputs);
    for (one, three) in one.runs.iter().zip(&three.runs) {
        assert_eq!(one.texts.outputs, three.texts.outputs, "{} with {}", one.gate, one.kv);
        assert_eq!(one.texts.outputs.len(), 5);
        assert_eq!(one.texts.scores[0].name, "chrf");
        assert!(one.texts.scores[0].score.is_some());
    }
    let exact = one.runs.iter().find(|run| run.gate == "ideal" && run.kv == "deferred").unwrap();
    assert!(exact.fidelity.same_tokens, "the ideal exit and exact keys and values change nothing");
    assert_eq!(exact.texts.scores, one.plain.scores);
}

#[test]
fn what_cannot_be_is_explained() {
    let world = world();
    let here = world.path();
    let decode = "decode --model model --prompt The --max-new-tokens 5";
    fail(here, decode, 2, &["--gate"]);
    fail(here, "decode --model model --gate none", 2, &["--prompt"]);
    fail(here, &format!("{decode} --gate confidense:0.5"), 2, &["did you mean `confidence`?"]);
    fail(here, &format!("{decode} --gate none --kv recomput"), 2, &["did you mean `recompute`?"]);
    fail(here, &format!("{decode} --gate none --head pruned"), 2, &["pruned:64"]);
    fail(here, &format!("{decode} --gate fixed:9"), 1, &["fixed:9", "1 to 5"]);
    fail(here, &format!("{decode} --gate confidence:1"), 1, &["can never fire"]);
    fail(here, &format!("{decode} --gate ideal --exits 2,7"), 1, &["exit 7 of --exits"]);
    fail(
        here,
        &format!("{decode} --gate margin:0.5 --head gate"),
        1,
        &["margin:0.5", "gates on states"],
    );
    fail(here, &format!("{decode} --gate learned:0.5"), 1, &["gate.safetensors"]);
}
