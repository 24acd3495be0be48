//! The splits of a task: which files each has, and which part of their rows belongs to it.
//!
//! A split may be a part of its files, cut by row order, for sets of which only one file is at
//! hand: `part = "0..90%"`, or `rows = [11, 510]` where a set's authors number its rows.

use std::path::{Path, PathBuf};

use crate::config::Section;
use crate::error::Error;
use ee_files::did_you_mean;

/// All splits of a task, and where their files lie unless told otherwise.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Splits {
    splits: Vec<SplitFiles>,
    /// The data folder that the task file states.
    default_data_dir: Option<PathBuf>,
}

/// The files of a split, and the part of their rows that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SplitFiles {
    pub(super) name: String,
    pub(super) files: Files,
    /// Whether its files have the column of labels.
    pub(super) labelled: bool,
    pub(super) part: Part,
}

/// Where the rows of a split are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Files {
    /// One after the other.
    Joined(Vec<PathBuf>),
    /// Side by side.
    Parallel { source: PathBuf, references: Vec<PathBuf> },
}

/// Which rows belong to a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part {
    /// From and to, in percent of the rows.
    Percent(f64, f64),
    /// The first and the last, counted from 1.
    Rows(usize, usize),
}

impl Splits {
    /// Takes the table `splits`, in which `evaluation_split` must be.
    pub(super) fn from_root(
        root: &Section<'_>,
        folder: &Path,
        parallel: bool,
        evaluation_split: &str,
    ) -> Self {
        let sections = root.sections("splits").into_iter();
        let splits = Self {
            splits: sections
                .map(|(name, section)| SplitFiles::new(name, &section, parallel))
                .collect(),
            default_data_dir: root.optional::<PathBuf>("data_dir").map(|data| folder.join(data)),
        };
        if !root.section("splits").exists() {
            root.complain("splits", "missing, expected a table of splits");
        } else {
            splits.check_name(root, "evaluation_split", evaluation_split);
        }
        splits
    }

    /// Complains about a name that no split has.
    pub(super) fn check_name(&self, section: &Section<'_>, key: &str, name: &str) {
        if !self.names().any(|known| known == name) {
            let hint = did_you_mean(name, self.names());
            section.complain(key, format!("unknown split `{name}`{hint}"));
        }
    }

    /// In alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.splits.iter().map(|split| split.name.as_str())
    }

    /// A split's files and the folder in which they are.
    pub(super) fn open<'s>(
        &'s self,
        task: &str,
        name: &str,
        data_dir: Option<&'s Path>,
    ) -> Result<(&'s SplitFiles, &'s Path), Error> {
        let split =
            self.splits.iter().find(|split| split.name == name).ok_or_else(|| Error::Unknown {
                what: "split",
                name: name.to_owned(),
                hint: did_you_mean(name, self.names()),
            })?;
        let data_dir = data_dir.or(self.default_data_dir.as_deref()).ok_or_else(|| {
            Error::Request(format!("task `{task}` states no data folder, expected --data-dir"))
        })?;
        Ok((split, data_dir))
    }
}

impl SplitFiles {
    fn new(name: String, section: &Section<'_>, parallel: bool) -> Self {
        let files = match parallel {
            true => Files::Parallel {
                source: section.required("source"),
                references: paths(section, "references"),
            },
            false => Files::Joined(paths(section, "files")),
        };
        Self { name, files, labelled: section.or("labelled", true), part: Part::new(section) }
    }
}

/// Refuses, before any file is read, what cannot leave an example.
pub(super) fn check_limit(limit: Option<usize>) -> Result<(), Error> {
    if limit == Some(0) {
        return Err(Error::Request(
            "a limit of 0 leaves no example, expected 1 or more".to_owned(),
        ));
    }
    Ok(())
}

/// Refuses a split that has come out empty.
pub(super) fn check_any<T>(task: &str, split: &str, examples: &[T]) -> Result<(), Error> {
    if examples.is_empty() {
        return Err(Error::Request(format!(
            "split `{split}` of task `{task}` has no example left"
        )));
    }
    Ok(())
}

fn paths(section: &Section<'_>, key: &'static str) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = section.required(key);
    section.require(key, !paths.is_empty(), "expected at least one file");
    paths
}

impl Part {
    const ALL: Self = Self::Percent(0.0, 100.0);

    fn new(section: &Section<'_>) -> Self {
        let rows = section.optional::<Vec<usize>>("rows");
        let part = section.optional::<String>("part");
        match (rows.as_deref(), part) {
            (None, None) => Self::ALL,
            (Some(_), Some(_)) => {
                section.complain("rows", "expected `rows` or `part`, found both");
                Self::ALL
            }
            (Some(&[first, last]), None) if 1 <= first && first <= last => Self::Rows(first, last),
            (Some(_), None) => {
                let message = "expected the first and the last row, counted from 1: [11, 510]";
                section.complain("rows", message);
                Self::ALL
            }
            (None, Some(part)) => percent_range(&part).unwrap_or_else(|| {
                section.complain("part", "expected a range such as \"0..90%\" within 0..100%");
                Self::ALL
            }),
        }
    }

    /// Its rows by their order; percents that share a border share no row.
    pub(super) fn cut<T>(self, mut rows: Vec<T>) -> Vec<T> {
        let n = rows.len();
        let (from, to) = match self {
            Self::Percent(from, to) => {
                let border = |percent: f64| (n as f64 * percent / 100.0).round() as usize;
                (border(from), border(to))
            }
            Self::Rows(first, last) => (n.min(first - 1), n.min(last)),
        };
        rows.truncate(to);
        rows.split_off(from)
    }
}

/// Reads `"0..90%"`.
fn percent_range(text: &str) -> Option<Part> {
    let (from, to) = text.strip_suffix('%')?.split_once("..")?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (0.0 <= from && from < to && to <= 100.0).then_some(Part::Percent(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_share_a_border_share_no_example_and_lose_none() {
        for n in 1..40 {
            let all: Vec<usize> = (0..n).collect();
            let mut joined = Part::Percent(0.0, 33.3).cut(all.clone());
            joined.extend(Part::Percent(33.3, 90.0).cut(all.clone()));
            joined.extend(Part::Percent(90.0, 100.0).cut(all.clone()));
            assert_eq!(joined, all);
        }
    }

    #[test]
    fn rows_are_counted_from_one_and_both_ends_belong() {
        let all: Vec<usize> = (1..=10).collect();
        assert_eq!(Part::Rows(2, 4).cut(all.clone()), [2, 3, 4]);
        assert_eq!(Part::Rows(9, 20).cut(all.clone()), [9, 10]);
        assert!(Part::Rows(11, 20).cut(all).is_empty());
    }
}
