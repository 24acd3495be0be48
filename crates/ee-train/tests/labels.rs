//! Heads that answer in another order than the task's, with other labels, or for another task.

mod playground;

use std::fs;

use playground::{Playground, listing, stderr, succeeded};
use serde_json::{Value, json};

/// A checkpoint `model` that has learned the task, and a run file that goes on from checkpoints.
fn learned() -> Playground {
    let playground = Playground::new();
    succeeded(&playground.train("run", &["--set", "training.epochs=8"]));
    for name in listing(&playground.path("run/best")) {
        let bytes = fs::read(playground.path("run/best").join(&name)).unwrap();
        playground.write(&format!("model/{name}"), bytes);
    }
    playground.write(
        "run.toml",
        "[task]\nfile = 'task.toml'\nmax_length = 16\n[model]\npath = 'model'\n\
         [optimizer]\nlearning_rate = 1e-12\nweight_decay = 0.0\n[training]\nepochs = 1\nbatch = 64\n",
    );
    playground
}

fn config(playground: &Playground, folder: &str) -> Value {
    let text = fs::read_to_string(playground.path(folder).join("config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn name_outputs(playground: &Playground, names: &[&str]) {
    let mut config = config(playground, "model");
    let id2label = names.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name)));
    config["id2label"] = Value::Object(id2label.collect());
    playground.write("model/config.json", config.to_string());
}

/// The score of the last exit after a step that moves nothing, and the loss of that step.
fn score_and_loss(playground: &Playground, run: &str) -> (f64, f64) {
    let log = playground.log(run);
    let find = |kind: &str| log.iter().find(|line| line["kind"] == kind).unwrap();
    let score = find("validation")["scores"][0]["scores"][1].as_f64().unwrap();
    (score, find("step")["loss"].as_f64().unwrap())
}

#[test]
fn a_head_keeps_its_own_order_and_names() {
    let playground = learned();
    succeeded(&playground.train("plain", &[]));
    let (score, loss) = score_and_loss(&playground, "plain");
    assert!(score > 0.7, "{score}");
    // The same weights under names that say the opposite: what was right is wrong.
    name_outputs(&playground, &["Good", "Bad"]);
    succeeded(&playground.train("turned", &[]));
    let (turned, turned_loss) = score_and_loss(&playground, "turned");
    assert!((turned - (1.0 - score)).abs() < 1e-12, "{turned}, {score}");
    assert!(turned_loss > loss, "{turned_loss}, {loss}");
    let saved = config(&playground, "turned/best");
    assert_eq!(saved["id2label"], json!({"0": "Good", "1": "Bad"}));
    assert_eq!(saved["label2id"], json!({"Good": 0, "Bad": 1}));
    // What was saved goes on in the same order.
    let more = ["--resume", "--set", "training.epochs=2"];
    let text = fs::read_to_string(playground.path("turned/config.toml")).unwrap();
    playground.write("turned/config.toml", text.replace("epochs = 1", "epochs = 2"));
    succeeded(&playground.train("turned", &more));
    let log = playground.log("turned");
    let scores = log.iter().filter(|line| line["kind"] == "validation");
    let scores: Vec<f64> =
        scores.map(|line| line["scores"][0]["scores"][1].as_f64().unwrap()).collect();
    assert_eq!(scores, [turned, turned]);
}

#[test]
fn nameless_and_foreign_outputs() {
    let playground = learned();
    name_outputs(&playground, &["LABEL_0", "LABEL_1"]);
    let output = playground.train("nameless", &[]);
    succeeded(&output);
    assert_eq!(stderr(&output).matches("have no names").count(), 1, "{}", stderr(&output));
    assert_eq!(config(&playground, "nameless/best")["id2label"], json!({"0": "bad", "1": "good"}));
    let (score, _) = score_and_loss(&playground, "nameless");

    name_outputs(&playground, &["no", "yes"]);
    let output = playground.train("foreign", &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["no, yes", "bad, good", "model.label_order", "--new-head"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let stated = ["--set", "model.label_order=['good', 'bad']"];
    succeeded(&playground.train("stated", &stated));
    assert_eq!(config(&playground, "stated/best")["id2label"], json!({"0": "good", "1": "bad"}));
    let (turned, _) = score_and_loss(&playground, "stated");
    assert!((turned - (1.0 - score)).abs() < 1e-12, "{turned}, {score}");
}

#[test]
fn a_head_of_another_task_is_replaced_on_request() {
    let playground = learned();
    let mut task = fs::read_to_string(playground.path("task.toml")).unwrap();
    task = task.replace("'good']", "'good', 'other']");
    playground.write("task.toml", task);
    let output = playground.train("refused", &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["2 labels (bad, good)", "3 (bad, good, other)", "--new-head"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let output = playground.train("run-3", &["--new-head"]);
    succeeded(&output);
    let message = stderr(&output);
    assert!(
        message.contains("the checkpoint's head (classifier.bias, classifier.weight) is replaced"),
        "{message}"
    );
    let labels = json!({"0": "bad", "1": "good", "2": "other"});
    assert_eq!(config(&playground, "run-3/best")["id2label"], labels);
    // The resolved file says so, and a run that goes on keeps the head that it has.
    let text = fs::read_to_string(playground.path("run-3/config.toml")).unwrap();
    assert!(text.contains("new_head = true"), "{text}");
    let output = playground.train("run-3", &["--new-head", "--resume"]);
    succeeded(&output);
    assert!(!stderr(&output).contains("is replaced"), "{}", stderr(&output));
    // It is a setting of checkpoints.
    let both = ["--new-head", "--set", "model.label_order=['bad', 'good', 'other']"];
    assert_eq!(playground.train("both", &both).status.code(), Some(2));
}
