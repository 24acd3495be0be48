//! The training loop: one function that reads top to bottom.
//!
//! Where a run stands is the number of steps made; everything that a step needs follows from it and from
//! the seed. What must be sound before the first step is checked by [`crate::prepare`].

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ee_models::ExitModel;
use ee_models::arch::bert::{Encoder, EncoderConfig};
use ee_models::checkpoint::ParameterNames;
use ee_models::loss::Activations;
use ee_tasks::Metric;

use crate::config::RunConfig;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::log::{Log, StepPlace};
use crate::optimizer::AdamW;
use crate::schedule::Schedule;
use crate::snapshot::{Best, Checkpoints, Snapshot, TrainingFacts, TrainingState};
use crate::step::{StepConfig, StepReport, step};
use crate::validate::validate;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every step was made.
    Finished,
    /// The score has not risen for `patience` validations.
    EarlyStopped,
    /// It was asked to end; a checkpoint was written.
    Interrupted,
}

/// Steps of a run, and after which of them it looks and saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the run.
    pub total: u64,
    validate_every: u64,
    checkpoint_every: Option<u64>,
}

impl Plan {
    /// The plan of a run over so many examples.
    pub fn new(config: &RunConfig, examples: usize) -> Self {
        let training = &config.training;
        let steps_per_epoch = examples.div_ceil(training.batch) as u64;
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

/// A run, ready to go on.
pub struct Run {
    pub(crate) config: RunConfig,
    pub(crate) plan: Plan,
    pub(crate) schedule: Schedule,
    pub(crate) task: String,
    pub(crate) metrics: Vec<Box<dyn Metric>>,
    pub(crate) train: Split,
    pub(crate) validation: Split,
    /// Batches of the epoch that was drawn last.
    pub(crate) order: Option<(u64, Vec<Vec<usize>>)>,
    pub(crate) model_config: EncoderConfig,
    pub(crate) names: ParameterNames,
    pub(crate) tokenizer: PathBuf,
    pub(crate) optimizer: AdamW,
    pub(crate) state: TrainingState,
    pub(crate) saved_step: Option<u64>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) log: Log,
}

/// Trains until the last step, until patience is lost, or until `interrupted` is set.
///
/// # Errors
/// When the loss is no longer finite, or a file cannot be written.
pub fn fit(run: &mut Run, mut model: Encoder, interrupted: &AtomicBool) -> Result<Outcome> {
    let outcome = loop {
        if run.state.step >= run.plan.total {
            break Outcome::Finished;
        }
        if run.is_out_of_patience() {
            break Outcome::EarlyStopped;
        }
        if interrupted.load(Ordering::Relaxed) {
            break Outcome::Interrupted;
        }
        model = run.step(model)?;
        if run.plan.validates_after(run.state.step) {
            run.validate(&model)?;
        }
        if run.plan.saves_after(run.state.step) {
            run.save(&model)?;
        }
    };
    if run.saved_step != Some(run.state.step) {
        run.save(&model)?;
    }
    run.log.finish();
    Ok(outcome)
}

impl Run {
    /// Where the run stands.
    pub fn state(&self) -> &TrainingState {
        &self.state
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// The metric that chooses the best checkpoint.
    pub fn leading_metric(&self) -> &'static str {
        self.metrics[0].name()
    }

    fn is_out_of_patience(&self) -> bool {
        let patience = self.config.training.patience;
        patience.is_some_and(|patience| self.state.validations_since_best >= patience)
    }

    /// Makes the next step and logs it.
    fn step(&mut self, model: Encoder) -> Result<Encoder> {
        let started = Instant::now();
        let done = self.state.step;
        let rows = self.rows(done);
        let micro_batches = self.train.micro_batches(&rows, self.config.training.micro_batch)?;
        let config = StepConfig {
            weights: self.config.objective.weights(model.n_layers()),
            // All exits of a classifier cost next to nothing to read.
            watch: true,
            activations: Activations::Keep,
            learning_rate: self.config.optimizer.learning_rate * self.schedule.factor(done),
            dropout: Some((self.config.seed, done)),
        };
        let (model, report) =
            step(model, &mut self.optimizer, &self.names, &micro_batches, &config).map_err(
                |not_finite| Error::Diverged {
                    step: done + 1,
                    what: not_finite.what,
                    value: not_finite.value,
                    learning_rate: config.learning_rate,
                    checkpoint: self.checkpoints.last(),
                },
            )?;
        self.state.step += 1;
        self.log_step(config.learning_rate, &report, started)?;
        Ok(model)
    }

    fn log_step(
        &mut self,
        learning_rate: f64,
        report: &StepReport,
        started: Instant,
    ) -> Result<()> {
        let step = self.state.step;
        let place = StepPlace {
            step,
            epoch: (step - 1) / self.plan.steps_per_epoch + 1,
            learning_rate,
            examples_per_second: report.rows as f64 / started.elapsed().as_secs_f64(),
        };
        self.log.step(place, report)
    }

    /// The examples of the step that follows `done` steps.
    fn rows(&mut self, done: u64) -> Vec<usize> {
        let epoch = done / self.plan.steps_per_epoch;
        let (batch, seed) = (self.config.training.batch, self.config.seed);
        if self.order.as_ref().is_none_or(|(drawn, _)| *drawn != epoch) {
            self.order = Some((epoch, self.train.training_order(batch, seed, epoch)));
        }
        let (_, batches) = self.order.as_ref().expect("drawn above");
        batches[(done % self.plan.steps_per_epoch) as usize].clone()
    }

    /// Scores every exit and keeps count of how long the last exit has not improved.
    fn validate(&mut self, model: &Encoder) -> Result<()> {
        let started = Instant::now();
        let batch = self.config.training.evaluation_batch;
        let scores = validate(model, &self.validation, &self.metrics, batch)?;
        let (step, score) = (self.state.step, scores[0].last());
        if self.state.best.is_none_or(|best| score > best.score) {
            self.state.best = Some(Best { step, score });
            self.state.validations_since_best = 0;
        } else {
            self.state.validations_since_best += 1;
        }
        self.log.validation(step, &scores, started.elapsed().as_secs_f64())
    }

    fn save(&mut self, model: &Encoder) -> Result<()> {
        (self.state.log_bytes, self.state.events_bytes) = self.log.sync()?;
        self.checkpoints.save(&Snapshot {
            model,
            config: &self.model_config,
            names: &self.names,
            optimizer: &self.optimizer,
            tokenizer: &self.tokenizer,
            facts: &TrainingFacts {
                ee_objective: self.config.objective,
                task: self.task.clone(),
                seed: self.config.seed,
                step: self.state.step,
            },
            state: &self.state,
        })?;
        self.saved_step = Some(self.state.step);
        Ok(())
    }
}
