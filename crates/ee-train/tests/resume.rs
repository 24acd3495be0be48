//! A run that is killed and resumed ends with the weights of one that never was.

mod playground;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use playground::{Playground, listing, stderr, succeeded};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Saves after every third step, so that most checkpoints lie within an epoch.
const OFTEN: [&str; 2] = ["--set", "training.checkpoint_every_steps=3"];

#[test]
fn sigkill_at_random_moments_changes_no_bit() {
    let playground = Playground::new();
    let started = Instant::now();
    succeeded(&playground.train("undisturbed", &OFTEN));
    let duration = started.elapsed().as_secs_f64();

    let mut generator = ChaCha8Rng::seed_from_u64(7);
    let flags = [OFTEN.as_slice(), &["--resume"]].concat();
    let mut kills = 0;
    for _ in 0..6 {
        let mut command = playground.command("killed", &flags);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(duration * generator.random_range(0.1..0.9)));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "every run was faster than its kill");
    succeeded(&playground.train("killed", &flags));

    assert!(playground.weights("killed") == playground.weights("undisturbed"));
    assert_eq!(playground.log("killed"), playground.log("undisturbed"));
    // Nothing is left over: the last checkpoint, and the best where it is another one.
    let link = |name: &str| fs::read_link(playground.path("killed").join(name)).unwrap();
    let linked: BTreeSet<String> = [link("last"), link("best")]
        .iter()
        .map(|link| link.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(listing(&playground.path("killed/checkpoints")), Vec::from_iter(linked));
}

#[test]
fn half_written_checkpoints_are_cleared_and_not_believed() {
    let playground = Playground::new();
    succeeded(&playground.train("whole", &[]));
    succeeded(&playground.train("broken", &[]));
    let checkpoints = playground.path("broken/checkpoints");
    fs::create_dir(checkpoints.join("unfinished")).unwrap();
    fs::write(checkpoints.join("unfinished/model.safetensors"), "half").unwrap();
    fs::create_dir(checkpoints.join("step-00000099")).unwrap();
    fs::remove_file(playground.path("broken/best")).unwrap();
    let best = fs::read_link(playground.path("whole/best")).unwrap();
    let last = fs::read_link(playground.path("whole/last")).unwrap();
    succeeded(&playground.train("broken", &["--resume"]));
    assert!(!checkpoints.join("unfinished").exists());
    assert!(!checkpoints.join("step-00000099").exists());
    if best == last {
        assert_eq!(fs::read_link(playground.path("broken/best")).unwrap(), best);
    }
    assert!(playground.weights("broken") == playground.weights("whole"));
}

#[test]
fn a_resumed_run_must_be_the_same_run() {
    let playground = Playground::new();
    succeeded(&playground.train("run", &[]));
    let again = playground.train("run", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--resume"), "{}", stderr(&again));
    let other = playground.train("run", &["--resume", "--seed", "7", "--joint"]);
    assert_eq!(other.status.code(), Some(1));
    let message = stderr(&other);
    assert!(message.contains("seed: was 42, is 7"), "{message}");
    assert!(message.contains("objective: was \"final\", is \"joint\""), "{message}");

    let data = fs::read_to_string(playground.path("train.tsv")).unwrap();
    playground.write("train.tsv", data.replace("film", "then"));
    let changed = playground.train("run", &["--resume"]);
    assert!(stderr(&changed).contains("training examples"), "{}", stderr(&changed));
}

#[test]
fn the_first_checkpoint_need_not_be_reached() {
    let playground = Playground::new();
    succeeded(&playground.train("undisturbed", &[]));
    succeeded(&playground.train("killed", &["--set", "training.max_steps=1"]));
    fs::remove_file(playground.path("killed/last")).unwrap();
    fs::remove_file(playground.path("killed/best")).unwrap();
    fs::copy(playground.path("undisturbed/config.toml"), playground.path("killed/config.toml"))
        .unwrap();
    let resumed = playground.train("killed", &["--resume"]);
    succeeded(&resumed);
    assert!(stderr(&resumed).contains("from the beginning"), "{}", stderr(&resumed));
    assert!(playground.weights("killed") == playground.weights("undisturbed"));
    assert_eq!(playground.log("killed"), playground.log("undisturbed"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_after_the_step_with_a_checkpoint() {
    let playground = Playground::new();
    let long = ["--set", "training.epochs=100000"];
    let mut command = playground.command("run", &long);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = playground.path("run/log.jsonl");
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let interrupt =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let state = fs::read_to_string(playground.path("run/last/training_state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let steps = playground.log("run").iter().filter(|line| line["kind"] == "step").count();
    assert_eq!(state["step"].as_u64(), Some(steps as u64));
}
