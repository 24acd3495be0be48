//! The run folder: what a run leaves, and whether it may go on there.
//!
//! `config.toml` is the resolved run file, `run.json` the facts of its start, `log.jsonl` and the event
//! file the log, `last` and `best` links to checkpoints. A folder holds one run: beginning another one in
//! it is refused, and so is continuing with another configuration; both name what is in the way.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::RunConfig;
use crate::error::{Error, Result};

/// The version of Burn that the workspace pins.
pub const BURN_VERSION: &str = "0.22.1";

const CONFIG: &str = "config.toml";
const FACTS: &str = "run.json";

/// Refuses a folder that holds another run, or, to a run that continues, the same run with another
/// configuration.
///
/// # Errors
/// As said; the message names the keys that differ.
pub fn check(folder: &Path, config: &RunConfig, resume: bool) -> Result<()> {
    let path = folder.join(CONFIG);
    if !path.exists() {
        return Ok(());
    }
    if !resume {
        return Err(Error::Mismatch(format!(
            "{} already holds a run: continue it with --resume or choose another --output",
            folder.display()
        )));
    }
    let text = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
    let earlier: toml::Table = text.parse().map_err(|error| Error::broken(&path, error))?;
    let now: toml::Table = config.to_toml().parse().expect("a resolved configuration is TOML");
    let mut differences = Vec::new();
    compare("", &earlier, &now, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "{} was begun with another configuration:\n  {}",
        folder.display(),
        differences.join("\n  ")
    )))
}

/// Lists the keys in which two tables differ.
fn compare(prefix: &str, earlier: &toml::Table, now: &toml::Table, differences: &mut Vec<String>) {
    let mut keys: Vec<&String> = earlier.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (earlier.get(key), now.get(key)) {
            (Some(toml::Value::Table(earlier)), Some(toml::Value::Table(now))) => {
                compare(&name, earlier, now, differences);
            }
            (earlier, now) if earlier != now => {
                let show = |value: Option<&toml::Value>| {
                    value.map_or_else(|| "absent".to_owned(), toml::Value::to_string)
                };
                differences.push(format!("{name}: was {}, is {}", show(earlier), show(now)));
            }
            _ => {}
        }
    }
}

/// Writes the resolved configuration and the facts of this start.
///
/// # Errors
/// When the folder cannot be written.
pub fn begin(folder: &Path, config: &RunConfig, resumed_at: Option<u64>) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let path = folder.join(FACTS);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut facts = match resumed_at {
        Some(_) => read_facts(&path)?,
        None => facts(config, &now),
    };
    if let Some(step) = resumed_at
        && let Some(resumed) = facts.get_mut("resumed").and_then(Value::as_array_mut)
    {
        resumed.push(json!({ "step": step, "at": now }));
    }
    let mut text = serde_json::to_string_pretty(&facts).expect("JSON values always serialize");
    text.push('\n');
    replace(&path, &text)?;
    replace(&folder.join(CONFIG), &config.to_toml())
}

fn facts(config: &RunConfig, now: &str) -> Value {
    json!({
        "started": now,
        "resumed": [],
        "seed": config.seed,
        "objective": config.objective,
        "device": config.device,
        "commit": git(&["rev-parse", "HEAD"]),
        "uncommitted_changes": git(&["status", "--porcelain"]).map(|changes| !changes.is_empty()),
        "versions": { "ee-train": env!("CARGO_PKG_VERSION"), "burn": BURN_VERSION },
    })
}

fn read_facts(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(Error::io("cannot read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::broken(path, error))
}

/// What git says of the working directory, `None` outside a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Writes a file under another name and renames it into place.
fn replace(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    let written = fs::write(&next, text).and_then(|()| fs::rename(&next, path));
    if written.is_err() {
        // Half a file only takes space on a disk that may be full; the first error is the one to tell.
        let _ = fs::remove_file(&next);
    }
    written.map_err(Error::io("cannot write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_pins_the_version_that_runs_record() {
        let workspace = include_str!("../../../Cargo.toml");
        assert!(workspace.contains(&format!("burn = {{ version = \"={BURN_VERSION}\"")));
    }

    #[test]
    fn differences_are_named_by_key() {
        let earlier: toml::Table = "seed = 1\n[a]\nx = 1\ny = 2\n".parse().unwrap();
        let now: toml::Table = "seed = 1\n[a]\nx = 3\nz = 2\n".parse().unwrap();
        let mut differences = Vec::new();
        compare("", &earlier, &now, &mut differences);
        assert_eq!(
            differences,
            ["a.x: was 1, is 3", "a.y: was 2, is absent", "a.z: was absent, is 2"]
        );
    }
}
