//! What the tiles have in common: a pair of rows has four registers of sums, and what is left of the rows is added to
//! their total.

use super::weight::Format;
use crate::lanes::Lanes;

/// Registers of partial sums for one pair of rows: enough to hide the latency of an addition.
pub(super) const SUMS: usize = 4;
/// Numbers of the widest register.
const WIDEST: usize = 16;

/// A total with the steps that are left, fewer than four registers hold.
///
/// # Safety
/// `left` numbers can be read of both.
#[inline(always)]
pub(super) unsafe fn add_rest<V: Lanes, F: Format>(
    mut total: V,
    input: *const f32,
    weight: *const F,
    left: usize,
) -> V {
    let mut step = 0;
    while step < left {
        let n = (left - step).min(V::WIDTH);
        // SAFETY: the caller's promise; `n` numbers are left in both rows.
        unsafe {
            let number = load_some::<V, F>(weight.add(step), n);
            total = load_some::<V, f32>(input.add(step), n).mul_add(number, total);
        }
        step += n;
    }
    total
}

/// The first `n` numbers of a register, zeros after them.
///
/// # Safety
/// `n` numbers can be read.
#[inline(always)]
unsafe fn load_some<V: Lanes, F: Format>(from: *const F, n: usize) -> V {
    // SAFETY: the caller's promise; `numbers` holds the widest register.
    unsafe {
        if n == V::WIDTH {
            return F::load::<V>(from);
        }
        let mut numbers = [0.0_f32; WIDEST];
        for (at, number) in numbers[..n].iter_mut().enumerate() {
            *number = (*from.add(at)).into();
        }
        V::load(numbers.as_ptr())
    }
}
