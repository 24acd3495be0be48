//! `ee-eval` from outside: what it writes, and what it says when it cannot.

mod fixture;

use fixture::{checkpoint, ee_eval, fail, files, succeed, world};
use serde_json::Value;

fn json(path: &std::path::Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_trace_is_turned_into_results_and_reports() {
    let world = world();
    let here = world.path();
    succeed(here, "trace --model model --task task.toml --batch 8 --output trace.parquet");
    let printed = succeed(here, "gates --trace trace.parquet --output gates");
    assert!(printed.contains("gates/report.html"), "{printed}");
    let results = json(&here.join("gates/results.json"));
    assert_eq!(results["layers"], 6);
    assert_eq!(results["n"], fixture::ROWS);
    assert_eq!(results["trace"]["objective"], "joint");
    let histogram = results["ideal"]["histogram"].as_array().unwrap();
    assert_eq!(
        histogram.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(),
        fixture::ROWS as u64
    );
    assert_eq!(
        results["score"]["per_exit"].as_array().unwrap().last(),
        Some(&results["score"]["full"])
    );
    for gate in ee_decode::gates::rules() {
        let found = &results["gates"][gate.name()];
        let score = found["score"].as_f64().unwrap();
        assert!(score >= 0.98 * results["score"]["full"].as_f64().unwrap(), "{}", gate.name());
    }
    let page = std::fs::read_to_string(here.join("gates/report.html")).unwrap();
    // 60 rows of alternating labels: the first of two equally frequent ones.
    assert_eq!(
        (&results["constant"]["label"], &results["constant"]["share"]),
        (&"no".into(), &0.5.into())
    );
    for part in ["always `no`", "one fixed depth", "best gate within"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("the best gate (") || page.contains("No gate is worth naming"));
    for name in ["headline", "gates", "exits", "table3", "table4"] {
        let table = std::fs::read_to_string(here.join(format!("gates/{name}.csv"))).unwrap();
        assert!(table.contains("always `no`"), "{name}: {table}");
    }
    for foreign in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!page.contains(foreign), "the page is not self-contained: {foreign}");
    }
}

#[test]
fn ideal_exits_of_several_traces_stand_in_one_table() {
    let world = world();
    let here = world.path();
    checkpoint(&here.join("other"), 17);
    for model in ["model", "other"] {
        succeed(here, &format!("trace --model {model} --task task.toml --output {model}.parquet"));
    }
    succeed(here, "gates --trace model.parquet --output gates");
    let traces = "ideal --trace model.parquet other.parquet";
    let table = succeed(here, traces);
    assert_eq!(table.lines().count(), 3, "{table}");
    let printed = succeed(here, &format!("{traces} --output ideal"));
    assert!(printed.starts_with(&table) && printed.contains("ideal/report.html"), "{printed}");
    let (gates, ideal) =
        (json(&here.join("gates/results.json")), json(&here.join("ideal/results.json")));
    let first = &ideal["summaries"][0];
    assert_eq!(first["ideal"], gates["ideal"]);
    assert_eq!(first["scores"][0]["score"], gates["score"]["full"]);
    assert_eq!(first["scores"][0]["interval"], gates["score"]["interval"]);
    fail(here, "ideal --trace task.toml", 1, &["task.toml"]);
}

#[test]
fn thresholds_are_certified_on_half_of_a_trace() {
    let world = world();
    let here = world.path();
    succeed(here, "trace --model model --task task.toml --output trace.parquet");
    let words = "calibrate --trace trace.parquet --risk 0.3 --confidence 0.8 --output calibrated";
    let printed = succeed(here, words);
    assert!(printed.contains("calibrated/report.html"), "{printed}");
    let results = json(&here.join("calibrated/results.json"));
    let promised = &results["promised"];
    for (key, value) in [("risk", 0.3), ("confidence", 0.8), ("level", 0.2), ("n", 30.0)] {
        assert_eq!(promised[key].as_f64(), Some(value), "{key}");
    }
    assert_eq!(promised["against"], "full");
    assert_eq!(promised["split"]["held_out"], 30);
    for gate in ee_decode::gates::rules() {
        let tested = results["gates"][gate.name()]["tested"].as_array().unwrap();
        assert!(!tested.is_empty() && printed.contains(gate.name()), "{}", gate.name());
    }
    succeed(here, &format!("{words} --against gold --seed 3"));
    assert_eq!(json(&here.join("calibrated/results.json"))["promised"]["against"], "gold");
    let few = ee_eval(here, "calibrate --trace trace.parquet --output few");
    let message = String::from_utf8_lossy(&few.stderr);
    assert!(few.status.success() && message.contains("59 are needed"), "{message}");
    for wrong in ["--risk 0", "--risk 1", "--confidence 1", "--step 0.05", "--against silver"] {
        let flag = wrong.split(' ').next().unwrap();
        fail(here, &format!("calibrate --trace trace.parquet --output o {wrong}"), 2, &[flag]);
    }
}

#[test]
fn a_certificate_is_taken_by_other_commands_for_the_same_weights_alone() {
    let world = world();
    let here = world.path();
    checkpoint(&here.join("other"), 11);
    succeed(here, "trace --model model --task task.toml --output trace.parquet");
    succeed(
        here,
        "calibrate --trace trace.parquet --risk 0.6 --confidence 0.5 --output calibrated",
    );
    let file = here.join("calibrated/certificate.json");
    let best = json(&file)["best"].clone();
    let rule = format!("{}:{}", best["gate"].as_str().unwrap(), best["certified"]["threshold"]);
    let speed = "speed --task task.toml --rounds 1 --max-length 32 --certificate calibrated/certificate.json";
    succeed(here, &format!("{speed} --model model --trace trace.parquet --output speed"));
    let ran = json(&here.join("speed/results.json"))["speed"][0]["gate"].clone();
    let threshold = |typed: &str| typed.split_once(':').unwrap().1.parse::<f32>().unwrap();
    assert_eq!(threshold(ran.as_str().unwrap()), threshold(&rule), "{ran} {rule}");
    fail(here, &format!("{speed} --model other"), 1, &["certificate.json", "for the weights"]);
    let gates = "gates --certificate calibrated/certificate.json --output gates --trace";
    let printed = succeed(here, &format!("{gates} trace.parquet"));
    assert!(printed.contains("of the split that certified it"), "{printed}");
    let here_risk = json(&here.join("gates/results.json"))["certified"][0]["found"]["risk"].clone();
    let halves =
        best["certified"]["risk"].as_f64().unwrap() + best["held_out"]["risk"].as_f64().unwrap();
    assert!((here_risk.as_f64().unwrap() - halves / 2.0).abs() < 1e-9, "{here_risk} {halves}");
    succeed(here, "trace --model other --task task.toml --output other.parquet");
    fail(here, &format!("{gates} other.parquet"), 1, &["certificate.json", "for the weights"]);
    let text = std::fs::read_to_string(here.join("task.toml")).unwrap();
    std::fs::write(here.join("task.toml"), text.replace("\"sample\"", "\"another\"")).unwrap();
    fail(here, &format!("{speed} --model model"), 1, &["the task sample, this is another"]);
}

#[test]
fn shards_on_disk_give_the_figures_of_the_whole() {
    let world = world();
    let here = world.path();
    succeed(here, "trace --model model --task task.toml --output whole.parquet");
    for shard in 1..=2 {
        succeed(
            here,
            &format!(
                "trace --model model --task task.toml --shard {shard}/2 --output part-{shard}.parquet"
            ),
        );
    }
    succeed(here, "gates --trace whole.parquet --output whole");
    succeed(here, "gates --trace part-2.parquet part-1.parquet --output parts");
    let (whole, parts) =
        (json(&here.join("whole/results.json")), json(&here.join("parts/results.json")));
    for key in ["layers", "n", "ideal", "score", "notices"] {
        assert_eq!(whole[key], parts[key], "{key}");
    }
    let output = ee_eval(here, "gates --trace part-1.parquet --output part");
    assert!(String::from_utf8_lossy(&output.stderr).contains("shard 2/2"));
    fail(
        here,
        "gates --trace part-1.parquet part-1.parquet --output twice",
        1,
        &["stands twice", "part-1.parquet"],
    );
}

#[test]
fn speed_runs_every_gate_and_agrees_with_the_trace() {
    let world = world();
    let here = world.path();
    succeed(here, "trace --model model --task task.toml --output trace.parquet");
    succeed(
        here,
        "speed --model model --task task.toml --gate ideal --gate confidence:0.7 --gate entropy:0.5 --gate margin:0.4 \
         --gate patience:1 --gate fixed:2 --batch 1 --batch 8 --rounds 2 --trace trace.parquet --output speed",
    );
    let speed = json(&here.join("speed/results.json"))["speed"].clone();
    assert_eq!(speed.as_array().unwrap().len(), 12);
    for run in speed.as_array().unwrap() {
        assert!(run["gate"] != "fixed:2" || run["average_exit"] == 2.0, "{run}");
        assert!(run["rows"] == fixture::ROWS && run["rounds"] == 2, "{run}");
        assert_eq!(run["differing_rows"], 0, "{run}");
        assert!(run["speed_up"]["min"].as_f64() <= run["speed_up"]["median"].as_f64());
        let (layers, exit) =
            (run["speed_up_layers"].as_f64().unwrap(), run["average_exit"].as_f64().unwrap());
        assert!((layers * exit - 6.0).abs() < 1e-9);
        assert!((0.0..=1.0).contains(&run["head_share"].as_f64().unwrap()));
    }
}

#[test]
fn a_comparison_writes_one_folder_from_which_all_can_be_recomputed() {
    let world = world();
    let here = world.path();
    checkpoint(&here.join("other"), 11);
    let printed = succeed(
        here,
        "compare --model plain=model --model joint=other --task task.toml --speed-rows 20 --rounds 1 --speed-batch 1,8 \
         --output compared",
    );
    assert!(
        printed.contains("compared/report.html") && printed.contains("Against plain, joint"),
        "{printed}"
    );
    let results = json(&here.join("compared/results.json"));
    let names: Vec<&String> = results["models"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 2);
    let paired = &results["paired"]["joint"];
    let full = |name: &str| results["models"][name]["score"]["full"].as_f64().unwrap();
    let difference = paired["difference"].as_f64().unwrap();
    assert!((difference - (full("joint") - full("plain"))).abs() < 1e-12);
    assert!(printed.contains("McNemar p") && paired["n"] == fixture::ROWS, "{printed}");
    // One round times and judges nothing.
    assert!(!printed.contains("measured on") && !printed.contains("Measured on"), "{printed}");
    let page = std::fs::read_to_string(here.join("compared/report.html")).unwrap();
    assert!(page.contains("1 timed round: nothing can be called faster"), "no word on one round");
    for name in [
        "results.json",
        "report.md",
        "report.html",
        "table3.csv",
        "table4.csv",
        "table10.csv",
        "gates.csv",
    ] {
        assert!(here.join("compared").join(name).is_file(), "{name}");
    }
    succeed(here, "gates --trace compared/traces/plain.parquet --output again");
    let again = json(&here.join("again/results.json"));
    assert_eq!(again["gates"], results["models"]["plain"]["gates"]);
    assert_eq!(again["ideal"], results["models"]["plain"]["ideal"]);
    assert!(files(here).iter().all(|path| !path.to_string_lossy().contains(".partial")));
}

#[test]
fn wrong_usage_ends_with_two() {
    let world = world();
    let here = world.path();
    let trace = "trace --model model --task task.toml --output t.parquet";
    fail(here, &format!("{trace} --limit 0"), 2, &["--limit", "from 1"]);
    fail(here, &format!("{trace} --shard 3/2"), 2, &["--shard", "1 to n"]);
    let speed = "speed --model model --task task.toml";
    fail(here, &format!("{speed} --gate confidance:0.9"), 2, &["confidance", "confidence"]);
    fail(here, &format!("{speed} --gate confidence"), 2, &["name:threshold"]);
    fail(here, "gates --trace t.parquet --output o --keep 0", 2, &["--keep"]);
    fail(here, "compare --model model --task task.toml --output o", 2, &["NAME=DIR"]);
    assert!(!here.join("t.parquet").exists());
}

#[test]
fn bad_input_ends_with_one_and_names_what_is_wrong() {
    let world = world();
    let here = world.path();
    std::fs::write(here.join("empty.parquet"), "").unwrap();
    fail(here, "gates --trace absent.parquet --output o", 1, &["absent.parquet"]);
    fail(here, "gates --trace empty.parquet --output o", 1, &["empty.parquet"]);
    fail(here, "gates --trace task.toml --output o", 1, &["task.toml"]);
    assert!(!here.join("o").exists(), "nothing is left behind");
    let absent = ee_eval(here, "trace --model absent --task task.toml --output t.parquet");
    let message = String::from_utf8_lossy(&absent.stderr);
    assert_eq!(message.matches("(os error").count(), 1, "said once: {message}");
    let trace = |rest: &str| format!("trace --output t.parquet {rest}");
    fail(here, &trace("--model absent --task task.toml"), 1, &["absent"]);
    fail(here, &trace("--model model --task absent.toml"), 1, &["absent.toml"]);
    fail(here, &trace("--model model --task task.toml --split test"), 1, &["test", "dev"]);
    fail(here, &trace("--model model --task task.toml --device gpu"), 2, &["gpu", "cpu"]);
    fail(
        here,
        "trace --model model --task task.toml --output /proc/no/t.parquet",
        1,
        &["/proc/no"],
    );
    fixture::task(here, &["a", "b", "c"]);
    fail(here, &trace("--model model --task task.toml"), 1, &["labels"]);
    assert!(!here.join("t.parquet").exists());
}

#[test]
fn thresholds_that_can_never_fire_are_refused() {
    let world = world();
    let here = world.path();
    for gate in ["confidence:1.5", "confidence:1", "entropy:0", "margin:1", "patience:5"] {
        let words = format!("speed --model model --task task.toml --gate {gate}");
        fail(here, &words, 2, &["can never fire", gate.split(':').next().unwrap()]);
    }
    let fixed = "speed --model model --task task.toml --gate fixed";
    fail(here, &format!("{fixed}:7"), 2, &["fixed:7", "the exits 1 to 6"]);
    fail(here, &format!("{fixed}:0"), 2, &["an exit from 1"]);
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_no_fault_until_such_a_token_occurs() {
    let world = world();
    let here = world.path();
    let path = here.join("model/vocab.txt");
    let longer = std::fs::read_to_string(&path).unwrap() + "\nw40\nw41";
    std::fs::write(&path, longer).unwrap();
    let words = "trace --model model --task task.toml --output t.parquet";
    succeed(here, words);
    let path = here.join("dev.tsv");
    let table = std::fs::read_to_string(&path).unwrap();
    let label = table.lines().last().unwrap().rsplit_once('\t').unwrap().1;
    std::fs::write(&path, format!("{table}w3 w41\t{label}\n")).unwrap();
    fail(here, words, 1, &["token `w41` has id 46", "45 rows"]);
}

#[test]
fn a_trace_of_other_weights_is_no_guide_for_speed() {
    let world = world();
    let here = world.path();
    checkpoint(&here.join("other"), 11);
    succeed(here, "trace --model other --task task.toml --output other.parquet");
    let words = "speed --model model --task task.toml --gate ideal --trace other.parquet";
    fail(here, words, 1, &["checkpoint_sha256"]);
}

#[test]
fn the_benchmark_prints_one_line_of_json() {
    let world = world();
    let words = "bench encoder-trace --layers 2 --dim 64 --seq 16 --batch 2 --vocab 100 --steps 2";
    let line = succeed(world.path(), words);
    let result: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(
        result["seconds"].as_f64().unwrap() > 0.0 && result["peak_mib"].as_f64().unwrap() > 0.0
    );
}

#[test]
fn vector_instructions_that_are_unknown_are_a_usage_error() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-eval"));
    let command = command.args(["gates", "--trace", "none.parquet", "--output", "none"]);
    let output = command.env("EE_INSTRUCTIONS", "sse").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("EE_INSTRUCTIONS: expected one of avx512, avx2, portable"), "{stderr}");
    assert!(stderr.contains("found 'sse'"), "{stderr}");
}
