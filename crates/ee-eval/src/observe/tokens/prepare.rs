//! The examples of a task as token ids, and what decides the rows that come of them.

use ee_tasks::TextExample;
use sha2::{Digest, Sha256};

use super::TokenWork;
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;
use crate::trace::{Shard, TraceFacts};

/// An example, ready to be run.
pub(super) struct Prepared {
    pub(super) number: u32,
    pub(super) example: TextExample,
    pub(super) prompt: Vec<u32>,
    /// In a teacher-forced trace the answer that the model is given.
    pub(super) answer: Vec<u32>,
    pub(super) is_truncated: bool,
}

impl Prepared {
    /// Tokens of prompt and answer.
    pub(super) fn n_tokens(&self) -> usize {
        self.prompt.len() + self.answer.len()
    }

    fn of(
        subject: &DecoderSubject,
        work: &TokenWork<'_>,
        number: u32,
        example: TextExample,
    ) -> Result<Self> {
        let text = (number as usize, &*example.prompt);
        let (prompt, answer) = if work.teacher_forced {
            subject.with_answer(text, &example.response, work.new_tokens(), work.truncate)?
        } else {
            (subject.prompt(text, work.new_tokens(), work.truncate)?, Vec::new())
        };
        let is_truncated = prompt.is_truncated;
        Ok(Self { number, example, prompt: prompt.ids, answer, is_truncated })
    }
}

/// The examples of the shard.
pub(super) fn prepare(
    subject: &DecoderSubject,
    work: &TokenWork<'_>,
    examples: Vec<TextExample>,
) -> Result<Vec<Prepared>> {
    let chosen = (0_u32..).zip(examples).filter(|(number, _)| work.shard.holds(*number as usize));
    let prepared: Vec<Prepared> = chosen
        .map(|(number, example)| Prepared::of(subject, work, number, example))
        .collect::<Result<_>>()?;
    if prepared.iter().all(|of| of.prompt.is_empty()) && !prepared.is_empty() {
        return Err(EvalError::Empty { what: "every source is empty".to_owned() });
    }
    if prepared.is_empty() {
        let Shard { index, count } = work.shard;
        return Err(EvalError::Empty { what: format!("shard {index}/{count} is empty") });
    }
    Ok(prepared)
}

/// The facts that decide the rows of a run, one per line.
pub(super) fn identity(facts: &TraceFacts, work: &TokenWork<'_>, prepared: &[Prepared]) -> String {
    let TraceFacts { checkpoint_sha256, task, split, examples, batch, device, version, .. } = facts;
    let Shard { index, count } = facts.shard;
    let metrics: Vec<&str> = facts.metrics.iter().map(|metric| &*metric.signature).collect();
    format!(
        "checkpoint_sha256 {checkpoint_sha256}\ntask {task}\nsplit {split}\nexamples {examples}\n\
         shard {index}/{count}\nbatch {batch}\ngeneration {:?}\ntruncate {}\nstop {:?}\n\
         metrics {metrics:?}\ndevice {device}\nversion {version}\ndata_sha256 {}\n",
        facts.generation,
        work.truncate,
        work.task.stop,
        data(prepared),
    )
}

/// SHA-256 of what is run and what it is compared with, in hexadecimal: data files may change between two runs.
fn data(prepared: &[Prepared]) -> String {
    let mut hash = Sha256::new();
    for Prepared { number, example, prompt, answer, .. } in prepared {
        let ids = [prompt.as_slice(), answer].concat();
        let what = (number, ids, prompt.len(), &example.prompt, &example.references);
        hash.update(format!("{what:?}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
