//! What must be valid before the first step.
//!
//! Task, data, tokenizer, checkpoint and run folder are read and checked against each other here, and the
//! run folder is made only when nothing is wrong with any of them. What a run trains follows from its
//! lessons: labels ask for an encoder, text for a decoder, and a task's answers for an encoder-decoder
//! where the model is one.

mod base;
mod labels;
mod pairs;
mod texts;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use ee_files::FolderLock;
use ee_tasks::{AnyTask, GenerationTask};

use crate::config::{BatchConfig, Lessons, ModelConfig, RunConfig, TaskConfig};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::fit::{self, Ended, Lesson, Run, Timetable};
use crate::log::Log;
use crate::optimizer::AdamW;
use crate::order::Order;
use crate::plan;
use crate::run::{self, Identity};
use crate::schedule::Schedule;
use crate::snapshot::{Checkpoints, Resumed, TrainingState};
use crate::subject::{Loaded, Trainable};

/// A valid run that may begin or go on.
pub struct Prepared(Box<Training>);

/// Trains until an end, or until the flag is set.
type Training = dyn FnOnce(&AtomicBool) -> Result<Ended>;

impl Prepared {
    /// Trains until the last step, until patience runs out, or until `interrupted` is set.
    pub(crate) fn fit(self, interrupted: &AtomicBool) -> Result<Ended> {
        (self.0)(interrupted)
    }
}

pub(crate) enum Texts {
    Task(Box<GenerationTask>),
    /// Running text, to learn from and to validate on.
    Files(Vec<PathBuf>, Vec<PathBuf>),
}

/// Reads and checks everything that a run needs; only when all is sound, its folder is made.
///
/// # Errors
/// Whatever is wrong with the task, the data, the tokenizer, the checkpoint or the folder.
pub fn prepare(config: RunConfig, output: &Path, resume: bool) -> Result<Prepared> {
    let texts = match &config.task.lessons {
        Lessons::Text { text, validation_text } => {
            Texts::Files(text.clone(), validation_text.clone())
        }
        Lessons::Task { file } => match AnyTask::read(file)? {
            AnyTask::Generation(task) if pairs::is_pair(&config)? => {
                return Start::new(config, output, resume)?.begin_pairs(&task);
            }
            AnyTask::Generation(task) => Texts::Task(Box::new(task)),
            AnyTask::Classification(task) => {
                refuse_encoder_decoder(
                    &config,
                    "its task has labels, and an encoder-decoder writes texts",
                )?;
                return Start::new(config, output, resume)?.begin_labels(&task);
            }
        },
    };
    refuse_encoder_decoder(&config, "running text has no sources for its encoder")?;
    Start::new(config, output, resume)?.begin_texts(&texts)
}

/// Refuses a model that these lessons are none for, and what is said of pairs alone.
fn refuse_encoder_decoder(config: &RunConfig, why: &str) -> Result<()> {
    if config.task.max_ratio.is_some() {
        let message = "task.max_ratio compares the two sides of an encoder-decoder's examples";
        return Err(Error::Mismatch(message.to_owned()));
    }
    match &config.model {
        ModelConfig::Pair(_) => {
            Err(Error::Mismatch(format!("[model] describes an encoder-decoder: {why}")))
        }
        // What a folder holds is said where it is loaded.
        _ => Ok(()),
    }
}

/// The split that scores: the one asked for, or that on which the task is evaluated.
fn validation_split<'a>(config: &'a TaskConfig, evaluation: &'a str) -> &'a str {
    config.validation_split.as_deref().unwrap_or(evaluation)
}

/// A run whose folder and device are sound.
struct Start<'a> {
    config: RunConfig,
    output: &'a Path,
    resume: bool,
    /// At least one.
    devices: Vec<Device>,
    /// `None` as long as there is no folder.
    lock: Option<FolderLock>,
    checkpoints: Checkpoints,
}

impl<'a> Start<'a> {
    fn new(config: RunConfig, output: &'a Path, resume: bool) -> Result<Self> {
        let devices = ee_models::device::devices(&config.device)?;
        let lock = run::lock(output)?;
        run::check(output, &config, resume)?;
        plan::check_room(&config)?;
        let checkpoints = match resume {
            true => Checkpoints::of_run(output)?,
            false => Checkpoints::new(output, Identity::new()),
        };
        Ok(Self { config, output, resume, devices, lock, checkpoints })
    }

    /// The folder of a tokenizer that is not learnt.
    fn tokenizer_folder(&self) -> pairs::Folder {
        pairs::Folder::of(self.config.model.tokenizer().expect("only encoder-decoders learn one"))
    }

    /// The model of the newest checkpoint where there is one to go on from, else a new one.
    fn model<M: Trainable>(
        &self,
        optimizer: &mut AdamW,
        new: impl Fn(&Self) -> Result<Loaded<M>>,
    ) -> Result<(Loaded<M>, Option<TrainingState>)> {
        if self.resume {
            let open = |folder: &Path| match self.config.lora {
                // The additions lie beside the moments; what they are added to is where it was at the start.
                Some(_) => new(self),
                None => Ok(M::open(folder, self.config.precision, &self.devices[0])?),
            };
            if let Some(Resumed { loaded, state }) = self.checkpoints.resume(open, optimizer)? {
                return Ok((loaded, Some(state)));
            }
        }
        Ok((new(self)?, None))
    }

    fn finish<M: Trainable>(
        self,
        loaded: Loaded<M>,
        resumed: Option<TrainingState>,
        optimizer: AdamW,
        lesson: Lesson,
        tokenizer: pairs::Folder,
    ) -> Result<Prepared> {
        let Self { config, output, resume, devices, lock, checkpoints } = self;
        let resumed_at = resumed.as_ref().map(|state| state.step);
        let mut state = resumed.unwrap_or_default();
        check_data(&mut state, &lesson.train, resumed_at)?;
        check_base(&mut state, &config)?;
        for (split, what) in [(&lesson.train, "training"), (&lesson.validation, "validation")] {
            if split.is_empty() {
                return Err(Error::Mismatch(format!("the task has no {what} example")));
            }
        }
        check_batch(&config, &lesson.train)?;
        let order = Order::new(config.training.batch, devices.len(), config.seed, &lesson.train);
        let timetable = Timetable::new(&config, order.steps_per_epoch);
        let lock = match lock {
            Some(lock) => lock,
            None => run::make(output, &config)?,
        };
        run::begin(output, &config, checkpoints.identity(), resumed_at)?;
        let tokenizer = tokenizer.keep(output)?;
        let log =
            Log::open(output, (state.log_bytes, state.events_bytes), state.step, timetable.total)?;
        announce(&log, &loaded.notices, resume, resumed_at);
        let Loaded { model, config: model_config, names, written, .. } = loaded;
        let run = Run {
            schedule: Schedule {
                kind: config.schedule.kind,
                start: config.schedule.warm_up_from / config.optimizer.learning_rate,
                warm_up: config.schedule.warm_up.steps(timetable.total),
                total: timetable.total,
            },
            timetable,
            tokenizer,
            checkpoints,
            _lock: lock,
            saved_step: resumed_at,
            order,
            lesson,
            model_config,
            names,
            written,
            optimizer,
            state,
            log,
            config,
            devices,
        };
        Ok(Prepared(Box::new(|interrupted| fit::fit(run, model.train(), interrupted))))
    }
}

/// Whether a run that continues sees the examples that it was begun with.
fn check_data(state: &mut TrainingState, train: &Split, resumed_at: Option<u64>) -> Result<()> {
    let data = train.fingerprint();
    if resumed_at.is_some() && state.data != data {
        let message = "the training examples are not those that the run was begun with: \
                       training_state.json holds the fingerprint of others";
        return Err(Error::Mismatch(message.to_owned()));
    }
    state.data = data;
    Ok(())
}

/// Whether low-rank additions go on being added to the checkpoint that they were learned on.
fn check_base(state: &mut TrainingState, config: &RunConfig) -> Result<()> {
    let (Some(_), ModelConfig::Checkpoint { path, .. }) = (&config.lora, &config.model) else {
        return Ok(());
    };
    let base = base::fingerprint(path)?;
    if state.base.as_ref().is_some_and(|begun_with| *begun_with != base) {
        return Err(Error::Mismatch(format!(
            "the weights in {} are not those that the run was begun with, and its low-rank additions belong to \
             those",
            path.display()
        )));
    }
    state.base = Some(base);
    Ok(())
}

/// Whether every row has room in a batch by tokens.
fn check_batch(config: &RunConfig, train: &Split) -> Result<()> {
    let longest = train.longest();
    match config.training.batch {
        BatchConfig::Tokens { batch_tokens, .. } if batch_tokens < longest => {
            Err(Error::Mismatch(format!(
                "training.batch_tokens is {batch_tokens}, the longest example has {longest} tokens (task.max_length \
                 cuts examples)"
            )))
        }
        _ => Ok(()),
    }
}

fn check_length(wanted: usize, longest: usize) -> Result<()> {
    if wanted > longest {
        return Err(Error::Mismatch(format!(
            "task.max_length is {wanted} tokens, the model has positions for {longest}"
        )));
    }
    Ok(())
}

/// Says what a reader of the results must know about the start.
fn announce(log: &Log, notices: &[String], resume: bool, resumed_at: Option<u64>) {
    match resumed_at {
        Some(step) => log.say(&format!("going on after step {step}")),
        None if resume => log.say("there is no checkpoint yet: starting from the beginning"),
        None => {}
    }
    for notice in notices {
        log.say(notice);
    }
}
