//! The two splits of a run, tokenized, and the order in which training visits them.

use std::path::Path;

use ee_models::Batch;
use ee_models::loss::Targets;
use ee_tasks::{Encoding, Task, Tokenizer, batch};
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::step::MicroBatch;

/// The tokenized examples of one split.
#[derive(Clone, Debug)]
pub struct Split {
    encodings: Vec<Encoding>,
    labels: Vec<usize>,
    lengths: Vec<usize>,
    padding_id: u32,
}

impl Split {
    /// Reads a split of a task and tokenizes it.
    ///
    /// # Errors
    /// Whatever is wrong with the files, or a text that the tokenizer cannot spell.
    pub fn read(
        task: &Task,
        tokenizer: &Tokenizer,
        name: &str,
        data_dir: Option<&Path>,
        limit: Option<usize>,
    ) -> Result<Self> {
        let split = task.read_split(name, data_dir, limit)?;
        let encodings = tokenizer.encode_all(&split.examples)?;
        let labels = split.examples.iter().map(|example| example.label).collect();
        Ok(Self::new(encodings, labels, tokenizer.padding_id()))
    }

    /// Takes encodings and their labels.
    ///
    /// # Panics
    /// When there is not one label per encoding.
    pub fn new(encodings: Vec<Encoding>, labels: Vec<usize>, padding_id: u32) -> Self {
        assert_eq!(encodings.len(), labels.len(), "one label per example");
        let lengths = batch::lengths(&encodings);
        Self { encodings, labels, lengths, padding_id }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Gold labels, in the order of the split.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Batches of one epoch of training, counted from 0, as indices of examples.
    pub fn training_order(&self, batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
        batch::training_order(&self.lengths, batch_size, seed, epoch)
    }

    /// Batches for validation, as indices of examples.
    pub fn evaluation_order(&self, batch_size: usize) -> Vec<Vec<usize>> {
        batch::evaluation_order(&self.lengths, batch_size)
    }

    /// The padded batch of some examples.
    ///
    /// # Errors
    /// When an example is empty.
    pub fn batch(&self, rows: &[usize]) -> Result<Batch> {
        let batch = batch::Batch::gather(rows, &self.encodings, &self.labels, self.padding_id);
        Ok(Batch::new(batch.token_ids, batch.type_ids, batch.lengths, batch.width)?)
    }

    /// The batch of a step, cut into micro-batches of at most `micro_batch` rows.
    ///
    /// # Errors
    /// As [`Split::batch`].
    pub fn micro_batches(&self, rows: &[usize], micro_batch: usize) -> Result<Vec<MicroBatch>> {
        rows.chunks(micro_batch)
            .map(|rows| {
                let labels: Vec<usize> = rows.iter().map(|&row| self.labels[row]).collect();
                let batch = self.batch(rows)?;
                let targets = Targets::first_positions(&batch, &labels);
                Ok(MicroBatch { batch, targets })
            })
            .collect()
    }

    /// SHA-256 of the token ids and labels: a resumed run must see the same data.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (encoding, label) in self.encodings.iter().zip(&self.labels) {
            hash.update((encoding.ids.len() as u64).to_le_bytes());
            encoding
                .ids
                .iter()
                .chain(&encoding.type_ids)
                .for_each(|id| hash.update(id.to_le_bytes()));
            hash.update((*label as u64).to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
