//! Neither readers that go away nor full disks behind the standard streams end training.

mod playground;

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use playground::{Playground, stderr, succeeded};

fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

/// A pipe without a reader.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Stdio::from(writer)
}

fn trains(playground: &Playground, name: &str, streams: impl Fn(&mut Command)) -> Output {
    let mut command = playground.command(name, &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    streams(&mut command);
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let steps = playground.log(name).iter().filter(|line| line["kind"] == "step").count();
    assert_eq!(steps, 32, "{name}");
    assert!(playground.path(name).join("best/model.safetensors").is_file(), "{name}");
    output
}

#[test]
fn a_training_outlives_whoever_looks_on() {
    let playground = Playground::new();
    for (name, error) in [("broken", broken as fn() -> Stdio), ("full", full)] {
        succeeded(&trains(&playground, name, |command| {
            command.stderr(error());
        }));
    }
    succeeded(&trains(&playground, "unread", |command| {
        command.stdout(broken());
    }));
    let lost = trains(&playground, "lost", |command| {
        command.stdout(full());
    });
    let message = stderr(&lost);
    assert_eq!(lost.status.code(), Some(1), "{message}");
    assert!(message.contains("error: cannot write to standard output: No space left"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn other_commands_end_well_without_a_reader_and_say_when_output_is_lost() {
    let playground = Playground::new();
    let run = playground.path("run.toml");
    let commands: [&[&str]; 4] = [
        &["plan", "--config", run.to_str().unwrap()],
        &[
            "bench",
            "encoder-train",
            "--layers",
            "1",
            "--dim",
            "16",
            "--seq",
            "4",
            "--batch",
            "1",
            "--steps",
            "1",
        ],
        &["--help"],
        &["--version"],
    ];
    for words in commands {
        let ends = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ee-train"));
            command.args(words).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
        };
        let unread = ends(broken());
        assert_eq!(unread.status.code(), Some(0), "{words:?}: {}", stderr(&unread));
        let lost = ends(full());
        assert!(!stderr(&lost).contains("panicked"), "{words:?}: {}", stderr(&lost));
        // clap prints help itself and is silent where it cannot.
        if !words[0].starts_with("--") {
            assert_eq!(lost.status.code(), Some(1), "{words:?}");
            assert!(stderr(&lost).contains("standard output"), "{words:?}: {}", stderr(&lost));
        }
    }
    let text = fs::read_to_string(&run).unwrap();
    playground.write("run.toml", text.replace("layers", "layerz"));
    let refused = playground.train("run", &[]);
    assert_eq!(refused.status.code(), Some(2));
}
