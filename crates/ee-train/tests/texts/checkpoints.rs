//! What a decoder's checkpoint says, and how training changes it.

use std::fs;

use serde_json::Value;

use crate::playground::{Playground, stderr, succeeded};
use crate::{perplexities, texts};

#[test]
fn low_rank_additions_are_merged_into_what_is_written_and_resume() {
    let playground = texts();
    succeeded(&playground.train("base", &["--joint", "--set", "training.epochs=2"]));
    let base = playground.path("base/last");
    let run = fs::read_to_string(playground.path("run.toml")).unwrap();
    let from_task = run.split("[task]").nth(1).unwrap();
    playground.write(
        "run.toml",
        format!("[lora]\nrank = 2\ntargets = ['q_proj', 'down_proj']\n[task]{from_task}"),
    );
    let flags = [
        "--joint",
        "--model",
        base.to_str().unwrap(),
        "--set",
        "training.checkpoint_every_steps=4",
    ];
    succeeded(&playground.train("whole", &flags));
    let names = |run: &str| -> Vec<String> {
        let bytes = playground.weights(run);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names("whole"), names("base"), "a plain Hugging Face folder");
    let changed = |name: &str| {
        let tensor = |run: &str| {
            let bytes = playground.weights(run);
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            file.tensor(name).unwrap().data().to_vec()
        };
        tensor("whole") != tensor("base")
    };
    assert!(changed("model.layers.2.self_attn.q_proj.weight"));
    assert!(changed("model.layers.0.mlp.down_proj.weight"));
    assert!(!changed("model.layers.0.self_attn.k_proj.weight"));
    assert!(!changed("model.embed_tokens.weight") && !changed("model.norm.weight"));
    let found = perplexities(&playground.log("whole"));
    let before = perplexities(&playground.log("base"));
    assert!(found[2] < before[2], "{found:?} {before:?}");
    // The same run, killed after a third of its steps.
    let mut command = playground.command("killed", &[&flags[..], &["--resume"]].concat());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let state = playground.path("killed/last/training_state.json");
    while !state.exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    succeeded(&playground.train("killed", &[&flags[..], &["--resume"]].concat()));
    assert!(playground.weights("killed") == playground.weights("whole"));

    // What the additions are added to must stay what it was.
    let weights = base.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&weights, other).unwrap();
    let expected = ["not those that the run was begun with"];
    playground.refused("killed", &[&flags[..], &["--resume"]].concat(), 1, &expected);
    fs::write(&weights, bytes).unwrap();

    let unknown = [&flags[..], &["--set", "lora.targets=[\"query\"]"]].concat();
    playground.refused("unknown", &unknown, 1, &["'query'", "q_proj"]);
}

/// Trains a model of one epoch, `base`; further runs begin with the checkpoint of `--model`.
fn with_base() -> Playground {
    let playground = texts();
    succeeded(&playground.train("base", &["--set", "training.epochs=1"]));
    let run = fs::read_to_string(playground.path("run.toml")).unwrap();
    playground.write("run.toml", &run[run.find("[task]").unwrap()..]);
    playground
}

#[test]
fn a_saved_folder_ends_texts_where_training_taught_it_and_where_it_ended_before() {
    let playground = with_base();
    let short = ["--set", "training.epochs=1"];
    let made = playground.json("base/best/generation_config.json");
    assert_eq!(made["eos_token_id"], 1);
    // Other end tokens than the tokenizer's 1, in both files.
    let mut config = playground.json("base/best/config.json");
    config["eos_token_id"] = 2.into();
    playground.write("base/best/config.json", config.to_string());
    let generation = r#"{"bos_token_id": 0, "eos_token_id": [2, 4], "temperature": 0.6}"#;
    playground.write("base/best/generation_config.json", generation);
    let base = playground.path("base/best");
    let from_base = [&short[..], &["--model", base.to_str().unwrap()]].concat();
    let output = playground.train("run", &from_base);
    succeeded(&output);
    assert!(stderr(&output).contains("ends texts with token 1"), "{}", stderr(&output));
    let saved = playground.json("run/best/generation_config.json");
    let expected: Value = serde_json::json!({
        "bos_token_id": 0, "eos_token_id": [1, 2, 4], "temperature": 0.6,
    });
    assert_eq!(saved, expected);
    assert_eq!(playground.json("run/best/config.json")["eos_token_id"], 1);

    // Taught already: nothing changes.
    let again = playground.path("run/best");
    let from_run = [&short[..], &["--model", again.to_str().unwrap()]].concat();
    succeeded(&playground.train("again", &from_run));
    assert_eq!(playground.json("again/best/generation_config.json"), expected);

    playground.write("base/best/generation_config.json", "{");
    let output = playground.train("broken", &from_base);
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("generation_config.json") && said.contains("ignored"), "{said}");
    let saved = playground.json("broken/best/generation_config.json");
    assert_eq!(saved["eos_token_id"], serde_json::json!([1, 2]));
}

#[test]
fn a_token_behind_the_embedding_stops_training_where_it_occurs() {
    let playground = with_base();
    let short = ["--set", "training.epochs=1"];
    let mut tokenizer = playground.json("base/best/tokenizer.json");
    tokenizer["added_tokens"].as_array_mut().unwrap().push(serde_json::json!({
        "id": 11, "content": "+", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    }));
    playground.write("base/best/tokenizer.json", tokenizer.to_string());
    let base = playground.path("base/best");
    let from_base = [&short[..], &["--model", base.to_str().unwrap()]].concat();
    succeeded(&playground.train("run", &from_base));
    playground.write("dev.jsonl", "{\"word\": \"a+\", \"answer\": \"a\"}\n");
    playground.refused("refused", &from_base, 1, &["token `+` has id 11", "11 rows"]);
}
