//! A head's outputs and a task's labels: by name where there are names, else as said, else not at all.

mod fixture;

use std::path::Path;

use ee_eval::trace::{self, Trace};
use fixture::{ee_eval, fail, succeed, world};
use serde_json::{Value, json};

/// Names the head's outputs.
fn name_outputs(model: &Path, names: &[&str]) {
    let path = model.join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let id2label = names.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name)));
    config["id2label"] = Value::Object(id2label.collect());
    std::fs::write(path, config.to_string()).unwrap();
}

/// A trace, and what was said beside it.
fn traced(here: &Path, more: &str) -> (Trace, String) {
    let words = format!("trace --model model --task task.toml --output t.parquet {more}");
    let output = ee_eval(here, &words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (trace::read(&here.join("t.parquet")).unwrap(), said)
}

fn accuracy(here: &Path) -> f64 {
    succeed(here, "gates --trace t.parquet --output gates");
    let text = std::fs::read_to_string(here.join("gates/results.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["score"]["full"].as_f64().unwrap()
}

#[test]
fn names_decide_which_output_means_which_label() {
    let world = world();
    let here = world.path();
    name_outputs(&here.join("model"), &["no", "yes"]);
    let (plain, said) = traced(here, "");
    assert!(!said.contains("notice"), "{said}");
    let score = accuracy(here);
    assert!(score != 0.5, "the case tells nothing");

    // The same weights, said to mean the contrary.
    name_outputs(&here.join("model"), &["YES", "No"]);
    let (turned, said) = traced(here, "");
    assert!(!said.contains("notice"), "{said}");
    let flipped: Vec<u32> = plain.signals.prediction.iter().map(|label| 1 - label).collect();
    assert_eq!(turned.signals.prediction, flipped);
    assert_eq!((&turned.gold, &turned.facts.labels), (&plain.gold, &plain.facts.labels));
    assert!((accuracy(here) - (1.0 - score)).abs() < 1e-12);
    // The gates that run are those of the trace.
    let speed =
        "speed --model model --task task.toml --trace t.parquet --gate confidence:0.7 --rounds 1";
    let output = ee_eval(here, speed);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("otherwise than the trace"), "{said}");
}

#[test]
fn outputs_without_names_are_taken_in_order_and_that_is_said_once() {
    let world = world();
    let here = world.path();
    let (plain, said) = traced(here, "");
    assert_eq!(said.matches("have no names (LABEL_0, LABEL_1)").count(), 1, "{said}");
    let (stated, said) = traced(here, "--label-order yes,no");
    assert!(said.contains("are taken as yes, no, as stated"), "{said}");
    let flipped: Vec<u32> = plain.signals.prediction.iter().map(|label| 1 - label).collect();
    assert_eq!(stated.signals.prediction, flipped);
}

#[test]
fn other_names_are_refused_with_both_lists() {
    let world = world();
    let here = world.path();
    name_outputs(&here.join("model"), &["bad", "good"]);
    let words = "trace --model model --task task.toml --output t.parquet";
    fail(here, words, 1, &["bad, good", "no, yes", "--label-order", "id2label"]);
    succeed(here, &format!("{words} --label-order no,yes"));
    fail(
        here,
        &format!("{words} --label-order no,no"),
        1,
        &["no, no", "each of the task's labels"],
    );
    name_outputs(&here.join("model"), &["no", "yes"]);
    fail(here, &format!("{words} --label-order yes,no"), 1, &["contradicts", "no, yes"]);
    fixture::task(here, &["no", "maybe", "yes"]);
    let words = "compare --model a=model --task task.toml --output c";
    fail(here, words, 1, &["2 labels (no, yes)", "3 (no, maybe, yes)"]);
}
