//! One vector register, for the loops that the compiler does not vectorise well by itself: the matrix tiles.

/// A register of `WIDTH` numbers.
///
/// # Safety
/// Every method needs the machine to have the implementing instruction set. Pointers must be valid for the
/// numbers read or written; no alignment is asked for.
pub(super) trait Lanes: Copy {
    const WIDTH: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    /// self · factor + addend
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Numbers stored as IEEE half precision.
    unsafe fn load_f16(from: *const u16) -> Self;
    /// Numbers stored as bfloat16: the upper halves of f32.
    unsafe fn load_bf16(from: *const u16) -> Self;
    /// The sum of all numbers, in an order that depends on the register alone.
    unsafe fn sum(self) -> f32;
}

/// Asks for the cache line at `address` before it is needed.
#[inline(always)]
pub(super) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for the cache line at `address` to come as near as the second cache, where it displaces nothing
/// that the first one holds.
#[inline(always)]
pub(super) fn prefetch_second(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The register of the plain target.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 4]);

impl Lanes for Portable {
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller gives four numbers.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller gives room for four numbers.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: the caller gives four numbers.
        let bits = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        Self(bits.map(|bits| half::f16::from_bits(bits).to_f32()))
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller gives four numbers.
        let bits = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        Self(bits.map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        (self.0[0] + self.0[2]) + (self.0[1] + self.0[3])
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{transpose_8, transpose_16};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    macro_rules! register {
        ($register:ty, $width:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
         $fma:ident, $half:ident, $brain:ident, $sum:ident) => {
            // Each method's contract is the trait's; the bodies are single instructions on what it promises.
            impl Lanes for $register {
                const WIDTH: usize = $width;

                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $splat(value) }
                }

                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: the trait's contract.
                    unsafe { $store(to, self) }
                }

                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $add(self, other) }
                }

                #[inline(always)]
                unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $fma(self, factor, addend) }
                }

                #[inline(always)]
                unsafe fn load_f16(from: *const u16) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $half(from) }
                }

                #[inline(always)]
                unsafe fn load_bf16(from: *const u16) -> Self {
                    // SAFETY: the trait's contract.
                    unsafe { $brain(from) }
                }

                #[inline(always)]
                unsafe fn sum(self) -> f32 {
                    // SAFETY: the trait's contract.
                    unsafe { $sum(self) }
                }
            }
        };
    }

    register!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps,
        half_512,
        brain_512,
        _mm512_reduce_add_ps
    );
    register!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps,
        half_256,
        brain_256,
        sum_256
    );

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn half_512(from: *const u16) -> __m512 {
        // SAFETY: the caller gives 16 numbers.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn brain_512(from: *const u16) -> __m512 {
        // SAFETY: the caller gives 16 numbers.
        let bits = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(from.cast()) });
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn half_256(from: *const u16) -> __m256 {
        // SAFETY: the caller gives 8 numbers.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn brain_256(from: *const u16) -> __m256 {
        // SAFETY: the caller gives 8 numbers.
        let bits = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(from.cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum_256(numbers: __m256) -> f32 {
        let quad = _mm_add_ps(_mm256_castps256_ps128(numbers), _mm256_extractf128_ps::<1>(numbers));
        let pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    }

    /// Transposes 8 registers in place.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn transpose_8(rows: &mut [__m256; 8]) {
        let mut pairs = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut quads = [_mm256_setzero_ps(); 8];
        for i in 0..2 {
            let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
            quads[4 * i] = _mm256_shuffle_ps::<0x44>(a, c);
            quads[4 * i + 1] = _mm256_shuffle_ps::<0xEE>(a, c);
            quads[4 * i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
            quads[4 * i + 3] = _mm256_shuffle_ps::<0xEE>(b, d);
        }
        for i in 0..4 {
            rows[i] = _mm256_permute2f128_ps::<0x20>(quads[i], quads[4 + i]);
            rows[4 + i] = _mm256_permute2f128_ps::<0x31>(quads[i], quads[4 + i]);
        }
    }

    /// Transposes 16 registers in place.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) fn transpose_16(rows: &mut [__m512; 16]) {
        let mut pairs = [_mm512_setzero_ps(); 16];
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut quads = [_mm512_setzero_ps(); 16];
        for i in 0..4 {
            let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
            quads[4 * i] = _mm512_shuffle_ps::<0x44>(a, c);
            quads[4 * i + 1] = _mm512_shuffle_ps::<0xEE>(a, c);
            quads[4 * i + 2] = _mm512_shuffle_ps::<0x44>(b, d);
            quads[4 * i + 3] = _mm512_shuffle_ps::<0xEE>(b, d);
        }
        for i in 0..4 {
            let [a, b, c, d] = [quads[i], quads[4 + i], quads[8 + i], quads[12 + i]];
            let even_low = _mm512_shuffle_f32x4::<0x88>(a, b);
            let odd_low = _mm512_shuffle_f32x4::<0xDD>(a, b);
            let even_high = _mm512_shuffle_f32x4::<0x88>(c, d);
            let odd_high = _mm512_shuffle_f32x4::<0xDD>(c, d);
            rows[i] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
            rows[8 + i] = _mm512_shuffle_f32x4::<0xDD>(even_low, even_high);
            rows[4 + i] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
            rows[12 + i] = _mm512_shuffle_f32x4::<0xDD>(odd_low, odd_high);
        }
    }
}
