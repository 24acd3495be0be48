//! Watches a program and the tests of it in their two processes, keeps the limits that the kernel does not keep, and
//! judges the end.
//!
//! What is printed is read to the end, so that no process waits for us, and all but the last part is thrown away.

use std::fs;
use std::io::{self, PipeReader, Write};
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

/// Time between two checks of the folder.
const LOOK: Duration = Duration::from_millis(20);

/// The checker's exit code where the program has ended before its tests.
const GONE: i32 = 3;

/// Watches a program, which works in `folder`, and its checker to their ends.
pub(super) fn supervise(
    mut processes: [Process; 2],
    mut printed: PipeReader,
    folder: &Path,
    limits: &Limits,
) -> io::Result<Outcome> {
    thread::scope(|scope| {
        let printed = Builder::new().spawn_scoped(scope, move || Tail::of(&mut printed))?;
        let ending = watch(&mut processes, folder, limits);
        // Before the reader is waited for: it ends when they have.
        processes.iter_mut().for_each(Process::end);
        let printed = printed.join().expect("reading does not panic")?;
        let output = String::from_utf8_lossy(&printed).into_owned();
        Ok(match ending? {
            Ending::Stopped(outcome) => outcome,
            Ending::Exited([program, checker]) if program.success() && checker.success() => {
                Outcome::Passed
            }
            Ending::Exited([program, checker]) => {
                let is_early = checker.code() == Some(GONE);
                let status = if is_early || checker.success() { program } else { checker };
                let early = match is_early && program.success() {
                    true => " before its last statement",
                    false => "",
                };
                Outcome::Failed { ending: format!("{status}{early}"), output }
            }
        })
    })
}

/// How far counted processor time may run ahead of the clock.
const TICKS: Duration = Duration::from_millis(200);

/// A process that does not outlive this value.
pub(super) struct Process(Child);

/// How the watch over processes ended.
enum Ending {
    Exited([ExitStatus; 2]),
    Stopped(Outcome),
}

/// Waits for both ends or for a limit: when one ends, the other soon does.
fn watch(processes: &mut [Process; 2], folder: &Path, limits: &Limits) -> io::Result<Ending> {
    let started = Instant::now();
    let mut ended = [None; 2];
    for (process, status) in processes.iter_mut().zip(&mut ended) {
        let pid = Pid::from_child(&process.0);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let found = loop {
            let left = limits.wall.saturating_sub(started.elapsed());
            let wait = Timespec::try_from(left.min(LOOK)).expect("a short time");
            let mut readable = [PollFd::new(&pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut readable, Some(&wait)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(reason) => return Err(reason.into()),
                Ok(0) if left.is_zero() => return Ok(Ending::Stopped(Outcome::TimedOut)),
                Ok(0) if overfull(folder, limits) => {
                    return Ok(Ending::Stopped(Outcome::WroteTooMuch));
                }
                Ok(0) => continue,
                Ok(_) => break process.0.wait()?,
            }
        };
        // It can send no signal, so this one came from the kernel. One thread: a process that
        // used up its processor time has run as long.
        // The kernel counts it in ticks, which may run ahead of the clock.
        let used_up = found.signal() == Some(libc::SIGKILL)
            && started.elapsed() + TICKS >= Duration::from_secs(limits.processor_seconds);
        if used_up {
            return Ok(Ending::Stopped(Outcome::TimedOut));
        }
        *status = Some(found);
    }
    let [program, checker] = ended.map(|status| status.expect("both have ended"));
    Ok(Ending::Exited([program, checker]))
}

impl Process {
    /// A process that has just been started.
    pub(super) fn of(child: Child) -> Self {
        Self(child)
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
