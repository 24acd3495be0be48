//! What must be sound before the first step.
//!
//! Task, data, tokenizer, checkpoint and run folder are read and checked against each other here, and the
//! run folder is made only when nothing is wrong with any of them.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use ee_models::arch::bert::{self, Encoder, EncoderConfig, Head, Loaded};
use ee_tasks::{Task, Tokenizer};

use crate::config::{ModelConfig, RunConfig, TaskConfig};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::fit::{Plan, Run};
use crate::log::Log;
use crate::optimizer::AdamW;
use crate::run;
use crate::schedule::Schedule;
use crate::snapshot::{Checkpoints, TrainingState};

/// Reads and checks everything that a run needs; only when all is sound, its folder is made.
///
/// # Errors
/// Whatever is wrong with the task, the data, the tokenizer, the checkpoint or the folder.
pub fn prepare(config: RunConfig, output: &Path, resume: bool) -> Result<(Run, Encoder)> {
    let device = ee_models::device::device(&config.device)?;
    run::check(output, &config, resume)?;
    let task = Task::read(&config.task.file)?;
    let tokenizer_folder = config.model.tokenizer_folder().to_owned();
    let tokenizer = Tokenizer::from_folder(&tokenizer_folder, config.task.max_length)?;
    let mut optimizer = AdamW::new(config.optimizer);
    let checkpoints = Checkpoints::new(output);
    let resumed = if resume { checkpoints.resume(&device, &mut optimizer)? } else { None };
    let resumed_at = resumed.as_ref().map(|(_, state)| state.step);
    let (loaded, mut state) = match resumed {
        Some(resumed) => resumed,
        None => (new_model(&config, &task, &tokenizer, &device)?, TrainingState::default()),
    };
    check_fit(&config, &loaded.config, &task, &tokenizer)?;
    let (train, validation) = splits(&config.task, &task, &tokenizer)?;
    check_data(&mut state, &train, resumed_at)?;
    let plan = Plan::new(&config, train.len());
    run::begin(output, &config, resumed_at)?;
    let log = Log::open(output, &state, plan.total)?;
    announce(&log, &loaded, resume, resumed_at);
    let Loaded { model, config: model_config, names, .. } = loaded;
    let run = Run {
        schedule: Schedule {
            kind: config.schedule.kind,
            warm_up: config.schedule.warm_up.steps(plan.total),
            total: plan.total,
        },
        plan,
        metrics: task.build_metrics(),
        task: task.name,
        train,
        validation,
        order: None,
        model_config,
        names,
        tokenizer: tokenizer_folder,
        optimizer,
        state,
        saved_step: resumed_at,
        checkpoints,
        log,
        config,
    };
    Ok((run, model.train()))
}

/// The examples to learn from and those to validate on.
fn splits(config: &TaskConfig, task: &Task, tokenizer: &Tokenizer) -> Result<(Split, Split)> {
    let read =
        |name: &str, limit| Split::read(task, tokenizer, name, config.data_dir.as_deref(), limit);
    let validation = config.validation_split.as_ref().unwrap_or(&task.evaluation_split);
    Ok((read(&config.train_split, config.limit)?, read(validation, config.validation_limit)?))
}

/// Whether a run that continues sees the examples that it was begun with.
fn check_data(state: &mut TrainingState, train: &Split, resumed_at: Option<u64>) -> Result<()> {
    let data = train.fingerprint();
    if resumed_at.is_some() && state.data != data {
        let message = "the training examples are not those that the run was begun with";
        return Err(Error::Mismatch(message.to_owned()));
    }
    state.data = data;
    Ok(())
}

/// The model that a run begins with.
fn new_model(
    config: &RunConfig,
    task: &Task,
    tokenizer: &Tokenizer,
    device: &Device,
) -> Result<Loaded> {
    match &config.model {
        ModelConfig::Checkpoint { path } => {
            let head = Head::NewIfAbsent { labels: task.labels.clone(), seed: config.seed };
            Ok(bert::load(path, &head, device)?)
        }
        ModelConfig::Scratch(scratch) => {
            let mut model = EncoderConfig::bert(&scratch.sizes(tokenizer.vocabulary_size()))?;
            model.set_labels(&task.labels);
            Ok(bert::random(model, config.seed, device))
        }
    }
}

/// Whether model, task and tokenizer go together.
fn check_fit(
    config: &RunConfig,
    model: &EncoderConfig,
    task: &Task,
    tokenizer: &Tokenizer,
) -> Result<()> {
    model.expect_labels(&task.labels)?;
    let (ids, rows) = (tokenizer.vocabulary_size(), model.vocab_size);
    if ids > rows {
        return Err(Error::Mismatch(format!(
            "the tokenizer has {ids} token ids, the model's embedding only {rows} rows"
        )));
    }
    let (wanted, longest) = (config.task.max_length, model.max_length());
    if wanted > longest {
        return Err(Error::Mismatch(format!(
            "task.max_length is {wanted} tokens, the model has positions for {longest}"
        )));
    }
    Ok(())
}

/// Says what a reader of the results must know of the beginning.
fn announce(log: &Log, loaded: &Loaded, resume: bool, resumed_at: Option<u64>) {
    match resumed_at {
        Some(step) => log.say(&format!("going on after step {step}")),
        None if resume => log.say("there is no checkpoint yet: starting from the beginning"),
        None => {}
    }
    if !loaded.new_head.is_empty() {
        let names = loaded.new_head.join(", ");
        log.say(&format!("the checkpoint has no classification head; initialised anew: {names}"));
    }
    if !loaded.unused.is_empty() {
        log.say(&format!("tensors of the checkpoint not used: {}", loaded.unused.join(", ")));
    }
}
