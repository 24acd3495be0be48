//! `ee-train`: fine-tunes Transformers, plain or jointly over every exit.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arguments;

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;
use ee_files::{interrupt, note, say, stream};
use ee_train::fit::{self, Outcome, Run};
use ee_train::prepare::{self, Prepared};
use ee_train::subject::Trainable;
use ee_train::{Error, bench, gate, plan};
use serde::Serialize;

use crate::arguments::{Arguments, Command, Training};

fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    let command = Arguments::parse().command();
    if let Err(error) = ee_models::device::check_environment() {
        note!("error: {error}");
        return ExitCode::from(2);
    }
    // On a thread of the pool, kernels share their work without waking anybody to begin with: a step of a
    // small model takes three fifths of the time.
    let result = rayon::scope(|_| run(command));
    // Output that was lost is told last, when the files are safe.
    let result = result.and_then(|code| stream::finish().map(|()| code).map_err(Into::into));
    result.unwrap_or_else(|error| {
        note!("error: {error:#}");
        match error.downcast_ref() {
            Some(Error::Config(_) | Error::Task(ee_tasks::Error::Config(_))) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    })
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(training) => train(&training),
        Command::Plan(run, memory) => {
            plan::print(&run.config()?, memory)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Gate(flags) => {
            gate::print(&gate::train_gate(&flags)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::EncoderTrain(flags) => print(&bench::encoder_train(flags)?),
        Command::DecoderTrain(flags) => print(&bench::decoder_train(flags)?),
    }
}

fn train(training: &Training) -> Result<ExitCode> {
    let config = training.config()?;
    let output = training.output(&config);
    // The first signal ends the run after its step, a second one the process.
    let interrupted = interrupt::listen().context("cannot listen to signals")?;
    match prepare::prepare(config, &output, training.resume)? {
        Prepared::Labels(run, model) => finish(*run, model, &interrupted),
        Prepared::Texts(run, model) => finish(*run, model, &interrupted),
    }
}

fn finish<M: Trainable>(mut run: Run<M>, model: M, interrupted: &AtomicBool) -> Result<ExitCode> {
    let outcome = fit::fit(&mut run, model, interrupted)?;
    let step = run.state().step;
    match outcome {
        Outcome::Finished => note!("finished after step {step}"),
        Outcome::EarlyStopped => note!("stopped early after step {step}: no better score"),
        Outcome::Interrupted => {
            note!("interrupted after step {step}; continue with --resume");
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        }
    }
    if let (Some(folder), Some(best)) = (run.checkpoints().best(run.state()), run.state().best) {
        let metric = run.leading_metric();
        say!("{}", folder.display());
        note!("best checkpoint: step {}, {metric} {:.4} at the last exit", best.step, best.score);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(measured: &impl Serialize) -> Result<ExitCode> {
    say!("{}", serde_json::to_string(measured)?);
    Ok(ExitCode::SUCCESS)
}
