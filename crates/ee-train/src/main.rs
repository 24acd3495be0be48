//! `ee-train`: fine-tunes Transformers, plain or jointly over every exit.

mod arguments;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;
use ee_train::fit::{self, Outcome, Run};
use ee_train::prepare::{self, Prepared};
use ee_train::subject::Trainable;
use ee_train::{Error, bench, gate, plan};
use serde::Serialize;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::arguments::{Arguments, Command, Training};

/// Ended by the user before the last step, as shells tell it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    let command = Arguments::parse().command();
    if let Err(error) = ee_models::device::check_environment() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    // On a thread of the pool, kernels share their work without waking anybody to begin with: a step of a
    // small model takes three fifths of the time.
    let result = rayon::scope(|_| run(command));
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
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
    let interrupted = Arc::new(AtomicBool::new(false));
    // The first Ctrl-C ends the run after its step, a second one the process.
    flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&interrupted))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&interrupted)))
        .context("cannot listen to Ctrl-C")?;
    match prepare::prepare(config, &output, training.resume)? {
        Prepared::Labels(run, model) => finish(*run, model, &interrupted),
        Prepared::Texts(run, model) => finish(*run, model, &interrupted),
    }
}

fn finish<M: Trainable>(mut run: Run<M>, model: M, interrupted: &AtomicBool) -> Result<ExitCode> {
    let outcome = fit::fit(&mut run, model, interrupted)?;
    let step = run.state().step;
    match outcome {
        Outcome::Finished => eprintln!("finished after step {step}"),
        Outcome::EarlyStopped => eprintln!("stopped early after step {step}: no better score"),
        Outcome::Interrupted => {
            eprintln!("interrupted after step {step}; continue with --resume");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    if let (Some(folder), Some(best)) = (run.checkpoints().best(), run.state().best) {
        let metric = run.leading_metric();
        println!("{}", folder.display());
        eprintln!(
            "best checkpoint: step {}, {metric} {:.4} at the last exit",
            best.step, best.score
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print(measured: &impl Serialize) -> Result<ExitCode> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(ExitCode::SUCCESS)
}
