//! The vector instructions that the machine offers, found once, and functions compiled for each.

use std::sync::LazyLock;

/// A set of vector instructions that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512 (F, BW, DQ, VL): 16 numbers at a time.
    Avx512,
    /// AVX2 with FMA and F16C: 8 numbers at a time.
    Avx2,
    /// Whatever the compiler's target has.
    Portable,
}

impl InstructionSet {
    /// The best set that this machine has, or the lower one that `EE_INSTRUCTIONS` names (`avx2`,
    /// `portable`): so that one machine can test what others run.
    #[inline]
    pub fn detect() -> Self {
        static DETECTED: LazyLock<InstructionSet> = LazyLock::new(|| {
            let wanted = std::env::var("EE_INSTRUCTIONS");
            match (InstructionSet::best(), wanted.as_deref()) {
                (_, Ok("portable")) => InstructionSet::Portable,
                (InstructionSet::Avx512, Ok("avx2")) => InstructionSet::Avx2,
                (best, _) => best,
            }
        });
        *DETECTED
    }

    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Self::Avx512;
            }
            if has_avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }
}

/// Defines a function whose plain loops are vectorised by the compiler once per instruction set.
macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?)
     $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match $crate::kernels::cpu::InstructionSet::detect() {
                // SAFETY: the machine was found to have these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: the machine was found to have these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::cpu::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}
pub(super) use vectorised;
