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

/// The environment variable that names a lower set than the machine's best.
const VARIABLE: &str = "EE_INSTRUCTIONS";
/// What the functions compiled for AVX2 use.
const AVX2: &[&str] = &["avx2", "fma", "f16c"];
/// What those compiled for AVX-512 use beside it.
const AVX512: &[&str] = &["avx512f", "avx512bw", "avx512dq", "avx512vl"];

impl InstructionSet {
    /// Every set under its name, the best first.
    const ALL: [(&str, Self); 3] =
        [("avx512", Self::Avx512), ("avx2", Self::Avx2), ("portable", Self::Portable)];

    /// The best set that this machine has, or the lower one that `EE_INSTRUCTIONS` names: so that one machine
    /// can test what others run.
    ///
    /// # Panics
    /// If the variable names no set, or one that the machine lacks; programs ask [`InstructionSet::chosen`]
    /// first.
    #[inline]
    pub(crate) fn detect() -> Self {
        static DETECTED: LazyLock<InstructionSet> = LazyLock::new(|| {
            InstructionSet::chosen().unwrap_or_else(|complaint| panic!("{complaint}"))
        });
        *DETECTED
    }

    /// What [`InstructionSet::detect`] gives.
    ///
    /// # Errors
    /// Says what is wrong with `EE_INSTRUCTIONS`.
    pub fn chosen() -> Result<Self, String> {
        let wanted = std::env::var_os(VARIABLE);
        Self::choose(wanted.map(|name| name.to_string_lossy().into_owned()).as_deref(), has)
    }

    fn choose(wanted: Option<&str>, has: impl Fn(&str) -> bool) -> Result<Self, String> {
        let missing = |set: Self| set.needs().find(|feature| !has(feature));
        let known = || Self::ALL.map(|(name, _)| name).join(", ");
        let Some(wanted) = wanted else {
            let best = Self::ALL.into_iter().find(|(_, set)| missing(*set).is_none());
            return Ok(best.map_or(Self::Portable, |(_, set)| set));
        };
        let Some((_, set)) = Self::ALL.into_iter().find(|(name, _)| *name == wanted) else {
            return Err(format!("{VARIABLE}: expected one of {}, found '{wanted}'", known()));
        };
        match missing(set) {
            None => Ok(set),
            Some(feature) => {
                Err(format!("{VARIABLE}: '{wanted}' needs {feature}, which this machine has not"))
            }
        }
    }

    /// The machine's features that functions of this set are compiled with.
    fn needs(self) -> impl Iterator<Item = &'static str> {
        let (first, rest): (&[&str], &[&str]) = match self {
            Self::Avx512 => (AVX2, AVX512),
            Self::Avx2 => (AVX2, &[]),
            Self::Portable => (&[], &[]),
        };
        first.iter().chain(rest).copied()
    }
}

/// Whether the machine, and its system, have a feature of [`AVX2`] or [`AVX512`].
#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    match feature {
        "avx2" => is_x86_feature_detected!("avx2"),
        "fma" => is_x86_feature_detected!("fma"),
        "f16c" => is_x86_feature_detected!("f16c"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(_feature: &str) -> bool {
    false
}

/// Whether the plain target multiplies and adds in one rounding.
pub(super) const PLAIN_IS_FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// Defines a function whose plain loops are vectorised by the compiler once per instruction set; its body may
/// ask `FUSED`, which says whether the set multiplies and adds in one rounding.
macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?)
     $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body<const FUSED: bool>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body::<true>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body::<true>($($argument),*)
            }

            match $crate::InstructionSet::detect() {
                // SAFETY: the machine was found to have these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: the machine was found to have these instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                _ => body::<{ $crate::instructions::PLAIN_IS_FUSED }>($($argument),*),
            }
        }
    };
}
pub(super) use vectorised;

#[cfg(test)]
mod tests {
    use super::*;

    fn all_but(missing: &str) -> impl Fn(&str) -> bool {
        move |feature| feature != missing
    }

    #[test]
    fn a_machine_that_lacks_one_feature_takes_the_next_lower_set() {
        assert_eq!(InstructionSet::choose(None, |_| true), Ok(InstructionSet::Avx512));
        assert_eq!(InstructionSet::choose(None, |_| false), Ok(InstructionSet::Portable));
        for feature in AVX2 {
            let chosen = InstructionSet::choose(None, all_but(feature));
            assert_eq!(chosen, Ok(InstructionSet::Portable), "without {feature}");
        }
        for feature in AVX512 {
            let chosen = InstructionSet::choose(None, all_but(feature));
            assert_eq!(chosen, Ok(InstructionSet::Avx2), "without {feature}");
        }
    }

    #[test]
    fn a_set_that_is_unknown_or_not_there_is_an_error() {
        assert_eq!(InstructionSet::choose(Some("avx2"), |_| true), Ok(InstructionSet::Avx2));
        assert_eq!(
            InstructionSet::choose(Some("portable"), |_| false),
            Ok(InstructionSet::Portable)
        );
        for name in ["sse", "AVX2", "", "avx2 "] {
            let error = InstructionSet::choose(Some(name), |_| true).unwrap_err();
            let expected = format!("one of avx512, avx2, portable, found '{name}'");
            assert!(error.starts_with("EE_INSTRUCTIONS") && error.ends_with(&expected), "{error}");
        }
        let error = InstructionSet::choose(Some("avx2"), all_but("fma")).unwrap_err();
        assert!(error.contains("'avx2' needs fma"), "{error}");
        let error = InstructionSet::choose(Some("avx512"), all_but("avx512vl")).unwrap_err();
        assert!(error.contains("'avx512' needs avx512vl"), "{error}");
    }

    /// Every feature that a function of the kernels is compiled with is asked of the machine first.
    #[test]
    fn no_function_uses_a_feature_that_is_not_asked_for() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![folder];
        let mut n_functions = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for enabled in text.split("#[target_feature(enable = \"").skip(1) {
                    let enabled = enabled.split('"').next().unwrap();
                    let is_avx512 = enabled.contains("avx512");
                    let set = if is_avx512 { InstructionSet::Avx512 } else { InstructionSet::Avx2 };
                    for feature in enabled.split(',') {
                        let asked = set.needs().any(|needed| needed == feature);
                        assert!(asked, "{}: {feature} of '{enabled}'", path.display());
                    }
                    n_functions += 1;
                }
            }
        }
        assert!(n_functions >= 10, "{n_functions} functions found");
    }
}
