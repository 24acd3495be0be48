//! Standard output and standard error, whose readers may go away at any time.
//!
//! A reader that has seen enough (`| head`) or a terminal that was closed must not end work whose files are
//! still to be written: printing stops and the work goes on. That output is lost on a full disk is an error
//! all the same; it is kept until [`finish`], when the files are safe. What goes to standard error is for
//! whoever is watching: failures there do not matter. `println!` and `eprintln!` panic in all these cases.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// Prints a line of results to standard output; see [`stream`](crate::stream).
#[macro_export]
macro_rules! say {
    () => { $crate::stream::print(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::stream::print_line(format_args!($($argument)*)) };
}

/// Prints results to standard output as they are, without a line end; see [`stream`](crate::stream).
#[macro_export]
macro_rules! show {
    ($($argument:tt)*) => { $crate::stream::print(format_args!($($argument)*)) };
}

/// Prints a line to standard error for whoever is watching; see [`stream`](crate::stream).
#[macro_export]
macro_rules! note {
    ($($argument:tt)*) => { $crate::stream::note_line(format_args!($($argument)*)) };
}

/// Why nothing more is printed.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints to standard output, if it still has a reader.
pub fn print(text: Arguments<'_>) {
    attempt(|| io::stdout().write_fmt(text));
}

/// Prints a line to standard output, if it still has a reader.
pub fn print_line(text: Arguments<'_>) {
    attempt(|| writeln!(io::stdout(), "{text}"));
}

/// Flushes what was printed without a line's end.
pub fn flush() {
    attempt(|| io::stdout().flush());
}

/// Whether output still has a reader; a command that only prints may end where it has none.
#[must_use]
pub fn is_open() -> bool {
    failure().is_none()
}

/// Prints a line to standard error, if it can be.
pub fn note_line(text: Arguments<'_>) {
    // The reader is gone; the work matters more.
    let _ = writeln!(io::stderr(), "{text}");
}

/// To be called once, at the end: flushes, and reports output that was lost.
///
/// # Errors
/// [`Error::Output`] unless everything was printed or the reader went away.
pub fn finish() -> Result<()> {
    flush();
    match failure().take() {
        Some(source) if source.kind() != ErrorKind::BrokenPipe => Err(Error::Output { source }),
        _ => Ok(()),
    }
}

fn attempt(print: impl FnOnce() -> io::Result<()>) {
    let mut failure = failure();
    if failure.is_none() {
        *failure = print().err();
    }
}

fn failure() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    FAILURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
