//! Several files of one run, read as one trace.
//!
//! Shards must agree on everything that decides a row's content (checkpoint, task, split, labels)
//! and hold disjoint rows. Missing shards are not an error: a part of a run is a valid, smaller
//! sample, and the caller is told how much of it is absent.

use std::collections::HashSet;
use std::path::Path;

use super::facts::TraceFacts;
use super::file::read;
use super::record::Trace;
use crate::error::{EvalError, Result};

/// A trace and what its reader should know about it.
#[derive(Debug)]
pub struct Merged {
    /// All rows, ordered by example and position.
    pub trace: Trace,
    /// One sentence for every shard that is absent.
    pub notices: Vec<String>,
}

/// Reads one trace from its file or files.
///
/// # Errors
/// What [`read`] returns; [`EvalError::ShardMismatch`] and [`EvalError::RepeatedRow`] when the files
/// are not parts of one run; [`EvalError::Empty`] when there is no row at all.
pub fn read_all<P: AsRef<Path>>(paths: &[P]) -> Result<Merged> {
    let (first, rest) = paths
        .split_first()
        .ok_or_else(|| EvalError::Empty { what: "no trace was given".to_owned() })?;
    let mut trace = read(first.as_ref())?;
    let mut seen: HashSet<(u32, u32)> = HashSet::with_capacity(trace.rows());
    remember_rows(&trace, first.as_ref(), &mut seen)?;
    let mut shards = vec![trace.facts.shard];
    for path in rest {
        let part = read(path.as_ref())?;
        check_facts(&trace.facts, first.as_ref(), &part.facts, path.as_ref())?;
        remember_rows(&part, path.as_ref(), &mut seen)?;
        shards.push(part.facts.shard);
        extend(&mut trace, part);
    }
    if trace.rows() == 0 {
        return Err(EvalError::Empty {
            what: format!("{} holds no rows", first.as_ref().display()),
        });
    }
    let count = trace.facts.shard.count;
    let notices = (1..=count)
        .filter(|index| !shards.iter().any(|shard| shard.index == *index))
        .map(|index| format!("shard {index}/{count} of this trace is missing; all figures are over the rows given"))
        .collect();
    Ok(Merged { trace: sorted(&trace), notices })
}

/// Two shards agree on every fact that decides what a row says.
fn check_facts(
    expected: &TraceFacts,
    first: &Path,
    found: &TraceFacts,
    second: &Path,
) -> Result<()> {
    let metrics = |facts: &TraceFacts| {
        facts.metrics.iter().map(|metric| metric.signature.clone()).collect::<Vec<_>>().join(", ")
    };
    let facts = |facts: &TraceFacts| {
        [
            ("checkpoint_sha256", facts.checkpoint_sha256.clone()),
            ("task", facts.task.clone()),
            ("split", facts.split.clone()),
            ("labels", facts.labels.join(", ")),
            ("outputs", facts.outputs().to_string()),
            (
                "generation.teacher_forced",
                facts.generation.as_ref().is_some_and(|facts| facts.teacher_forced).to_string(),
            ),
            ("has_gold", facts.has_gold.to_string()),
            ("metrics", metrics(facts)),
            ("layers", facts.layers.to_string()),
            ("examples", facts.examples.to_string()),
            ("shard.count", facts.shard.count.to_string()),
        ]
    };
    for ((key, expected), (_, found)) in facts(expected).into_iter().zip(facts(found)) {
        if expected != found {
            return Err(EvalError::ShardMismatch {
                first: first.to_owned(),
                second: second.to_owned(),
                key,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Notes the rows of `trace`, refusing one that was seen before.
fn remember_rows(trace: &Trace, path: &Path, seen: &mut HashSet<(u32, u32)>) -> Result<()> {
    for (&example, &position) in trace.example.iter().zip(&trace.position) {
        if !seen.insert((example, position)) {
            return Err(EvalError::RepeatedRow { example, position, path: path.to_owned() });
        }
    }
    Ok(())
}

/// Appends the rows of `part`.
pub(crate) fn extend(trace: &mut Trace, part: Trace) {
    trace.facts.rows += part.facts.rows;
    trace.facts.seconds += part.facts.seconds;
    if let (Some(facts), Some(more)) = (&mut trace.facts.generation, &part.facts.generation) {
        facts.truncated += more.truncated;
    }
    trace.example.extend(part.example);
    trace.position.extend(part.position);
    trace.gold.extend(part.gold);
    trace.prompt_tokens.extend(part.prompt_tokens);
    trace.signals.extend(part.signals);
}

/// The same rows in the order of their examples and positions, whatever the order of the files.
pub(crate) fn sorted(trace: &Trace) -> Trace {
    let mut order: Vec<usize> = (0..trace.rows()).collect();
    order.sort_by_key(|&row| (trace.example[row], trace.position[row]));
    trace.select(&order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Shard, sample, write};
    use std::path::PathBuf;

    /// A random trace cut into `count` shards on disk.
    fn shards(folder: &Path, count: u32) -> (Trace, Vec<PathBuf>) {
        let mut whole = sample::random(20, 4, 2, 7);
        whole.facts.shard = Shard { index: 1, count };
        let paths = (1..=count)
            .map(|index| {
                let shard = Shard { index, count };
                let rows: Vec<usize> = (0..whole.rows()).filter(|&row| shard.holds(row)).collect();
                let mut part = whole.select(&rows);
                part.facts.shard = shard;
                let path = folder.join(format!("part-{index}.parquet"));
                write(&part, &path).unwrap();
                path
            })
            .collect();
        (whole, paths)
    }

    #[test]
    fn shards_in_any_order_are_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, mut paths) = shards(folder.path(), 3);
        paths.rotate_left(1);
        let merged = read_all(&paths).unwrap();
        assert!(merged.notices.is_empty());
        assert_eq!(merged.trace.example, whole.example);
        assert_eq!(merged.trace.signals, whole.signals);
        assert_eq!(merged.trace.facts.rows, 20);
    }

    #[test]
    fn a_missing_shard_is_reported_and_a_repeated_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (_, paths) = shards(folder.path(), 3);
        let merged = read_all(&paths[..2]).unwrap();
        assert_eq!(merged.notices.len(), 1);
        assert!(merged.notices[0].contains("3/3"), "{:?}", merged.notices);
        let error = read_all(&[&paths[0], &paths[0]]).unwrap_err();
        assert!(matches!(error, EvalError::RepeatedRow { example: 0, .. }), "{error}");
    }

    #[test]
    fn cut_prompts_of_all_shards_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let whole = sample::generated(&[2, 3], 4, 50, 2);
        let paths = [0, 1].map(|example| {
            let rows: Vec<usize> =
                (0..whole.rows()).filter(|&row| whole.example[row] == example).collect();
            let mut part = whole.select(&rows);
            part.facts.shard = Shard { index: example + 1, count: 2 };
            part.facts.generation.as_mut().unwrap().truncated = 1 + example as usize;
            let path = folder.path().join(format!("part-{example}.parquet"));
            write(&part, &path).unwrap();
            path
        });
        let merged = read_all(&paths).unwrap();
        assert_eq!(merged.trace.facts.generation.unwrap().truncated, 3);
    }

    #[test]
    fn another_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (_, paths) = shards(folder.path(), 2);
        let mut other = read(&paths[1]).unwrap();
        other.facts.checkpoint_sha256 = "other".to_owned();
        write(&other, &paths[1]).unwrap();
        let error = read_all(&paths).unwrap_err();
        assert!(error.to_string().contains("checkpoint_sha256"), "{error}");
    }
}
