//! The run folder: what a run leaves, and whether it may continue there.
//!
//! `config.toml` is the resolved run file, `run.json` the facts of its start, `log.jsonl` and the event
//! file the log, `last` and `best` links to checkpoints. A folder holds one run: a folder that holds
//! anything else is refused, and so is beginning another run in it or continuing with another
//! configuration; all name what is in the way. One process at a time works in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use ee_files::FolderLock;
use serde_json::{Map, Value, json};

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::log;

/// The version of Burn that the workspace pins.
pub(crate) const BURN_VERSION: &str = "0.22.1";

const CONFIG: &str = "config.toml";
const FACTS: &str = "run.json";
/// The key of the step at which the first checkpoint was written.
const FIRST_CHECKPOINT: &str = "first_checkpoint";

/// What `run.json` holds.
type Facts = Map<String, Value>;

/// What this program is called where it holds a lock.
const PROGRAM: &str = "ee-train";

/// The lock of a run folder, where there is a folder.
pub(crate) fn lock(folder: &Path) -> Result<Option<FolderLock>> {
    Ok(if folder.is_dir() { Some(FolderLock::take(folder, PROGRAM)?) } else { None })
}

/// Makes a run folder that was not there, and locks it.
pub(crate) fn make(folder: &Path, config: &RunConfig) -> Result<FolderLock> {
    fs::create_dir_all(folder).map_err(Error::io("cannot create", folder))?;
    let lock = FolderLock::take(folder, PROGRAM)?;
    check(folder, config, false)?;
    Ok(lock)
}

/// Refuses a folder that holds another run or anything else, or, to a run that continues, the same run with
/// another configuration.
pub(crate) fn check(folder: &Path, config: &RunConfig, resume: bool) -> Result<()> {
    let path = folder.join(CONFIG);
    if !path.exists() {
        return check_empty(folder);
    }
    if !resume {
        return Err(Error::Mismatch(format!(
            "{} already holds a run: continue it with --resume or choose another --output",
            folder.display()
        )));
    }
    let text = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
    let mut earlier: toml::Table = text.parse().map_err(|error| Error::broken(&path, error))?;
    rename_earlier_keys(&mut earlier);
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

/// Keys of runs that an earlier version began, as they are called now.
fn rename_earlier_keys(earlier: &mut toml::Table) {
    if let Some(toml::Value::Table(training)) = earlier.get_mut("training")
        && let Some(value) = training.remove("recompute")
    {
        training.insert("gradient_checkpointing".to_owned(), value);
    }
}

/// Refuses what is neither absent nor an empty folder.
fn check_empty(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("cannot read", folder)(error)),
        Ok(found) if !found.is_dir() => {
            let message = format!("{} is not a folder: choose another --output", folder.display());
            return Err(Error::Mismatch(message));
        }
        Ok(_) => {}
    }
    match ee_files::foreign_entry(folder)? {
        None => Ok(()),
        Some(found) => {
            let expected = format!("a run folder (it has no {CONFIG})");
            Err(ee_files::Error::Foreign { folder: folder.to_owned(), found, expected }.into())
        }
    }
}

/// Which run a folder holds.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// A random name, in `run.json` and in the state file of every checkpoint.
    pub(crate) id: String,
    /// Whether the folder named none: it holds no run yet, or one of an earlier version.
    pub(crate) is_new: bool,
    /// Whether the run has written a checkpoint, as far as its folder says.
    pub(crate) has_saved: bool,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self { id: format!("{:016x}", rand::random::<u64>()), is_new: true, has_saved: false }
    }

    /// That of the run in a folder.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut identity = Self::new();
        let facts = read_facts(&folder.join(FACTS))?;
        if let Some(id) = facts.as_ref().and_then(|facts| facts.get("id")?.as_str()) {
            (identity.id, identity.is_new) = (id.to_owned(), false);
        }
        identity.has_saved = match facts.as_ref().and_then(|facts| facts.get(FIRST_CHECKPOINT)) {
            Some(step) => !step.is_null(),
            // An earlier version did not tell; its log does.
            None => fs::metadata(folder.join(log::NAME)).is_ok_and(|found| found.len() > 0),
        };
        Ok(identity)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

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
pub(crate) fn begin(
    folder: &Path,
    config: &RunConfig,
    identity: &Identity,
    resumed_at: Option<u64>,
) -> Result<()> {
    // First, because it tells that the folder is a run's whenever the process is killed.
    ee_files::write_text(&folder.join(CONFIG), &config.to_toml())?;
    let path = folder.join(FACTS);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut facts = match resumed_at {
        Some(_) => read_facts(&path)?.unwrap_or_else(|| start_facts(config, &now)),
        None => start_facts(config, &now),
    };
    facts.insert("id".to_owned(), identity.id.clone().into());
    facts.entry(FIRST_CHECKPOINT).or_insert(Value::Null);
    if let Some(step) = resumed_at {
        let resumed = facts.entry("resumed").or_insert_with(|| json!([]));
        if let Some(resumed) = resumed.as_array_mut() {
            resumed.push(json!({ "step": step, "at": now }));
        }
        if facts[FIRST_CHECKPOINT].is_null() {
            facts.insert(FIRST_CHECKPOINT.to_owned(), step.into());
        }
    }
    write_facts(&path, &facts)
}

/// The folder of the tokenizer that a run learnt.
pub(crate) const TOKENIZER: &str = "tokenizer";

/// Copies a learnt tokenizer into the run folder, where it appears whole.
pub(crate) fn keep_tokenizer(learnt: &Path, run: &Path) -> Result<PathBuf> {
    let (place, partial) = (run.join(TOKENIZER), run.join(".ee-tokenizer.partial"));
    for old in [&partial, &place] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("cannot remove", old)(error));
            }
            _ => {}
        }
    }
    fs::create_dir_all(&partial).map_err(Error::io("cannot create", &partial))?;
    ee_tasks::tokenizer::copy_files(learnt, &partial)?;
    fs::rename(&partial, &place).map_err(Error::io("cannot write", &place))?;
    Ok(place)
}

/// Notes that a run has written a checkpoint, so that a folder without one is known to have lost it.
pub(crate) fn record_first_checkpoint(folder: &Path, step: u64) -> Result<()> {
    let path = folder.join(FACTS);
    // Without the file there is nothing to complete.
    let Some(mut facts) = read_facts(&path)? else { return Ok(()) };
    if facts.get(FIRST_CHECKPOINT).is_some_and(|known| !known.is_null()) {
        return Ok(());
    }
    facts.insert(FIRST_CHECKPOINT.to_owned(), step.into());
    write_facts(&path, &facts)
}

fn start_facts(config: &RunConfig, now: &str) -> Facts {
    let facts = json!({
        "started": now,
        "resumed": [],
        "seed": config.seed,
        "objective": config.objective,
        "device": config.device,
        "commit": git(&["rev-parse", "HEAD"]),
        "uncommitted_changes": git(&["status", "--porcelain"]).map(|changes| !changes.is_empty()),
        "versions": { "ee-train": env!("CARGO_PKG_VERSION"), "burn": BURN_VERSION },
    });
    serde_json::from_value(facts).expect("it is an object")
}

/// The facts of a run's start; `None` where the file is absent: a run killed while it began.
fn read_facts(path: &Path) -> Result<Option<Facts>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::io("cannot read", path))?,
    };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::broken(path, error))
}

fn write_facts(path: &Path, facts: &Facts) -> Result<()> {
    let mut text = serde_json::to_string_pretty(facts).expect("JSON values always serialize");
    text.push('\n');
    Ok(ee_files::write_text(path, &text)?)
}

/// What git says of the working directory, `None` outside a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
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
    fn a_run_of_an_earlier_version_has_its_keys_under_their_new_names() {
        let mut earlier: toml::Table = "[training]\nrecompute = true\n".parse().unwrap();
        let now: toml::Table = "[training]\ngradient_checkpointing = true\n".parse().unwrap();
        rename_earlier_keys(&mut earlier);
        assert_eq!(earlier, now);
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
