//! Memory that a thread keeps between calls, because a fresh large allocation costs a page fault per 4 KiB.

use std::cell::RefCell;

/// One cache line; gives a buffer its alignment.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    /// Buffers not in use; the one put back last is lent next, so that nested users find their own again.
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` numbers of unspecified value, aligned to 64 bytes, to `use_it`.
///
/// The buffer is taken out of its place while in use: a user may ask for another one, and a thread that
/// waits for others may be given another task of the same kind.
pub fn with_scratch<R>(len: usize, use_it: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    let needed = len.div_ceil(16);
    if lines.len() < needed {
        lines.clear();
        lines.resize(needed, Line([0.0; 16]));
    }
    // SAFETY: `needed` lines hold at least `len` numbers, and a line is 16 numbers without padding.
    let buffer = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = use_it(buffer);
    KEPT.with_borrow_mut(|kept| kept.push(lines));
    result
}
