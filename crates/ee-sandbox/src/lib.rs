//! Runs a Python program that a model wrote, so that it can harm nothing but its own run.
//!
//! Each program is one process of one thread in an empty folder, and its tests are another. Both run behind two locks
//! that need no privilege and that no program can undo: a seccomp filter that lists the allowed system calls
//! (no process or thread can be started, no socket opened, no signal sent) and a Landlock
//! ruleset (Python's own folders can be read, the empty folder written, nothing else).
//! Both are required: where the system lacks one, [`Sandbox::new`] fails. Since a program never has a second process,
//! the limits of one process are its limits, and killing it ends all that it started.
//! In one interpreter a program can read and change everything, and so forge any verdict that is reached there. So
//! tests run where it cannot reach: they call it from outside, get plain data back and compare it themselves. They
//! cannot tell whether a program computes what it returns or knew the tests beforehand.
//! The cost: a correct program that needs a thread, a child process or a folder of its own fails.

mod error;
#[cfg(target_os = "linux")]
mod interpreter;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod supervise;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod walls;
#[cfg(target_os = "linux")]
pub use linux::Sandbox;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::Sandbox;

use std::time::Duration;

pub use error::Error;

/// What a program may use before it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time in seconds.
    pub processor_seconds: u64,
    /// Address space in bytes, Python's own (about 20 MiB) included.
    pub memory: u64,
    /// Length of one file in bytes.
    pub file: u64,
    /// Bytes in all files together; checked 50 times a second, so a fast writer may exceed it.
    pub folder: u64,
    /// Number of files in the folder; checked as often.
    pub files: usize,
}

impl Default for Limits {
    /// 5 s of processor time within 10 s, 512 MiB of memory, 256 files of up to 1 MiB, 16 MiB in all.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            processor_seconds: 5,
            memory: 512 << 20,
            file: 1 << 20,
            folder: 16 << 20,
            files: 256,
        }
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every statement was run and the process then ended with exit code 0.
    Passed,
    /// It ended before its last statement, or not with exit code 0.
    Failed {
        /// `exit status: 1`
        ending: String,
        /// The end of what it printed: for a Python error, the traceback.
        output: String,
    },
    /// It reached the limit of processor time or of time.
    TimedOut,
    /// It filled its folder.
    WroteTooMuch,
}

/// Why this system cannot isolate a program, found without the sandbox's own code: tests that need
/// one print it and stop there, and only there.
pub fn impossible() -> Option<&'static str> {
    let reason = missing();
    if let Some(reason) = reason {
        eprintln!("skipped: {reason}");
    }
    reason
}

#[cfg(not(target_os = "linux"))]
fn missing() -> Option<&'static str> {
    Some("not Linux")
}

#[cfg(target_os = "linux")]
fn missing() -> Option<&'static str> {
    const VERSION: libc::c_long = 1;
    #[allow(unsafe_code, reason = "asked without the crate under test")]
    // SAFETY: with this flag the call reads no memory and only returns a number.
    let landlock = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION) };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if landlock < 1 {
        Some("no Landlock")
    } else if !status.contains("\nSeccomp_filters:") {
        Some("no seccomp filters")
    } else if std::process::Command::new("python3").arg("-V").output().is_err() {
        Some("no python3 on the path")
    } else {
        None
    }
}
