//! What `ee-train plan` says against what runs take.

mod playground;

use playground::{Playground, stderr, succeeded};

/// A run on running text whose rows are as long as the plan assumes.
fn text(sizes: &str, length: usize) -> Playground {
    let playground = Playground::new();
    playground.letters();
    playground.write("text.txt", "abcdefgh\n".repeat(2400));
    playground.write(
        "run.toml",
        format!(
            "[model]\ntokenizer = 'letters'\npositions = 512\n{sizes}\n\
             [task]\ntext = ['text.txt']\nvalidation_text = ['text.txt']\nmax_length = {length}\n\
             validation_limit = 1\n[training]\nbatch = 8\nevaluation_batch = 1\nmax_steps = 3\nsample_tokens = 0\n"
        ),
    );
    playground
}

fn planned_mib(playground: &Playground, more: &[&str]) -> f64 {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
    command.arg("plan").arg("--config").arg(playground.path("run.toml")).args(more);
    let output = command.output().unwrap();
    succeeded(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("on each device")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// The most memory that a run took.
fn peak_mib(playground: &Playground, output: &str) -> f64 {
    let log = std::fs::read_to_string(playground.path(output).join("log.jsonl")).unwrap();
    let peaks = log.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["clock"]["peak_memory_mib"].as_f64()
    });
    peaks.fold(0.0, f64::max)
}

#[test]
fn plans_are_within_a_tenth_of_what_runs_take() {
    let wide = "layers = 6\nd_model = 320\nheads = 5\ninner = 864";
    let deep = "layers = 12\nd_model = 192\nheads = 6\nkv_heads = 2\ninner = 512";
    for (name, sizes, length) in [("wide", wide, 256), ("deep", deep, 384)] {
        let playground = text(sizes, length);
        let runs = [
            ("joint", &[][..]),
            ("checkpointed", &["--set", "training.gradient_checkpointing=true"]),
            ("rounded", &["--set", "precision=bf16"]),
        ];
        for (run, more) in runs.into_iter().take(if name == "wide" { 3 } else { 1 }) {
            // A joint run takes what a plain one takes: a plan need not be told.
            // What threads free and take at once moves a peak by a fifth where layers run again: the middle of three.
            let times = if run == "checkpointed" { 3 } else { 1 };
            let mut peaks: Vec<f64> = (0..times)
                .map(|time| {
                    let output = format!("{run}-{time}");
                    succeeded(&playground.train(&output, &[&["--joint"], more].concat()));
                    peak_mib(&playground, &output)
                })
                .collect();
            peaks.sort_by(f64::total_cmp);
            let measured = peaks[times / 2];
            let ratio = planned_mib(&playground, more) / measured;
            eprintln!("{name}, {run}: planned / measured = {ratio:.3} of {measured:.0} MiB");
            assert!((0.9..=1.1).contains(&ratio), "{name}, {run}: {ratio} of {measured} MiB");
        }
    }
}

#[test]
fn a_run_that_does_not_fit_is_told_what_to_change() {
    let playground = text("layers = 6\nd_model = 320\nheads = 5", 256);
    let plan = |memory: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
        command.args(["plan", "--memory", memory, "--config"]);
        command.arg(playground.path("run.toml")).output().unwrap()
    };
    let fits = plan("8GiB");
    succeeded(&fits);
    assert!(String::from_utf8(fits.stdout).unwrap().contains("fits 8.0 GiB"));
    let too_small = plan("200MiB");
    assert_eq!(too_small.status.code(), Some(1));
    let text = String::from_utf8(too_small.stdout.clone()).unwrap();
    assert!(text.contains("--set training.gradient_checkpointing=true"), "{text}");
    assert!(stderr(&too_small).contains("0.20 GiB are there"), "{}", stderr(&too_small));
    let hopeless = plan("1MiB");
    assert!(String::from_utf8(hopeless.stdout).unwrap().contains("no setting makes it fit"));
    assert_eq!(plan("eighty").status.code(), Some(2));
}

#[test]
fn no_size_overflows_and_none_is_taken_for_granted() {
    let playground = text("layers = 2\nd_model = 64\nheads = 1", 64);
    let run = |verb: &[&str], sets: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ee-train"));
        command.args(verb).arg("--config").arg(playground.path("run.toml"));
        sets.iter().for_each(|set| _ = command.args(["--set", set]));
        command.output().unwrap()
    };
    let plan = &["plan", "--memory", "1GiB"][..];
    // Sizes that wrap to nothing in 64 bits, and a billion layers that are never built.
    for sets in [
        &["model.layers=1000000000", "model.d_model=536870912", "model.heads=8388608"][..],
        &["model.layers=2147483647"],
        &["model.inner=2147483647", "model.layers=1073741824"],
        &["lora.rank=2147483647", "model.layers=2147483647"],
        &["training.batch=2147483647", "task.max_length=2147483647", "model.positions=2147483647"],
    ] {
        let planned = run(plan, sets);
        let printed = String::from_utf8(planned.stdout.clone()).unwrap();
        assert_eq!(planned.status.code(), Some(1), "{sets:?}: {printed}");
        assert!(printed.contains("does not fit 1.0 GiB"), "{sets:?}: {printed}");
    }
    for (key, size) in [
        ("model.layers", "9223372036854775807"),
        ("model.d_model", "4294967296"),
        ("model.inner", "1000000000000"),
        ("model.positions", "4294967296"),
        ("lora.rank", "4294967296"),
        ("task.max_length", "4294967296"),
    ] {
        for verb in [plan, &["--output", "never"]] {
            let refused = run(verb, &[&format!("{key}={size}")]);
            assert_eq!(refused.status.code(), Some(2), "{key}: {}", stderr(&refused));
            let expected = format!("expected at most 2147483647, found {size}");
            assert!(stderr(&refused).contains(&expected), "{key}: {}", stderr(&refused));
        }
    }
    let trained = |sets: &[&str]| run(&["--output", "never"], sets);
    let huge = trained(&["model.layers=1000000000"]);
    assert!(stderr(&huge).contains("billion parameters take"), "{}", stderr(&huge));
    let rank = trained(&["lora.rank=1000000"]);
    assert!(stderr(&rank).contains("rank 1000000 is above both sides of"), "{}", stderr(&rank));
}
