//! Copies the lines of a matrix into panels: the numbers that one step of a tile needs, side by side.

use super::view::Lines;
use crate::InstructionSet;

/// Packs `width` lines from `first` on into `[depth][stride]`; places beyond `width` become 0.
///
/// # Safety
/// The lines `first..first + width` exist and are `depth` long, `panel` has room for `depth * stride`
/// numbers, `width <= stride`, and the machine has the instruction set.
pub(super) unsafe fn pack_panel(
    set: InstructionSet,
    lines: &Lines,
    first: usize,
    width: usize,
    depth: usize,
    stride: usize,
    panel: *mut f32,
) {
    // SAFETY: line `first` exists.
    let start = unsafe { lines.start.add(first * lines.line_stride) };
    if lines.line_stride == 1 {
        // SAFETY: the caller's promise; each step reads `width` neighbours and writes `stride`.
        unsafe { copy_steps(start, lines.depth_stride, width, depth, stride, panel) };
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if set == InstructionSet::Avx512 {
        for at in (0..width).step_by(16) {
            let some = (width - at).min(16);
            let room = if at + 16 >= width { (stride - at).min(16) } else { 16 };
            // SAFETY: the caller's promise, for the lines from `at` on.
            unsafe {
                let from = start.add(at * lines.line_stride);
                transpose_lines(from, lines.line_stride, some, depth, room, stride, panel.add(at));
            }
        }
        // SAFETY: inside the panel.
        unsafe { clear(panel, width.next_multiple_of(16).min(stride), depth, stride) };
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if set == InstructionSet::Avx2 {
        for at in (0..width).step_by(8) {
            let (some, room) = ((width - at).min(8), (stride - at).min(8));
            // SAFETY: the caller's promise, for the lines from `at` on.
            unsafe {
                let from = start.add(at * lines.line_stride);
                let to = panel.add(at);
                transpose_8_lines(from, lines.line_stride, some, depth, room, stride, to);
            }
        }
        // SAFETY: inside the panel.
        unsafe { clear(panel, width.next_multiple_of(8).min(stride), depth, stride) };
        return;
    }
    let _ = set;
    // SAFETY: the caller's promise, in blocks of steps so that each line's cache line is used whole.
    unsafe {
        for from in (0..depth).step_by(16) {
            for line in 0..width {
                for step in from..(from + 16).min(depth) {
                    *panel.add(step * stride + line) = *start.add(line * lines.line_stride + step);
                }
            }
        }
        clear(panel, width, depth, stride);
    }
}

/// Zeroes the places from `width` to `stride` of every step.
///
/// # Safety
/// `panel` has room for `depth * stride` numbers.
unsafe fn clear(panel: *mut f32, width: usize, depth: usize, stride: usize) {
    if width < stride {
        for step in 0..depth {
            // SAFETY: inside the panel.
            unsafe { panel.add(step * stride + width).write_bytes(0, stride - width) };
        }
    }
}

/// Packs lines that lie side by side.
///
/// # Safety
/// As [`pack_panel`].
unsafe fn copy_steps(
    start: *const f32,
    depth_stride: usize,
    width: usize,
    depth: usize,
    stride: usize,
    panel: *mut f32,
) {
    // Widths of whole tiles are known to the compiler, which then copies without a call per step.
    // SAFETY: the caller's promise.
    unsafe {
        match (width, stride) {
            (32, 32) => copy_whole::<32>(start, depth_stride, depth, panel),
            (16, 16) => copy_whole::<16>(start, depth_stride, depth, panel),
            (12, 12) => copy_whole::<12>(start, depth_stride, depth, panel),
            (6, 6) => copy_whole::<6>(start, depth_stride, depth, panel),
            _ => {
                for step in 0..depth {
                    let to = panel.add(step * stride);
                    start.add(step * depth_stride).copy_to_nonoverlapping(to, width);
                    to.add(width).write_bytes(0, stride - width);
                }
            }
        }
    }
}

/// Packs as many lines as a step holds.
///
/// # Safety
/// As [`pack_panel`], with a width and a stride of `WIDTH`.
unsafe fn copy_whole<const WIDTH: usize>(
    start: *const f32,
    depth_stride: usize,
    depth: usize,
    panel: *mut f32,
) {
    for step in 0..depth {
        // SAFETY: the caller's promise.
        unsafe {
            let from = start.add(step * depth_stride).cast::<[f32; WIDTH]>();
            panel.add(step * WIDTH).cast::<[f32; WIDTH]>().write(from.read());
        }
    }
}

/// Packs up to 16 contiguous lines, 16 steps at a time; places up to `room` become 0.
///
/// # Safety
/// As [`pack_panel`], with `lines <= room <= 16`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_lines(
    start: *const f32,
    line_stride: usize,
    lines: usize,
    depth: usize,
    room: usize,
    stride: usize,
    panel: *mut f32,
) {
    use std::arch::x86_64::{_mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_setzero_ps};

    use crate::lanes::{prefetch, transpose_16};

    /// Numbers read ahead by prefetching: sixteen lines are more streams than the machine follows by itself.
    const AHEAD: usize = 64;

    let columns = ((1_u32 << room) - 1) as u16;
    for from in (0..depth).step_by(16) {
        let steps = (depth - from).min(16);
        let taken = ((1_u32 << steps) - 1) as u16;
        let mut block = [_mm512_setzero_ps(); 16];
        // SAFETY: the masks keep loads to existing steps and stores to the panel's room.
        unsafe {
            for (line, row) in block.iter_mut().enumerate().take(lines) {
                prefetch(start.wrapping_add(line * line_stride + from + AHEAD));
                *row = _mm512_maskz_loadu_ps(taken, start.add(line * line_stride + from));
            }
            transpose_16(&mut block);
            for (step, &row) in block.iter().enumerate().take(steps) {
                _mm512_mask_storeu_ps(panel.add((from + step) * stride), columns, row);
            }
        }
    }
}

/// Packs up to 8 contiguous lines, 8 steps at a time; places up to `room` become 0.
///
/// # Safety
/// As [`pack_panel`], with `lines <= room <= 8`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_8_lines(
    start: *const f32,
    line_stride: usize,
    lines: usize,
    depth: usize,
    room: usize,
    stride: usize,
    panel: *mut f32,
) {
    use std::arch::x86_64::{
        _mm_castps_pd, _mm_storel_pd, _mm_storeu_ps, _mm256_castps256_ps128, _mm256_extractf128_ps,
        _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use crate::lanes::transpose_8;

    let whole = depth / 8 * 8;
    // SAFETY: loads are of lines and steps that exist, stores of the panel's room.
    unsafe {
        for from in (0..whole).step_by(8) {
            let mut block = [_mm256_setzero_ps(); 8];
            for (line, row) in block.iter_mut().enumerate().take(lines) {
                *row = _mm256_loadu_ps(start.add(line * line_stride + from));
            }
            transpose_8(&mut block);
            for (step, &row) in block.iter().enumerate() {
                let to = panel.add((from + step) * stride);
                match room {
                    8 => _mm256_storeu_ps(to, row),
                    6 => {
                        _mm_storeu_ps(to, _mm256_castps256_ps128(row));
                        _mm_storel_pd(
                            to.add(4).cast(),
                            _mm_castps_pd(_mm256_extractf128_ps::<1>(row)),
                        );
                    }
                    _ => {
                        let mut numbers = [0.0_f32; 8];
                        _mm256_storeu_ps(numbers.as_mut_ptr(), row);
                        to.copy_from_nonoverlapping(numbers.as_ptr(), room);
                    }
                }
            }
        }
        for step in whole..depth {
            for line in 0..room {
                let number = if line < lines { *start.add(line * line_stride + step) } else { 0.0 };
                *panel.add(step * stride + line) = number;
            }
        }
    }
}
