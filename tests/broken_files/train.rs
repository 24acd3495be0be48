//! Broken run files and run folders, read as `ee-train` reads them; see `eval.rs` for how to try many.

mod campaign;
mod memory;
mod mutate;
#[path = "../../crates/ee-train/tests/playground/mod.rs"]
mod playground;

use std::path::Path;

use campaign::{Case, run};
use ee_train::config::{Overrides, RunConfig};
use ee_train::plan::MemoryPlan;
use ee_train::prepare::prepare;
use mutate::Kind;
use playground::{Playground, succeeded};

fn told(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

fn config(path: &Path) -> Result<RunConfig, String> {
    RunConfig::read(path, &Overrides::default()).map_err(told)
}

/// A run file is read, planned for, and readied.
fn run_file(folder: &Path) -> Result<(), String> {
    let config = config(&folder.join("run.toml"))?;
    MemoryPlan::new(&config).map_err(told)?;
    prepare(config, &folder.join("new"), false).map(|_| ()).map_err(told)
}

#[test]
fn broken_files_are_read_or_refused_by_name() {
    let playground = Playground::new();
    succeeded(&playground.train("run", &["--set", "training.max_steps=3"]));
    let root = playground.path("");
    let sound = root.join("run.toml");
    let text = std::fs::read_to_string(&sound).unwrap();
    std::fs::write(&sound, text + "max_steps = 3\n").unwrap();
    let of_run = |name, file, kind| {
        let sound = sound.clone();
        let resume = move |folder: &Path| {
            prepare(config(&sound)?, &folder.join("run"), true).map(|_| ()).map_err(told)
        };
        let read = Box::new(resume);
        // A checkpoint is named by its folder where its files do not fit each other.
        let (folder, hostile) = (root.clone(), Vec::new());
        Case { name, folder, file, kind, or_named: &["/run"], writes: true, hostile, read }
    };
    run(&[
        Case {
            name: "run file",
            folder: root.clone(),
            file: "run.toml",
            kind: Kind::Text,
            // Files that it names are named for themselves.
            or_named: &["broken-files"],
            writes: true,
            hostile: Vec::new(),
            read: Box::new(run_file),
        },
        of_run("training state", "run/last/training_state.json", Kind::Json),
        of_run("moments", "run/last/optimizer.safetensors", Kind::Safetensors),
        of_run("checkpoint weights", "run/last/model.safetensors", Kind::Safetensors),
        of_run("checkpoint config", "run/last/config.json", Kind::Json),
        of_run("training facts", "run/last/ee_training.json", Kind::Json),
        of_run("log", "run/log.jsonl", Kind::JsonLines),
        of_run("run facts", "run/run.json", Kind::Json),
        of_run("resolved run file", "run/config.toml", Kind::Text),
    ]);
}
