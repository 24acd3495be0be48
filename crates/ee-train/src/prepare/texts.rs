//! A run of a decoder: on responses to prompts, or on running text.

use ee_models::arch::llama::{self, LLAMA, Llama, LlamaConfig};
use ee_models::layers;
use ee_tasks::causal::{self, CausalRow, Shortened};
use ee_tasks::{TextExample, TextTokenizer};

use super::{Prepared, Start, Texts, check_length, validation_split};
use crate::config::{LoraConfig, ModelConfig, TaskConfig};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::fit::Lesson;
use crate::optimizer::AdamW;
use crate::sample::Sampler;
use crate::subject::Loaded;
use crate::validate::Measure;
use crate::write::Writer;

/// Examples that are named where many have nothing left to learn.
const NAMED: usize = 5;

impl Start<'_> {
    pub(super) fn begin_texts(self, texts: &Texts) -> Result<Prepared> {
        let config = &self.config;
        if let ModelConfig::Checkpoint { new_head, label_order, .. } = &config.model
            && (*new_head || label_order.is_some())
        {
            let message = "new_head and label_order are settings of classifiers";
            return Err(Error::Mismatch(message.to_owned()));
        }
        let folder = self.tokenizer_folder();
        let tokenizer = TextTokenizer::from_folder(&folder.path)?;
        let mut optimizer = AdamW::new(config.optimizer);
        let (mut loaded, resumed) =
            self.model(&mut optimizer, |start| start.new_decoder(&tokenizer))?;
        let (rows, positions) = (loaded.config.vocab_size, loaded.config.max_position_embeddings);
        check_length(config.task.max_length, positions)?;
        let tokenizer = tokenizer.for_rows(rows);
        let end = tokenizer.end_id().or(loaded.config.special.ends.first().copied());
        if let Some(end) = end {
            tokenizer.check(&[end])?;
            loaded.notices.extend(loaded.config.teach_end(end));
        }
        let reader = Reader { config: &config.task, tokenizer: &tokenizer, end };
        let (train, _) = reader.rows(texts, true, &mut loaded.notices)?;
        let (validation, examples) = reader.rows(texts, false, &mut loaded.notices)?;
        let new_tokens = config.training.sample_tokens;
        let ends = &loaded.config.special.ends;
        let sampler = Sampler::new(examples.first(), &tokenizer, ends, new_tokens, positions)?;
        let (task, validation_split) = match texts {
            Texts::Task(task) => {
                let split = validation_split(&config.task, &task.evaluation_split);
                (task.name.clone(), Some(split.to_owned()))
            }
            Texts::Files(..) => ("text".to_owned(), None),
        };
        let writer = match (&config.validation, texts) {
            (None, _) => None,
            (Some(_), Texts::Files(..)) => {
                let message = "[validation] scores what is written about a task's prompts, running text has none";
                return Err(Error::Mismatch(message.to_owned()));
            }
            (Some(writing), Texts::Task(task)) => {
                let room = positions.saturating_sub(task.max_new_tokens);
                let fit = |prompt: Vec<u32>, line| match prompt.len() > room {
                    false => Ok(prompt),
                    true => Err(Error::Mismatch(format!(
                        "line {line} of the validation split: a prompt of {} tokens and max_new_tokens = {} exceed the \
                         model's {positions} positions",
                        prompt.len(),
                        task.max_new_tokens
                    ))),
                };
                let writer = Writer::new(writing, task, &examples, &tokenizer, ends, fit)?;
                writer.check(&loaded.model)?;
                Some(Box::new(writer))
            }
        };
        let measure = Measure::Tokens(writer);
        let lesson = Lesson { task, validation_split, train, validation, measure, sampler };
        self.finish(loaded, resumed, optimizer, lesson, folder)
    }

    fn new_decoder(&self, tokenizer: &TextTokenizer) -> Result<Loaded<Llama>> {
        let mut loaded = self.whole_decoder(tokenizer)?;
        if let Some(LoraConfig { rank, alpha, targets }) = self.config.lora.clone() {
            let config = layers::LoraConfig { rank, alpha, targets, seed: self.config.seed };
            loaded.model = loaded.model.add_lora(&config, &mut loaded.names)?;
        }
        Ok(loaded)
    }

    fn whole_decoder(&self, tokenizer: &TextTokenizer) -> Result<Loaded<Llama>> {
        let (precision, device) = (self.config.precision, &self.devices[0]);
        match &self.config.model {
            ModelConfig::Checkpoint { path, .. } => {
                Ok(llama::load(path, precision, device)?.into())
            }
            ModelConfig::Pair(_) => unreachable!("refused before"),
            ModelConfig::Scratch(scratch) => {
                let config =
                    LlamaConfig::of_sizes(&LLAMA, &scratch.llama(tokenizer.vocabulary_size()))?
                        .with_tied_head(scratch.tied_head)
                        .with_initializer_range(scratch.initializer_range)
                        .with_special(tokenizer.beginning_id(), tokenizer.end_id());
                Ok(llama::random(config, self.config.seed, precision, device).into())
            }
        }
    }
}

struct Reader<'a> {
    config: &'a TaskConfig,
    tokenizer: &'a TextTokenizer,
    end: Option<u32>,
}

impl Reader<'_> {
    /// The rows to learn from or those to validate on, and the examples of a task.
    fn rows(
        &self,
        texts: &Texts,
        learns: bool,
        notices: &mut Vec<String>,
    ) -> Result<(Split, Vec<TextExample>)> {
        let Self { config, tokenizer, end } = *self;
        let TaskConfig { max_length, limit, validation_limit, .. } = *config;
        let limit = if learns { limit } else { validation_limit };
        let what = if learns { "training" } else { "validation" };
        let (mut rows, examples) = match texts {
            Texts::Files(train, validation) => {
                let paths = if learns { train } else { validation };
                let mut rows = causal::running_text(tokenizer, paths, max_length, end)?;
                rows.truncate(limit.unwrap_or(rows.len()));
                (rows, Vec::new())
            }
            Texts::Task(task) => {
                let validation = validation_split(config, &task.evaluation_split);
                let name = if learns { config.train_split.as_str() } else { validation };
                if !task.has_responses() {
                    let message =
                        "has neither references nor a response: there is nothing to learn";
                    return Err(Error::Mismatch(format!("task `{}` {message}", task.name)));
                }
                let split = task.read_split(name, config.data_dir.as_deref(), limit)?;
                let (rows, shortened) =
                    causal::instructions(tokenizer, &split.examples, max_length, end)?;
                notices.extend(of_shortened(&shortened, what, split.examples.len(), max_length));
                (rows, split.examples)
            }
        };
        if rows.is_empty() {
            return Err(Error::Mismatch(format!(
                "no {what} example has a token left to learn within task.max_length = {max_length}"
            )));
        }
        if config.packing {
            rows = packed(rows, max_length, what, notices);
        }
        Ok((Split::causal(rows), examples))
    }
}

fn packed(
    rows: Vec<CausalRow>,
    length: usize,
    what: &str,
    notices: &mut Vec<String>,
) -> Vec<CausalRow> {
    let before = rows.len();
    let rows = causal::packed(rows, length);
    notices.push(format!("{before} {what} rows packed into {}", rows.len()));
    rows
}

fn of_shortened(
    shortened: &Shortened,
    what: &str,
    examples: usize,
    max_length: usize,
) -> Vec<String> {
    let Shortened { truncated, dropped } = shortened;
    let mut notices = Vec::new();
    if *truncated > 0 {
        notices.push(format!(
            "{truncated} of {examples} {what} examples are longer than {max_length} tokens and lose their end"
        ));
    }
    if !dropped.is_empty() {
        notices.push(format!(
            "{} {what} examples have nothing left to learn from and are left out: lines {}",
            dropped.len(),
            named_lines(dropped)
        ));
    }
    notices
}

/// The first of some lines.
pub(super) fn named_lines(lines: &[usize]) -> String {
    let mut named: Vec<String> = lines.iter().take(NAMED).map(usize::to_string).collect();
    if lines.len() > NAMED {
        named.push("…".to_owned());
    }
    named.join(", ")
}
