//! A head's outputs and a task's labels: by name where there are names, else as said, else not at all.

mod fixture;

use ee_eval::trace::{self, Trace};
use fixture::{World, number, world};
use serde_json::{Value, json};

/// Names the head's outputs.
fn name_outputs(world: &World, names: &[&str]) {
    let mut config: Value = serde_json::from_str(&world.read("model/config.json")).unwrap();
    let id2label = names.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name)));
    config["id2label"] = Value::Object(id2label.collect());
    world.write("model/config.json", config.to_string());
}

/// A trace, and what was said beside it.
fn traced(world: &World, more: &str) -> (Trace, String) {
    let (_, said) =
        world.say(&format!("trace --model model --task task.toml --output t.parquet {more}"));
    (trace::read(&world.path("t.parquet")).unwrap(), said)
}

fn accuracy(world: &World) -> f64 {
    world.succeed("gates --trace t.parquet --output gates");
    number(&world.results("gates")["score"]["full"])
}

#[test]
fn names_decide_which_output_means_which_label() {
    let world = world();
    name_outputs(&world, &["no", "yes"]);
    let (plain, said) = traced(&world, "");
    assert!(!said.contains("notice"), "{said}");
    let score = accuracy(&world);
    assert!(score != 0.5, "the case tells nothing");

    // The same weights, said to mean the opposite.
    name_outputs(&world, &["YES", "No"]);
    let (turned, said) = traced(&world, "");
    assert!(!said.contains("notice"), "{said}");
    let flipped: Vec<u32> = plain.signals.prediction.iter().map(|label| 1 - label).collect();
    assert_eq!(turned.signals.prediction, flipped);
    assert_eq!((&turned.gold, &turned.facts.labels), (&plain.gold, &plain.facts.labels));
    assert!((accuracy(&world) - (1.0 - score)).abs() < 1e-12);
    // The gates that run are those of the trace.
    let speed =
        "speed --model model --task task.toml --trace t.parquet --gate confidence:0.7 --rounds 1";
    let (_, said) = world.say(speed);
    assert!(!said.contains("otherwise than the trace"), "{said}");
}

#[test]
fn outputs_without_names_are_taken_in_order_and_that_is_said_once() {
    let world = world();
    let (plain, said) = traced(&world, "");
    assert_eq!(said.matches("have no names (LABEL_0, LABEL_1)").count(), 1, "{said}");
    let (stated, said) = traced(&world, "--label-order yes,no");
    assert!(said.contains("are taken as yes, no, as stated"), "{said}");
    let flipped: Vec<u32> = plain.signals.prediction.iter().map(|label| 1 - label).collect();
    assert_eq!(stated.signals.prediction, flipped);
}

#[test]
fn other_names_are_refused_with_both_lists() {
    let world = world();
    name_outputs(&world, &["bad", "good"]);
    let words = "trace --model model --task task.toml --output t.parquet";
    world.fail(words, 1, &["bad, good", "no, yes", "--label-order", "id2label"]);
    world.succeed(&format!("{words} --label-order no,yes"));
    world.fail(
        &format!("{words} --label-order no,no"),
        1,
        &["no, no", "each of the task's labels"],
    );
    name_outputs(&world, &["no", "yes"]);
    world.fail(&format!("{words} --label-order yes,no"), 1, &["contradicts", "no, yes"]);
    fixture::task(world.folder(), &["no", "maybe", "yes"]);
    let words = "compare --model a=model --task task.toml --output c";
    world.fail(words, 1, &["2 labels (no, yes)", "3 (no, maybe, yes)"]);
}
