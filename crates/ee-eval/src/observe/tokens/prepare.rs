//! The examples of a task as token ids, and what decides the rows that come of them.

use ee_tasks::TextExample;
use sha2::{Digest, Sha256};

use super::TokenWork;
use crate::decoding::Room;
use crate::error::{EvalError, Result};
use crate::subject::DecoderSubject;
use crate::trace::{Shard, TraceFacts};

/// An example, ready to be run.
pub(super) struct Prepared {
    pub(super) number: u32,
    pub(super) example: TextExample,
    /// Prompt, and in a teacher-forced trace the answer after it.
    pub(super) ids: Vec<u32>,
    pub(super) prompt_tokens: usize,
    pub(super) is_truncated: bool,
}

impl Prepared {
    /// How many of the ids are given before the first that is predicted.
    pub(super) fn given(&self) -> usize {
        self.prompt_tokens.max(1)
    }

    fn of(
        subject: &DecoderSubject,
        work: &TokenWork<'_>,
        number: u32,
        example: TextExample,
    ) -> Result<Self> {
        let new_tokens = work.new_tokens();
        let (ids, answer) = if work.teacher_forced {
            let encoding =
                subject.tokenizer().encode_prompted(&example.prompt, &example.response)?;
            let mut prompt = encoding.ids;
            let mut answer = prompt.split_off(encoding.prompt_length);
            answer.extend(subject.taught_end());
            answer.truncate(new_tokens);
            (prompt, answer)
        } else {
            (subject.encode(&example.prompt, work.truncate)?, Vec::new())
        };
        let room = Room {
            positions: subject.max_positions(),
            new_tokens: if work.teacher_forced { answer.len() } else { new_tokens },
            truncate: work.truncate,
        };
        let prompt = room.fit(number as usize, ids)?;
        Ok(Self {
            number,
            example,
            prompt_tokens: prompt.ids.len(),
            ids: [prompt.ids, answer].concat(),
            is_truncated: prompt.is_truncated,
        })
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
    for Prepared { number, example, ids, prompt_tokens, .. } in prepared {
        let what = (number, ids, prompt_tokens, &example.prompt, &example.references);
        hash.update(format!("{what:?}\n"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
