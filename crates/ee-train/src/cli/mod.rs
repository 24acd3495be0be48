//! The command line: what was typed, what is done and what is reported.

mod arguments;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ee_files::{interrupt, note, say, stream};
use serde::Serialize;

use self::arguments::{Arguments, Bench, Command, TrainingFlags};
use crate::fit::{Ended, Outcome};
use crate::prepare::prepare;
use crate::snapshot::Best;
use crate::{Error, bench, gate, plan};

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    let arguments = Arguments::parse();
    if let Err(error) = ee_models::device::check_environment() {
        note!("error: {error}");
        return ExitCode::from(2);
    }
    // On a thread of the pool, kernels share their work without having to wake a thread first: a step of a
    // small model takes three fifths of the time.
    let result = rayon::scope(|_| run(arguments));
    // Lost output is reported last, when the files are safe.
    let result = result.and_then(|code| stream::finish().map(|()| code).map_err(Into::into));
    result.unwrap_or_else(|error| {
        note!("error: {error:#}");
        match error.downcast_ref() {
            Some(Error::Config(_) | Error::Task(ee_tasks::Error::Config(_))) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        None => return train(&arguments.training),
        Some(Command::Plan { run, memory }) => plan::print(&run.config()?, memory)?,
        Some(Command::Gate(flags)) => gate::print(&gate::train_gate(&flags)?),
        Some(Command::Bench(Bench::Encoder(flags))) => print(&bench::encoder_train(flags)?),
        Some(Command::Bench(Bench::Decoder(flags))) => print(&bench::decoder_train(flags)?),
        Some(Command::Bench(Bench::Translation(flags))) => {
            print(&bench::translation_train(flags)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn train(training: &TrainingFlags) -> Result<ExitCode> {
    let config = training.config()?;
    let output = training.output(&config);
    // The first signal ends the run after its step, a second one the process.
    let interrupted = interrupt::listen().context("cannot listen to signals")?;
    let ended = prepare(config, &output, training.resume)?.fit(&interrupted)?;
    let Ended { outcome, step, best, average, leading_metric } = ended;
    match outcome {
        Outcome::Finished => note!("finished after step {step}"),
        Outcome::EarlyStopped => note!("stopped early after step {step}: no better score"),
        Outcome::Interrupted => {
            note!("interrupted after step {step}; continue with --resume");
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        }
    }
    if let Some((folder, Best { step, score })) = best {
        say!("{}", folder.display());
        note!("best checkpoint: step {step}, {leading_metric} {score:.4} at the last exit");
    }
    if let Some((folder, score)) = average {
        let folder = folder.display();
        note!(
            "average of the last checkpoints: {folder}, {leading_metric} {score:.4} at the last exit"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print(measured: &impl Serialize) {
    say!("{}", serde_json::to_string(measured).expect("numbers and strings serialize"));
}
