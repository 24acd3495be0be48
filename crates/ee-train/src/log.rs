//! What a run reports while it works: a JSONL log, TensorBoard curves, and a bar or plain lines.
//!
//! Both files are append-only and their lengths belong to each checkpoint, so that a resumed run goes on
//! where the checkpoint was written, with no step twice. Progress goes to stderr: a bar on a terminal,
//! elsewhere a plain line every few seconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ee_files::note;
use ee_models::device::{memory_mib, peak_memory_mib};
use ee_models::loss::ExitReading;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::sample::Sample;
use crate::step::{StepReport, StepSeconds};
use crate::tensorboard::{EventFile, open_cut};
use crate::validate::ExitScores;

pub(crate) const NAME: &str = "log.jsonl";

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
    events: EventFile,
    progress: Progress,
}

/// Where a step stands in the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepPlace {
    pub(crate) step: u64,
    pub(crate) epoch: u64,
    pub(crate) learning_rate: f64,
    pub(crate) seconds: f64,
    /// The part of it in which the batch was gathered.
    pub(crate) input_seconds: f64,
    /// Tokens of its rows, without padding.
    pub(crate) tokens: usize,
}

impl StepPlace {
    fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }
}

impl Log {
    /// Opens the log of a run folder whose JSONL and event files had these lengths after `done` of `total` steps,
    /// cutting off what was written later.
    pub(crate) fn open(run: &Path, lengths: (u64, u64), done: u64, total: u64) -> Result<Self> {
        let path = run.join(NAME);
        let file = open_cut(&path, lengths.0)?;
        let events = EventFile::open(run, lengths.1)?;
        let progress = Progress::on_stderr(done, total);
        Ok(Self { path, file, length: lengths.0, events, progress })
    }

    /// Lengths of the JSONL log and of the event file, forced to the disk.
    pub(crate) fn sync(&self) -> Result<(u64, u64)> {
        self.file.sync_data().map_err(Error::io("cannot write", &self.path))?;
        self.events.sync()?;
        Ok((self.length, self.events.length()))
    }

    pub(crate) fn step(&mut self, place: &StepPlace, report: &StepReport) -> Result<()> {
        let StepPlace { step, epoch, learning_rate, seconds, tokens, .. } = *place;
        let StepReport { loss, exits, gradient_norm, rows, targets, .. } = report;
        let exit = |value: fn(&ExitReading) -> f64| -> Vec<Option<f64>> {
            exits.iter().map(|exit| exit.as_ref().map(value)).collect()
        };
        let (losses, accuracies) = (exit(|exit| exit.loss), exit(|exit| exit.accuracy));
        let smoothed = exit(|exit| exit.smoothed);
        let shares = shares(place, report);
        let memory = (memory_mib(), peak_memory_mib());
        let mut line = json!({
            "kind": "step",
            "step": step,
            "epoch": epoch,
            "rows": rows,
            "tokens": tokens,
            "targets": targets,
            "loss": loss,
            "exit_losses": losses,
            "exit_accuracies": accuracies,
            "learning_rate": learning_rate,
            "gradient_norm": gradient_norm,
            "clock": {
                "seconds": seconds,
                "examples_per_second": *rows as f64 / seconds,
                "tokens_per_second": place.tokens_per_second(),
                "shares": shares.iter().copied().collect::<BTreeMap<_, _>>(),
                "memory_mib": memory.0,
                "peak_memory_mib": memory.1,
            },
        });
        if smoothed != losses {
            line["exit_smoothed_losses"] = json!(smoothed);
        }
        self.line(&line)?;
        let mut values = vec![
            ("loss/total".to_owned(), *loss),
            ("learning_rate".to_owned(), learning_rate),
            ("gradient_norm".to_owned(), *gradient_norm),
            ("speed/examples_per_second".to_owned(), *rows as f64 / seconds),
            ("speed/tokens_per_second".to_owned(), place.tokens_per_second()),
        ];
        values.extend(shares.map(|(part, share)| (format!("share/{part}"), share)));
        values.extend(memory.0.map(|mib| ("memory_mib".to_owned(), mib)));
        values.extend(per_exit("loss", &losses));
        values.extend(per_exit("accuracy", &accuracies));
        self.events.scalars(step, &values)?;
        self.progress.step(place, report);
        Ok(())
    }

    /// Logs the scores of one validation; the leading metric is `metric/exit_…` in TensorBoard, the others
    /// have their own names.
    pub(crate) fn validation(
        &mut self,
        step: u64,
        scores: &[ExitScores],
        seconds: f64,
    ) -> Result<()> {
        self.line(&json!({
            "kind": "validation",
            "step": step,
            "scores": scores,
            "clock": { "seconds": seconds },
        }))?;
        for (place, scores) in scores.iter().enumerate() {
            let tag = match place {
                0 => "metric".to_owned(),
                _ => format!("validation_{}", scores.metric),
            };
            self.events.scalars(step, &per_exit(&tag, &scores.scores))?;
        }
        self.progress.say(&format!("validation after step {step}: {}", said(scores)));
        Ok(())
    }

    /// Logs what the average of some steps' checkpoints scores.
    pub(crate) fn average(&mut self, steps: &[u64], scores: &[ExitScores]) -> Result<()> {
        self.line(&json!({ "kind": "average", "steps": steps, "scores": scores }))?;
        let n = steps.len();
        self.progress.say(&format!("average of the last {n} checkpoints: {}", said(scores)));
        Ok(())
    }

    pub(crate) fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        self.line(&json!({ "kind": "samples", "step": step, "samples": samples }))?;
        for Sample { exit, text, .. } in samples {
            self.progress.say(&format!("  exit {exit} writes: {text:?}"));
        }
        Ok(())
    }

    /// Says something on stderr without spoiling the bar.
    pub(crate) fn say(&self, message: &str) {
        self.progress.say(message);
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.progress.bar {
            bar.finish_and_clear();
        }
    }

    fn line<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let mut line = serde_json::to_vec(value).expect("numbers and strings always serialize");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("cannot write", &self.path))?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// The leading metric at every exit, and where that says nothing of most, the one after it.
fn said(scores: &[ExitScores]) -> String {
    let of = |scores: &ExitScores| {
        let numbers = scores.scores.iter().flatten().map(|score| format!("{score:.4}"));
        numbers.collect::<Vec<_>>().join(" ")
    };
    let leading = &scores[0];
    match scores.get(1) {
        Some(next) if leading.scores.iter().any(Option::is_none) => {
            format!("{} {}, {} per exit {}", leading.metric, of(leading), next.metric, of(next))
        }
        _ => format!("{} per exit {}", leading.metric, of(leading)),
    }
}

fn shares(place: &StepPlace, report: &StepReport) -> [(&'static str, f64); 5] {
    let StepSeconds { layers, heads, optimizer } = report.seconds;
    let input = place.input_seconds;
    let rest = (place.seconds - layers - heads - optimizer - input).max(0.0);
    let parts = [
        ("layers", layers),
        ("heads", heads),
        ("optimizer", optimizer),
        ("input", input),
        ("rest", rest),
    ];
    parts.map(|(part, seconds)| (part, seconds / place.seconds))
}

/// `loss/exit_01` and so on, of the exits that have a value.
fn per_exit(tag: &str, values: &[Option<f64>]) -> Vec<(String, f64)> {
    let named = |(index, value): (usize, &Option<f64>)| {
        value.map(|value| (format!("{tag}/exit_{:02}", index + 1), value))
    };
    values.iter().enumerate().filter_map(named).collect()
}

/// A bar on a terminal, plain lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress on stderr towards `total` steps.
    fn on_stderr(done: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{bar:30} step {pos}/{len} · {msg} · {eta} left";
            let style = ProgressStyle::with_template(template).expect("the template is sound");
            ProgressBar::new(total).with_style(style).with_position(done)
        });
        if let Some(bar) = &bar {
            bar.reset_eta();
        }
        Self { bar, total, last_line: None }
    }

    fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.println(message),
            None => note!("{message}"),
        }
    }

    fn step(&mut self, place: &StepPlace, report: &StepReport) {
        let StepPlace { step, epoch, .. } = *place;
        let speed = place.tokens_per_second();
        let loss = report.loss;
        // Of smoothed labels the loss says little: it never falls below their entropy.
        let last = report.exits.last().copied().flatten();
        let plain = last.filter(|exit| exit.loss != exit.smoothed);
        let plain = plain.map_or(String::new(), |exit| {
            format!(" · last exit {:.4} without smoothing", exit.loss)
        });
        let message = format!("epoch {epoch} · loss {loss:.4}{plain} · {speed:.0} tokens/s");
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(step);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            self.say(&format!("step {step}/{} · {message}", self.total));
        }
    }
}
