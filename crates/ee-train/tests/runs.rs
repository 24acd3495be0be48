//! Whole runs of the binary: what they learn, what they leave, and how they refuse bad input.

mod playground;

use std::fs;

use playground::{Playground, listing, stderr, succeeded};

#[test]
fn a_run_learns_and_leaves_its_folder() {
    let playground = Playground::new();
    let long = ["--joint", "--set", "training.epochs=20"];
    let output = playground.train("run", &long);
    succeeded(&output);
    let best = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(best.trim(), playground.path("run/best").display().to_string());

    let log = playground.log("run");
    let steps: Vec<_> = log.iter().filter(|line| line["kind"] == "step").collect();
    let validations: Vec<_> = log.iter().filter(|line| line["kind"] == "validation").collect();
    assert_eq!((steps.len(), validations.len()), (160, 20));
    let loss = |line: &serde_json::Value| line["loss"].as_f64().unwrap();
    let exits = |line: &serde_json::Value| -> f64 {
        line["exit_losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).sum()
    };
    assert!((loss(steps[0]) - exits(steps[0])).abs() < 1e-9, "the joint loss is the sum");
    assert!(loss(steps[159]) < 0.5 * loss(steps[0]), "{} {}", loss(steps[0]), loss(steps[159]));
    let scores = validations[19]["scores"][0]["scores"].as_array().unwrap();
    assert_eq!(scores.len(), 2);
    assert!(scores[1].as_f64().unwrap() > 0.8, "{scores:?}");

    let run = playground.json("run/run.json");
    assert_eq!((run["seed"].as_u64(), run["objective"].as_str()), (Some(42), Some("joint")));
    let burn = run["versions"]["burn"].as_str().unwrap();
    let pinned = format!("burn = {{ version = \"={burn}\"");
    assert!(include_str!("../../../Cargo.toml").contains(&pinned), "{burn}");
    let facts = playground.json("run/best/ee_training.json");
    assert_eq!(facts["ee_objective"], "joint", "{facts}");
    // The best checkpoint was chosen by the split that validated it, which matters to anyone who measures it.
    let validation = run["task"]["validation_split"].as_str();
    assert!(facts["training_split"].is_string() && facts["chosen_on"].is_string(), "{facts}");
    assert!(validation.is_none_or(|split| facts["chosen_on"] == split), "{facts}");
    for name in ["config.json", "model.safetensors", "vocab.txt", "training_state.json"] {
        assert!(playground.path("run/best").join(name).is_file(), "{name}");
    }
    assert!(playground.path("run").join("events.out.tfevents.ee-train").is_file());
    // What is resolved can be run again as it stands.
    let again = playground.path("run/config.toml");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
    command.arg("--config").arg(again).arg("--output").arg(playground.path("again"));
    succeeded(&command.output().unwrap());
    assert!(playground.weights("again") == playground.weights("run"));
}

#[test]
fn only_the_objective_is_minimized() {
    let playground = Playground::new();
    succeeded(&playground.train("run", &["--set", "training.epochs=1"]));
    let log = playground.log("run");
    let exits = log[0]["exit_losses"].as_array().unwrap();
    assert_eq!(log[0]["loss"], exits[1]);
}

#[test]
fn patience_ends_a_run_that_no_longer_improves() {
    let playground = Playground::new();
    // A rate at which nothing moves: the second and third validation cannot be better than the first.
    let still = ["--set", "optimizer.learning_rate=1e-30", "--set", "training.patience=2"];
    let output = playground.train("run", &[&still[..], &["--set", "training.epochs=50"]].concat());
    succeeded(&output);
    assert!(stderr(&output).contains("stopped early after step 24"), "{}", stderr(&output));
    let resumed = playground
        .train("run", &[&still[..], &["--set", "training.epochs=50", "--resume"]].concat());
    assert!(stderr(&resumed).contains("stopped early after step 24"), "{}", stderr(&resumed));
}

#[test]
fn a_diverged_loss_names_step_rate_and_checkpoint() {
    let playground = Playground::new();
    let settings = [
        "optimizer.learning_rate=1e36",
        "optimizer.max_gradient_norm=0",
        "schedule.kind=constant",
        "training.checkpoint_every_steps=1",
    ];
    let expected = ["step 2: the loss is", "learning rate 1e36", "run/last"];
    playground.refused("run", &settings.map(|value| ["--set", value]).concat(), 1, &expected);
    assert!(playground.path("run/last/model.safetensors").is_file());
}

#[test]
fn an_exit_that_is_no_longer_finite_stops_at_its_validation() {
    let playground = Playground::new();
    let far = ["--set", "optimizer.learning_rate=1e36", "--set", "schedule.kind=constant"];
    let soon = ["--set", "training.evaluate_every_steps=1", "--set", "training.max_steps=1"];
    let expected = ["validation after step 1: row ", "gives NaN or infinity"];
    playground.refused("run", &[far, soon].concat(), 1, &expected);
}

/// Each of these ends with this code and this message, and leaves no run folder.
#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let playground = Playground::new();
    playground.write("empty.tsv", "");
    playground.write("bytes.tsv", b"sentence\tlabel\nthe \xff film\tgood\n");
    playground.write("label.tsv", "sentence\tlabel\nthe film\tgood\nthe film\tgod\n");
    playground.write("columns.tsv", "sentence\tlabel\nthe film was good\n");
    let task = fs::read_to_string(playground.path("task.toml")).unwrap();
    let with = |name: &str, file: &str| {
        playground.write(name, task.replace("train.tsv", file));
        format!("task.file={name}")
    };
    let cases: Vec<(Vec<String>, i32, &[&str])> = vec![
        (vec![with("no.toml", "no.tsv")], 1, &["no.tsv", "No such file"]),
        (vec![with("empty.toml", "empty.tsv")], 1, &["empty.tsv", "empty"]),
        (vec![with("bytes.toml", "bytes.tsv")], 1, &["bytes.tsv", "line 2", "UTF-8"]),
        (vec![with("label.toml", "label.tsv")], 1, &["label.tsv", "line 3", "`god`", "`good`"]),
        (vec![with("columns.toml", "columns.tsv")], 1, &["columns.tsv", "line 2", "column"]),
        (vec!["task.limit=0".into()], 2, &["task.limit", "above 0"]),
        (vec!["task.train_split=trian".into()], 1, &["`trian`", "`train`"]),
        (vec!["trainin.batch=8".into(), "seed=x".into()], 2, &["`training`", "whole number"]),
        (vec!["device=gpu".into()], 1, &["'gpu'", "cuda:I"]),
        (vec!["task.max_length=99".into()], 1, &["99", "16"]),
        (vec!["model.tokenizer=nowhere".into()], 1, &["nowhere", "tokenizer"]),
    ];
    for (assignments, code, expected) in cases {
        let flags: Vec<&str> =
            assignments.iter().flat_map(|assignment| ["--set", assignment.as_str()]).collect();
        playground.refused("run", &flags, code, expected);
        assert!(!playground.path("run").exists(), "{assignments:?}");
    }
}

#[test]
fn bad_checkpoints_are_refused() {
    let playground = Playground::new();
    succeeded(&playground.train("run", &["--set", "training.max_steps=1"]));
    let run = "[task]\nfile = 'task.toml'\nmax_length = 16\n";
    playground.write("run.toml", run);
    let weights = playground.weights("run");
    let config = fs::read_to_string(playground.path("run/last/config.json")).unwrap();
    let task = fs::read_to_string(playground.path("task.toml")).unwrap();
    let config = |from: &str, to: &str| config.replace(from, to).into_bytes();
    let cases: [(&str, Vec<u8>, &[&str]); 6] = [
        ("model.safetensors", weights[..weights.len() / 2].to_vec(), &["model.safetensors"]),
        ("model.safetensors", b"no weights".to_vec(), &["model.safetensors"]),
        ("config.json", config("num_hidden_layers", "n"), &["num_hidden_layers"]),
        ("config.json", config("\"bert\"", "\"gpt2\""), &["gpt2", "roberta"]),
        (
            "config.json",
            config("\"hidden_size\": 32", "\"hidden_size\": 64"),
            &["word_embeddings", "shape"],
        ),
        (
            "../task.toml",
            task.replace("'good']", "'good', 'other']").into_bytes(),
            &["labels", "2", "3"],
        ),
    ];
    for (number, (file, bytes, expected)) in cases.into_iter().enumerate() {
        let folder = format!("model-{number}");
        playground.copy("run/last", &folder);
        playground.write(&format!("{folder}/{file}"), bytes);
        let model = playground.path(&folder);
        playground.refused("next", &["--model", model.to_str().unwrap()], 1, expected);
        assert!(!playground.path("next").exists());
    }
}

#[test]
fn a_full_disk_leaves_the_earlier_checkpoint() {
    let playground = Playground::new();
    let save_all = ["--set", "training.evaluate_every_steps=1"];
    succeeded(
        &playground.train("run", &[&save_all[..], &["--set", "training.max_steps=2"]].concat()),
    );
    fs::copy(playground.path("run/config.toml"), playground.path("before.toml")).unwrap();
    let weights = playground.weights("run");
    // A limit on the size of files stands for the full disk: both fail the write itself.
    let text = fs::read_to_string(playground.path("run/config.toml")).unwrap();
    playground.write("run/config.toml", text.replace("max_steps = 2", "max_steps = 4"));
    let limited = format!(
        "ulimit -f 20; exec {} --config {} --output {} --resume --set training.max_steps=4 {}",
        env!("CARGO_BIN_EXE_ee-train"),
        playground.path("run.toml").display(),
        playground.path("run").display(),
        save_all.join(" "),
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("trap '' XFSZ; {limited}")])
        .output()
        .unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write") && message.contains("model.safetensors"), "{message}");
    assert!(playground.weights("run") == weights);
    let left = listing(&playground.path("run/checkpoints"));
    assert!(left.iter().all(|name| name.starts_with("step-")), "{left:?}");
}

#[test]
fn vector_instructions_that_are_unknown_are_a_usage_error() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
    let command = command.args(["plan", "--config", "none.toml"]);
    let output = command.env("EE_INSTRUCTIONS", "avx").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("expected one of avx512, avx2, portable"),
        "{}",
        stderr(&output)
    );
}
