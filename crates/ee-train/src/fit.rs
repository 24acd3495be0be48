//! The training loop: one function that reads top to bottom.
//!
//! Where a run stands is the number of steps made; everything that a step needs follows from it and from
//! the seed. What must be sound before the first step is checked by [`crate::prepare`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use ee_files::FolderLock;
use ee_models::checkpoint::ParameterNames;

use crate::config::RunConfig;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::log::{Log, StepPlace};
use crate::optimizer::AdamW;
use crate::order::Order;
use crate::replicas::Replicas;
use crate::sample::Sampler;
use crate::schedule::Schedule;
use crate::snapshot::{Average, Best, Checkpoints, Snapshot, TrainingFacts, TrainingState};
use crate::step::{StepConfig, step_on};
use crate::subject::Trainable;
use crate::validate::Measure;

/// Steps between readings of the exits outside the objective where the run file does not say.
const WATCH_TEXT_EVERY: u64 = 10;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    /// The score has not risen for `patience` validations.
    EarlyStopped,
    /// It was asked to stop; a checkpoint was written.
    Interrupted,
}

pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) step: u64,
    pub(crate) best: Option<(PathBuf, Best)>,
    /// The mean of the last checkpoints, and its score.
    pub(crate) average: Option<(PathBuf, f64)>,
    /// The metric that chose it.
    pub(crate) leading_metric: &'static str,
}

/// Steps of a run, and after which of them it looks and saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timetable {
    pub(crate) steps_per_epoch: u64,
    pub(crate) total: u64,
    validate_every: u64,
    checkpoint_every: Option<u64>,
}

impl Timetable {
    pub(crate) fn new(config: &RunConfig, steps_per_epoch: u64) -> Self {
        let training = &config.training;
        let all = training.epochs * steps_per_epoch;
        Self {
            steps_per_epoch,
            total: training.max_steps.map_or(all, |limit| limit.min(all)),
            validate_every: training.evaluate_every_steps.unwrap_or(steps_per_epoch),
            checkpoint_every: training.checkpoint_every_steps,
        }
    }

    fn validates_after(&self, step: u64) -> bool {
        step.is_multiple_of(self.validate_every) || step == self.total
    }

    fn saves_after(&self, step: u64) -> bool {
        self.validates_after(step)
            || self.checkpoint_every.is_some_and(|every| step.is_multiple_of(every))
    }
}

pub(crate) struct Lesson {
    pub(crate) task: String,
    /// The split that scores, where it is one of a task.
    pub(crate) validation_split: Option<String>,
    pub(crate) train: Split,
    pub(crate) validation: Split,
    pub(crate) measure: Measure,
    pub(crate) sampler: Option<Sampler>,
}

pub(crate) struct Run<M: Trainable> {
    pub(crate) config: RunConfig,
    /// The first one holds the model at the beginning and at the end.
    pub(crate) devices: Vec<Device>,
    pub(crate) timetable: Timetable,
    pub(crate) schedule: Schedule,
    pub(crate) lesson: Lesson,
    pub(crate) order: Order,
    pub(crate) model_config: M::Config,
    pub(crate) names: ParameterNames,
    pub(crate) written: ParameterNames,
    pub(crate) tokenizer: PathBuf,
    pub(crate) optimizer: AdamW,
    pub(crate) state: TrainingState,
    pub(crate) saved_step: Option<u64>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) log: Log,
    /// Held as long as the run may write.
    pub(crate) _lock: FolderLock,
}

/// Trains until the last step, until patience runs out, or until `interrupted` is set.
pub(crate) fn fit<M: Trainable>(
    mut run: Run<M>,
    model: M,
    interrupted: &AtomicBool,
) -> Result<Ended> {
    let sharded = run.config.training.shard_optimizer;
    let mut replicas = Replicas::new(model, &run.devices, sharded);
    let outcome = loop {
        if run.state.step >= run.timetable.total {
            break Outcome::Finished;
        }
        if run.is_out_of_patience() {
            break Outcome::EarlyStopped;
        }
        if interrupted.load(Ordering::Relaxed) {
            break Outcome::Interrupted;
        }
        replicas = run.step(replicas)?;
        if run.timetable.validates_after(run.state.step) {
            run.validate(replicas.first())?;
        }
        if run.timetable.saves_after(run.state.step) {
            run.save(replicas.first())?;
        }
    };
    // Before the first step there is nothing to save that a new start would not give.
    if run.state.step > 0 && run.saved_step != Some(run.state.step) {
        run.save(replicas.first())?;
    }
    let average = match outcome {
        Outcome::Interrupted => None,
        Outcome::Finished | Outcome::EarlyStopped => run.average()?,
    };
    run.log.finish();
    let best = run.checkpoints.best(&run.state).zip(run.state.best);
    Ok(Ended {
        outcome,
        step: run.state.step,
        best,
        average,
        leading_metric: run.lesson.measure.leading(),
    })
}

impl<M: Trainable> Run<M> {
    fn is_out_of_patience(&self) -> bool {
        let patience = self.config.training.patience;
        patience.is_some_and(|patience| self.state.validations_since_best >= patience)
    }

    fn step(&mut self, replicas: Replicas<M>) -> Result<Replicas<M>> {
        let started = Instant::now();
        let done = self.state.step;
        let train = &self.lesson.train;
        let batches = self.order.rows(train, done);
        let micro_batches: Vec<_> =
            batches.iter().map(|rows| train.batch(rows)).collect::<Result<_>>()?;
        let input_seconds = started.elapsed().as_secs_f64();
        let config = StepConfig {
            weights: self.config.objective.weights(replicas.first().n_layers()),
            watch: done.is_multiple_of(self.watch_every()),
            label_smoothing: self.config.training.label_smoothing,
            gradient_checkpointing: self.config.training.gradient_checkpointing,
            learning_rate: self.config.optimizer.learning_rate * self.schedule.factor(done),
            dropout: Some((self.config.seed, done)),
        };
        let step = step_on(replicas, &mut self.optimizer, &self.names, &micro_batches, &config);
        let (replicas, report) = step.map_err(|not_finite| Error::Diverged {
            step: done + 1,
            what: not_finite.what,
            value: not_finite.value,
            learning_rate: config.learning_rate,
            checkpoint: self.checkpoints.last(&self.state),
        })?;
        self.state.step += 1;
        let (step, seconds) = (self.state.step, started.elapsed().as_secs_f64());
        let place = StepPlace {
            step,
            epoch: (step - 1) / self.timetable.steps_per_epoch + 1,
            learning_rate: config.learning_rate,
            seconds,
            input_seconds,
            tokens: batches.iter().map(|rows| self.lesson.train.tokens(rows)).sum(),
        };
        self.log.step(&place, &report)?;
        Ok(replicas)
    }

    fn watch_every(&self) -> u64 {
        let every = match self.lesson.measure {
            Measure::Labels(_) => 1,
            Measure::Tokens(_) => WATCH_TEXT_EVERY,
        };
        self.config.training.watch_every_steps.unwrap_or(every)
    }

    /// Scores every exit and counts how long the last exit has not improved.
    fn validate(&mut self, model: &M) -> Result<()> {
        let started = Instant::now();
        let batch = self.config.training.evaluation_batch;
        let scores = self.lesson.measure.scores(model, &self.lesson.validation, batch);
        let scores = scores.map_err(|error| match error {
            Error::Model(ee_models::Error::NotFinite(place)) => {
                Error::Invalid { step: self.state.step, place }
            }
            other => other,
        })?;
        let (step, score) = (self.state.step, scores[0].last());
        if self.lesson.measure.improves(score, self.state.best.map(|best| best.score)) {
            self.state.best = Some(Best { step, score });
            self.state.validations_since_best = 0;
        } else {
            self.state.validations_since_best += 1;
        }
        if let Some(n) = self.config.training.average_checkpoints {
            self.state.to_average.push(step);
            let more = self.state.to_average.len().saturating_sub(n);
            self.state.to_average.drain(..more);
        }
        self.log.validation(step, &scores, started.elapsed().as_secs_f64())?;
        let model = model.valid();
        if let (Some(sampler), Some(decoder)) = (&self.lesson.sampler, model.decoder()) {
            self.log.samples(step, &sampler.samples(decoder)?)?;
        }
        Ok(())
    }

    fn save(&mut self, model: &M) -> Result<()> {
        (self.state.log_bytes, self.state.events_bytes) = self.log.sync()?;
        let facts = self.facts();
        self.checkpoints.save(&Snapshot {
            model,
            config: &self.model_config,
            names: &self.names,
            written: &self.written,
            optimizer: &self.optimizer,
            tokenizer: &self.tokenizer,
            facts: &facts,
            state: &self.state,
        })?;
        self.saved_step = Some(self.state.step);
        Ok(())
    }

    /// What readers of a checkpoint written now must know.
    fn facts(&self) -> TrainingFacts {
        TrainingFacts {
            ee_objective: self.config.objective,
            task: self.lesson.task.clone(),
            training_split: self
                .lesson
                .validation_split
                .as_ref()
                .map(|_| self.config.task.train_split.clone()),
            chosen_on: self
                .lesson
                .validation_split
                .clone()
                .filter(|_| self.state.best.is_some_and(|best| best.step == self.state.step)),
            seed: self.config.seed,
            step: self.state.step,
            averaged_steps: Vec::new(),
        }
    }

    /// Averages the last checkpoints, if that is asked for; where the mean lies, and its score.
    fn average(&mut self) -> Result<Option<(PathBuf, f64)>> {
        let steps = self.state.to_average.clone();
        let (precision, device) = (self.config.precision, self.devices[0].clone());
        let open = |folder: &Path| Ok(M::open(folder, precision, &device)?);
        let facts = TrainingFacts { chosen_on: None, ..self.facts() };
        let Some(average) = self.checkpoints.average::<M>(&steps, open, facts)? else {
            return Ok(None);
        };
        let Average { model, folder, steps } = average;
        let batch = self.config.training.evaluation_batch;
        let scores = self.lesson.measure.scores(&model.train(), &self.lesson.validation, batch)?;
        self.log.average(&steps, &scores)?;
        Ok(Some((folder, scores[0].last())))
    }
}
