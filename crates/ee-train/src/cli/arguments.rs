//! What was typed, and the run that it describes.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::bench::{DecoderTrain, EncoderTrain, TranslationTrain};
use crate::config::{Overrides, RunConfig};
use crate::error::Result;
use crate::gate::GateFlags;
use crate::plan::parse_memory;

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
    pub(crate) training: TrainingFlags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainingFlags {
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
    pub(crate) resume: bool,
}

/// A run file, and the overrides that a plan also depends on.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunFlags {
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
pub(crate) enum Command {
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
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Fine-tuning steps of a BERT, whose feed-forward network is 4 times as wide as its hidden state
    #[command(name = "encoder-train")]
    Encoder(EncoderTrain),
    /// Training steps of a Llama, every position predicting the next token
    #[command(name = "decoder-train")]
    Decoder(DecoderTrain),
    /// Training steps of an encoder-decoder (a Marian) with smoothed labels; `--layers` are the decoder's
    #[command(name = "translation-train")]
    Translation(TranslationTrain),
}

impl RunFlags {
    /// The run file with the flags written over it.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        self.read(Overrides::default())
    }

    fn read(&self, others: Overrides) -> Result<RunConfig> {
        let Self { set, device, data_dir, model, new_head, .. } = self.clone();
        let (data_dir, model) = (data_dir.map(absolute), model.map(absolute));
        let overrides = Overrides { set, device, data_dir, model, new_head, ..others };
        Ok(RunConfig::read(self.file(), &overrides)?)
    }

    fn file(&self) -> &Path {
        self.config.as_deref().expect("clap requires --config without another subcommand")
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl TrainingFlags {
    /// The run file with the flags written over it.
    pub(crate) fn config(&self) -> Result<RunConfig> {
        let Self { joint, seed, .. } = *self;
        self.run.read(Overrides { joint, seed, ..Overrides::default() })
    }

    /// The run folder: the one asked for, else one named after the run file and the objective.
    pub(crate) fn output(&self, config: &RunConfig) -> PathBuf {
        let named = || {
            let stem = self.run.file().file_stem().unwrap_or_default().to_string_lossy();
            Path::new("runs").join(format!("{stem}-{}", config.objective.name))
        };
        self.output.clone().unwrap_or_else(named)
    }
}
