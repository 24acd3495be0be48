//! How a process confines itself between fork and exec.
//!
//! Everything is prepared before the fork, since only system calls are allowed after it: the process may have
//! other threads, and one of them may hold the allocator's lock. Root is no exception: its
//! capabilities are dropped, and Landlock and seccomp bind it as they bind any user.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use seccompiler::BpfProgram;

use super::Limits;
use super::interpreter::Interpreter;
use crate::error::Error;

/// Open files, the three standard ones included.
const OPEN_FILES: u64 = 64;

/// The newest rights that are requested; an older kernel grants those it has, and those of [`ABI::V1`] are required.
const NEWEST: ABI = ABI::V6;

/// The restrictions of one process.
pub(super) struct Walls {
    ruleset: OwnedFd,
    filter: Arc<BpfProgram>,
    limits: [(Resource, Rlimit); 6],
    parent: Pid,
}

impl Walls {
    /// Prepares the restrictions of a program that works in `folder`.
    pub(super) fn prepare(
        interpreter: &Interpreter,
        folder: &Path,
        filter: &Arc<BpfProgram>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        Ok(Self {
            ruleset: ruleset(interpreter, folder)?,
            filter: Arc::clone(filter),
            limits: resource_limits(limits),
            parent: rustix::process::getpid(),
        })
    }

    /// Makes the command's process enter these walls before it becomes Python.
    pub(super) fn surround(self, command: &mut Command) {
        #[allow(unsafe_code, reason = "the only place between fork and exec")]
        // SAFETY: `enter` makes only system calls; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || self.enter());
        }
    }

    /// Restricts the calling process for good.
    fn enter(&self) -> io::Result<()> {
        #[allow(unsafe_code, reason = "sharing of open files, which could be unsafe, stays")]
        // SAFETY: this process has one thread, and its table of open files is not touched.
        let _ = unsafe {
            // A network without devices, where the system lets this user have one. Where not, the
            // filter alone keeps sockets away, as it does here.
            rustix::thread::unshare_unsafe(
                UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC,
            )
        };
        rustix::process::setsid()?;
        let none = CapabilitySet::empty();
        let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, none)?;
        // After the change of capabilities, which would reset it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(self.parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        rustix::thread::set_no_new_privs(true)?;
        self.restrict_files()?;
        for (resource, limit) in &self.limits {
            rustix::process::setrlimit(*resource, *limit)?;
        }
        seccompiler::apply_filter(&self.filter).map_err(|error| match error {
            seccompiler::Error::Prctl(reason) | seccompiler::Error::Seccomp(reason) => reason,
            _ => io::Error::from_raw_os_error(libc::EINVAL),
        })
    }

    /// Enforces the ruleset, and lets no open file of ours into Python.
    #[allow(unsafe_code, reason = "no crate wraps these calls without allocating")]
    fn restrict_files(&self) -> io::Result<()> {
        let ruleset = self.ruleset.as_raw_fd();
        // SAFETY: both calls take only numbers; the ruleset is open.
        let refused = unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) != 0
                || libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) != 0
        };
        if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Landlock's rules: Python and the libraries can be read, the folder's files written, no more.
fn ruleset(interpreter: &Interpreter, folder: &Path) -> Result<OwnedFd, Error> {
    let missing = |found: &str| {
        let needed = "expected Landlock (Linux 5.13 or newer, with `landlock` in `lsm=`)";
        Error::Isolation(format!("{needed}, found {found}"))
    };
    let created =
        create_ruleset(interpreter, folder).map_err(|error| missing(&error.to_string()))?;
    created.ok_or_else(|| missing("none"))
}

fn create_ruleset(
    interpreter: &Interpreter,
    folder: &Path,
) -> Result<Option<OwnedFd>, RulesetError> {
    let null = AccessFs::ReadFile | AccessFs::WriteFile;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(interpreter.readable(), AccessFs::from_read(ABI::V1)))?
        .add_rules(path_beneath_rules([folder], files_of_a_folder()))?
        .add_rules(path_beneath_rules(["/dev/null"], null))?;
    Ok(ruleset.into())
}

/// Files can be made, read, written and removed; folders, links, pipes and devices cannot be made:
/// a flat folder is measured and removed quickly.
fn files_of_a_folder() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::ReadDir
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}

/// The limits that the kernel keeps, none above what this process itself has.
fn resource_limits(limits: &Limits) -> [(Resource, Rlimit); 6] {
    [
        (Resource::Cpu, limits.processor_seconds),
        (Resource::Fsize, limits.file),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
        // Last: below what the forking process uses, so that nothing more can be allocated.
        (Resource::As, limits.memory),
    ]
    .map(|(resource, limit)| {
        let own = rustix::process::getrlimit(resource).maximum;
        let limit = Some(own.map_or(limit, |own| own.min(limit)));
        (resource, Rlimit { current: limit, maximum: limit })
    })
}
