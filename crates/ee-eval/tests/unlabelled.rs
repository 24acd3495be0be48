//! Data that nobody has labelled: traces, and all that agreement with the full model can say.

mod fixture;

use std::path::Path;

use ee_eval::trace;
use fixture::{ROWS, decoder, fail, succeed, world};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The task of the world, asked about rows whose labels are −1, as in the hub's test sets.
fn unlabelled() -> tempfile::TempDir {
    let world = world();
    let here = world.path();
    let table = std::fs::read_to_string(here.join("dev.tsv")).unwrap();
    let rows = table.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    let test: String = rows.map(|text| format!("{text}\t-1\n")).collect();
    std::fs::write(here.join("test.tsv"), format!("text\tlabel\n{test}")).unwrap();
    let mut task = std::fs::read_to_string(here.join("task.toml")).unwrap();
    task.push_str("[splits.test]\nfiles = [\"test.tsv\"]\n");
    std::fs::write(here.join("task.toml"), task).unwrap();
    world
}

#[test]
fn a_split_without_labels_is_traced_and_its_gates_keep_the_full_models_answers() {
    let world = unlabelled();
    let here = world.path();
    let traced = "trace --model model --task task.toml --output";
    succeed(here, &format!("{traced} dev.parquet"));
    succeed(here, &format!("{traced} test.parquet --split test"));
    let (dev, test) = (
        trace::read(&here.join("dev.parquet")).unwrap(),
        trace::read(&here.join("test.parquet")).unwrap(),
    );
    assert_eq!((test.rows(), test.gold.len(), test.facts.has_gold), (ROWS, 0, false));
    assert!(test.facts.metrics.is_empty());
    assert_eq!(test.signals, dev.signals, "labels change no signal");
    succeed(here, "gates --trace dev.parquet --output of-dev");
    succeed(here, "gates --trace test.parquet --output of-test --keep 0.9");
    let (dev, test) =
        (json(&here.join("of-dev/results.json")), json(&here.join("of-test/results.json")));
    assert_eq!(test["ideal"], dev["ideal"]);
    assert_eq!(
        (&test["score"]["name"], &test["score"]["full"]),
        (&"agreement".into(), &1.0.into())
    );
    // At exit 1 the share that agrees is that of rows whose ideal exit it is.
    let first = test["ideal"]["histogram"][0].as_f64().unwrap() / ROWS as f64;
    assert!((test["score"]["per_exit"][0].as_f64().unwrap() - first).abs() < 1e-12);
    for gate in ee_decode::gates::GATES {
        let found = &test["gates"][gate.name()];
        assert!(found["score"].as_f64().unwrap() >= 0.9, "{}", gate.name());
    }
    let notices = test["notices"].to_string();
    assert!(notices.contains("no labels"), "{notices}");
    // No score is not a score of zero.
    let table = succeed(here, "ideal --trace test.parquet --output ideal");
    assert!(table.contains("sample"), "{table}");
    assert_eq!(
        json(&here.join("ideal/results.json"))["summaries"][0]["scores"],
        Value::Array(vec![])
    );
}

#[test]
fn risk_speed_and_comparison_need_no_label() {
    let world = unlabelled();
    let here = world.path();
    succeed(here, "trace --model model --task task.toml --split test --output test.parquet");
    let calibrate = "calibrate --trace test.parquet --risk 0.3 --confidence 0.8 --output";
    succeed(here, &format!("{calibrate} certified"));
    assert_eq!(json(&here.join("certified/results.json"))["promised"]["against"], "full");
    fail(here, &format!("{calibrate} gold --against gold"), 1, &["sample", "has no gold"]);
    let of = "--task task.toml --split test";
    let speed = format!("speed --model model {of} --gate confidence:0.7 --rounds 1 --output speed");
    succeed(here, &speed);
    let score = json(&here.join("speed/results.json"))["speed"][0]["score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score), "{score}");
    let compare = format!(
        "compare --model a=model --model b=model {of} --speed-rows 8 --rounds 1 --output c"
    );
    let printed = succeed(here, &compare);
    assert!(printed.contains("agreement"), "{printed}");
}

#[test]
fn a_task_need_not_know_answers_at_all() {
    let world = unlabelled();
    let here = world.path();
    let task = std::fs::read_to_string(here.join("task.toml")).unwrap();
    let bare = task.replace("label = \"label\"\n", "").replace("metrics = [\"accuracy\"]\n", "");
    std::fs::write(here.join("bare.toml"), bare).unwrap();
    succeed(here, "trace --model model --task bare.toml --output bare.parquet");
    assert!(!trace::read(&here.join("bare.parquet")).unwrap().facts.has_gold);
}

#[test]
fn texts_without_references_are_traced_decoded_calibrated_and_recommended_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    decoder::checkpoint(&here.join("model"), 5, 0.3, 5);
    decoder::task(here, "\"chrf\"", 8, &[("dev", 16)]);
    let task = std::fs::read_to_string(here.join("task.toml")).unwrap();
    let bare = task.replace("references = [\"text\"]\n", "").replace("metrics = [\"chrf\"]\n", "");
    std::fs::write(here.join("task.toml"), bare).unwrap();
    succeed(here, "trace --model model --task task.toml --output t.parquet");
    let texts = ee_eval::trace::read_texts(&here.join("t.parquet")).unwrap();
    assert!(texts.iter().all(|text| text.references.is_empty() && text.statistics.is_empty()));
    succeed(here, "ideal --trace t.parquet --output ideal");
    assert_eq!(
        json(&here.join("ideal/results.json"))["summaries"][0]["scores"],
        Value::Array(vec![])
    );
    succeed(here, "calibrate --trace t.parquet --risk 0.4 --confidence 0.8 --output c");
    let of = "--model model --task task.toml";
    succeed(here, &format!("decode {of} --limit 2 --gate confidence:0.5 --output d"));
    succeed(here, &format!("speculate {of} --limit 2 --draft-exit 2 --draft-length 2"));
    let printed = succeed(
        here,
        &format!("recommend {of} --trace t.parquet --live-rows 2 --rounds 1 --tries 1 --output r"),
    );
    assert!(!printed.contains("NaN") && !printed.contains("chrf"), "{printed}");
    let words = format!("trace {of} --teacher-forced --output forced.parquet");
    fail(here, &words, 2, &["echo", "neither references nor a response"]);
}
