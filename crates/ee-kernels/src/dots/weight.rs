use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::lanes::Lanes;

/// The numbers of a weight in the format in which they are stored.
#[derive(Clone, Copy, Debug)]
pub enum WeightData<'a> {
    /// 32 bits each.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl WeightData<'_> {
    /// How many numbers there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }

    /// Bytes of one number.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::F32(_) => 4,
            Self::F16(_) | Self::Bf16(_) => 2,
        }
    }

    /// The numbers from `first` on as F32, on all threads.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn convert(&self, first: usize, out: &mut [f32]) {
        let range = first..first + out.len();
        match self {
            Self::F32(data) => out.copy_from_slice(&data[range]),
            Self::F16(data) => convert(&data[range], out, f16_to_f32),
            Self::Bf16(data) => convert(&data[range], out, bf16_to_f32),
        }
    }

    pub(super) fn start(&self) -> *const u8 {
        match self {
            Self::F32(data) => data.as_ptr().cast(),
            Self::F16(data) => data.as_ptr().cast(),
            Self::Bf16(data) => data.as_ptr().cast(),
        }
    }
}

/// A format that registers are loaded from.
pub(super) trait Format: Copy + Into<f32> {
    /// # Safety
    /// As [`Lanes::load`].
    unsafe fn load<V: Lanes>(from: *const Self) -> V;
}

impl Format for f32 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
}

impl Format for f16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: the caller's promise; `f16` is a transparent `u16`.
        unsafe { V::load_f16(from.cast()) }
    }
}

impl Format for bf16 {
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: the caller's promise; `bf16` is a transparent `u16`.
        unsafe { V::load_bf16(from.cast()) }
    }
}

fn convert<T: Sync>(data: &[T], out: &mut [f32], chunk: fn(&[T], &mut [f32])) {
    const CHUNK: usize = 1 << 14;
    out.par_chunks_mut(CHUNK).zip(data.par_chunks(CHUNK)).for_each(|(out, data)| chunk(data, out));
}

fn f16_to_f32(data: &[f16], out: &mut [f32]) {
    // The library converts by vector instructions where the machine has them.
    data.convert_to_f32_slice(out);
}

fn bf16_to_f32(data: &[bf16], out: &mut [f32]) {
    data.convert_to_f32_slice(out);
}
