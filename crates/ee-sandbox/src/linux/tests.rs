//! Every hostile program here reaches its last statement if it gets what it wants, so that it would
//! pass where a wall is missing.

use std::time::{Duration, Instant};

use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use super::*;
use crate::impossible;

/// Short, to keep the tests short: 1 s of processor time, within a time that is enough on a busy machine.
const SHORT: Limits = Limits {
    wall: Duration::from_secs(15),
    processor_seconds: 1,
    memory: 256 << 20,
    file: 1 << 20,
    folder: 4 << 20,
    files: 64,
};

pub(super) fn sandbox() -> Option<Sandbox> {
    match impossible() {
        Some(_) => None,
        None => Some(Sandbox::with_limits(None, SHORT).expect("isolation is possible here")),
    }
}

/// Runs programs that must fail, each with a text that the end of its output must contain.
fn all_fail(programs: &[(&str, &str)]) {
    let Some(sandbox) = sandbox() else { return };
    for (program, reason) in programs {
        match sandbox.run(program).expect("no fault of the program is an error") {
            Outcome::Failed { output, .. } if output.contains(reason) => {}
            other => panic!("expected a failure with `{reason}`, found {other:?} of\n{program}"),
        }
    }
}

const NO_CALL: &str = "[Errno 38] Function not implemented";

#[test]
fn a_program_that_starts_processes_or_threads_fails() {
    all_fail(&[
        ("import os\nwhile True:\n    os.fork()", NO_CALL),
        ("import os\nif os.fork() == 0:\n    os._exit(0)", NO_CALL),
        ("import pty\npty.fork()", "Error"),
        ("import os\nassert os.system('true') == 0", "AssertionError"),
        ("import subprocess\nsubprocess.run(['/bin/true'], check=True)", NO_CALL),
        ("import os\nos.posix_spawn('/bin/true', ['true'], {})", NO_CALL),
        ("import multiprocessing\nmultiprocessing.Process(target=print).start()", NO_CALL),
        ("import threading\nthreading.Thread(target=print).start()", "can't start new thread"),
        (
            "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()",
            "can't start new thread",
        ),
    ]);
}

#[test]
fn a_daemon_does_not_outlive_its_program() {
    let Some(sandbox) = sandbox() else { return };
    let daemon = "import os, time
print(os.getcwd(), flush=True)
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
except OSError:
    pass
if __name__ == '__main__':
    time.sleep(60)";
    let started = Instant::now();
    assert_eq!(sandbox.run(daemon).expect("it runs"), Outcome::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(55), "{:?}", started.elapsed());
    let ended = daemon.replace("time.sleep(60)\nexcept", "pass\nexcept") + "\nraise SystemExit(3)";
    let ended = ended.replace("if __name__ == '__main__':\n    time.sleep(60)", "");
    let Outcome::Failed { output, ending } = sandbox.run(&ended).expect("it runs") else {
        panic!("expected a failure");
    };
    assert_eq!(ending, "exit status: 3");
    assert_eq!(working_in(output.lines().next().expect("the folder")), Vec::<String>::new());
}

/// Processes whose working folder is, or was, this one.
fn working_in(folder: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let links = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
    let folders = links.map(|link| link.to_string_lossy().into_owned());
    folders.filter(|link| link.starts_with(folder)).collect()
}

#[test]
fn a_program_without_end_is_stopped() {
    let Some(sandbox) = sandbox() else { return };
    for program in [
        "while True: pass",
        "import time\ntime.sleep(1000)",
        "while True: print('x' * 1000)",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\nwhile True: pass",
        "import os\nos.closerange(0, 64)\nwhile True: pass",
        "import os, sys\nwhile True:\n    try: os.execv(sys.executable, ['python3', '-c', 'while True: pass'])\n    except OSError: pass",
        "import sys\nsys.stdout.close()\nsys.stderr.close()\nwhile True: pass",
        "try:\n    while True: pass\nfinally:\n    while True: pass",
    ] {
        let started = Instant::now();
        assert_eq!(sandbox.run(program).expect("it runs"), Outcome::TimedOut, "{program}");
        assert!(started.elapsed() < Duration::from_secs(55), "{program}: {:?}", started.elapsed());
    }
}

#[test]
fn a_program_that_takes_too_much_fails() {
    let thousand =
        "for name in range(100000):\n    open(str(name), 'w').close()\nimport time\ntime.sleep(3)";
    let large = "for name in range(60):\n    open(str(name), 'wb').write(bytes(1 << 20))\nimport time\ntime.sleep(3)";
    all_fail(&[
        ("kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))", "MemoryError"),
        ("kept = bytearray(1 << 30)", "MemoryError"),
        ("import mmap\nkept = mmap.mmap(-1, 1 << 30)", "Cannot allocate memory"),
        ("with open('huge', 'wb') as file:\n    file.write(bytes(2 << 20))", "File too large"),
        ("import os\nos.truncate('/dev/null', 1 << 40)", NO_CALL),
        (
            "import os\nos.ftruncate(os.open('huge', os.O_RDWR | os.O_CREAT), 1 << 40)",
            "File too large",
        ),
        ("import os\nkept = [os.pipe() for _ in range(100)]", "Too many open files"),
        ("def deeper(): return deeper()\ndeeper()", "RecursionError"),
        ("import os\nos.mkdir('folder')", NO_CALL),
        ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "Error"),
    ]);
    let Some(sandbox) = sandbox() else { return };
    for program in [thousand, large] {
        assert_eq!(sandbox.run(program).expect("it runs"), Outcome::WroteTooMuch, "{program}");
    }
}

#[test]
fn nothing_outside_can_be_read_or_changed() {
    let outside = tempfile::tempdir().expect("a folder");
    let victim = outside.path().join("victim");
    fs::write(&victim, "intact").expect("a file");
    let permissions = fs::metadata(&victim).expect("it is there").permissions();
    let folder = outside.path().to_str().expect("UTF-8");
    let programs: Vec<(String, &str)> = [
        ("open(folder + '/victim').read()", "Permission denied"),
        ("open(folder + '/victim', 'w')", "Permission denied"),
        ("open(folder + '/victim', 'a')", "Permission denied"),
        ("open(folder + '/new', 'w')", "Permission denied"),
        ("os.open(folder + '/victim', os.O_RDONLY | os.O_TRUNC)", NO_CALL),
        ("os.truncate(folder + '/victim', 0)", NO_CALL),
        ("os.remove(folder + '/victim')", "Permission denied"),
        ("os.rename(folder + '/victim', 'mine')", "Error"),
        ("open('mine', 'w').close()\nos.rename('mine', folder + '/victim')", "Error"),
        ("os.link(folder + '/victim', 'mine')", "Error"),
        ("os.symlink(folder + '/victim', 'mine')\nopen('mine').read()", "Error"),
        ("os.chmod(folder + '/victim', 0)", NO_CALL),
        ("os.chown(folder + '/victim', 1, 1)", NO_CALL),
        ("os.utime(folder + '/victim', (0, 0))", NO_CALL),
        ("os.setxattr(folder + '/victim', 'user.mine', b'1')", "Error"),
        ("os.listdir(folder)", "Permission denied"),
        ("os.listdir('..')", "Permission denied"),
        ("os.rmdir(os.getcwd())", "Error"),
        ("import shutil\nshutil.rmtree(folder)", "Permission denied"),
        ("import shutil\nshutil.rmtree('/', ignore_errors=True)\nopen(folder + '/victim')", "Permission denied"),
        ("open('/etc/passwd').read()", "Permission denied"),
        ("open('/proc/self/environ').read()", "Permission denied"),
        ("open('/dev/tty', 'w')", "Permission denied"),
        ("open('/usr/lib/mine', 'w')", "Permission denied"),
        ("open(os.__file__, 'a')", "Permission denied"),
        ("os.chroot('/')", NO_CALL),
        ("import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/usr', b'tmpfs', 0, None) == 0", "AssertionError"),
    ]
    .map(|(attempt, reason)| (format!("import os\nfolder = {folder:?}\n{attempt}"), reason))
    .into();
    let programs: Vec<(&str, &str)> =
        programs.iter().map(|(program, reason)| (program.as_str(), *reason)).collect();
    all_fail(&programs);
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "intact");
    assert_eq!(fs::metadata(&victim).expect("it is there").permissions(), permissions);
    assert_eq!(fs::read_dir(outside.path()).expect("it is there").count(), 1);
}

#[test]
fn no_socket_and_no_way_to_other_processes() {
    let raw = |call: &str| {
        format!("import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nassert {call} >= 0")
    };
    // x86-64 numbers; elsewhere they are other calls that are not listed either, or fail.
    let (io_uring, pidfd) =
        (raw("libc.syscall(425, 8, bytes(120))"), raw("libc.syscall(434, os.getppid(), 0)"));
    let (trace, unshare) =
        (raw("libc.ptrace(16, os.getppid(), 0, 0)"), raw("libc.unshare(0x10000000)"));
    let read = raw("libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0)");
    let privilege = raw("libc.prctl(1, 0, 0, 0, 0)");
    let owner = "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())";
    all_fail(&[
        ("import socket\nsocket.socket()", NO_CALL),
        ("import socket\nsocket.socketpair()", NO_CALL),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')", "Error"),
        ("import asyncio\nasyncio.new_event_loop()", "Error"),
        ("import os, signal\nos.kill(-1, signal.SIGKILL)", NO_CALL),
        ("import os\nos.kill(os.getppid(), 0)", NO_CALL),
        ("import os\nos.killpg(0, 0)", NO_CALL),
        (owner, NO_CALL),
        (&trace, "AssertionError"),
        (&read, "AssertionError"),
        (&unshare, "AssertionError"),
        (&io_uring, "AssertionError"),
        (&pidfd, "AssertionError"),
        (&privilege, "AssertionError"),
    ]);
}

#[test]
fn an_end_before_the_last_statement_is_a_failure() {
    all_fail(&[
        ("import os\nprint('early', flush=True)\nos._exit(0)\nassert False", "early"),
        ("print('early')\nraise SystemExit(0)", "early"),
        ("import sys\nprint('early')\nsys.exit()", "early"),
        ("import atexit, os\nprint('late', flush=True)\natexit.register(os._exit, 1)", "late"),
        ("import sys\nprint('pipe')\nimport os\n[os.write(fd, b'word') for fd in (3, 4)]", "pipe"),
        ("import os\nprint('gone', flush=True)\nos.execv('/bin/true', ['true'])", "gone"),
        (
            "import sys\nprint('nothing on standard input', [sys.stdin.read()])\nassert False",
            "['']",
        ),
        ("import os\nprint(dict(os.environ))\nassert len(os.environ) == 0", "PYTHONHASHSEED"),
        ("assert 1 == 2", "AssertionError"),
        ("def f(:", "SyntaxError"),
        ("\0", "Error"),
    ]);
    let Some(sandbox) = sandbox() else { return };
    let outcome = sandbox.run("import os\nos._exit(0)").expect("it runs");
    let ending = "exit status: 0 before its last statement".to_owned();
    assert_eq!(outcome, Outcome::Failed { ending, output: String::new() });
}

#[test]
fn ordinary_programs_pass() {
    let Some(sandbox) = sandbox() else { return };
    let script = "import collections, datetime, decimal, functools, heapq, itertools, json, math, random, re, tempfile
from dataclasses import dataclass
@dataclass
class Point:
    x: 'int'
print('äöü', 'x' * 200000)
with open('a', 'w') as file: file.write('1')
with tempfile.TemporaryFile() as file: file.write(b'2')
assert open('a').read() == '1'
open('/dev/null', 'w').write('x')
ran = False
if __name__ == '__main__': ran = True
assert ran and Point(1).x == 1 and [].__class__ is list";
    assert_eq!(sandbox.run(script).expect("it runs"), Outcome::Passed);
    assert_eq!(sandbox.run("").expect("it runs"), Outcome::Passed);
    let long = format!("x = '{}'\nassert len(x) == 1000000", "x".repeat(1_000_000));
    assert_eq!(sandbox.run(&long).expect("it runs"), Outcome::Passed);
    let order = "print(list({'a', 'b', 'c', 'd', 'e', 'f', 'g'}))\nassert False";
    let first = sandbox.run(order).expect("it runs");
    assert_eq!(first, sandbox.run(order).expect("it runs"), "sets have one order");
}

#[test]
fn nothing_runs_where_a_lock_is_missing() {
    if impossible().is_some() {
        return;
    }
    for (call, named) in [
        (libc::SYS_landlock_create_ruleset, "Landlock"),
        (libc::SYS_landlock_restrict_self, "could not be started"),
        (libc::SYS_seccomp, "could not be started"),
        (libc::SYS_prctl, "seccomp"),
    ] {
        // A filter binds the thread that enters it, and so the processes that it starts.
        let refused = std::thread::spawn(move || {
            without(call);
            Sandbox::new(None).map(|_| ()).expect_err("nothing is run unprotected").to_string()
        });
        let refused = refused.join().expect("it does not panic");
        assert!(refused.contains("cannot isolate") && refused.contains(named), "{refused}");
    }
}

/// Takes a system call away from the calling thread.
fn without(call: libc::c_long) {
    let rules = [(call, Vec::new())].into();
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let processor = TargetArch::try_from(std::env::consts::ARCH).expect("a known processor");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, processor)
        .expect("a filter of one rule");
    seccompiler::apply_filter(&BpfProgram::try_from(filter).expect("a program")).expect("entered");
}

#[test]
fn what_is_no_python_is_named() {
    let missing = Sandbox::new(Some(Path::new("/nowhere/python3"))).expect_err("none").to_string();
    assert!(missing.contains("/nowhere/python3"), "{missing}");
    let other = Sandbox::new(Some(Path::new("/bin/true"))).expect_err("no Python").to_string();
    assert!(other.contains("/bin/true: expected a Python 3"), "{other}");
}
