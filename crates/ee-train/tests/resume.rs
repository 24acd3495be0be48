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
        let seconds = duration * generator.random_range(0.1..0.9);
        kills += usize::from(playground.killed("killed", &flags, seconds));
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
    let facts = fs::read_to_string(playground.path("broken/run.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    let unfinished = checkpoints.join(format!(".unfinished-{}", facts["id"].as_str().unwrap()));
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("model.safetensors"), "half").unwrap();
    fs::create_dir(checkpoints.join("step-00000099")).unwrap();
    fs::write(checkpoints.join("step-00000099/model.safetensors"), "whose is this?").unwrap();
    // Killed while it removed an older one, after the last one was written.
    let last = playground.path("broken/last");
    let state = fs::read_to_string(last.join("training_state.json")).unwrap();
    playground.write(
        "broken/checkpoints/step-00000001/training_state.json",
        state.replace("\"step\": 32,", "\"step\": 1,"),
    );
    playground.write("broken/checkpoints/step-00000001/vocab.txt", "");
    playground.write("broken/checkpoints/step-00000003/vocab.txt", "not known to be ours");
    fs::create_dir(checkpoints.join("step-00000002")).unwrap();
    fs::remove_file(playground.path("broken/best")).unwrap();
    let best = fs::read_link(playground.path("whole/best")).unwrap();
    let resumed = playground.train("broken", &["--resume"]);
    succeeded(&resumed);
    assert!(!unfinished.exists());
    assert!(!checkpoints.join("step-00000001").exists());
    assert!(!checkpoints.join("step-00000002").exists());
    assert!(checkpoints.join("step-00000003/vocab.txt").exists());
    assert!(checkpoints.join("step-00000099/model.safetensors").exists());
    assert!(stderr(&resumed).contains("step-00000099"), "{}", stderr(&resumed));
    assert_eq!(fs::read_link(playground.path("broken/best")).unwrap(), best);
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

/// Trains `n` steps of a run that goes on if asked to: neither the rate nor the order of the examples
/// depends on the number of steps.
fn steps(n: usize) -> [String; 6] {
    let set = |value: String| ["--set".to_owned(), value];
    let [a, b] = set(format!("training.max_steps={n}"));
    let [c, d] = set("schedule.kind=constant".to_owned());
    let [e, f] = set("training.evaluate_every_steps=2".to_owned());
    [a, b, c, d, e, f]
}

fn train_steps(playground: &Playground, run: &str, n: usize, resume: bool) -> std::process::Output {
    let flags = steps(n);
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    if resume {
        flags.push("--resume");
        let path = playground.path(run).join("config.toml");
        if let Ok(config) = fs::read_to_string(&path) {
            let longer = format!("max_steps = {n}");
            fs::write(path, config.replace("max_steps = 5", &longer)).unwrap();
        }
    }
    playground.train(run, &flags)
}

/// What a bash command does to a run of five steps in `run`; it may be renamed.
fn changed(playground: &Playground, script: &str) {
    succeeded(&train_steps(playground, "run", 5, false));
    let output = std::process::Command::new("bash")
        .args(["-ec", script])
        .current_dir(playground.path("."))
        .output()
        .unwrap();
    succeeded(&output);
}

#[test]
fn a_copy_without_its_links_goes_on() {
    let ways = [
        "find run -type l -delete",
        "cp -rL run copy; rm -r run; mv copy run",
        "cp -rL run copy; rm -r run copy/checkpoints; mv copy run",
        "for name in last best; do target=$(readlink run/$name); rm run/$name; printf $target > run/$name; done",
        "ln -sfn checkpoints/step-00000077 run/last; rm run/best",
        "mkdir elsewhere; mv run elsewhere/run; mv elsewhere/run run",
        "rm run/best run/run.json",
        "sed -i '/first_checkpoint/d; s/^  \"id\".*//' run/run.json; find run -type l -delete",
        "mkdir run/checkpoints/step-00000009; echo '{' > run/checkpoints/step-00000009/training_state.json; rm run/last",
    ];
    let playground = Playground::new();
    succeeded(&train_steps(&playground, "whole", 9, false));
    for way in ways {
        changed(&playground, way);
        let resumed = train_steps(&playground, "run", 9, true);
        succeeded(&resumed);
        let message = stderr(&resumed);
        assert!(message.contains("going on after step 5"), "{way}: {message}");
        assert!(playground.weights("run") == playground.weights("whole"), "{way}");
        for link in ["last", "best"] {
            let link = playground.path("run").join(link);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{way}: {}", link.display());
            assert!(link.join("model.safetensors").is_file(), "{way}: {}", link.display());
        }
        fs::remove_dir_all(playground.path("run")).unwrap();
    }
}

#[test]
fn without_a_whole_checkpoint_nothing_is_begun_anew() {
    let ways = [
        ("rm run/checkpoints/*/optimizer.safetensors", "optimizer.safetensors"),
        ("truncate -s 100 run/last/model.safetensors", "model.safetensors: 100 bytes, expected"),
        ("rm run/last/vocab.txt", "vocab.txt"),
        ("rm -r run/checkpoints", "last leads to no checkpoint"),
        ("rm -r run/checkpoints run/last run/best", "has written checkpoints before"),
        (
            "rm -r run/checkpoints run/last run/best; sed -i '/first_checkpoint/d' run/run.json",
            "before",
        ),
        (
            "for state in run/checkpoints/*/training_state.json; do truncate -s 20 $state; done",
            "training_state",
        ),
        (
            "sed -i 's/\"run\": \".*\"/\"run\": \"another\"/' run/checkpoints/*/training_state.json",
            "another run's",
        ),
        ("mv run/checkpoints/step-00000005 run/checkpoints/step-00000006", "state of step 5"),
    ];
    let playground = Playground::new();
    for (way, part) in ways {
        changed(&playground, way);
        // The best checkpoint has no moments; where it is a different one it does not help.
        let list = || {
            let list = std::process::Command::new("bash")
                .args(["-c", "find run | sort; cat $(find run -name '*.json*' -o -name '*.safetensors' | sort) | md5sum"])
                .current_dir(playground.path("."))
                .output();
            list.unwrap().stdout
        };
        let before = list();
        let refused = train_steps(&playground, "run", 9, true);
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{way}: {message}");
        assert!(
            message.contains("no whole checkpoint") && message.contains(part),
            "{way}: {message}"
        );
        assert!(list() == before, "{way}");
        fs::remove_dir_all(playground.path("run")).unwrap();
    }
}

#[test]
fn the_first_checkpoint_need_not_be_reached() {
    let playground = Playground::new();
    succeeded(&playground.train("undisturbed", &[]));
    // One checkpoint at the end of the first epoch: this is killed before it.
    let mut command = playground.command("killed", &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !playground.path("killed/log.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = playground.train("killed", &["--resume"]);
    succeeded(&resumed);
    assert!(playground.weights("killed") == playground.weights("undisturbed"));
    assert_eq!(playground.log("killed"), playground.log("undisturbed"));
}

#[test]
fn ctrl_c_before_the_first_step_leaves_a_run_that_goes_on() {
    let playground = Playground::new();
    succeeded(&playground.train("undisturbed", &[]));
    let data = fs::read(playground.path("dev.tsv")).unwrap();
    // Reading waits here until the signal has come.
    let pipe = playground.path("dev.tsv");
    fs::remove_file(&pipe).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut command = playground.command("run", &[]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let interrupt =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    std::io::Write::write_all(&mut writer, &data).unwrap();
    drop(writer);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted after step 0"), "{}", stderr(&output));
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, data).unwrap();
    succeeded(&playground.train("run", &["--resume"]));
    assert!(playground.weights("run") == playground.weights("undisturbed"));
    assert_eq!(playground.log("run"), playground.log("undisturbed"));
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
