//! A run of an encoder that classifies.

use ee_models::arch::bert::{
    self, BERT, Encoder, EncoderConfig, Head, LabelMismatch, LabelOrder, TaskLabels,
};
use ee_models::checkpoint::Precision;
use ee_tasks::{Task, Tokenizer};

use super::{Prepared, Start, check_length, validation_split};
use crate::config::{ModelConfig, TaskConfig};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::fit::Lesson;
use crate::optimizer::AdamW;
use crate::subject::Loaded;
use crate::validate::{LabelMeasure, Measure};

impl Start<'_> {
    pub(super) fn begin_labels(self, task: &Task) -> Result<Prepared> {
        let config = &self.config;
        if config.precision != Precision::F32 || config.lora.is_some() {
            let message = "precision and lora are settings of decoders; a classifier trains in F32";
            return Err(Error::Mismatch(message.to_owned()));
        }
        if config.validation.is_some() || config.training.label_smoothing != 0.0 {
            let message =
                "[validation] and training.label_smoothing are settings of models that write texts";
            return Err(Error::Mismatch(message.to_owned()));
        }
        let folder = self.tokenizer_folder();
        let tokenizer = Tokenizer::from_folder(&folder.path, config.task.max_length)?;
        let mut optimizer = AdamW::new(config.optimizer);
        let (mut loaded, resumed) =
            self.model(&mut optimizer, |start| start.new_encoder(task, &tokenizer))?;
        let order = self.order(task, &loaded)?;
        loaded.notices.extend(order.notice.clone());
        loaded.config.set_labels(&order.head_names);
        check_length(config.task.max_length, loaded.config.max_length())?;
        let tokenizer = tokenizer.for_rows(loaded.config.vocab_size);
        let (train, validation) =
            splits(&config.task, task, &tokenizer, &order, &mut loaded.notices)?;
        let metrics = task.build_metrics();
        let measure = Measure::Labels(LabelMeasure { metrics, label_of: order.labels() });
        let validation_split =
            Some(validation_split(&config.task, &task.evaluation_split).to_owned());
        let (task, sampler) = (task.name.clone(), None);
        let lesson = Lesson { task, validation_split, train, validation, measure, sampler };
        self.finish(loaded, resumed, optimizer, lesson, folder)
    }

    fn new_encoder(&self, task: &Task, tokenizer: &Tokenizer) -> Result<Loaded<Encoder>> {
        match &self.config.model {
            ModelConfig::Checkpoint { path, new_head, .. } => {
                let (labels, seed) = (task.labels.clone(), self.config.seed);
                let head = match new_head {
                    true => Head::New { labels, seed },
                    false => Head::NewIfAbsent { labels, seed },
                };
                Ok(bert::load(path, &head, &self.devices[0])?.into())
            }
            ModelConfig::Pair(_) => unreachable!("refused before"),
            ModelConfig::Scratch(scratch) => {
                let sizes = scratch.bert(tokenizer.vocabulary_size());
                let mut model = EncoderConfig::of_sizes(&BERT, &sizes)?;
                model.set_labels(&task.labels);
                Ok(bert::random(model, self.config.seed, &self.devices[0]).into())
            }
        }
    }

    /// How the head's outputs match the task's labels.
    fn order(&self, task: &Task, loaded: &Loaded<Encoder>) -> Result<LabelOrder> {
        let head_order = match &self.config.model {
            ModelConfig::Checkpoint { label_order, .. } => label_order.as_deref(),
            ModelConfig::Scratch(_) | ModelConfig::Pair(_) => None,
        };
        let written = task.label_values.as_deref();
        let labels = TaskLabels { names: &task.labels, written, head_order };
        LabelOrder::of(loaded.config.labels(), labels).map_err(|mismatch| {
            let remedy = match mismatch {
                LabelMismatch::Number { .. } => "; --new-head replaces the head by a new one",
                LabelMismatch::Names { .. } => {
                    " (model.label_order states it; --new-head replaces the head by a new one)"
                }
                LabelMismatch::Stated { .. } | LabelMismatch::Contradiction { .. } => "",
            };
            let folder = self.tokenizer_folder();
            let folder = folder.path.display();
            Error::Mismatch(format!("{folder}: {mismatch}{remedy}"))
        })
    }
}

/// The examples to learn from and those to validate on.
fn splits(
    config: &TaskConfig,
    task: &Task,
    tokenizer: &Tokenizer,
    order: &LabelOrder,
    notices: &mut Vec<String>,
) -> Result<(Split, Split)> {
    let mut read = |name: &str, limit| -> Result<Split> {
        let split = task.read_split(name, config.data_dir.as_deref(), limit)?;
        notices.extend(split.notices());
        let encodings = tokenizer.encode_all(&split.examples)?;
        let outputs: Vec<usize> =
            split.labels()?.into_iter().map(|label| order.outputs[label]).collect();
        Ok(Split::labelled(encodings, &outputs, tokenizer.padding_id()))
    };
    let validation = validation_split(config, &task.evaluation_split);
    Ok((read(&config.train_split, config.limit)?, read(validation, config.validation_limit)?))
}
