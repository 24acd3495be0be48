//! TOML text into a tree that remembers where each value stands.
//!
//! Built on the `toml` crate's recovering parser: a fault is noted and the rest is still read.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Complaint;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    pub(super) tree: Tree,
    pub(super) place: Place,
}

/// Where a value was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// 1-based line of the file.
    Line(usize),
    /// `--set` on the command line.
    Override,
}

/// A TOML value without its place.
#[derive(Debug, Clone)]
pub enum Tree {
    Text(String),
    /// An integer within 64 bits.
    Integer(i64),
    Float(f64),
    Truth(bool),
    /// A date or time, which no key takes.
    Datetime(String),
    List(Vec<Tree>),
    Table(BTreeMap<String, Node>),
}

impl Tree {
    /// The value in words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the string \"{text}\""),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Truth(truth) => truth.to_string(),
            Self::Datetime(text) => format!("the date {text}"),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// Parses a whole file; faults become complaints.
pub(super) fn document(text: &str, name: &str) -> (Node, Vec<Complaint>) {
    let (table, faults) = DeTable::parse_recoverable(text);
    // Found once: counting again for every key takes time quadratic in a file's length.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |offset: usize| 1 + ends.partition_point(|end| *end < offset);
    let mut complaints: Vec<Complaint> = faults
        .iter()
        .map(|fault| {
            let span = fault.span().unwrap_or(0..0);
            let (key, message) = match fault.message() {
                "duplicate key" => (slice(text, &span), fault.message().to_owned()),
                other => (String::new(), format!("not TOML: {other}")),
            };
            Complaint { source: name.to_owned(), line: Some(line_of(span.start)), key, message }
        })
        .collect();
    // One fault often shows up as several on its line; the first one names it best.
    complaints.dedup_by_key(|complaint| complaint.line);
    let place = |span: Range<usize>| Place::Line(line_of(span.start));
    let node = Node { tree: table_tree(table.into_inner(), &place), place: Place::Line(1) };
    (node, complaints)
}

/// Applies `a.b=value` to the tree; the fault's key and message if it cannot.
pub(super) fn assign(root: &mut Node, assignment: &str) -> Result<(), (String, String)> {
    let Some((path, value)) = assignment.split_once('=') else {
        return Err((assignment.to_owned(), "expected key=value".to_owned()));
    };
    let (path, value) = (path.trim(), value.trim());
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().unwrap_or_default();
    if last.is_empty() || keys.iter().any(|key| key.is_empty()) {
        return Err((path.to_owned(), "expected a dotted key before `=`".to_owned()));
    }
    let mut node = root;
    for key in keys {
        let described = node.tree.describe();
        let Tree::Table(entries) = &mut node.tree else {
            return Err((path.to_owned(), format!("leads through {described}, not a table")));
        };
        let empty = || Node { tree: Tree::Table(BTreeMap::new()), place: Place::Override };
        node = entries.entry(key.to_owned()).or_insert_with(empty);
    }
    let described = node.tree.describe();
    let Tree::Table(entries) = &mut node.tree else {
        return Err((path.to_owned(), format!("leads through {described}, not a table")));
    };
    let tree = match DeValue::parse(value) {
        Ok(parsed) => value_tree(parsed.into_inner(), &|_| Place::Override),
        Err(_) => Tree::Text(value.to_owned()),
    };
    entries.insert(last.to_owned(), Node { tree, place: Place::Override });
    Ok(())
}

fn slice(text: &str, span: &Range<usize>) -> String {
    text.get(span.clone()).unwrap_or_default().trim().to_owned()
}

fn table_tree(table: DeTable<'_>, place: &impl Fn(Range<usize>) -> Place) -> Tree {
    let node = |key: Spanned<_>, value: Spanned<DeValue<'_>>| {
        let place_of_key = place(key.span());
        (
            String::from(key.into_inner()),
            Node { tree: value_tree(value.into_inner(), place), place: place_of_key },
        )
    };
    Tree::Table(table.into_iter().map(|(key, value)| node(key, value)).collect())
}

fn value_tree(value: DeValue<'_>, place: &impl Fn(Range<usize>) -> Place) -> Tree {
    match value {
        DeValue::String(text) => Tree::Text(text.into_owned()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Tree::Integer(number),
            // Beyond 64 bits only a float can hold it; a key that wants an integer then says so.
            Err(_) => Tree::Float(digits.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(digits) => Tree::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Tree::Truth(truth),
        DeValue::Datetime(datetime) => Tree::Datetime(datetime.to_string()),
        DeValue::Array(items) => {
            Tree::List(items.into_iter().map(|item| value_tree(item.into_inner(), place)).collect())
        }
        DeValue::Table(table) => table_tree(table, place),
    }
}
