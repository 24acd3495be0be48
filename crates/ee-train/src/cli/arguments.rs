//! What was typed, and what it means.

use std::path::{Path, PathBuf};

use crate::bench::{DecoderTrain, EncoderTrain};
use crate::config::{Overrides, RunConfig};
use crate::gate::GateFlags;
use crate::plan::parse_memory;
use crate::{Error, Result};
use clap::{Args, Parser, Subcommand};

/// Fine-tunes Transformers, plain or jointly over every exit.
///
/// One TOML file describes a run (examples: configs/train). The run folder gets the resolved file, a
/// JSONL log, TensorBoard events and the checkpoints `last` and `best`, which are Hugging Face folders.
/// Progress goes to stderr, the path of the best checkpoint to stdout.
///
/// Exit code: 0 done, 1 failed, 2 bad usage or run file, 130 ended by Ctrl-C or SIGTERM (after a checkpoint).
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
    #[command(flatten)]
    run: RunFlags,
    /// Minimize the sum of every exit's loss instead of the last exit's alone
    #[arg(long)]
    joint: bool,
    /// Decides data order, dropout and initialisation
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// The run folder [default: runs/NAME-final or runs/NAME-joint after the run file]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Continue the run of the output folder from its last checkpoint, or begin it
    #[arg(long)]
    resume: bool,
}

/// A run file, and what is written over it of all that a plan depends on, too.
#[derive(Debug, Args)]
struct RunFlags {
    /// The run file
    #[arg(long, value_name = "FILE.toml", required = true)]
    config: Option<PathBuf>,
    /// Write a value into the run file, for example optimizer.learning_rate=3e-5; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// cpu, cuda:I, tch:cpu or tch:cuda:I; several share every batch: cuda:0,1,2,3
    #[arg(long)]
    device: Option<String>,
    /// Where the task's data files lie
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The checkpoint folder to start from
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Replace the checkpoint's classification head, if it has one, by a new one drawn with the seed
    #[arg(long)]
    new_head: bool,
}

#[derive(Debug, Subcommand)]
enum TypedCommand {
    /// Say how much memory a run would need on each device, and whether it fits
    Plan {
        #[command(flatten)]
        run: RunFlags,
        /// What each device has, for example 80GiB; exit code 1 where the run needs more
        #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
        memory: Option<f64>,
    },
    /// Fit a linear gate on a decoder's states, the model itself frozen, for ee-eval decode --head gate
    Gate(GateFlags),
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

pub(crate) enum Command {
    Train(Training),
    Plan(RunFile, Option<f64>),
    Gate(GateFlags),
    EncoderTrain(EncoderTrain),
    DecoderTrain(DecoderTrain),
}

/// A run file with the flags written over it.
pub(crate) struct RunFile {
    file: PathBuf,
    overrides: Overrides,
}

pub(crate) struct Training {
    run: RunFile,
    output: Option<PathBuf>,
    /// Whether to continue where the last checkpoint was written.
    pub(crate) resume: bool,
}

impl Arguments {
    pub(crate) fn command(self) -> Command {
        match self.subcommand {
            Some(TypedCommand::Bench { verb: BenchVerb::EncoderTrain(flags) }) => {
                Command::EncoderTrain(flags)
            }
            Some(TypedCommand::Bench { verb: BenchVerb::DecoderTrain(flags) }) => {
                Command::DecoderTrain(flags)
            }
            Some(TypedCommand::Gate(flags)) => Command::Gate(flags),
            Some(TypedCommand::Plan { run, memory }) => Command::Plan(run.into(), memory),
            None => {
                let TrainingFlags { run, joint, seed, output, resume } = self.training;
                let mut run = RunFile::from(run);
                (run.overrides.joint, run.overrides.seed) = (joint, seed);
                Command::Train(Training { run, output, resume })
            }
        }
    }
}

impl From<RunFlags> for RunFile {
    fn from(flags: RunFlags) -> Self {
        let RunFlags { config, set, device, data_dir, model, new_head } = flags;
        let (data_dir, model) = (data_dir.map(absolute), model.map(absolute));
        let file = config.expect("clap requires --config without another subcommand");
        let overrides =
            Overrides { joint: false, set, device, seed: None, data_dir, model, new_head };
        Self { file, overrides }
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl RunFile {
    /// The run file with the flags written over it.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        RunConfig::read(&self.file, &self.overrides).map_err(Error::from)
    }
}

impl Training {
    /// The run file with the flags written over it.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        self.run.config()
    }

    /// The run folder: the one asked for, else one named after the run file and the objective.
    pub(crate) fn output(&self, config: &RunConfig) -> PathBuf {
        let named = || {
            let stem = self.run.file.file_stem().unwrap_or_default().to_string_lossy();
            Path::new("runs").join(format!("{stem}-{}", config.objective.name))
        };
        self.output.clone().unwrap_or_else(named)
    }
}
