//! Beam search from outside: `generate --beam` and `decode --beam`.

mod fixture;

use fixture::{World, array, decoder, number};
use serde_json::Value;

/// A folder with a random decoder `model` whose texts end, its tokenizer and a task `task.toml`.
fn world() -> World {
    let world = decoder::world((4, 0.3), "\"chrf\"", 10, &[("dev", 5)]);
    world.write("model/generation_config.json", "{\"eos_token_id\": [2, 7]}");
    world
}

#[test]
fn one_beam_is_greedy() {
    let world = world();
    let words = "generate --model model --task task.toml";
    let greedy = world.succeed(words);
    assert_eq!(greedy, world.succeed(&format!("{words} --beam 1 --beam-rule transformers:true")));
    let wide = world.succeed(&format!("{words} --beam 4"));
    assert_ne!(greedy, wide);
    assert!(wide.lines().last().unwrap().starts_with("chrf "), "{wide}");
}

#[test]
fn the_best_texts_come_with_their_scores_the_best_first() {
    let world = world();
    let words =
        "generate --model model --prompt The --max-new-tokens 6 --beam 4 --length-penalty 0.6";
    let best = world.succeed(words);
    let all = world.succeed(&format!("{words} --n-best 3"));
    let lines: Vec<(f64, &str)> = all
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(score, text)| (score.parse().unwrap(), text))
        .collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(lines.is_sorted_by(|a, b| a.0 >= b.0) && lines[0].0 < 0.0, "{all}");
    assert_eq!(best.trim_end(), lines[0].1.trim_end());
}

#[test]
fn exits_apply_to_beams_as_the_model_cut_off_and_batches_change_nothing() {
    let world = world();
    let words =
        "decode --model model --task task.toml --beam 3 --gate fixed:2 --gate fixed:4 --rounds 3";
    for batch in [1, 5] {
        world.succeed(&format!("{words} --batch {batch} --output batch-{batch}"));
    }
    let (one, five) = (world.results("batch-1"), world.results("batch-5"));
    let (runs, others) = (array(&one["runs"]), array(&five["runs"]));
    let facts = &one["facts"];
    assert_eq!((&facts["beam"]["size"], &facts["layers"]), (&Value::from(3), &Value::from(4)));
    let gates: Vec<&str> = runs.iter().map(|run| run["gate"].as_str().unwrap()).collect();
    assert_eq!(gates, ["none", "fixed:2", "fixed:4"]);
    for (run, other) in runs.iter().zip(others) {
        assert_eq!(run["outputs"], other["outputs"], "{}", run["gate"]);
        assert_eq!(run["scores"], other["scores"]);
        let tokens: usize =
            array(&run["outputs"]).iter().map(|of| array(&of["tokens"]).len()).sum();
        let timed: usize =
            array(&run["timed"]).iter().map(|of| number(&of["tokens"]) as usize).sum();
        assert_eq!(tokens, timed, "each text ends by itself");
        for output in array(&run["outputs"]) {
            assert!(array(&output["exits"]).iter().all(|exit| *exit == run["exit"]));
            assert!(number(&output["score"]) < 0.0);
        }
    }
    // Cut off after the last layer it is the whole model.
    assert_eq!(runs[0]["outputs"], runs[2]["outputs"]);
    assert_eq!(runs[2]["fidelity"]["same_tokens"], true);
    assert_ne!(runs[0]["outputs"], runs[1]["outputs"]);
    let table = world.read("batch-1/beams.csv");
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(world.read("batch-1/report.html").contains("Beam search, size 3, rule fairseq"));
}

#[test]
fn no_text_ends_before_its_shortest_length() {
    let world = world();
    let words = "decode --model model --task task.toml --beam 3 --rounds 1 --batch 5";
    let lengths = |folder: &str| -> Vec<usize> {
        let found = world.results(folder);
        let outputs = array(&found["runs"][0]["outputs"]).to_vec();
        outputs.iter().map(|of| array(&of["tokens"]).len()).collect()
    };
    // The first token of a text is an end token from now on.
    world.succeed(&format!("{words} --output free"));
    let first = world.results("free")["runs"][0]["outputs"][0]["tokens"][0].clone();
    world.write("model/generation_config.json", format!("{{\"eos_token_id\": [{first}]}}"));
    world.succeed(&format!("{words} --length-penalty 0 --output short"));
    world.succeed(&format!("{words} --length-penalty 0 --min-new-tokens 4 --output long"));
    assert!(lengths("short").contains(&1), "{:?}", lengths("short"));
    assert!(lengths("long").iter().all(|&n| n > 4), "{:?}", lengths("long"));
}

#[test]
fn what_cannot_be_searched_is_explained() {
    let world = world();
    let generate = "generate --model model --prompt The --max-new-tokens 5";
    world.fail(&format!("{generate} --beam 0"), 2, &["from 1"]);
    world.fail(&format!("{generate} --beam 3 --temperature 1"), 2, &["--temperature"]);
    world.fail(
        &format!("{generate} --beam 3 --beam-rule fairsek"),
        2,
        &["did you mean `fairseq`?"],
    );
    world.fail(&format!("{generate} --length-penalty 0.6"), 2, &["--beam"]);
    world.fail(&format!("{generate} --n-best 2"), 2, &["--beam"]);
    world.fail(&format!("{generate} --beam 3 --n-best 4"), 2, &["the best 4 of a beam of 3"]);
    world.fail(&format!("{generate} --beam 100000"), 2, &["a beam of 100000", "vocabulary"]);
    let decode = "decode --model model --prompt The --max-new-tokens 5 --beam 3";
    world.fail(&format!("{decode} --gate confidence:0.9"), 2, &["confidence:0.9", "fixed:D"]);
    world.fail(&format!("{decode} --gate fixed:9"), 2, &["fixed:9", "1 to 4"]);
    world.fail(&format!("{decode} --gate fixed:2 --kv copy"), 2, &["--kv"]);
    world.fail(&format!("{decode} --gate fixed:2 --min-tokens 2"), 2, &["--min-tokens"]);
}
