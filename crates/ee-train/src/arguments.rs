//! What was typed, and what it means.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use ee_models::loss::Objective;
use ee_train::bench::{DecoderTrain, EncoderTrain};
use ee_train::config::{Overrides, RunConfig};
use ee_train::{Error, Result};

/// Fine-tunes Transformers, plain or jointly over every exit.
///
/// One TOML file describes a run (examples: configs/train). The run folder gets the resolved file, a
/// JSONL log, TensorBoard events and the checkpoints `last` and `best`, which are Hugging Face folders.
/// Progress goes to stderr, the path of the best checkpoint to stdout.
///
/// Exit code: 0 done, 1 failed, 2 bad usage or run file, 130 ended by Ctrl-C (after a checkpoint).
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    training: TrainingFlags,
    #[command(subcommand)]
    subcommand: Option<TypedCommand>,
}

#[derive(Debug, Args)]
struct TrainingFlags {
    /// The run file
    #[arg(long, value_name = "FILE.toml", required = true)]
    config: Option<PathBuf>,
    /// Minimize the sum of every exit's loss instead of the last exit's alone
    #[arg(long)]
    joint: bool,
    /// Write a value into the run file, for example optimizer.learning_rate=3e-5; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run folder [default: runs/NAME-final or runs/NAME-joint after the run file]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Continue the run of the output folder from its last checkpoint, or begin it
    #[arg(long)]
    resume: bool,
    /// cpu, cuda:I, tch:cpu or tch:cuda:I
    #[arg(long)]
    device: Option<String>,
    /// Decides data order, dropout and initialisation
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Where the task's data files lie
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The checkpoint folder to start from
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum TypedCommand {
    /// Measure time and memory on random weights; prints one JSON line
    Bench {
        #[command(subcommand)]
        verb: BenchVerb,
    },
}

#[derive(Debug, Subcommand)]
enum BenchVerb {
    /// Fine-tuning steps of a BERT
    EncoderTrain(EncoderTrain),
    /// Training steps of a Llama, every position predicting the next token
    DecoderTrain(DecoderTrain),
}

/// What to do.
pub(crate) enum Command {
    Train(Training),
    EncoderTrain(EncoderTrain),
    DecoderTrain(DecoderTrain),
}

/// A run, as asked for.
pub(crate) struct Training {
    file: PathBuf,
    overrides: Overrides,
    output: Option<PathBuf>,
    /// Whether to continue where the last checkpoint was written.
    pub(crate) resume: bool,
}

impl Arguments {
    pub(crate) fn command(self) -> Command {
        match (self.subcommand, self.training.config) {
            (Some(TypedCommand::Bench { verb }), _) => match verb {
                BenchVerb::EncoderTrain(flags) => Command::EncoderTrain(flags),
                BenchVerb::DecoderTrain(flags) => Command::DecoderTrain(flags),
            },
            (None, file) => {
                let TrainingFlags {
                    joint, set, output, resume, device, seed, data_dir, model, ..
                } = self.training;
                let overrides = Overrides {
                    joint,
                    set,
                    device,
                    seed,
                    data_dir: data_dir.map(absolute),
                    model: model.map(absolute),
                };
                let file = file.expect("clap requires --config without a subcommand");
                Command::Train(Training { file, overrides, output, resume })
            }
        }
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl Training {
    /// The run file with the flags written over it.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        RunConfig::read(&self.file, &self.overrides).map_err(Error::from)
    }

    /// The run folder: the one asked for, else one named after the run file and the objective.
    pub(crate) fn output(&self, config: &RunConfig) -> PathBuf {
        let named = || {
            let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
            let objective = match config.objective {
                Objective::Final => "final",
                Objective::Joint => "joint",
            };
            Path::new("runs").join(format!("{stem}-{objective}"))
        };
        self.output.clone().unwrap_or_else(named)
    }
}
