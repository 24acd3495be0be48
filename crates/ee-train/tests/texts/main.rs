//! Whole runs of decoders: responses to prompts, running text, formats, devices, and how they refuse bad
//! input.

mod checkpoints;
#[path = "../playground/mod.rs"]
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
        playground.refused("run", flags, code, expected);
        assert!(!playground.path("run").exists());
    }
}
