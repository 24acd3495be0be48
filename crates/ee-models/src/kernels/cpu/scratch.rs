//! Memory that a thread keeps between calls, because a fresh large allocation costs a page fault per 4 KiB.

use std::cell::Cell;

/// One cache line; gives a buffer its alignment.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static KEPT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` numbers of unspecified value, aligned to 64 bytes, to `use_it`.
///
/// The buffer is taken out of its place while in use: a thread that waits for others may be given another
/// task of the same kind, which then finds none and makes its own.
pub(super) fn with_scratch<R>(len: usize, use_it: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = KEPT.take();
    let needed = len.div_ceil(16);
    if lines.len() < needed {
        lines.clear();
        lines.resize(needed, Line([0.0; 16]));
    }
    // SAFETY: `needed` lines hold at least `len` numbers, and a line is 16 numbers without padding.
    let buffer = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), len) };
    let result = use_it(buffer);
    let other = KEPT.take();
    KEPT.set(if other.len() > lines.len() { other } else { lines });
    result
}
