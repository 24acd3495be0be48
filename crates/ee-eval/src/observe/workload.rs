//! The examples of a split, encoded for one model and grouped into batches of similar length.

use std::collections::HashMap;
use std::path::Path;

use ee_tasks::batch::{evaluation_order, lengths};
use ee_tasks::{Encoding, Task, Tokenizer};

use crate::error::{EvalError, Result};
use crate::trace::{Shard, Trace};

/// Which examples of a task are selected.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// Where the task's files lie; by default what the task file says.
    pub data_dir: Option<&'a Path>,
    /// The split; by default the task's own for evaluation.
    pub split: Option<&'a str>,
    /// At most the first so many examples.
    pub limit: Option<usize>,
    /// Which part of them.
    pub shard: Shard,
}

/// Encoded examples. A *row* is a place in this workload; an *example number* a place in the split.
pub struct Workload {
    pub(crate) task: Task,
    pub(crate) split: String,
    /// Of the split after the limit, over all shards.
    pub(crate) examples: usize,
    pub(crate) max_length: usize,
    padding_id: u32,
    /// The example number of every row.
    pub(crate) numbers: Vec<u32>,
    /// Empty for a split without labels.
    pub(crate) gold: Vec<u32>,
    encodings: Vec<Encoding>,
}

/// A batch and the row of the workload that each of its rows is.
pub struct RowBatch {
    pub(crate) rows: Vec<usize>,
    /// Their tokens.
    pub(crate) batch: ee_models::Batch,
}

impl Workload {
    /// Reads and encodes the selected examples of a task.
    pub fn read(task: &Task, selection: &Selection<'_>, tokenizer: &Tokenizer) -> Result<Self> {
        let name = selection.split.unwrap_or(&task.evaluation_split);
        let split = task.read_split(name, selection.data_dir, selection.limit)?;
        for notice in split.notices() {
            ee_files::note!("notice: {notice}");
        }
        if !split.has_labels() {
            ee_files::note!(
                "notice: split `{name}` has no labels; what early exits keep is measured by agreement with the full \
                 model"
            );
        }
        let examples = split.examples.len();
        let (numbers, examples_here): (Vec<u32>, Vec<_>) = (0_u32..)
            .zip(split.examples)
            .filter(|(number, _)| selection.shard.holds(*number as usize))
            .unzip();
        if numbers.is_empty() {
            let Shard { index, count } = selection.shard;
            let what = format!("shard {index}/{count} of {examples} examples is empty");
            return Err(EvalError::Empty { what });
        }
        Ok(Self {
            task: task.clone(),
            split: split.name,
            examples,
            max_length: tokenizer.max_length(),
            padding_id: tokenizer.padding_id(),
            gold: examples_here.iter().filter_map(|e| e.label).map(|label| label as u32).collect(),
            encodings: tokenizer.encode_all(&examples_here)?,
            numbers,
        })
    }

    /// About `rows` of the rows at even distances, and which rows these are here.
    pub(crate) fn sample(&self, rows: usize) -> (Self, Vec<usize>) {
        let count = rows.clamp(1, self.rows());
        let kept: Vec<usize> = (0..count).map(|at| at * self.rows() / count).collect();
        let sample = Self {
            task: self.task.clone(),
            split: self.split.clone(),
            examples: self.examples,
            max_length: self.max_length,
            padding_id: self.padding_id,
            numbers: kept.iter().map(|&row| self.numbers[row]).collect(),
            gold: kept.iter().filter_map(|&row| self.gold.get(row)).copied().collect(),
            encodings: kept.iter().map(|&row| self.encodings[row].clone()).collect(),
        };
        (sample, kept)
    }

    /// The rows of `trace` that are this workload's, in its order.
    pub(crate) fn rows_of(&self, trace: Trace, checksum: &str) -> Result<Trace> {
        let facts = &trace.facts;
        facts.check_origin(checksum, &self.task.name, &self.split)?;
        let other = |key, expected: usize, found: String| EvalError::OtherTrace {
            key,
            expected: expected.to_string(),
            found,
        };
        if facts.max_length != self.max_length {
            return Err(other("max_length", self.max_length, facts.max_length.to_string()));
        }
        let row_of: HashMap<u32, usize> = trace.example.iter().copied().zip(0..).collect();
        let rows: Option<Vec<usize>> =
            self.numbers.iter().map(|number| row_of.get(number).copied()).collect();
        let missing = || other("examples", self.rows(), format!("{} others", trace.rows()));
        Ok(trace.select(&rows.ok_or_else(missing)?))
    }

    /// All rows in batches of at most `size`, longest first.
    pub fn batches(&self, size: usize) -> Result<Vec<RowBatch>> {
        evaluation_order(&lengths(&self.encodings), size)
            .into_iter()
            .map(|rows| {
                let batch = ee_tasks::Batch::gather(&rows, &self.encodings, self.padding_id);
                let ee_tasks::Batch { token_ids, type_ids, lengths, width, .. } = batch;
                Ok(RowBatch {
                    rows,
                    batch: ee_models::Batch::new(token_ids, type_ids, lengths, width)?,
                })
            })
            .collect()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.numbers.len()
    }
}
