//! What a run does with the folder it is given: nothing that is there before it is changed, and one run at a
//! time works in a folder.

mod playground;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use playground::{Playground, listing, stderr, succeeded};

/// Everything in a folder, links by their targets.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let kind = fs::symlink_metadata(&path).unwrap();
            if kind.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.insert(name, target.as_os_str().as_encoded_bytes().to_vec());
            } else if kind.is_dir() {
                found.insert(name, Vec::new());
                folders.push(path);
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

const SHORT: [&str; 2] = ["--set", "training.max_steps=2"];

/// Starts a run that ends only when it is told to, and waits until `run.json` names its first checkpoint: from then on
/// the run leaves that file as it is.
fn endless(playground: &Playground, output: &str) -> std::process::Child {
    let mut command = playground.command(output, &["--set", "training.epochs=1000000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let facts = playground.path(output).join("run.json");
    // It stands there as null before.
    let is_named = |facts: &str| {
        let facts: serde_json::Value = serde_json::from_str(facts).unwrap_or_default();
        facts["first_checkpoint"].is_number()
    };
    while !fs::read_to_string(&facts).is_ok_and(|text| is_named(&text)) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn signal(name: &str, child: &std::process::Child) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_folder_of_others_is_refused_and_stays_as_it_is() {
    let playground = Playground::new();
    succeeded(&playground.train("base", &SHORT));
    playground.copy("base/last", "own-base/checkpoints/base");
    playground.write("own-base/checkpoints/notes/x", "precious");
    playground.copy("base/last", "model");
    playground.write("logs/log.jsonl", "{}\n");
    playground.write("logs/run.json", "{}\n");
    playground.write("site/config.toml", "title = 'a web site'\n");
    playground.write("file", "x");
    symlink(playground.path("logs"), playground.path("link-to-logs")).unwrap();
    let base = playground.path("own-base/checkpoints/base");
    let of_base = ["--model", base.to_str().unwrap()];
    let model = playground.path("model");
    let of_model = ["--model", model.to_str().unwrap()];
    let tiny = "[task]\nfile = 'task.toml'\nmax_length = 16\n[training]\nbatch = 8\n";
    let sizes = fs::read_to_string(playground.path("run.toml")).unwrap();
    let cases: [(&str, &str, &[&str], &str); 6] = [
        ("own-base", tiny, &of_base, "'checkpoints'"),
        ("model", tiny, &of_model, "'config.json'"),
        ("logs", &sizes, &[], "'log.jsonl'"),
        ("link-to-logs", &sizes, &[], "'log.jsonl'"),
        ("site", &sizes, &[], "site"),
        ("file", &sizes, &[], "not a folder"),
    ];
    for (output, run, model, part) in cases {
        playground.write("run.toml", run);
        let before = contents(&playground.path("."));
        for resume in [&[][..], &["--resume"]] {
            playground.refused(output, &[&SHORT, model, resume].concat(), 1, &[output, part]);
            assert!(contents(&playground.path(".")) == before, "{output} {resume:?} changed");
        }
    }
}

#[test]
fn an_empty_folder_a_link_to_one_and_a_place_within_the_model_are_taken() {
    let playground = Playground::new();
    fs::create_dir(playground.path("empty")).unwrap();
    symlink("empty", playground.path("link")).unwrap();
    succeeded(&playground.train("link", &SHORT));
    assert_eq!(fs::read_link(playground.path("link")).unwrap(), Path::new("empty"));
    assert!(playground.path("empty/last/model.safetensors").is_file());
    assert!(!playground.path("empty/.ee-lock").exists());

    let model = fs::canonicalize(playground.path("empty/last")).unwrap();
    let before = contents(&model);
    playground.write("run.toml", "[task]\nfile = 'task.toml'\nmax_length = 16\n");
    let flags = [&SHORT[..], &["--model", model.to_str().unwrap()]].concat();
    let within = model.strip_prefix(fs::canonicalize(playground.path(".")).unwrap()).unwrap();
    succeeded(&playground.train(within.join("run").to_str().unwrap(), &flags));
    let mut after = contents(&model);
    after.retain(|name, _| !name.starts_with("run"));
    assert!(after == before);
}

#[test]
fn what_others_put_among_the_checkpoints_stays() {
    let playground = Playground::new();
    let often = ["--set", "training.evaluate_every_steps=1", "--set", "schedule.kind=constant"];
    let steps = |n: usize| format!("training.max_steps={n}");
    succeeded(&playground.train("run", &[&often[..], &["--set", &steps(2)]].concat()));
    let at = |name: &str| playground.path("run/checkpoints").join(name);
    // A copy for keeping, notes, a checkpoint of another run under a name of ours, a file in one of ours.
    playground.copy("run/last", "run/checkpoints/kept");
    playground.copy("run/last", "run/checkpoints/step-00000001");
    let state = fs::read_to_string(at("step-00000001/training_state.json")).unwrap();
    let mine = playground.json("run/run.json");
    let state = state.replace(mine["id"].as_str().unwrap(), "another");
    playground.write("run/checkpoints/step-00000001/training_state.json", state);
    playground.write("run/checkpoints/notes", "precious");
    playground.write("run/checkpoints/step-00000002/gate.safetensors", "fitted on this one");
    let config = fs::read_to_string(playground.path("run/config.toml")).unwrap();
    playground.write("run/config.toml", config.replace("max_steps = 2", "max_steps = 9"));
    let (kept, other) = (contents(&at("kept")), contents(&at("step-00000001")));
    succeeded(&playground.train("run", &[&often[..], &["--set", &steps(9), "--resume"]].concat()));
    assert!(contents(&at("kept")) == kept && contents(&at("step-00000001")) == other);
    assert_eq!(fs::read(at("notes")).unwrap(), b"precious");
    assert_eq!(fs::read(at("step-00000002/gate.safetensors")).unwrap(), b"fitted on this one");
    let best = fs::read_link(playground.path("run/best")).unwrap();
    if !best.ends_with("step-00000002") {
        assert_eq!(listing(&at("step-00000002")), ["gate.safetensors"]);
    }
    succeeded(&playground.train("whole", &[&often[..], &["--set", &steps(9)]].concat()));
    assert!(playground.weights("run") == playground.weights("whole"));
}

#[test]
fn the_second_run_in_a_folder_hears_of_the_first() {
    let playground = Playground::new();
    let first = endless(&playground, "run");
    let before = fs::read(playground.path("run/run.json")).unwrap();
    for flags in [&["--seed", "5"][..], &["--resume", "--set", "training.epochs=1000000"]] {
        let holder = format!("in use by ee-train, process {} on ", first.id());
        playground.refused("run", flags, 1, &[&holder]);
    }
    assert_eq!(fs::read(playground.path("run/run.json")).unwrap(), before);
    // As clusters end jobs.
    signal("-TERM", &first);
    let output = first.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(playground.path("run/last/model.safetensors").is_file());
    assert!(!playground.path("run/.ee-lock").exists());
}

#[test]
fn a_killed_run_holds_no_folder() {
    let playground = Playground::new();
    let mut first = endless(&playground, "run");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(playground.path("run/.ee-lock").exists(), "what a killed run leaves");
    let mut resumed = playground.command("run", &["--set", "training.epochs=1000000", "--resume"]);
    let resumed = resumed.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = playground.path("run/.ee-lock");
    let holder = format!("process {} on", resumed.id());
    while !fs::read_to_string(&lock).is_ok_and(|text| text.contains(&holder)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal("-INT", &resumed);
    let output = resumed.wait_with_output().unwrap();
    assert!(stderr(&output).contains("interrupted after step"), "{}", stderr(&output));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let playground = Playground::new();
    symlink("/proc/self/no-such-place", playground.path("nowhere")).unwrap();
    playground.refused("nowhere", &SHORT, 1, &["nowhere"]);
}

#[test]
fn a_plan_has_no_flags_that_change_nothing() {
    let playground = Playground::new();
    for flags in [&["--seed", "5"][..], &["--joint"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ee-train"));
        command.args(["plan", "--config"]).arg(playground.path("run.toml")).args(flags);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(flags[0]), "{}", stderr(&output));
    }
}
