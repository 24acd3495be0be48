//! The system calls that a program has; to all others the answer is "no such call" (`ENOSYS`).
//!
//! A list of what is there, not of what is forbidden: calls that are added to Linux stay unknown, and
//! so do other ways to make the same call (x32, io_uring). What Landlock does not cover is not
//! listed: modes and owners of files, signals, sockets, processes and threads, shared memory.
//! Found by watching Python 3.6 to 3.13 run and reading what else glibc and musl may use in its place.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::error::Error;

/// Calls allowed with any arguments.
const ALLOWED: &[c_long] = &[
    // Files, as far as Landlock lets them be opened.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_umask,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Its own signals and locks.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    libc::SYS_getrandom,
    // Who and where it is.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getcpu,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // To become Python; any other program meets the same walls.
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The same under the names that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_time,
    libc::SYS_alarm,
    libc::SYS_pause,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[c_long] = &[];

/// `ioctl` requests: is it a terminal; close on exec or not.
#[allow(clippy::unnecessary_cast, reason = "their type differs between systems")]
const IOCTL: &[u64] = &[libc::TCGETS as u64, libc::FIOCLEX as u64, libc::FIONCLEX as u64];

/// `fcntl` commands; none that has signals sent.
const FCNTL: &[u64] = &[
    libc::F_DUPFD as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
];

/// The bits that the kernel reads of an argument of type `int`.
const INT: u64 = 0xffff_ffff;

/// The filter for this processor.
pub(super) fn filter() -> Result<BpfProgram, Error> {
    let missing =
        |found: String| Error::Isolation(format!("expected seccomp filters, found {found}"));
    rustix::thread::secure_computing_mode().map_err(|reason| missing(reason.to_string()))?;
    let processor =
        TargetArch::try_from(std::env::consts::ARCH).map_err(|error| missing(error.to_string()))?;
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules(), unknown, SeccompAction::Allow, processor)
        .and_then(BpfProgram::try_from)
        .map_err(|error| missing(error.to_string()))
}

/// The calls and, where it matters, their arguments: any one of a call's rules allows it.
fn rules() -> BTreeMap<c_long, Vec<SeccompRule>> {
    let whole = ALLOWED.iter().chain(ALLOWED_OLD).map(|call| (*call, Vec::new()));
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = whole.collect();
    let one_of = |values: &[u64]| values.iter().map(|value| rule(&[(1, INT, *value)])).collect();
    rules.insert(libc::SYS_ioctl, one_of(IOCTL));
    rules.insert(libc::SYS_fcntl, one_of(FCNTL));
    rules.insert(libc::SYS_openat, opening(2));
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opening(1));
    // Limits can be read (no new ones: a null pointer) and only its own.
    rules.insert(libc::SYS_prlimit64, vec![rule(&[(0, INT, 0), (2, !0, 0)])]);
    rules
}

/// Opening with the flags in argument `flags`. Emptying a file (`O_TRUNC`) needs it opened for
/// writing, which Landlock sees; before its third version it did not see the emptying itself.
fn opening(flags: u8) -> Vec<SeccompRule> {
    let (truncate, access) = (libc::O_TRUNC as u64, libc::O_ACCMODE as u64);
    vec![
        rule(&[(flags, truncate, 0)]),
        rule(&[(flags, access, libc::O_WRONLY as u64)]),
        rule(&[(flags, access, libc::O_RDWR as u64)]),
    ]
}

/// Holds where each argument, by its index, equals the value in the bits of the mask.
fn rule(arguments: &[(u8, u64, u64)]) -> SeccompRule {
    let conditions = arguments.iter().map(|(index, mask, value)| {
        let same = SeccompCmpOp::MaskedEq(*mask);
        SeccompCondition::new(*index, SeccompCmpArgLen::Qword, same, *value)
            .expect("a call has six arguments")
    });
    SeccompRule::new(conditions.collect()).expect("at least one argument")
}
