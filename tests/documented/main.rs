//! The project's documentation is executed: run files are planned, and the README's commands
//! run on small models and data.

mod world;

use std::fs;
use std::path::Path;
use std::time::Instant;

use ee_train::config::{Overrides, RunConfig};
use ee_train::plan::MemoryPlan;

use world::{World, succeeded};

/// A block of commands and the line of the README at which it begins.
struct Block {
    line: usize,
    script: String,
}

/// The README's blocks for a shell.
fn blocks() -> Vec<Block> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        match line {
            "```sh" => {
                is_open = true;
                blocks.push(Block { line: number + 2, script: String::new() });
            }
            "```" => is_open = false,
            _ if is_open => {
                let block = blocks.last_mut().unwrap();
                block.script += &format!("{line}\n");
            }
            _ => {}
        }
    }
    blocks
}

/// A command without what stands in square brackets, and where it has some, once more with it.
fn variants(script: &str) -> Vec<String> {
    let mut variants = Vec::new();
    for command in script.replace("\\\n", " ").split_inclusive('\n') {
        let optional = command.split_once(" [").and_then(|(before, rest)| {
            let (inside, after) = rest.split_once(']')?;
            Some((format!("{before}{after}"), format!("{before} {inside}{after}")))
        });
        match optional {
            Some((without, with)) if !command.contains("$") => variants.extend([without, with]),
            _ => variants.push(command.to_owned()),
        }
    }
    variants
}

#[test]
fn the_readmes_commands_run() {
    let world = World::new();
    for Block { line, script } in blocks() {
        let started = Instant::now();
        let script = variants(&script).concat();
        let output =
            world.bash(&format!("rm -rf ideal gates report certificate advice texts\n{script}"));
        eprintln!("README.md:{line}: {:.1} s", started.elapsed().as_secs_f64());
        succeeded(&format!("README.md:{line}:\n{script}"), &output);
    }
}

#[test]
fn every_run_file_is_planned() {
    let world = World::new();
    let folder = world.path("configs/train");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut overrides = Overrides::default();
        if text.contains("tokenizer = \"tokenizer\"") {
            overrides.set.push(format!("model.tokenizer={}", world.path("TOKENIZER").display()));
        }
        if !text.contains("[model]") {
            let is_text = text.contains("alpaca.toml");
            overrides.model = Some(world.path(if is_text { "LLAMA" } else { "CHECKPOINT" }));
        }
        let config = RunConfig::read(&path, &overrides).unwrap_or_else(|error| panic!("{error}"));
        let plan = MemoryPlan::new(&config).unwrap_or_else(|error| panic!("{error}"));
        assert!(plan.total() > 0.0, "{}", path.display());
    }
}
