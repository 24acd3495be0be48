//! `compare` on generated text and `recommend`, from outside.

mod fixture;

use std::path::Path;

use fixture::{World, array, decoder, number};
use serde_json::Value;

const LAYERS: usize = 5;
const EXAMPLES: usize = 16;

/// A folder with random decoders `plain` and `joint` and a task of short lines `task.toml`.
fn world() -> World {
    let world = World::new();
    for (name, seed, objective) in [("plain", 5, "final"), ("joint", 6, "joint")] {
        decoder::checkpoint(&world.path(name), LAYERS, 0.3, seed);
        let facts = format!("{{\"ee_objective\": \"{objective}\"}}");
        world.write(&format!("{name}/ee_training.json"), facts);
    }
    decoder::task(world.folder(), "\"chrf\"", 10, &[("dev", EXAMPLES)]);
    world
}

#[test]
fn decoders_are_compared_in_one_folder() {
    let world = world();
    let words = "compare --model plain=plain --model joint=joint --task task.toml --keep 0.6 --min-tokens 1 \
                 --speed-rows 6 --output compared";
    let printed = world.succeed(words);
    assert!(
        printed.contains("Against plain, joint") && printed.contains("compared/report.html"),
        "{printed}"
    );
    let results = world.results("compared");
    let findings = array(&results["findings"]);
    let found = |part: &str| findings.iter().any(|of| of.as_str().unwrap().contains(part));
    assert!(found("recompute keeps") && found("on these 6 texts"), "{findings:?}");
    for name in ["plain", "joint"] {
        let model = &results["models"][name];
        assert_eq!(array(&model["agreement_per_exit"]).len(), LAYERS);
        assert_eq!(array(&model["agreement_per_exit"])[LAYERS - 1], 1.0);
        let trials = array(&model["trials"]["trials"]);
        for trial in trials {
            let way = &trial["way"];
            assert_eq!(trial["lossless"], way["kind"] == "speculation");
            // Ideal exits and exact keys and values change nothing; neither does speculation.
            let is_exact = way["gate"] == "ideal" && way["kv"] == "deferred";
            if is_exact || way["kind"] == "speculation" {
                assert_eq!(trial["fidelity"]["same_tokens"], true, "{way}");
            }
            assert_eq!(array(&trial["texts"]["outputs"]).len(), 6);
        }
        let opened = array(&model["notices"]).iter();
        let shut = opened.filter(|notice| notice.as_str().unwrap().contains("cannot open")).count();
        // Three policies with ideal exits, cut off at one depth and with each gate that opens and each head, and
        // speculation.
        let per_gate = trials.len() - 1 - 3 - 3;
        let cuts = trials.iter().filter(|trial| {
            trial["way"]["gate"].as_str().is_some_and(|gate| gate.starts_with("fixed:"))
        });
        assert_eq!(cuts.count(), 3);
        let qualities = array(&model["qualities"]);
        assert_eq!(qualities.len(), trials.len());
        for (quality, trial) in qualities.iter().zip(trials) {
            assert_eq!(quality.is_null(), trial["lossless"].as_bool().unwrap());
            // Six texts tell of nothing that it keeps 60 %, let alone of all ways at once.
            assert_ne!(quality["kept"], "yes");
        }
        assert_eq!(per_gate % (4 - shut).max(1), 0, "{} trials", trials.len());
        let gates = model["gates"].as_object().unwrap();
        assert_eq!(gates.len(), 5);
        // The model cut off stands there even where that keeps too little.
        for (name, gate) in gates.iter().filter(|(name, _)| *name != "fixed") {
            let is_shut = gate["average_exit"] == 5.0;
            assert!(is_shut || number(&gate["equal_share"]) >= 0.6, "{name}");
        }
    }
    // What `ideal` says of the same trace is what the comparison says.
    world.succeed("ideal --trace compared/traces/plain.parquet --output again");
    let again = world.results("again");
    assert_eq!(again["summaries"][0]["ideal"], results["models"]["plain"]["summary"]["ideal"]);
    for name in ["report.md", "live.csv", "policies.csv", "gates.csv", "places.csv", "table1.csv"] {
        assert!(world.path("compared").join(name).is_file(), "{name}");
    }
    let page = world.read("compared/report.html");
    for part in ["Table 1", "Figure 9", "K/V policies alone", "lossless"] {
        assert!(page.contains(part), "{part}");
    }
    for foreign in ["<script", "<link", "src=", "url(", "@import"] {
        assert!(!page.contains(foreign), "the page is not self-contained: {foreign}");
    }
}

#[test]
fn divergence_by_position_follows_from_the_texts() {
    let world = world();
    let words =
        "compare --model plain=plain --task task.toml --keep 0.6 --min-tokens 1 --speed-rows 5";
    world.succeed(&format!("{words} --output compared"));
    let results = world.results("compared");
    let trials = &results["models"]["plain"]["trials"];
    let ideal = array(&trials["trials"])
        .iter()
        .find(|trial| trial["way"]["gate"] == "ideal" && trial["way"]["kv"] == "copy");
    let tokens = |texts: &Value| -> Vec<Vec<u64>> {
        let of = |output: &Value| {
            array(&output["tokens"]).iter().map(|token| token.as_u64().unwrap()).collect()
        };
        array(&texts["outputs"]).iter().map(of).collect()
    };
    let (ours, full) = (tokens(&ideal.unwrap()["texts"]), tokens(&trials["plain"]));
    let table = world.read("compared/places.csv");
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let of_copy: Vec<&Vec<&str>> =
        rows.iter().filter(|row| row[1] == "ideal" && row[2] == "copy").collect();
    let longest = ours.iter().chain(&full).map(Vec::len).max().unwrap();
    assert_eq!(of_copy.len(), longest);
    for (position, row) in of_copy.into_iter().enumerate() {
        let equal = ours.iter().zip(&full).filter(|(ours, full)| {
            position < ours.len() && ours.get(position) == full.get(position)
        });
        assert_eq!(row[5], equal.count().to_string(), "position {position}");
    }
}

#[test]
fn a_recommendation_is_what_was_measured() {
    let world = world();
    let words = "recommend --model plain --task task.toml --min-tokens 1 --rounds 3 --live-rows 5 --tries 5 --keep 0.4";
    let printed = world.succeed(&format!("{words} --output advice"));
    let found = world.results("advice");
    assert_eq!((&found["calibration_texts"], &found["held_out_texts"]), (&8.into(), &8.into()));
    let trials = array(&found["trials"]["trials"]);
    let (findings, judged) = (array(&found["findings"]), array(&found["judged"]));
    assert_eq!(trials.len(), array(&found["tried"]).len());
    assert!((1..=5).contains(&trials.len()));
    assert!((trials.len(), findings.len()) == (judged.len(), judged.len()));
    let plain = array(&found["trials"]["plain_timed"]);
    let seconds = |timed: &[Value]| -> f64 {
        let median = |of: &Value| {
            let mut seconds: Vec<f64> = array(&of["seconds"]).iter().map(number).collect();
            seconds.sort_by(f64::total_cmp);
            seconds[1]
        };
        timed.iter().map(median).sum()
    };
    for ((trial, finding), judged) in trials.iter().zip(findings).zip(judged) {
        // What it follows from is stored: three rounds of five texts, of as many tokens as plain decoding's.
        let timed = array(&trial["timed"]);
        assert_eq!(timed.len(), 5);
        for (ours, theirs) in timed.iter().zip(plain) {
            assert_eq!(ours["tokens"], theirs["tokens"]);
        }
        let speed_up = number(&finding["speed_up"]);
        assert!((speed_up - seconds(plain) / seconds(timed)).abs() < 1e-9 * speed_up);
        // One of five is surely faster by less than one alone would be.
        let [low, high] = [0, 1].map(|at: usize| number(&trial["speed_up_interval"][at]));
        let at_least = number(&finding["at_least"]);
        assert!(0.0 < at_least && at_least <= low && low <= speed_up && speed_up <= high);
        // Three texts are left to judge quality on, which tell nothing, whatever they look like.
        if !judged.is_null() {
            assert_eq!((&judged["texts"], &judged["kept"]), (&3.into(), &"unknown".into()));
            assert_eq!(array(&trial["further"]["outputs"]).len(), 3);
        }
    }
    match found["verdict"]["use"].as_str().unwrap() {
        "plain" => assert!(printed.contains("Do not use early exit here"), "{printed}"),
        kind => {
            assert_eq!(kind, "speculation", "no true early exit is recommended on three texts");
            assert!(
                printed.contains("ee-eval speculate ") && printed.contains("95 %"),
                "{printed}"
            );
        }
    }
    let table = world.read("advice/recommend.csv");
    assert!(table.starts_with("kind,") && table.contains("surely at least,"), "{table}");
    for name in ["recommend.csv", "candidates.csv", "parts.csv", "report.html", "trace.parquet"] {
        assert!(world.path("advice").join(name).is_file(), "{name}");
    }
    // The trace that was made serves again, and is refused for another model. One round decides nothing.
    let once = words.replace("--rounds 3", "--rounds 1");
    let printed = world.succeed(&format!("{once} --trace advice/trace.parquet"));
    assert!(printed.contains("Do not use early exit here"), "{printed}");
    let other = words.replace("--model plain", "--model joint");
    world.fail(&format!("{other} --trace advice/trace.parquet"), 1, &["checkpoint_sha256"]);
}

#[test]
fn without_references_the_full_model_is_what_texts_are_compared_with() {
    let world = world();
    let task = "name = \"bare\"\nkind = \"generation\"\nformat = \"jsonl\"\nprompt = \"Say {text}:\"\n\
                max_new_tokens = 10\ndata_dir = \".\"\n[splits.dev]\nfiles = [\"dev.jsonl\"]\n";
    world.write("bare.toml", task);
    let words = "recommend --model plain --task bare.toml --min-tokens 1 --rounds 3 --live-rows 3 --tries 4";
    world.succeed(&format!("{words} --output advice"));
    let found = world.results("advice");
    assert!(array(&found["trials"]["metrics"]).is_empty());
    let table = world.read("advice/recommend.csv");
    assert!(table.contains("equal tokens, of full"), "{table}");
}

/// A gate that is one number for all exits, as `ee-train gate` writes them.
fn gate(folder: &Path) {
    let header = r#"{"weight":{"dtype":"F32","shape":[1,32],"data_offsets":[0,128]},"bias":{"dtype":"F32","shape":[1],"data_offsets":[128,132]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let weight = (0..32).map(|at| if at % 3 == 0 { 0.5_f32 } else { -0.25 });
    bytes.extend(weight.chain([0.1]).flat_map(f32::to_le_bytes));
    std::fs::write(folder.join("gate.safetensors"), bytes).unwrap();
}

#[test]
fn gates_on_states_and_thresholds_that_decay_are_looked_at() {
    let world = world();
    let words = "recommend --model plain --task task.toml --keep 0.3 --min-tokens 1 --rounds 1 --live-rows 2 --tries 10";
    let gates = |folder: &str| -> Vec<(String, String)> {
        let found = world.results(folder);
        let ways = array(&found["candidates"]).iter().map(|of| &of["way"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ways.map(|way| (text(&way["gate"]), text(&way["head"]))).collect()
    };
    let has = |gates: &[(String, String)], name: &str, decays: bool| {
        let is = |gate: &str| gate.starts_with(name) && gate.ends_with("@decay") == decays;
        gates.iter().any(|(gate, _)| is(gate))
    };
    world.succeed(&format!("{words} --output without"));
    let without = gates("without");
    assert!(has(&without, "cosine:", false) && has(&without, "cosine:", true), "{without:?}");
    assert!(has(&without, "confidence:", true) && !has(&without, "learned:", false));
    gate(&world.path("plain"));
    world.succeed(&format!("{words} --trace without/trace.parquet --output with"));
    let with = gates("with");
    assert!(has(&with, "learned:", false) && has(&with, "learned:", true), "{with:?}");
    for (gate, head) in &with {
        let reads_states = gate.starts_with("cosine") || gate.starts_with("learned");
        assert_eq!(head == "gate", reads_states, "{gate} with {head}");
    }
    // One of them is tried, and the parts say what asking it takes.
    let found = world.results("with");
    let tried = array(&found["trials"]["trials"]).iter().map(|trial| trial["way"]["head"].as_str());
    assert!(tried.flatten().any(|head| head == "gate"));
    let parts = world.read("with/parts.csv");
    assert!(parts.contains("asking cosine, first") && parts.contains("asking learned, later"));
    world.write("plain/gate.safetensors", "no gate");
    world.fail(&format!("{words} --trace without/trace.parquet"), 1, &["gate.safetensors"]);
}

#[test]
fn what_cannot_be_recommended_is_explained() {
    let world = world();
    let words = "recommend --model plain --task task.toml";
    world.fail(
        &format!("{words} --min-tokens 10"),
        1,
        &["more than 10 new tokens", "--min-tokens"],
    );
    world.fail(&format!("{words} --limit 1"), 1, &["at least 2 examples", "found 1"]);
    world.fail(&format!("{words} --keep 1.5"), 2, &["a share above 0"]);
    fixture::task(world.folder(), &["no", "yes"]);
    world.fail(words, 2, &["generated text", "ee-eval compare"]);
    let compare = "compare --model a=plain --task echo.toml --output o --speed-batch 1,2";
    let task = "name = \"echo\"\nkind = \"generation\"\nformat = \"jsonl\"\nprompt = \"{text}\"\n\
                references = [\"text\"]\nmetrics = [\"chrf\"]\nmax_new_tokens = 10\n\
                data_dir = \".\"\n[splits.dev]\nfiles = [\"dev.jsonl\"]\n";
    world.write("echo.toml", task);
    world.fail(compare, 2, &["--speed-batch", "one size"]);
}
