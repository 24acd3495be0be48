//! What the model writes about the validation split, scored by a metric of texts: the measure that chooses a
//! translation's best checkpoint.
//!
//! Texts are written by beams through all layers, as fairseq's rule has it. They are scored as the task has them: with
//! its own end texts and, where it states one, after its detokenizer.

use std::cmp::Reverse;

use ee_decode::beam::{self, BeamOptions, RULES, beams};
use ee_models::Decoder;
use ee_tasks::{GenerationTask, TextExample, TextMetric, TextTokenizer};

use crate::config::WritingConfig;
use crate::error::{Error, Result};

/// Writes about prompts and scores what it wrote.
pub(crate) struct Writer {
    metric: Box<dyn TextMetric>,
    task: GenerationTask,
    tokenizer: TextTokenizer,
    prompts: Vec<Vec<u32>>,
    /// Those of each prompt.
    references: Vec<Vec<String>>,
    options: BeamOptions,
    /// Prompts that are read at once.
    batch: usize,
}

impl Writer {
    /// A writer about the first of some examples, whose prompts `fit` makes short enough.
    ///
    /// # Errors
    /// Examples without references, a prompt that the tokenizer cannot spell or that does not fit.
    pub(crate) fn new(
        config: &WritingConfig,
        task: &GenerationTask,
        examples: &[TextExample],
        tokenizer: &TextTokenizer,
        ends: &[u32],
        fit: impl Fn(Vec<u32>, usize) -> Result<Vec<u32>>,
    ) -> Result<Self> {
        let metric = task.build_metric(&config.metric, false)?;
        let examples = &examples[..config.limit.unwrap_or(examples.len()).min(examples.len())];
        let (mut prompts, mut references) = (Vec::new(), Vec::new());
        for example in examples {
            if example.references.is_empty() {
                let TextExample { line, .. } = example;
                return Err(Error::Mismatch(format!(
                    "validation.metric {} compares with references, line {line} of the validation split has none",
                    config.metric
                )));
            }
            prompts.push(fit(tokenizer.encode_prompt(&example.prompt)?, example.line)?);
            references.push(example.references.clone());
        }
        let options = BeamOptions {
            length_penalty: config.length_penalty,
            max_length: config.max_length.map(|[a, b]| (a, b)),
            ..BeamOptions::new(config.beam, RULES[0], task.max_new_tokens, ends.to_vec())
        };
        let (task, tokenizer, batch) = (task.clone(), tokenizer.clone(), config.batch);
        Ok(Self { metric, task, tokenizer, prompts, references, options, batch })
    }

    /// Refuses beams and lengths that the model has no room for, which would else end the run at its first validation.
    pub(crate) fn check(&self, model: &dyn Decoder) -> Result<()> {
        Ok(beam::check(model, &self.prompts, &self.options)?)
    }

    /// The metric's name.
    pub(crate) fn metric(&self) -> &'static str {
        self.metric.name()
    }

    /// The score of what the model writes about all prompts.
    pub(crate) fn score(&self, model: &dyn Decoder) -> Result<f64> {
        // Longest first, in batches of like length; a text does not depend on its batch.
        let mut order: Vec<usize> = (0..self.prompts.len()).collect();
        order.sort_by_key(|&row| Reverse(self.prompts[row].len()));
        let mut sum: Vec<f64> = Vec::new();
        for rows in order.chunks(self.batch) {
            let prompts: Vec<Vec<u32>> =
                rows.iter().map(|&row| self.prompts[row].clone()).collect();
            for (&row, hypotheses) in rows.iter().zip(beams(model, &prompts, &self.options)?) {
                let statistics = self.statistics(row, &hypotheses[0].tokens)?;
                sum.resize(statistics.len(), 0.0);
                sum.iter_mut().zip(statistics).for_each(|(sum, further)| *sum += further);
            }
        }
        Ok(self.metric.score(&sum))
    }

    fn statistics(&self, row: usize, tokens: &[u32]) -> Result<Vec<f64>> {
        let text = self.tokenizer.decode(tokens)?;
        let references: Vec<&str> = self.references[row].iter().map(String::as_str).collect();
        Ok(self.metric.statistics(self.task.answer(&text), &references)?)
    }
}
