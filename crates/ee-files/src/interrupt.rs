//! Ctrl-C, SIGTERM and a closed terminal as a request to stop: long work checks now and then, keeps what is done, ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of work that was ended by a signal before it was done, as shells tell Ctrl-C (128 + SIGINT).
pub const EXIT_CODE: u8 = 130;

/// A flag that SIGINT, SIGTERM and SIGHUP raise from now on. A second signal ends the process at once, with
/// [`EXIT_CODE`]. A SIGHUP that is ignored (`nohup`) stays ignored.
///
/// # Errors
/// When the system does not let the process listen.
pub fn listen() -> io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        // In this order: the first signal finds the flag down and raises it.
        flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&raised))?;
        flag::register(signal, Arc::clone(&raised))?;
    }
    Ok(raised)
}

/// Whether this process was started with a signal ignored, as far as the system says.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
