//! Unlabelled data: traces, and all that agreement with the full model can say.

mod fixture;

use ee_eval::trace;
use fixture::{ROWS, World, decoder, number, world};
use serde_json::Value;

/// The task of the world, asked about rows whose labels are −1, as in the hub's test sets.
fn unlabelled() -> World {
    let world = world();
    let table = world.read("dev.tsv");
    let rows = table.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    let test: String = rows.map(|text| format!("{text}\t-1\n")).collect();
    world.write("test.tsv", format!("text\tlabel\n{test}"));
    let mut task = world.read("task.toml");
    task.push_str("[splits.test]\nfiles = [\"test.tsv\"]\n");
    world.write("task.toml", task);
    world
}

#[test]
fn a_split_without_labels_is_traced_and_its_gates_keep_the_full_models_answers() {
    let world = unlabelled();
    let traced = "trace --model model --task task.toml --output";
    world.succeed(&format!("{traced} dev.parquet"));
    world.succeed(&format!("{traced} test.parquet --split test"));
    let (dev, test) = (
        trace::read(&world.path("dev.parquet")).unwrap(),
        trace::read(&world.path("test.parquet")).unwrap(),
    );
    assert_eq!((test.rows(), test.gold.len(), test.facts.has_gold), (ROWS, 0, false));
    assert!(test.facts.metrics.is_empty());
    assert_eq!(test.signals, dev.signals, "labels change no signal");
    world.succeed("gates --trace dev.parquet --output of-dev");
    world.succeed("gates --trace test.parquet --output of-test --keep 0.9");
    let (dev, test) = (world.results("of-dev"), world.results("of-test"));
    assert_eq!(test["ideal"], dev["ideal"]);
    assert_eq!(
        (&test["score"]["name"], &test["score"]["full"]),
        (&"agreement".into(), &1.0.into())
    );
    // At exit 1 the share that agrees is that of rows whose ideal exit it is.
    let first = number(&test["ideal"]["histogram"][0]) / ROWS as f64;
    assert!((number(&test["score"]["per_exit"][0]) - first).abs() < 1e-12);
    for gate in ee_decode::gates::GATES {
        let found = &test["gates"][gate.name()];
        assert!(number(&found["score"]) >= 0.9, "{}", gate.name());
    }
    let notices = test["notices"].to_string();
    assert!(notices.contains("no labels"), "{notices}");
    // No score is not a score of zero.
    let table = world.succeed("ideal --trace test.parquet --output ideal");
    assert!(table.contains("sample"), "{table}");
    assert_eq!(world.results("ideal")["summaries"][0]["scores"], Value::Array(vec![]));
}

#[test]
fn risk_speed_and_comparison_need_no_label() {
    let world = unlabelled();
    world.succeed("trace --model model --task task.toml --split test --output test.parquet");
    let calibrate = "calibrate --trace test.parquet --risk 0.3 --confidence 0.8 --output";
    world.succeed(&format!("{calibrate} certified"));
    assert_eq!(world.results("certified")["promised"]["against"], "full");
    world.fail(&format!("{calibrate} gold --against gold"), 1, &["sample", "has no gold"]);
    let of = "--task task.toml --split test";
    let speed = format!("speed --model model {of} --gate confidence:0.7 --rounds 1 --output speed");
    world.succeed(&speed);
    let score = number(&world.results("speed")["speed"][0]["score"]);
    assert!((0.0..=1.0).contains(&score), "{score}");
    let compare = format!(
        "compare --model a=model --model b=model {of} --speed-rows 8 --rounds 1 --output c"
    );
    let printed = world.succeed(&compare);
    assert!(printed.contains("agreement"), "{printed}");
}

#[test]
fn a_task_need_not_know_answers_at_all() {
    let world = unlabelled();
    let task = world.read("task.toml");
    let bare = task.replace("label = \"label\"\n", "").replace("metrics = [\"accuracy\"]\n", "");
    world.write("bare.toml", bare);
    world.succeed("trace --model model --task bare.toml --output bare.parquet");
    assert!(!trace::read(&world.path("bare.parquet")).unwrap().facts.has_gold);
}

#[test]
fn texts_without_references_are_traced_decoded_calibrated_and_recommended_for() {
    let world = decoder::world((5, 0.3), "\"chrf\"", 8, &[("dev", 16)]);
    let task = world.read("task.toml");
    let bare = task.replace("references = [\"text\"]\n", "").replace("metrics = [\"chrf\"]\n", "");
    world.write("task.toml", bare);
    world.succeed("trace --model model --task task.toml --output t.parquet");
    let texts = ee_eval::trace::read_texts(&world.path("t.parquet")).unwrap();
    assert!(texts.iter().all(|text| text.references.is_empty() && text.statistics.is_empty()));
    world.succeed("ideal --trace t.parquet --output ideal");
    assert_eq!(world.results("ideal")["summaries"][0]["scores"], Value::Array(vec![]));
    world.succeed("calibrate --trace t.parquet --risk 0.4 --confidence 0.8 --output c");
    let of = "--model model --task task.toml";
    world.succeed(&format!("decode {of} --limit 2 --gate confidence:0.5 --output d"));
    world.succeed(&format!("speculate {of} --limit 2 --draft-exit 2 --draft-length 2"));
    let printed = world.succeed(&format!(
        "recommend {of} --trace t.parquet --live-rows 2 --rounds 1 --tries 1 --output r"
    ));
    assert!(!printed.contains("NaN") && !printed.contains("chrf"), "{printed}");
    let words = format!("trace {of} --teacher-forced --output forced.parquet");
    world.fail(&words, 2, &["echo", "neither references nor a response"]);
}
