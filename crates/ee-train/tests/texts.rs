//! Whole runs of decoders: responses to prompts, running text, formats, devices, and how they refuse bad
//! input.

mod playground;

use std::fs;

use playground::{Playground, stderr, succeeded};
use serde_json::Value;

/// A task of reversed words over a tokenizer of letters, beside the playground's own.
fn texts() -> Playground {
    let playground = Playground::new();
    playground.letters();
    let lines = |from: usize, to: usize| -> String {
        let word = |n: usize| -> String {
            (0..2 + n % 3).map(|at| char::from(b'a' + (n * 7 + at * 3) as u8 % 8)).collect()
        };
        let line = |n| {
            let word = word(n);
            let reversed: String = word.chars().rev().collect();
            format!("{{\"word\": \"{word}\", \"answer\": \"{reversed}\"}}\n")
        };
        (from..to).map(line).collect()
    };
    playground.write("train.jsonl", lines(0, 48));
    playground.write("dev.jsonl", lines(0, 24));
    playground.write(
        "reverse.toml",
        "name = 'reverse'\nkind = 'generation'\nformat = 'jsonl'\nprompt = '{word}='\n\
         references = ['answer']\nmax_new_tokens = 8\nmetrics = ['exact_match']\ndata_dir = '.'\n\
         [splits.train]\nfiles = ['train.jsonl']\n[splits.dev]\nfiles = ['dev.jsonl']\n",
    );
    playground.write(
        "run.toml",
        "[model]\ntokenizer = 'letters'\nlayers = 3\nd_model = 32\nheads = 4\nkv_heads = 2\npositions = 32\n\
         [task]\nfile = 'reverse.toml'\nmax_length = 16\n\
         [optimizer]\nlearning_rate = 5e-3\n\
         [training]\nepochs = 6\nbatch = 8\nsample_tokens = 6\n",
    );
    playground
}

fn of_kind<'l>(log: &'l [Value], kind: &str) -> Vec<&'l Value> {
    log.iter().filter(|line| line["kind"] == kind).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn perplexities(log: &[Value]) -> Vec<f64> {
    numbers(&of_kind(log, "validation").last().unwrap()["scores"][0]["scores"])
}

#[test]
fn a_decoder_learns_responses_at_every_exit() {
    let playground = texts();
    let output = playground.train("run", &["--joint", "--set", "training.epochs=60"]);
    succeeded(&output);
    let log = playground.log("run");
    let found = perplexities(&log);
    assert!(found.iter().all(|perplexity| *perplexity < 3.0), "{found:?}");
    assert!(found[2] < 1.3, "{found:?}");
    let first = of_kind(&log, "step")[0];
    let losses = numbers(&first["exit_losses"]);
    assert!((losses.iter().sum::<f64>() - first["loss"].as_f64().unwrap()).abs() < 1e-6);
    assert!(first["targets"].as_u64().unwrap() < first["tokens"].as_u64().unwrap());
    let samples = of_kind(&log, "samples").last().unwrap()["samples"].as_array().unwrap().clone();
    let exits: Vec<u64> = samples.iter().map(|sample| sample["exit"].as_u64().unwrap()).collect();
    assert_eq!(exits, [2, 3]);
    assert_eq!(samples[1]["prompt"], "ad=");
    assert_eq!(samples[1]["text"], "da");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "ee_training.json"] {
        assert!(playground.path("run/best").join(name).is_file(), "{name}");
    }
    let config = fs::read_to_string(playground.path("run/best/config.json")).unwrap();
    assert!(config.contains("\"eos_token_id\": 1"), "{config}");
    assert!(stderr(&output).contains("exit 2 writes"), "{}", stderr(&output));

    // What the exits agree on can be told from their states.
    let mut gate = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
    let gate = gate
        .args(["gate", "--epochs", "60", "--learning-rate", "0.05", "--model"])
        .arg(playground.path("run/best"));
    let output = gate.arg("--task").arg(playground.path("reverse.toml")).output().unwrap();
    succeeded(&output);
    let report = fs::read_to_string(playground.path("run/best/gate.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let exits = report["exits"].as_array().unwrap();
    assert_eq!(exits.len(), 2);
    for exit in exits {
        let number = |key: &str| exit[key].as_f64().unwrap();
        let blind = number("agreement").max(1.0 - number("agreement"));
        assert!(number("accuracy") >= blind - 0.1, "{exit}");
    }
    // A gate may be fitted again, but not written over the model.
    for (name, code) in [
        ("gate.safetensors", 0),
        ("model.safetensors", 1),
        ("config.json", 1),
        ("config.safetensors", 1),
    ] {
        let before = fs::read(playground.path("run/best/config.json")).unwrap();
        let mut again = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
        again
            .args(["gate", "--epochs", "1", "--limit", "20", "--model"])
            .arg(playground.path("run/best"));
        again.arg("--task").arg(playground.path("reverse.toml"));
        let output =
            again.arg("--output").arg(playground.path("run/best").join(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {}", stderr(&output));
        assert_eq!(fs::read(playground.path("run/best/config.json")).unwrap(), before, "{name}");
    }
    let bytes = fs::read(playground.path("run/best/gate.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("weight").unwrap().shape(), [3, 32]);
    assert_eq!(file.tensor("bias").unwrap().shape(), [3]);
}

#[test]
fn a_plain_run_reads_the_other_exits_now_and_then() {
    let playground = texts();
    let watched = ["--set", "training.watch_every_steps=3", "--set", "training.epochs=1"];
    succeeded(&playground.train("run", &watched));
    let log = playground.log("run");
    for (number, step) in of_kind(&log, "step").into_iter().enumerate() {
        let losses = step["exit_losses"].as_array().unwrap();
        assert_eq!(losses[0].is_null(), number % 3 != 0, "step {}", number + 1);
        assert_eq!(step["loss"], losses[2]);
    }
}

#[test]
fn checkpointed_and_cut_steps_train_alike() {
    let playground = texts();
    let once = ["--joint", "--set", "training.epochs=1"];
    let with = |name: &str, more: &[&str]| {
        succeeded(&playground.train(name, &[&once[..], more].concat()));
        of_kind(&playground.log(name), "step")
            .iter()
            .map(|step| step["loss"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    let kept = with("kept", &[]);
    let again = ["--set", "training.gradient_checkpointing=true"];
    assert_eq!(kept, with("checkpointed", &again));
    for (name, more) in [
        ("micro", &["--set", "training.micro_batch=3"][..]),
        ("two", &["--device", "cpu,cpu"]),
        ("sharded", &["--device", "cpu,cpu,cpu", "--set", "training.shard_optimizer=true"]),
    ] {
        let found = with(name, more);
        let close = kept.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4 * a);
        assert!(close, "{name}: {kept:?}\n{found:?}");
    }
}

#[test]
fn several_devices_share_one_thread() {
    let playground = texts();
    let flags = ["--joint", "--device", "cpu,cpu,cpu", "--set", "training.max_steps=3"];
    let mut losses = Vec::new();
    for threads in ["1", "2"] {
        let mut command = playground.command(threads, &flags);
        let mut child = command.env("RAYON_NUM_THREADS", threads).spawn().unwrap();
        let started = std::time::Instant::now();
        while child.try_wait().unwrap().is_none() {
            let is_late = started.elapsed() > std::time::Duration::from_secs(600);
            if is_late {
                child.kill().unwrap();
            }
            assert!(!is_late, "devices that wait for each other");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        losses.push(playground.weights(threads));
    }
    assert!(losses[0] == losses[1]);
}

#[test]
fn a_run_in_bfloat16_is_exported_so_and_resumes_with_its_bits() {
    let playground = texts();
    let rounded = ["--joint", "--set", "precision=bf16", "--set", "training.epochs=2"];
    succeeded(&playground.train("whole", &rounded));
    let part = ["--set", "training.checkpoint_every_steps=1", "--set", "training.max_steps=12"];
    succeeded(&playground.train("whole12", &[&rounded[..], &part[..]].concat()));
    let config = fs::read_to_string(playground.path("whole/last/config.json")).unwrap();
    assert!(config.contains("bfloat16"), "{config}");
    // Interrupted after the fifth of twelve steps.
    succeeded(
        &playground.train(
            "broken",
            &[
                &rounded[..],
                &part[..2],
                &["--set", "training.max_steps=5", "--set", "schedule.kind=constant"],
            ]
            .concat(),
        ),
    );
    succeeded(&playground.train(
        "straight",
        &[&rounded[..], &part[..], &["--set", "schedule.kind=constant"]].concat(),
    ));
    let text = fs::read_to_string(playground.path("broken/config.toml")).unwrap();
    playground.write("broken/config.toml", text.replace("max_steps = 5", "max_steps = 12"));
    succeeded(&playground.train(
        "broken",
        &[&rounded[..], &part[..], &["--set", "schedule.kind=constant", "--resume"]].concat(),
    ));
    assert!(playground.weights("broken") == playground.weights("straight"));
}

#[test]
fn running_text_and_packed_examples_are_learned() {
    let playground = texts();
    playground.write("text.txt", "abcabcabc\n\nabcabc\nabcabcabcabc\n");
    let text = "[model]\ntokenizer = 'letters'\nlayers = 2\nd_model = 32\nheads = 4\npositions = 16\n\
         [task]\ntext = ['text.txt']\nvalidation_text = ['text.txt']\nmax_length = 8\n\
         [optimizer]\nlearning_rate = 1e-2\n[training]\nepochs = 40\nbatch = 2\n";
    let tasks = fs::read_to_string(playground.path("run.toml")).unwrap();
    playground.write("run.toml", text);
    succeeded(&playground.train("text", &[]));
    let found = perplexities(&playground.log("text"));
    assert!(found[1] < 2.0, "{found:?}");
    playground.write("run.toml", tasks);
    let output =
        playground.train("packed", &["--set", "task.packing=true", "--set", "training.epochs=1"]);
    succeeded(&output);
    assert!(stderr(&output).contains("48 training rows packed into"), "{}", stderr(&output));
}

#[test]
fn examples_without_anything_to_learn_are_named_and_left_out() {
    let playground = texts();
    let short = ["--set", "task.max_length=5", "--set", "training.epochs=1"];
    let output = playground.train("short", &short);
    succeeded(&output);
    let message = stderr(&output);
    assert!(message.contains("lose their end"), "{message}");
    assert!(!message.contains("NaN"), "{message}");
    assert!(message.contains("nothing left to learn from and are left out: lines "), "{message}");
    let output = playground.train("none", &["--set", "task.max_length=4"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no training example has a token left"),
        "{}",
        stderr(&output)
    );
    assert!(!playground.path("none").exists());
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let playground = texts();
    let cases: [(&[&str], i32, &[&str]); 5] = [
        (
            &["--set", "task.text=[\"a.txt\"]"],
            2,
            &["either a task file or files of text", "validation_text"],
        ),
        (&["--set", "model.kv_heads=3"], 2, &["kv_heads", "do not divide 4 heads"]),
        (&["--set", "precision=f16"], 2, &["precision", "unknown value `f16`"]),
        (&["--set", "task.max_length=64"], 1, &["64", "32"]),
        (&["--device", "cpu,gpu"], 1, &["'gpu'"]),
    ];
    for (flags, code, expected) in cases {
        let output = playground.train("run", flags);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{flags:?}: {message}");
        }
        assert!(!playground.path("run").exists());
    }
}

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
    let refused = playground.train("killed", &[&flags[..], &["--resume"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("not those that the run was begun with"),
        "{}",
        stderr(&refused)
    );
    fs::write(&weights, bytes).unwrap();

    let unknown =
        playground.train("unknown", &[&flags[..], &["--set", "lora.targets=[\"query\"]"]].concat());
    assert_eq!(unknown.status.code(), Some(1));
    let message = stderr(&unknown);
    assert!(message.contains("'query'") && message.contains("q_proj"), "{message}");
}

/// The JSON of a file of the playground.
fn json(playground: &Playground, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(playground.path(name)).unwrap()).unwrap()
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
    let made = json(&playground, "base/best/generation_config.json");
    assert_eq!(made["eos_token_id"], 1);
    // Other end tokens than the tokenizer's 1, in both files.
    let mut config = json(&playground, "base/best/config.json");
    config["eos_token_id"] = 2.into();
    playground.write("base/best/config.json", config.to_string());
    let generation = r#"{"bos_token_id": 0, "eos_token_id": [2, 4], "temperature": 0.6}"#;
    playground.write("base/best/generation_config.json", generation);
    let base = playground.path("base/best");
    let from_base = [&short[..], &["--model", base.to_str().unwrap()]].concat();
    let output = playground.train("run", &from_base);
    succeeded(&output);
    assert!(stderr(&output).contains("ends texts with token 1"), "{}", stderr(&output));
    let saved = json(&playground, "run/best/generation_config.json");
    let expected: Value = serde_json::json!({
        "bos_token_id": 0, "eos_token_id": [1, 2, 4], "temperature": 0.6,
    });
    assert_eq!(saved, expected);
    assert_eq!(json(&playground, "run/best/config.json")["eos_token_id"], 1);

    // Taught already: nothing changes.
    let again = playground.path("run/best");
    let from_run = [&short[..], &["--model", again.to_str().unwrap()]].concat();
    succeeded(&playground.train("again", &from_run));
    assert_eq!(json(&playground, "again/best/generation_config.json"), expected);

    playground.write("base/best/generation_config.json", "{");
    let output = playground.train("broken", &from_base);
    succeeded(&output);
    let said = stderr(&output);
    assert!(said.contains("generation_config.json") && said.contains("ignored"), "{said}");
    let saved = json(&playground, "broken/best/generation_config.json");
    assert_eq!(saved["eos_token_id"], serde_json::json!([1, 2]));
}

#[test]
fn a_token_behind_the_embedding_stops_training_where_it_occurs() {
    let playground = with_base();
    let short = ["--set", "training.epochs=1"];
    let mut tokenizer = json(&playground, "base/best/tokenizer.json");
    tokenizer["added_tokens"].as_array_mut().unwrap().push(serde_json::json!({
        "id": 11, "content": "+", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    }));
    playground.write("base/best/tokenizer.json", tokenizer.to_string());
    let base = playground.path("base/best");
    let from_base = [&short[..], &["--model", base.to_str().unwrap()]].concat();
    succeeded(&playground.train("run", &from_base));
    playground.write("dev.jsonl", "{\"word\": \"a+\", \"answer\": \"a\"}\n");
    let output = playground.train("refused", &from_base);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("token `+` has id 11") && said.contains("11 rows"), "{said}");
}
