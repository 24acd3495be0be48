//! `ee-eval` from outside: what it writes, and what it says when it cannot.

mod fixture;

use fixture::{World, array, checkpoint, files, number, world};
use serde_json::Value;

#[test]
fn a_trace_is_turned_into_results_and_reports() {
    let world = world();
    world.succeed("trace --model model --task task.toml --batch 8 --output trace.parquet");
    let printed = world.succeed("gates --trace trace.parquet --output gates");
    assert!(printed.contains("gates/report.html"), "{printed}");
    let results = world.results("gates");
    assert_eq!(results["layers"], 6);
    assert_eq!(results["n"], fixture::ROWS);
    assert_eq!(results["trace"]["objective"], "joint");
    let histogram = array(&results["ideal"]["histogram"]);
    assert_eq!(
        histogram.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(),
        fixture::ROWS as u64
    );
    assert_eq!(array(&results["score"]["per_exit"]).last(), Some(&results["score"]["full"]));
    for gate in ee_decode::gates::rules() {
        let found = &results["gates"][gate.name()];
        let score = number(&found["score"]);
        assert!(score >= 0.98 * number(&results["score"]["full"]), "{}", gate.name());
    }
    let page = world.read("gates/report.html");
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
        let table = world.read(format!("gates/{name}.csv"));
        assert!(table.contains("always `no`"), "{name}: {table}");
    }
    for foreign in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!page.contains(foreign), "the page is not self-contained: {foreign}");
    }
}

#[test]
fn ideal_exits_of_several_traces_stand_in_one_table() {
    let world = world();
    checkpoint(&world.path("other"), 17);
    for model in ["model", "other"] {
        world.succeed(&format!("trace --model {model} --task task.toml --output {model}.parquet"));
    }
    world.succeed("gates --trace model.parquet --output gates");
    let traces = "ideal --trace model.parquet other.parquet";
    let table = world.succeed(traces);
    assert_eq!(table.lines().count(), 3, "{table}");
    let printed = world.succeed(&format!("{traces} --output ideal"));
    assert!(printed.starts_with(&table) && printed.contains("ideal/report.html"), "{printed}");
    let (gates, ideal) = (world.results("gates"), world.results("ideal"));
    let first = &ideal["summaries"][0];
    assert_eq!(first["ideal"], gates["ideal"]);
    assert_eq!(first["scores"][0]["score"], gates["score"]["full"]);
    assert_eq!(first["scores"][0]["interval"], gates["score"]["interval"]);
    world.fail("ideal --trace task.toml", 1, &["task.toml"]);
}

#[test]
fn thresholds_are_certified_on_half_of_a_trace() {
    let world = world();
    world.succeed("trace --model model --task task.toml --output trace.parquet");
    let words = "calibrate --trace trace.parquet --risk 0.3 --confidence 0.8 --output calibrated";
    let printed = world.succeed(words);
    assert!(printed.contains("calibrated/report.html"), "{printed}");
    let results = world.results("calibrated");
    let promised = &results["promised"];
    for (key, value) in [("risk", 0.3), ("confidence", 0.8), ("level", 0.2), ("n", 30.0)] {
        assert_eq!(promised[key].as_f64(), Some(value), "{key}");
    }
    assert_eq!(promised["against"], "full");
    assert_eq!(promised["split"]["held_out"], 30);
    for gate in ee_decode::gates::rules() {
        let tested = array(&results["gates"][gate.name()]["tested"]);
        assert!(!tested.is_empty() && printed.contains(gate.name()), "{}", gate.name());
    }
    world.succeed(&format!("{words} --against gold --seed 3"));
    assert_eq!(world.results("calibrated")["promised"]["against"], "gold");
    let (_, message) = world.say("calibrate --trace trace.parquet --output few");
    assert!(message.contains("59 are needed"), "{message}");
    for wrong in ["--risk 0", "--risk 1", "--confidence 1", "--step 0.05", "--against silver"] {
        let flag = wrong.split(' ').next().unwrap();
        world.fail(&format!("calibrate --trace trace.parquet --output o {wrong}"), 2, &[flag]);
    }
}

#[test]
fn a_certificate_is_taken_by_other_commands_for_the_same_weights_alone() {
    let world = world();
    checkpoint(&world.path("other"), 11);
    world.succeed("trace --model model --task task.toml --output trace.parquet");
    world
        .succeed("calibrate --trace trace.parquet --risk 0.6 --confidence 0.5 --output calibrated");
    let certificate: Value =
        serde_json::from_str(&world.read("calibrated/certificate.json")).unwrap();
    let best = &certificate["best"];
    let rule = format!("{}:{}", best["gate"].as_str().unwrap(), best["certified"]["threshold"]);
    let speed = "speed --task task.toml --rounds 1 --max-length 32 --certificate calibrated/certificate.json";
    world.succeed(&format!("{speed} --model model --trace trace.parquet --output speed"));
    let ran = world.results("speed")["speed"][0]["gate"].clone();
    let threshold = |typed: &str| typed.split_once(':').unwrap().1.parse::<f32>().unwrap();
    assert_eq!(threshold(ran.as_str().unwrap()), threshold(&rule), "{ran} {rule}");
    world.fail(&format!("{speed} --model other"), 1, &["certificate.json", "for the weights"]);
    let gates = "gates --certificate calibrated/certificate.json --output gates --trace";
    let printed = world.succeed(&format!("{gates} trace.parquet"));
    assert!(printed.contains("of the split that certified it"), "{printed}");
    let here_risk = world.results("gates")["certified"][0]["found"]["risk"].clone();
    let halves = number(&best["certified"]["risk"]) + number(&best["held_out"]["risk"]);
    assert!((number(&here_risk) - halves / 2.0).abs() < 1e-9, "{here_risk} {halves}");
    world.succeed("trace --model other --task task.toml --output other.parquet");
    world.fail(&format!("{gates} other.parquet"), 1, &["certificate.json", "for the weights"]);
    let text = world.read("task.toml");
    world.write("task.toml", text.replace("\"sample\"", "\"another\""));
    world.fail(&format!("{speed} --model model"), 1, &["the task sample, this is another"]);
}

#[test]
fn shards_on_disk_give_the_figures_of_the_whole() {
    let world = world();
    world.succeed("trace --model model --task task.toml --output whole.parquet");
    for shard in 1..=2 {
        world.succeed(&format!(
            "trace --model model --task task.toml --shard {shard}/2 --output part-{shard}.parquet"
        ));
    }
    world.succeed("gates --trace whole.parquet --output whole");
    world.succeed("gates --trace part-2.parquet part-1.parquet --output parts");
    let (whole, parts) = (world.results("whole"), world.results("parts"));
    for key in ["layers", "n", "ideal", "score", "notices"] {
        assert_eq!(whole[key], parts[key], "{key}");
    }
    assert!(world.say("gates --trace part-1.parquet --output part").1.contains("shard 2/2"));
    world.fail(
        "gates --trace part-1.parquet part-1.parquet --output twice",
        1,
        &["stands twice", "part-1.parquet"],
    );
}

#[test]
fn speed_runs_every_gate_and_agrees_with_the_trace() {
    let world = world();
    world.succeed("trace --model model --task task.toml --output trace.parquet");
    let gates = "--gate ideal --gate confidence:0.7 --gate entropy:0.5 --gate margin:0.4 --gate patience:1 --gate fixed:2";
    let words = "--batch 1 --batch 8 --rounds 2 --trace trace.parquet --output speed";
    world.succeed(&format!("speed --model model --task task.toml {gates} {words}"));
    let speed = world.results("speed")["speed"].clone();
    assert_eq!(array(&speed).len(), 12);
    for run in array(&speed) {
        assert!(run["gate"] != "fixed:2" || run["average_exit"] == 2.0, "{run}");
        assert!(run["rows"] == fixture::ROWS && run["rounds"] == 2, "{run}");
        assert_eq!(run["differing_rows"], 0, "{run}");
        assert!(run["speed_up"]["min"].as_f64() <= run["speed_up"]["median"].as_f64());
        let (layers, exit) = (number(&run["speed_up_layers"]), number(&run["average_exit"]));
        assert!((layers * exit - 6.0).abs() < 1e-9);
        assert!((0.0..=1.0).contains(&number(&run["head_share"])));
    }
}

#[test]
fn a_comparison_writes_one_folder_from_which_all_can_be_recomputed() {
    let world = world();
    checkpoint(&world.path("other"), 11);
    let words = "compare --model plain=model --model joint=other --task task.toml --speed-rows 20 --rounds 1 \
                 --speed-batch 1,8 --output compared";
    let printed = world.succeed(words);
    assert!(
        printed.contains("compared/report.html") && printed.contains("Against plain, joint"),
        "{printed}"
    );
    let results = world.results("compared");
    let names: Vec<&String> = results["models"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 2);
    let paired = &results["paired"]["joint"];
    let full = |name: &str| number(&results["models"][name]["score"]["full"]);
    let difference = number(&paired["difference"]);
    assert!((difference - (full("joint") - full("plain"))).abs() < 1e-12);
    assert!(printed.contains("McNemar p") && paired["n"] == fixture::ROWS, "{printed}");
    // One round times and judges nothing.
    assert!(!printed.contains("measured on") && !printed.contains("Measured on"), "{printed}");
    let page = world.read("compared/report.html");
    assert!(page.contains("1 timed round: nothing can be called faster"), "no word on one round");
    for name in ["report.md", "table3.csv", "table4.csv", "table10.csv", "gates.csv"] {
        assert!(world.path("compared").join(name).is_file(), "{name}");
    }
    world.succeed("gates --trace compared/traces/plain.parquet --output again");
    let again = world.results("again");
    assert_eq!(again["gates"], results["models"]["plain"]["gates"]);
    assert_eq!(again["ideal"], results["models"]["plain"]["ideal"]);
    assert!(files(world.folder()).iter().all(|path| !path.to_string_lossy().contains(".partial")));
}

#[test]
fn wrong_usage_ends_with_two() {
    let world = world();
    let trace = "trace --model model --task task.toml --output t.parquet";
    world.fail(&format!("{trace} --limit 0"), 2, &["--limit", "from 1"]);
    world.fail(&format!("{trace} --shard 3/2"), 2, &["--shard", "1 to n"]);
    let speed = "speed --model model --task task.toml";
    world.fail(&format!("{speed} --gate confidance:0.9"), 2, &["confidance", "confidence"]);
    world.fail(&format!("{speed} --gate confidence"), 2, &["name:threshold"]);
    world.fail("gates --trace t.parquet --output o --keep 0", 2, &["--keep"]);
    world.fail("compare --model model --task task.toml --output o", 2, &["NAME=DIR"]);
    assert!(!world.path("t.parquet").exists());
}

#[test]
fn bad_input_ends_with_one_and_names_what_is_wrong() {
    let world = world();
    world.write("empty.parquet", "");
    world.fail("gates --trace absent.parquet --output o", 1, &["absent.parquet"]);
    world.fail("gates --trace empty.parquet --output o", 1, &["empty.parquet"]);
    world.fail("gates --trace task.toml --output o", 1, &["task.toml"]);
    assert!(!world.path("o").exists(), "nothing is left behind");
    let absent = world.run("trace --model absent --task task.toml --output t.parquet");
    let message = String::from_utf8_lossy(&absent.stderr);
    assert_eq!(message.matches("(os error").count(), 1, "said once: {message}");
    let trace = |rest: &str| format!("trace --output t.parquet {rest}");
    world.fail(&trace("--model absent --task task.toml"), 1, &["absent"]);
    world.fail(&trace("--model model --task absent.toml"), 1, &["absent.toml"]);
    world.fail(&trace("--model model --task task.toml --split test"), 1, &["test", "dev"]);
    world.fail(&trace("--model model --task task.toml --device gpu"), 2, &["gpu", "cpu"]);
    let nowhere =
        trace("--model model --task task.toml").replace("t.parquet", "/proc/no/t.parquet");
    world.fail(&nowhere, 1, &["/proc/no"]);
    fixture::task(world.folder(), &["a", "b", "c"]);
    world.fail(&trace("--model model --task task.toml"), 1, &["labels"]);
    assert!(!world.path("t.parquet").exists());
}

#[test]
fn thresholds_that_can_never_fire_are_refused() {
    let world = world();
    for gate in ["confidence:1.5", "confidence:1", "entropy:0", "margin:1", "patience:5"] {
        let words = format!("speed --model model --task task.toml --gate {gate}");
        world.fail(&words, 2, &["can never fire", gate.split(':').next().unwrap()]);
    }
    let fixed = "speed --model model --task task.toml --gate fixed";
    world.fail(&format!("{fixed}:7"), 2, &["fixed:7", "the exits 1 to 6"]);
    world.fail(&format!("{fixed}:0"), 2, &["an exit from 1"]);
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_no_fault_until_such_a_token_occurs() {
    let world = world();
    world.write("model/vocab.txt", world.read("model/vocab.txt") + "\nw40\nw41");
    let words = "trace --model model --task task.toml --output t.parquet";
    world.succeed(words);
    let table = world.read("dev.tsv");
    let label = table.lines().last().unwrap().rsplit_once('\t').unwrap().1;
    world.write("dev.tsv", format!("{table}w3 w41\t{label}\n"));
    world.fail(words, 1, &["token `w41` has id 46", "45 rows"]);
}

#[test]
fn a_trace_of_other_weights_is_no_guide_for_speed() {
    let world = world();
    checkpoint(&world.path("other"), 11);
    world.succeed("trace --model other --task task.toml --output other.parquet");
    let words = "speed --model model --task task.toml --gate ideal --trace other.parquet";
    world.fail(words, 1, &["checkpoint_sha256"]);
}

#[test]
fn the_benchmark_prints_one_line_of_json() {
    let words = "bench encoder-trace --layers 2 --dim 64 --seq 16 --batch 2 --vocab 100 --steps 2";
    let line = World::new().succeed(words);
    let result: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line.lines().count(), 1);
    assert!(number(&result["seconds"]) > 0.0 && number(&result["peak_mib"]) > 0.0);
}

#[test]
fn vector_instructions_that_are_unknown_are_a_usage_error() {
    let world = World::new();
    let mut gates = world.command("gates --trace none.parquet --output none");
    let output = gates.env("EE_INSTRUCTIONS", "sse").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("EE_INSTRUCTIONS: expected one of avx512, avx2, portable"), "{stderr}");
    assert!(stderr.contains("found 'sse'"), "{stderr}");
}
