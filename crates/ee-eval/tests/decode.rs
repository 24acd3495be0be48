//! Early exit while decoding, from outside: `decode` on prompts and on a task.

mod fixture;

use fixture::{World, array, decoder, number};
use serde_json::Value;

/// A folder with a random decoder `model`, its tokenizer, a task `task.toml` and prompts `prompts.txt`.
fn world() -> World {
    let world = decoder::world((5, 0.3), "\"chrf\"", 12, &[("dev", 5)]);
    world.write("prompts.txt", "The cat\nA dog and\n");
    world
}

/// New tokens of every text.
fn lengths(texts: &Value) -> Vec<usize> {
    array(&texts["outputs"]).iter().map(|output| array(&output["tokens"]).len()).collect()
}

#[test]
fn prompts_are_continued_under_every_gate_and_policy() {
    let world = world();
    let words = "decode --model model --prompts prompts.txt --max-new-tokens 15 --gate fixed:2 --gate none \
                 --kv recompute --kv deferred --kv full --output out";
    let printed = world.succeed(words);
    let found = world.results("out");
    let facts = &found["facts"];
    assert_eq!(array(&found["runs"]).len(), 6);
    assert_eq!((&facts["layers"], &facts["min_tokens"]), (&Value::from(5), &Value::from(4)));
    for run in array(&found["runs"]) {
        let (output, gate, kv) = (&run["texts"]["outputs"][0], &run["gate"], &run["kv"]);
        let expected: &[usize] = if gate == "none" { &[5; 5] } else { &[5, 5, 5, 5, 2] };
        assert_eq!(array(&output["exits"])[..5], *expected, "{gate} with {kv}");
        assert_eq!(array(&output["tokens"]).len(), 15);
        let is_plain = gate == "none" || kv == "full";
        assert_eq!(run["fidelity"]["same_tokens"], is_plain, "{gate} with {kv}");
        if gate == "fixed:2" {
            // Four tokens at exit 5, eleven at exit 2.
            assert!((number(&run["average_exit"]) - 42.0 / 15.0).abs() < 1e-12);
        }
        let shares = &run["speed"]["shares"];
        let sum: f64 = shares.as_object().unwrap().values().map(number).sum();
        assert!((sum - 1.0).abs() < 1e-9 && number(&shares["layers"]) > 0.0, "{shares}");
        assert!(printed.contains(output["text"].as_str().unwrap()), "{printed}");
    }
    assert!(printed.contains("[5, 5, 5, 5, 2, 2,"), "exits stand beside the text");
    assert!(!printed.contains('\u{1b}'), "no colours but on a terminal");
    let page = world.read("out/report.html");
    assert!(page.contains("title=\"exit 2\"") && page.contains("--depth:1.000"), "{page}");
    assert!(world.path("out/speed.csv").exists() && world.path("out/texts.csv").exists());
}

#[test]
fn a_gate_that_loses_the_end_of_texts_gains_nothing_by_it() {
    let world = world();
    world.write("four.txt", "The cat\nA dog and\nSay\nThe dog and a cat\n");
    let words = "decode --model model --prompts four.txt --max-new-tokens 15 --batch 4 --show 0";
    world.succeed(&format!("{words} --gate none --rounds 1 --output free"));
    // From now on a token of the first text is an end token.
    let end = world.results("free")["plain"]["outputs"][0]["tokens"][2].clone();
    let config = format!("{{\"eos_token_id\": [{end}]}}");
    world.write("model/generation_config.json", config);
    world.succeed(&format!("{words} --gate fixed:1 --min-tokens 1 --kv copy --output out"));
    let found = world.results("out");
    let run = &found["runs"][0];
    let (plain, ours) = (lengths(&found["plain"]), lengths(&run["texts"]));
    assert!(plain[0] <= 3 && ours[0] > plain[0], "{plain:?} {ours:?}");
    let rows = |lengths: &[usize]| {
        lengths.iter().sum::<usize>() as f64 / *lengths.iter().max().unwrap() as f64
    };
    let [plain_rows, our_rows] = [&found["plain"], &run["texts"]].map(|of| number(&of["rows"]));
    assert_eq!((plain_rows, our_rows), (rows(&plain), rows(&ours)));
    assert!(our_rows > plain_rows);
    // Three rounds by default, of the same rows and tokens; the speed-up is that of the medians.
    let [ours, theirs] = [&run["timed"][0], &found["plain_timed"][0]];
    assert_eq!(ours["tokens"], plain.iter().sum::<usize>());
    assert_eq!(theirs["tokens"], ours["tokens"]);
    let median = |timed: &Value| {
        let mut sorted: Vec<f64> = array(&timed["seconds"]).iter().map(number).collect();
        assert_eq!(sorted.len(), 3);
        sorted.sort_by(f64::total_cmp);
        sorted[1]
    };
    let (ratio, speed) = (median(theirs) / median(ours), &run["speed"]);
    assert!((number(&speed["speed_up"]) - ratio).abs() < 1e-9 * ratio);
    assert_eq!(speed["speed_up_interval"], Value::Null, "one batch");
}

#[test]
fn a_task_is_scored_and_batches_change_nothing() {
    let world = world();
    let words = "decode --model model --task task.toml --gate confidence:0.3 --gate ideal --head pruned:8 \
                 --kv recompute --kv copy --kv deferred --show 1";
    for batch in [1, 3] {
        world.succeed(&format!("{words} --batch {batch} --output batch-{batch}"));
    }
    let (one, three) = (world.results("batch-1"), world.results("batch-3"));
    assert_eq!(one["plain"]["outputs"], three["plain"]["outputs"]);
    let is_exact = |run: &&Value| run["gate"] == "ideal" && run["kv"] == "deferred";
    for (one, three) in array(&one["runs"]).iter().zip(array(&three["runs"])) {
        let (texts, what) = (&one["texts"], format!("{} with {}", one["gate"], one["kv"]));
        assert_eq!(texts["outputs"], three["texts"]["outputs"], "{what}");
        assert_eq!(array(&texts["outputs"]).len(), 5);
        assert_eq!(texts["scores"][0]["name"], "chrf");
        assert!(texts["scores"][0]["score"].is_number());
    }
    let exact = array(&one["runs"]).iter().find(is_exact).unwrap();
    // The ideal exit and exact keys and values change nothing.
    assert_eq!(exact["fidelity"]["same_tokens"], true);
    assert_eq!(exact["texts"]["scores"], one["plain"]["scores"]);
}

#[test]
fn what_cannot_be_is_explained() {
    let world = world();
    let decode = "decode --model model --prompt The --max-new-tokens 5";
    world.fail(decode, 2, &["--gate"]);
    world.fail("decode --model model --gate none", 2, &["--prompt"]);
    world.fail(&format!("{decode} --gate confidense:0.5"), 2, &["did you mean `confidence`?"]);
    world.fail(&format!("{decode} --gate none --kv recomput"), 2, &["did you mean `recompute`?"]);
    world.fail(&format!("{decode} --gate none --head pruned"), 2, &["pruned:64"]);
    world.fail(&format!("{decode} --gate fixed:9"), 2, &["fixed:9", "1 to 5"]);
    world.fail(&format!("{decode} --gate confidence:1"), 2, &["can never fire"]);
    world.fail(&format!("{decode} --gate ideal --exits 2,7"), 2, &["exit 7 of --exits"]);
    world.fail(
        &format!("{decode} --gate margin:0.5 --head gate"),
        2,
        &["margin:0.5", "gates on states"],
    );
    world.fail(&format!("{decode} --gate learned:0.5"), 1, &["gate.safetensors"]);
}
