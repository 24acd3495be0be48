//! Feeds a program to its process, watches the limits that the kernel does not keep, and judges the end.
//!
//! What the program prints is read to the end, so that it never waits for us, and all but the
//! last part is thrown away.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use super::{Limits, Outcome};

/// Bytes kept of what a program printed.
const KEPT: usize = 4096;

/// Time between two looks at the folder.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a started harness with `program` to its end.
pub(super) fn supervise(
    mut child: Child,
    program: &str,
    folder: &Path,
    limits: &Limits,
) -> io::Result<Outcome> {
    let word = format!("{:032x}", rand::random::<u128>());
    let mut input = child.stdin.take().expect("a pipe");
    let mut said = child.stdout.take().expect("a pipe");
    let mut printed = child.stderr.take().expect("a pipe");
    thread::scope(|scope| {
        // Ends with this closure, before the scope waits for the readers: they end when it has.
        let mut process = Process(child);
        let text = format!("{word}\n{program}");
        // A program that ends before it has read this breaks the pipe: no error of ours.
        Builder::new().spawn_scoped(scope, move || input.write_all(text.as_bytes()).ok())?;
        let said = Builder::new().spawn_scoped(scope, move || Tail::of(&mut said))?;
        let printed = Builder::new().spawn_scoped(scope, move || Tail::of(&mut printed))?;
        let ending = process.watch(folder, limits);
        process.end();
        let said = said.join().expect("reading does not panic")?;
        let output =
            String::from_utf8_lossy(&printed.join().expect("reading does not panic")?).into_owned();
        Ok(match ending? {
            Ending::Stopped(outcome) => outcome,
            Ending::Exited(status) if status.success() && said == word.as_bytes() => {
                Outcome::Passed
            }
            Ending::Exited(status) => {
                let early = if status.success() { " before its last statement" } else { "" };
                Outcome::Failed { ending: format!("{status}{early}"), output }
            }
        })
    })
}

/// How far counted processor time may run ahead of the clock.
const TICKS: Duration = Duration::from_millis(200);

/// A process that does not outlive this value.
struct Process(Child);

/// How the watch over a process ended.
enum Ending {
    Exited(ExitStatus),
    Stopped(Outcome),
}

impl Process {
    /// Waits for the end or for a limit.
    fn watch(&mut self, folder: &Path, limits: &Limits) -> io::Result<Ending> {
        let started = Instant::now();
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty())?;
        loop {
            let left = limits.wall.saturating_sub(started.elapsed());
            let wait = Timespec::try_from(left.min(LOOK)).expect("a short time");
            let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut ended, Some(&wait)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(reason) => return Err(reason.into()),
                Ok(0) if left.is_zero() => return Ok(Ending::Stopped(Outcome::TimedOut)),
                Ok(0) if overfull(folder, limits) => {
                    return Ok(Ending::Stopped(Outcome::WroteTooMuch));
                }
                Ok(0) => continue,
                Ok(_) => {}
            }
            let status = self.0.wait()?;
            // It can send no signal, so this one came from the kernel. One thread: a process that
            // used up its processor time has run as long.
            // The kernel counts it in ticks, which may run ahead of the clock.
            let used_up = status.signal() == Some(libc::SIGKILL)
                && started.elapsed() + TICKS >= Duration::from_secs(limits.processor_seconds);
            return Ok(match used_up {
                true => Ending::Stopped(Outcome::TimedOut),
                false => Ending::Exited(status),
            });
        }
    }

    /// Ends it if it still runs; it has no children.
    fn end(&mut self) {
        // Fails only for a process that has been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether the folder, which is flat, holds more than it may.
fn overfull(folder: &Path, limits: &Limits) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let (mut files, mut bytes) = (0, 0);
    for entry in entries.flatten() {
        files += 1;
        bytes += entry.metadata().map_or(0, |found| found.len());
        if files > limits.files || bytes > limits.folder {
            return true;
        }
    }
    false
}

/// The last bytes written to it.
struct Tail(Vec<u8>);

impl Tail {
    fn of(source: &mut impl io::Read) -> io::Result<Vec<u8>> {
        let mut tail = Self(Vec::new());
        io::copy(source, &mut tail)?;
        tail.trim();
        Ok(tail.0)
    }

    fn trim(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(KEPT));
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 16 * KEPT {
            self.trim();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
