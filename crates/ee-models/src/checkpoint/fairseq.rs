//! Checkpoints of fairseq: one file of `torch.save` with the options of the run and the weights, beside the
//! dictionaries that its ids count through.
//!
//! Options are in `args` (a namespace) or, since 2020, in `cfg` (dictionaries, with a namespace in the place of the
//! model's as a rule). Both become one flat object under the names that the command line had. Tensors keep their
//! names; those of older releases get the names that newer ones give them when they read such a file
//! (`upgrade_state_dict_named`), and stacked projections are read as the three that they are.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::headers::{Entry, Place};
use super::torch::{TorchFile, Value};
use crate::error::{Error, Result};

/// The files that are taken where there are several, the best first.
const USUAL: [&str; 2] = ["checkpoint_best.pt", "checkpoint_last.pt"];

/// How often a file's tensors may name the same bytes: a table has up to three names.
const COPIES: u64 = 4;

/// Tokens that stand before those of a dictionary's file: `<s>`, `<pad>`, `</s>` and `<unk>`.
const FIRST: usize = 4;

/// Bytes or items of no option that says anything of a model. A hostile file may name one long value often.
const LONGEST: usize = 256;

#[cfg(test)]
thread_local! {
    static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many files this thread has read.
#[cfg(test)]
pub(crate) fn files_read() -> usize {
    READ.get()
}

/// A checkpoint but for its numbers.
#[derive(Debug)]
pub(crate) struct Fairseq {
    /// The file.
    pub(crate) path: PathBuf,
    /// Others of the folder, which are not read.
    pub(crate) others: Vec<String>,
    /// The options of the run that have a value, by their names on the command line.
    pub(crate) arguments: Map<String, Json>,
    entries: Vec<(String, Entry)>,
}

impl Fairseq {
    /// The checkpoint of a folder without `config.json`, where there is one.
    ///
    /// # Errors
    /// When there are several and none has a name by which it is preferred, or the file is broken.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        match file(folder)? {
            Some((path, others)) => Self::read(path, others).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn read(path: PathBuf, others: Vec<String>) -> Result<Self> {
        #[cfg(test)]
        READ.set(READ.get() + 1);
        let file = TorchFile::open(&path)?;
        let complain = |complaint: String| Error::Weights { path: path.clone(), complaint };
        let root = file.root();
        let Some(weights) = root.get("model").filter(|model| model.pairs().is_some()) else {
            let complaint = "no checkpoint of fairseq: what was saved has no 'model' with tensors";
            return Err(complain(complaint.to_owned()));
        };
        let entries = tensors(&file, weights).map_err(&complain)?;
        let size = path.metadata().map_err(Error::io("cannot read", &path))?.len();
        let claimed: u64 = entries.iter().map(|(_, Entry { place, .. })| length(place)).sum();
        if claimed > COPIES * size {
            return Err(complain(format!(
                "its tensors are of {claimed} bytes, the whole file of {size}"
            )));
        }
        let arguments = arguments(root);
        if arguments.is_empty() {
            let complaint = "no checkpoint of fairseq: what was saved has neither 'args' nor 'cfg'";
            return Err(complain(complaint.to_owned()));
        }
        Ok(Self { path, others, arguments, entries })
    }

    /// The file, and its tensors by name, each of which it has once.
    pub(super) fn into_tensors(self) -> (PathBuf, Vec<(String, Entry)>) {
        (self.path, self.entries)
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        let found = self.entries.iter().find(|(found, _)| found == name)?;
        Some(&found.1.shape)
    }

    /// Whether a tensor's name begins like this.
    pub(crate) fn has(&self, beginning: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.starts_with(beginning))
    }

    /// Checks a language's dictionary against the rows of its table.
    ///
    /// # Errors
    /// When it is absent, no text, or of another size. Training fills a dictionary up to a multiple of eight with
    /// `madeupword` lines, and some programs the table alone.
    pub(crate) fn check_dictionary(&self, language: &str, rows: usize) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(format!("dict.{language}.txt"));
        let text = std::fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        let words = text.lines().count() + FIRST;
        if rows == words || rows == words.next_multiple_of(8) {
            return Ok(());
        }
        let file = self.path.file_name().unwrap_or_default().display();
        let complaint = format!(
            "{} words and the {FIRST} that every dictionary begins with are {words}, the table of {file} has {rows} \
             rows",
            words - FIRST
        );
        Err(Error::Config { path, complaint })
    }
}

/// The file of a folder that is a checkpoint of fairseq, and others that are not taken.
pub(super) fn file(folder: &Path) -> Result<Option<(PathBuf, Vec<String>)>> {
    if folder.join("config.json").exists() {
        return Ok(None);
    }
    let Ok(entries) = folder.read_dir() else { return Ok(None) };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".pt")).collect();
    names.sort_unstable();
    let usual = USUAL.iter().find_map(|usual| names.iter().position(|name| name == usual));
    let taken = match (usual, names.len()) {
        (_, 0) => return Ok(None),
        (Some(at), _) => at,
        (None, 1) => 0,
        (None, _) => {
            let complaint = format!(
                "holds several checkpoints, of which neither is {}: {}; leave one, or give one that name",
                USUAL.join(" nor "),
                names.join(", ")
            );
            return Err(Error::Weights { path: folder.to_owned(), complaint });
        }
    };
    let taken = names.remove(taken);
    Ok(Some((folder.join(taken), names)))
}

/// The tensors of `model`, under the names that newer releases have.
fn tensors(
    file: &TorchFile,
    weights: Value<'_>,
) -> std::result::Result<Vec<(String, Entry)>, String> {
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for [name, value] in weights.pairs().expect("the caller has seen them") {
        let name = name.text().ok_or("a name of its tensors is no text")?;
        let entry = file.tensor(value).map_err(|complaint| format!("'{name}' {complaint}"))?;
        let entry = entry.ok_or_else(|| format!("'{name}' is no tensor"))?;
        match name.rsplit_once("in_proj_") {
            Some((before, what @ ("weight" | "bias"))) => {
                let parts = thirds(entry);
                let parts = parts.ok_or_else(|| format!("'{name}' is not three projections"))?;
                let parts = ["q_proj", "k_proj", "v_proj"].into_iter().zip(parts);
                entries
                    .extend(parts.map(|(part, entry)| (format!("{before}{part}.{what}"), entry)));
            }
            _ => entries.push((newer_name(name), entry)),
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("it holds '{}' twice, under an older name, too", pair[0].0)),
        None => Ok(entries),
    }
}

/// A tensor's three parts along its first axis.
fn thirds(entry: Entry) -> Option<[Entry; 3]> {
    let Entry { shape, format, place: Place::Range { start, length } } = entry else { return None };
    let rows = shape.first().filter(|rows| rows.is_multiple_of(3))? / 3;
    let length = length / 3;
    Some([0, 1, 2].map(|part| {
        let mut shape = shape.clone();
        shape[0] = rows;
        let place = Place::Range { start: start + (part * length) as u64, length };
        Entry { shape, format, place }
    }))
}

/// The name that newer releases have for a tensor.
fn newer_name(name: &str) -> String {
    if name == "decoder.embed_out" {
        return "decoder.output_projection.weight".to_owned();
    }
    let Some((before, rest)) = name.split_once(".layer_norms.") else { return name.to_owned() };
    let Some((number, what)) = rest.split_once('.') else { return name.to_owned() };
    let norms: &[&str] = if name.starts_with("decoder.") {
        &["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"]
    } else {
        &["self_attn_layer_norm", "final_layer_norm"]
    };
    let norm = number.parse().ok().and_then(|number: usize| norms.get(number));
    norm.map_or_else(|| name.to_owned(), |norm| format!("{before}.{norm}.{what}"))
}

fn length(place: &Place) -> u64 {
    match place {
        Place::Range { length, .. } => *length as u64,
        Place::Archive(tensor) => tensor.byte_len() as u64,
    }
}

/// The options of the run, those of the model before those of the task.
fn arguments(root: Value<'_>) -> Map<String, Json> {
    let mut flat = Map::new();
    let configured = root.get("cfg").map(contents);
    let of = |what: &str| configured?.get(what).map(contents);
    let old = root.get("args").map(contents);
    for options in [old, of("model"), of("task")].into_iter().flatten() {
        flatten(options, &mut flat);
    }
    flat
}

/// Puts options that have a value into a flat object, those of a part of the model under `part_name`.
fn flatten(options: Value<'_>, flat: &mut Map<String, Json>) {
    let mut put = |prefix: &str, options: Value<'_>| {
        for [key, value] in options.pairs().into_iter().flatten() {
            let key = key.text().filter(|key| key.len() < LONGEST);
            if let (Some(key), Some(value)) = (key, plain(contents(value))) {
                flat.entry(format!("{prefix}{key}")).or_insert(value);
            }
        }
    };
    put("", options);
    for part in ["encoder", "decoder", "quant_noise"] {
        if let Some(options) = options.get(part).map(contents) {
            put(&format!("{part}_"), options);
        }
    }
}

/// What a namespace or one of omegaconf's containers and nodes holds; other values as they are.
fn contents(value: Value<'_>) -> Value<'_> {
    let Some(state) = value.state() else { return value };
    match value.callee() {
        Some(["omegaconf.dictconfig" | "omegaconf.listconfig", _]) => {
            state.get("_content").unwrap_or(state)
        }
        Some(["omegaconf.nodes", _]) => state.get("_val").unwrap_or(state),
        Some(["argparse", "Namespace"]) => state,
        _ => value,
    }
}

/// A plain value as JSON.
fn plain(value: Value<'_>) -> Option<Json> {
    if value.is_none() {
        return None;
    }
    if let Some(truth) = value.truth() {
        return Some(truth.into());
    }
    if let Some(number) = value.whole() {
        return Some(number.into());
    }
    if let Some(number) = value.number() {
        return Some(number.into());
    }
    if let Some(items) = value.items() {
        // Of a list it matters that there is one.
        let numbers = items.take(LONGEST).filter_map(|item| contents(item).whole());
        return Some(numbers.collect());
    }
    // A member of an enumeration is made from its value.
    let member = || value.arguments()?.items()?.next()?.text();
    let text = value.text().or_else(member);
    text.filter(|text| text.len() < LONGEST).map(Json::from)
}
