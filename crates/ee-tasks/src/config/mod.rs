//! Configuration files, checked whole.
//!
//! A reader asks a [`Section`] for its keys and gets values; whatever is wrong on the way (syntax,
//! duplicate, unknown or missing keys, wrong types, impossible values) is noted, and
//! [`Document::finish`] reports everything at once, each complaint with file, line and key. Keys
//! that were never asked for are unknown. The price: a missing or wrong value is stood in for by its
//! type's default until `finish` is called, so nothing may act on a document before that.

mod parse;
mod value;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use parse::{Node, Place, Tree};
pub use value::FromValue;

use ee_files::did_you_mean;

/// All faults of one configuration.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .complaints.iter().map(Complaint::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// In the order of the file's lines; never empty.
    pub complaints: Vec<Complaint>,
}

/// One fault, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The file's name, or `--set` for an override.
    pub source: String,
    /// 1-based; absent where the fault has no line (a missing key, an override).
    pub line: Option<usize>,
    /// The dotted path of the key; empty where the fault lies in no key.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.source)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        match self.key.as_str() {
            "" => write!(formatter, ": {}", self.message),
            key => write!(formatter, ": `{key}`: {}", self.message),
        }
    }
}

/// One configuration file with its overrides, and the complaints gathered so far.
#[derive(Debug)]
pub struct Document {
    name: String,
    root: Node,
    complaints: RefCell<Vec<Complaint>>,
    /// Path of a section → keys that a reader asked it for.
    asked: RefCell<BTreeMap<String, BTreeSet<&'static str>>>,
    /// Paths of sections whose keys are names of the user's choice.
    open: RefCell<BTreeSet<String>>,
    syntax_is_broken: bool,
}

impl Document {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// Only if the file cannot be read or is not UTF-8; faults of the TOML wait for [`Document::finish`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let failed = |message| ConfigError {
            complaints: vec![Complaint {
                source: name.clone(),
                line: None,
                key: String::new(),
                message,
            }],
        };
        let bytes =
            std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Self::parse(text, &name)),
            Err(error) => {
                let line =
                    1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                Err(failed(format!("line {line} is not UTF-8")))
            }
        }
    }

    /// Parses TOML text; `name` stands for the file in complaints.
    pub fn parse(text: &str, name: &str) -> Self {
        let (root, complaints) = parse::document(text, name);
        Self {
            name: name.to_owned(),
            root,
            syntax_is_broken: !complaints.is_empty(),
            complaints: RefCell::new(complaints),
            asked: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// Overrides one key, `section.key=value`, as typed after `--set`.
    ///
    /// The value is read as TOML (`3e-5`, `true`, `["a", "b"]`) and, where that fails, as a bare
    /// string. A malformed assignment, or one through a key that is not a section, is a complaint.
    pub fn set(&mut self, assignment: &str) {
        if let Err((key, message)) = parse::assign(&mut self.root, assignment) {
            let source = "--set".to_owned();
            self.complaints.borrow_mut().push(Complaint { source, line: None, key, message });
        }
    }

    /// The top of the file.
    pub fn root(&self) -> Section<'_> {
        let Tree::Table(entries) = &self.root.tree else { unreachable!("a document is a table") };
        Section { document: self, path: String::new(), entries: Some(entries) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every complaint gathered, with keys that were never asked for among them.
    pub fn finish(self) -> Result<(), ConfigError> {
        self.note_unknown(&self.root, "");
        let mut complaints = self.complaints.into_inner();
        if complaints.is_empty() {
            return Ok(());
        }
        complaints.sort_by_key(|complaint| {
            (complaint.source == "--set", complaint.line.unwrap_or(usize::MAX))
        });
        complaints.dedup();
        Err(ConfigError { complaints })
    }

    /// Ends the reading early, with a complaint about `key` and nothing else: for a document that is
    /// of another kind as a whole.
    pub fn refuse(self, key: &str, message: impl Into<String>) -> ConfigError {
        self.complaints.borrow_mut().clear();
        self.root().complain(key, message);
        ConfigError { complaints: self.complaints.into_inner() }
    }

    fn note_unknown(&self, node: &Node, path: &str) {
        let Tree::Table(entries) = &node.tree else { return };
        let (asked, nothing) = (self.asked.borrow(), BTreeSet::new());
        let known = match asked.get(path) {
            Some(known) => known,
            None if path.is_empty() => &nothing,
            // A table read as one value was never opened as a section.
            None => return,
        };
        let open = self.open.borrow().contains(path);
        for (key, child) in entries {
            let full = join(path, key);
            if open || known.contains(key.as_str()) {
                self.note_unknown(child, &full);
            } else {
                let hint = did_you_mean(key, known.iter().copied());
                self.complain_at(child.place, full, format!("unknown key{hint}"));
            }
        }
    }

    fn complain_at(&self, place: Place, key: String, message: String) {
        let (source, line) = match place {
            Place::Line(line) => (self.name.clone(), Some(line)),
            Place::Override => ("--set".to_owned(), None),
        };
        self.complaints.borrow_mut().push(Complaint { source, line, key, message });
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// One table of a [`Document`]; an absent table is an empty section.
#[derive(Debug, Clone)]
pub struct Section<'d> {
    document: &'d Document,
    path: String,
    entries: Option<&'d BTreeMap<String, Node>>,
}

impl<'d> Section<'d> {
    /// A required key; its type's default stands in for a missing or wrong one.
    pub fn required<T: FromValue + Default>(&self, key: &'static str) -> T {
        if self.node(key).is_none() {
            self.note_missing(key, &T::expected());
        }
        self.optional(key).unwrap_or_default()
    }

    /// An optional key; `None` also for a wrong one, which is noted.
    pub fn optional<T: FromValue>(&self, key: &'static str) -> Option<T> {
        self.ask(key);
        let node = self.node(key)?;
        match T::from_value(&node.tree) {
            Ok(value) => Some(value),
            Err(message) => {
                self.document.complain_at(node.place, join(&self.path, key), message);
                None
            }
        }
    }

    /// A key with a default.
    pub fn or<T: FromValue>(&self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A key that names one of a few choices; `default` where it is absent.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)], default: T) -> T {
        let Some(given) = self.optional::<String>(key) else { return default };
        match choices.iter().find(|(name, _)| *name == given) {
            Some((_, value)) => *value,
            None => {
                let hint = did_you_mean(&given, choices.iter().map(|(name, _)| *name));
                self.complain(key, format!("unknown value `{given}`{hint}"));
                default
            }
        }
    }

    /// A table inside this one; an empty section where it is absent.
    pub fn section(&self, key: &'static str) -> Section<'d> {
        self.ask(key);
        self.open_table(key)
    }

    /// All tables inside the table `key`, by the names that the user gave them, in alphabetical order.
    pub fn sections(&self, key: &'static str) -> Vec<(String, Section<'d>)> {
        let parent = self.section(key);
        self.document.open.borrow_mut().insert(parent.path.clone());
        let names = parent.entries.into_iter().flat_map(|entries| entries.keys());
        names.map(|name| (name.clone(), parent.open_table(name))).collect()
    }

    /// Whether the key is written, here or by an override. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether this table itself is written.
    pub fn exists(&self) -> bool {
        self.entries.is_some()
    }

    /// Notes that the value of `key`, where it is written, is wrong unless this holds.
    pub fn require(&self, key: &str, holds: bool, message: impl Into<String>) {
        if self.has(key) && !holds {
            self.complain(key, message);
        }
    }

    /// Notes that the value of `key` is wrong; it is reported at the key's line.
    pub fn complain(&self, key: &str, message: impl Into<String>) {
        match self.node(key) {
            Some(node) => {
                self.document.complain_at(node.place, join(&self.path, key), message.into())
            }
            None => self.document.complaints.borrow_mut().push(Complaint {
                source: self.document.name.clone(),
                line: None,
                key: join(&self.path, key),
                message: message.into(),
            }),
        }
    }

    fn open_table(&self, key: &str) -> Section<'d> {
        let path = join(&self.path, key);
        let entries = match self.node(key) {
            None => None,
            Some(Node { tree: Tree::Table(entries), .. }) => Some(entries),
            Some(node) => {
                let message = format!("expected a table, found {}", node.tree.describe());
                self.document.complain_at(node.place, path.clone(), message);
                None
            }
        };
        self.document.asked.borrow_mut().entry(path.clone()).or_default();
        Section { document: self.document, path, entries }
    }

    fn note_missing(&self, key: &'static str, expected: &str) {
        self.ask(key);
        // The recovery after a syntax error may have dropped the line; the error itself is reported.
        if !self.document.syntax_is_broken {
            self.complain(key, format!("missing, expected {expected}"));
        }
    }

    fn node(&self, key: &str) -> Option<&'d Node> {
        self.entries.and_then(|entries| entries.get(key))
    }

    fn ask(&self, key: &'static str) {
        self.document.asked.borrow_mut().entry(self.path.clone()).or_default().insert(key);
    }
}

#[cfg(test)]
mod tests;
