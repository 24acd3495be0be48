//! `ee-eval compare`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use ee_models::checkpoint::Precision;

use super::ExampleArguments;
use super::values::{positive, share, weights};
use crate::compare::compare;

/// `ee-eval compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// A checkpoint with the name that the report gives it; the first is what the others are compared with.
    #[arg(long, value_name = "NAME=DIR", required = true)]
    pub model: Vec<NamedModel>,
    /// Which examples.
    #[command(flatten)]
    pub examples: ExampleArguments,
    /// Examples per batch of the trace [default: 32, for generated text 8].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// The share of the full score that a gate has to keep; of generated text the share of its tokens.
    #[arg(long, value_name = "SHARE", default_value = "0.98", value_parser = share)]
    pub keep: f64,
    /// Batch sizes at which speed is measured, of generated text one [default: 1,32, for generated text 1].
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub speed_batch: Vec<usize>,
    /// Speed is measured on at most N examples at even distances [default: 256, for generated text 24].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub speed_rows: Option<usize>,
    /// Timed rounds [default: 5, for generated text 3].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rounds: Option<usize>,
    /// Generated text: the first N new tokens never leave; the first one never does.
    #[arg(long, value_name = "N", default_value = "4")]
    pub min_tokens: usize,
    /// Generated text: new tokens per example; by default the task's.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub max_new_tokens: Option<usize>,
    /// Generated text: cut prompts that do not fit the model (their beginning goes).
    #[arg(long)]
    pub truncate: bool,
    /// Generated text: run programs that the model wrote, each walled in, to score them.
    #[arg(long)]
    pub allow_code_execution: bool,
    /// Generated text: format of the weights in memory: stored, f32, f16 or bf16.
    #[arg(long, value_name = "FORMAT", default_value = "stored", value_parser = weights)]
    pub weights: Precision,
    /// The folder to write traces, results and reports to.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

/// A checkpoint with a name, typed `name=folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    /// What the report calls it.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl FromStr for NamedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
                Ok(Self { name: name.to_owned(), folder: folder.into() })
            }
            _ => Err("expected NAME=DIR, e.g. plain=runs/plain".to_owned()),
        }
    }
}

pub(super) fn run(arguments: &CompareArguments) -> Result<()> {
    let (page, headline) = compare(arguments).context("the comparison was not finished")?;
    ee_files::say!("{headline}\n{}", page.display());
    Ok(())
}
