//! `ee-eval`: see `ee-eval --help`.

use std::process::ExitCode;

use clap::Parser;
use ee_eval::arguments::Arguments;

fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    let arguments = Arguments::parse();
    if let Err(error) = ee_models::device::check_environment() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    // On a thread of the pool, kernels share their work without waking anybody to begin with.
    match rayon::scope(|_| ee_eval::commands::run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
