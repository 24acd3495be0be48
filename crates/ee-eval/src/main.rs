//! `ee-eval`: see `ee-eval --help`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;
use ee_eval::Arguments;
use ee_eval::EvalError;

fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    let arguments = Arguments::parse();
    if let Err(error) = ee_models::device::check_environment() {
        ee_files::note!("error: {error}");
        return ExitCode::from(2);
    }
    // On a thread of the pool, kernels share their work without having to wake a thread first.
    let done = rayon::scope(|_| ee_eval::run(&arguments));
    // Output lost to a full disk is reported last: files are safe by now.
    let printed = ee_files::stream::finish().map_err(anyhow::Error::from);
    match done.and(printed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ee_files::note!("error: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

/// 2 for what should have been typed otherwise, as clap's own, 130 after Ctrl-C, else 1.
fn code(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<EvalError>()) {
        Some(EvalError::Interrupted { .. }) => 130,
        Some(error) if error.is_usage() => 2,
        _ => 1,
    }
}
