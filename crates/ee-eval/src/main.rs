//! `ee-eval`: see `ee-eval --help`.

use std::process::ExitCode;

use clap::Parser;
use ee_eval::arguments::Arguments;

fn main() -> ExitCode {
    ee_models::device::keep_freed_memory();
    match ee_eval::commands::run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ee-eval: {error:#}");
            ExitCode::FAILURE
        }
    }
}
