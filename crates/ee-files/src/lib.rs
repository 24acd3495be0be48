//! What both programs need so that nothing is lost: files, folders, streams and signals.
//!
//! - [`write_whole`]: a file appears whole or not at all; a link's target is written, and what is not a file
//!   (a device, a pipe) is written to.
//! - [`FolderLock`]: one process at a time works in a folder, and a refusal says who does.
//! - [`Mark`]: only what carries the mark of this project is ever removed.
//! - [`say!`], [`show!`] and [`note!`]: streams whose reader may go away at any time.
//! - [`caught`]: what a library that panics on a broken file says, as an error.
//! - [`interrupt::listen`]: Ctrl-C and its siblings as a request to stop.
//! - [`did_you_mean`]: the known name that a mistyped one is nearest to.

mod caught;
mod error;
pub mod interrupt;
mod lock;
mod mark;
pub mod stream;
mod suggest;
mod whole;

pub use caught::caught;
pub use error::{Error, Result};
pub use lock::FolderLock;
pub use mark::{Mark, foreign_entry};
pub use suggest::{did_you_mean, nearest};
pub use whole::{check_writable, is_stream, remove_abandoned, write_text, write_whole};
