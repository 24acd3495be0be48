//! Panics of libraries that read files, caught.
//!
//! A broken file may break what a library assumes, which then panics: while loading, or later.
//! The user then needs the file's name, not a backtrace.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns, or the message of its panic. The panic itself is not printed.
///
/// `work` must not leave anything broken behind that is used after a panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    silence_once();
    let before = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.map_err(|payload| message(&*payload))
}

/// The previous hook still prints all other panics.
fn silence_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                others(info);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    // A panic's message of several lines does not fit in one line of an error.
    let text = text.unwrap_or_else(|| "no reason given".to_owned());
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_a_value_stays() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| panic!("at {}\nbacktrace", 7)), Err::<(), _>("at 7".to_owned()));
        assert_eq!(caught(|| std::panic::panic_any(1_u8)), Err::<(), _>("no reason given".into()));
        assert!(!QUIET.get());
    }
}
