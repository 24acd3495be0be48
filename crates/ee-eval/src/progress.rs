//! How far a long run has come: a bar on a terminal, a line now and then elsewhere, always on stderr.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::words::count;

/// The least time between two plain lines.
const SILENCE: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
pub(crate) struct Progress {
    work: String,
    total: usize,
    done: Cell<usize>,
    last_line: Cell<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Announces `total` rows of `work`.
    pub(crate) fn new(work: &str, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{msg:28} {bar:32} {pos}/{len} rows, {per_sec}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style).with_message(work.to_owned())
        });
        if bar.is_none() {
            ee_files::note!("{work}: {}", count(total, "row"));
        }
        Self {
            work: work.to_owned(),
            total,
            done: Cell::new(0),
            last_line: Cell::new(Instant::now()),
            bar,
        }
    }

    /// Notes that `rows` more are done.
    pub(crate) fn advance(&self, rows: usize) {
        self.done.set(self.done.get() + rows);
        if let Some(bar) = &self.bar {
            bar.inc(rows as u64);
        } else if self.last_line.get().elapsed() >= SILENCE {
            self.last_line.set(Instant::now());
            ee_files::note!("{}: {} of {}", self.work, self.done.get(), count(self.total, "row"));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
