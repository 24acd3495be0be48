//! `ee-train gate`: a linear gate on a frozen decoder's states, learned from what its exits say.
//!
//! For every exit before the last, logistic regression from [`features`] of its state to whether its
//! prediction is the last exit's: CALM's meta-classifier (Schuster et al. 2022), or with one gate for all
//! exits BERxiT's learning to exit (Xin et al. 2021). The model runs once, teacher-forced over a task; the
//! fit itself takes seconds. `ee-eval decode --head gate` reads the file.

mod fit;
mod quality;
mod states;

use std::io::Write;
use std::path::{Path, PathBuf};

use ee_files::say;
use ee_models::arch::llama;
use ee_models::checkpoint::Precision;
use ee_models::device::device;
use ee_models::gate::GATE_FILE;
use ee_tasks::{GenerationTask, TextTokenizer};
use safetensors::SafeTensors;
use serde::Serialize;

use self::fit::{Fitted, fit};
use self::quality::{Quality, quality};
use self::states::observe;
use crate::error::{Error, Result};

/// What to fit a gate on, and how.
#[derive(Clone, Debug, Serialize, clap::Args)]
pub(crate) struct GateFlags {
    /// The decoder's checkpoint folder
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A task of generated text, whose gold answers the model is led through
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) task: PathBuf,
    /// Where the task's data files lie
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The split to learn from
    #[arg(long, default_value = "train")]
    pub(crate) split: String,
    /// Learn from the first N examples
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) limit: usize,
    /// Longer examples lose their end
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    pub(crate) max_length: usize,
    /// Learn from at most N predicted tokens, whole examples at a time
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) tokens: usize,
    /// One gate for all exits instead of one for each
    #[arg(long)]
    pub(crate) shared: bool,
    /// Visits of every token
    #[arg(long, default_value_t = 10)]
    pub(crate) epochs: usize,
    /// Peak learning rate of AdamW, falling to 0 in a straight line
    #[arg(long, default_value_t = 3e-3)]
    pub(crate) learning_rate: f64,
    /// Weight decay
    #[arg(long, default_value_t = 1e-2)]
    pub(crate) weight_decay: f64,
    /// Decides the order of the tokens
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// cpu, cuda:I, tch:cpu, tch:cuda:I
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// The file to write [default: gate.safetensors in the checkpoint's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What was fitted, and how good it is on examples that it was not fitted on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GateReport {
    pub(crate) file: PathBuf,
    /// Tokens that it was fitted on.
    pub(crate) tokens: usize,
    /// Tokens that it was judged on.
    pub(crate) held_out: usize,
    /// Of the exits 1..=N−1.
    pub(crate) exits: Vec<Quality>,
    pub(crate) flags: GateFlags,
}

const HELD_OUT: f64 = 0.1;

/// Fits a gate and writes it, with its report beside it as JSON.
pub(crate) fn train_gate(flags: &GateFlags) -> Result<GateReport> {
    let file = flags.output.clone().unwrap_or_else(|| flags.model.join(GATE_FILE));
    check_output(&file)?;
    let task = GenerationTask::read(&flags.task)?;
    let tokenizer = TextTokenizer::from_folder(&flags.model)?;
    let device = device(&flags.device)?;
    let loaded = llama::load(&flags.model, Precision::Stored, &device)?;
    let tokenizer = tokenizer.for_rows(loaded.config.vocab_size);
    let split = states::read(flags, &task, &tokenizer, &loaded.config)?;
    let rows = split.len();
    let held_out = (rows as f64 * HELD_OUT).ceil() as usize;
    if rows < 2 {
        let message = format!("{rows} example is too few: some are learnt from, others judge");
        return Err(Error::Mismatch(message));
    }
    let learnt: Vec<usize> = (0..rows - held_out).collect();
    let judged: Vec<usize> = (rows - held_out..rows).collect();
    let observed = observe(&loaded.model, &split, &learnt, flags.tokens)?;
    let fitted = fit(&observed, flags);
    let others = observe(&loaded.model, &split, &judged, flags.tokens)?;
    write(&fitted, &file)?;
    let report = GateReport {
        tokens: observed.tokens(),
        held_out: others.tokens(),
        exits: quality(&fitted, &others),
        file,
        flags: flags.clone(),
    };
    // Nothing can be written beside a device or a pipe.
    if report.file.is_file() {
        let mut text =
            serde_json::to_string_pretty(&report).expect("numbers and strings serialize");
        text.push('\n');
        ee_files::write_text(&report_path(&report.file), &text)?;
    }
    Ok(report)
}

fn report_path(file: &Path) -> PathBuf {
    file.with_extension("json")
}

/// Refuses to write over anything but an earlier gate and its report, such as the model's own files.
fn check_output(file: &Path) -> Result<()> {
    ee_files::check_writable(file)?;
    let path = report_path(file);
    ee_files::check_writable(&path)?;
    let taken = |path: &Path, expected: &str| {
        let message = format!("it is not {expected}: choose another --output");
        Err(Error::broken(path, message))
    };
    if file == path {
        return taken(file, "a name for a gate, which ends in .safetensors");
    }
    if file.is_file() && !is_gate(file) {
        return taken(file, "a gate of an earlier run");
    }
    if path.is_file() && !is_report(&path) {
        return taken(&path, "the report of an earlier gate");
    }
    Ok(())
}

fn is_gate(path: &Path) -> bool {
    /// More than any gate takes: larger files are not read.
    const LARGEST: u64 = 64 << 20;
    if std::fs::metadata(path).is_ok_and(|found| found.len() > LARGEST) {
        return false;
    }
    let Ok(bytes) = std::fs::read(path) else { return false };
    let Ok(file) = SafeTensors::deserialize(&bytes) else { return false };
    let mut names = file.names();
    names.sort_unstable();
    names == ["bias", "weight"]
}

fn is_report(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    ["file", "held_out", "exits", "flags"].iter().all(|key| report.get(key).is_some())
}

/// Writes `weight` and `bias` as `ee-eval decode` reads them.
fn write(fitted: &Fitted, path: &Path) -> Result<()> {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes = |numbers: &[f32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    };
    let rows = fitted.bias.len();
    let (weight, bias) = (bytes(&fitted.weight), bytes(&fitted.bias));
    let view = |shape, bytes| TensorView::new(Dtype::F32, shape, bytes).expect("sizes fit");
    let tensors = [
        ("weight", view(vec![rows, fitted.weight.len() / rows], &weight)),
        ("bias", view(vec![rows], &bias)),
    ];
    let failed = |error| Error::io("cannot write", path)(error);
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    ee_files::write_whole(path, |file| file.write_all(&bytes).map_err(failed))
}

pub(crate) fn print(report: &GateReport) {
    let GateReport { file, tokens, held_out, exits, .. } = report;
    say!("{tokens} tokens learnt from, judged on {held_out} of other examples");
    say!("exit  agrees  accuracy   AUC  log loss, nats");
    for Quality { exit, agreement, accuracy, auc, log_loss } in exits {
        let auc = auc.map_or("    –".to_owned(), |auc| format!("{auc:.3}"));
        say!("{exit:>4}  {agreement:>6.3}  {accuracy:>8.3}  {auc}  {log_loss:>8.3}");
    }
    say!("{}", file.display());
}
