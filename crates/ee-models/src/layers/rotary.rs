//! The angles of rotary position embeddings, with the scalings that longer contexts were trained with.
//!
//! Frequencies are those that transformers computes (`modeling_rope_utils.py`), in f32 where it does. Two
//! scalings depend on how far a text reaches. As transformers decodes with a cache, keys keep the angles that
//! they were written with: a prompt is rotated by its length, every later token by the length that it ends, so
//! that a text read whole and the same text decoded differ beyond the original positions. transformers takes
//! the longest row of a batch and remembers the longest text before; here each row is alone, and what was
//! read before changes nothing.

use std::borrow::Cow;
use std::f64::consts::{PI, TAU};
use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};

use crate::kernels::Rotary;

/// How frequencies were changed for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Not at all.
    None,
    /// All divided by the factor (Chen et al. 2023).
    Linear {
        /// How many times longer contexts became.
        factor: f64,
    },
    /// θ grows with the text once it is longer than the original positions (NTK-aware interpolation).
    Dynamic {
        /// By how much.
        factor: f64,
        /// Positions up to which nothing changes.
        original: usize,
    },
    /// Low ones divided by the factor, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// How many times longer contexts became.
        factor: f64,
        /// Frequencies below this many turns per original context are low.
        low_frequency_factor: f64,
        /// Frequencies above this many turns per original context are high.
        high_frequency_factor: f64,
        /// The context before.
        original_positions: f64,
    },
    /// The same with a blend that is linear in the frequency's number, and softer attention (YaRN: Peng et
    /// al. 2023).
    Yarn {
        /// How many times longer contexts became.
        factor: f64,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
        /// Frequencies above this many turns per original context are kept.
        fast: f64,
        /// Frequencies below this many turns per original context are divided.
        slow: f64,
        /// Whether the blend begins and ends at whole numbers.
        is_whole: bool,
        /// The context before.
        original: usize,
    },
    /// Each divided by a factor of its own, and by others in texts longer than the original positions
    /// (LongRoPE: Ding et al. 2024).
    Long {
        /// The factors of short texts.
        short: Vec<f32>,
        /// The factors of long texts.
        long: Vec<f32>,
        /// Positions of the longest short text.
        original: usize,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
    },
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotaryPlace {
    /// Tokens before it.
    pub position: usize,
    /// Tokens of the text that it is read in.
    pub reach: usize,
}

/// The frequencies of a head, from the fastest to the slowest.
#[derive(Clone, Debug)]
pub struct Frequencies {
    head_dim: usize,
    theta: f64,
    scaling: RotaryScaling,
    /// Those of texts within the original positions, and of longer ones where these are the same for all; made
    /// when they are first asked for, when the head is known to be of a size that exists.
    usual: OnceLock<Vec<f32>>,
    long: OnceLock<Vec<f32>>,
}

impl Frequencies {
    /// θ^(−2i / head_dim) for i in 0..head_dim / 2, scaled.
    pub fn new(head_dim: usize, theta: f64, scaling: RotaryScaling) -> Self {
        let (usual, long) = (OnceLock::new(), OnceLock::new());
        Self { head_dim, theta, scaling, usual, long }
    }

    /// The angles of some tokens.
    pub fn at(&self, tokens: impl Iterator<Item = RotaryPlace>, device: &Device) -> Rotary {
        let half = self.head_dim / 2;
        let scale = self.attention_factor();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let mut current: Option<(usize, Cow<'_, [f32]>)> = None;
        for RotaryPlace { position, reach } in tokens {
            let frequencies = match current.take() {
                Some((same, frequencies)) if same == reach => frequencies,
                _ => self.of(reach),
            };
            let angles = || frequencies.iter().map(|&frequency| position as f32 * frequency);
            cos.extend(angles().map(|angle| angle.cos() * scale));
            sin.extend(angles().map(|angle| angle.sin() * scale));
            current = Some((reach, frequencies));
        }
        let shape = [cos.len() / half, half];
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        Rotary { cos: tensor(cos), sin: tensor(sin) }
    }

    fn attention_factor(&self) -> f32 {
        match &self.scaling {
            RotaryScaling::Yarn { attention_factor, .. }
            | RotaryScaling::Long { attention_factor, .. } => *attention_factor as f32,
            _ => 1.0,
        }
    }

    /// The frequencies of a text of this many tokens.
    fn of(&self, reach: usize) -> Cow<'_, [f32]> {
        match &self.scaling {
            RotaryScaling::Dynamic { factor, original } if reach > *original => {
                self.grown(*factor as f32, reach as f32, *original as f32).into()
            }
            RotaryScaling::Long { long, original, .. } if reach > *original => {
                self.long.get_or_init(|| self.divided(long)).into()
            }
            _ => self.usual.get_or_init(|| self.usual()).into(),
        }
    }

    /// θ^(2i / head_dim), in f32 as the checkpoints were trained; an angle of a late position shows the
    /// difference.
    fn periods(&self, theta: f32) -> impl Iterator<Item = f32> {
        let head_dim = self.head_dim;
        (0..head_dim / 2).map(move |i| theta.powf((2 * i) as f32 / head_dim as f32))
    }

    fn usual(&self) -> Vec<f32> {
        let plain = self.periods(self.theta as f32).map(|period| 1.0 / period);
        match &self.scaling {
            RotaryScaling::None | RotaryScaling::Dynamic { .. } => plain.collect(),
            RotaryScaling::Linear { factor } => {
                plain.map(|frequency| frequency / *factor as f32).collect()
            }
            RotaryScaling::Llama3 { .. } => {
                plain.map(|frequency| llama3(frequency, &self.scaling)).collect()
            }
            RotaryScaling::Yarn { factor, .. } => {
                let blend = self.yarn_blend();
                let factor = *factor as f32;
                let periods = self.periods(self.theta as f32).zip(blend);
                periods
                    .map(|(period, blend)| {
                        // Kept by 1 − blend, divided by blend; in the order that transformers adds them.
                        let kept = 1.0 - blend;
                        1.0 / (factor * period) * (1.0 - kept) + 1.0 / period * kept
                    })
                    .collect()
            }
            RotaryScaling::Long { short, .. } => self.divided(short),
        }
    }

    /// θ grows so that the slowest frequency turns as far in the text as it did in the original one.
    fn grown(&self, factor: f32, reach: f32, original: f32) -> Vec<f32> {
        let power = self.head_dim as f32 / (self.head_dim as f32 - 2.0);
        let growth = (factor * reach / original - (factor - 1.0)).powf(power);
        self.periods(self.theta as f32 * growth).map(|period| 1.0 / period).collect()
    }

    fn divided(&self, factors: &[f32]) -> Vec<f32> {
        let periods = self.periods(self.theta as f32);
        periods.zip(factors).map(|(period, factor)| 1.0 / (factor * period)).collect()
    }

    /// Per frequency how much of it is divided: 0 up to `fast` turns, 1 from `slow` turns on, linear between.
    fn yarn_blend(&self) -> Vec<f32> {
        let RotaryScaling::Yarn { fast, slow, is_whole, original, .. } = &self.scaling else {
            unreachable!("asked for yarn alone")
        };
        let dim = self.head_dim as f64;
        // The number of the frequency that turns so often in the original context.
        let number =
            |turns: f64| dim * (*original as f64 / (turns * TAU)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (number(*fast), number(*slow));
        if *is_whole {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let ramp = |i: usize| ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        (0..self.head_dim / 2).map(ramp).collect()
    }
}

fn llama3(frequency: f32, scaling: &RotaryScaling) -> f32 {
    let RotaryScaling::Llama3 {
        factor,
        low_frequency_factor: low,
        high_frequency_factor: high,
        original_positions,
    } = scaling
    else {
        unreachable!("asked for Llama 3 alone")
    };
    let turns = original_positions * f64::from(frequency) / (2.0 * PI);
    let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
    let frequency = f64::from(frequency);
    ((1.0 - blend) * frequency / factor + blend * frequency) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found} for {expected}");
        }
    }

    #[test]
    fn frequencies_fall_from_one_turn_per_radian() {
        let plain = Frequencies::new(8, 10_000.0, RotaryScaling::None);
        assert_near(&plain.of(1), &[1.0, 0.1, 0.01, 0.001]);
        let halved = Frequencies::new(8, 10_000.0, RotaryScaling::Linear { factor: 2.0 });
        assert_near(&halved.of(1), &[0.5, 0.05, 0.005, 0.0005]);
    }

    #[test]
    fn llama_3_keeps_fast_frequencies_and_divides_slow_ones() {
        let scaling = RotaryScaling::Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 1000.0,
        };
        // 1000 / 2π = 159 turns: kept; 1.59 turns: a blend; 0.159 turns: divided.
        let found = [1.0, 0.01, 0.001].map(|frequency| llama3(frequency, &scaling));
        let blend = (1000.0 * 0.01 / (2.0 * PI) - 1.0) / 3.0;
        let between = ((1.0 - blend) / 8.0 + blend) * 0.01;
        for (found, expected) in found.into_iter().zip([1.0, between, 0.001 / 8.0]) {
            assert!((f64::from(found) - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }

    #[test]
    fn yarn_blends_from_fast_to_slow_and_scales_cosines() {
        let scaling = RotaryScaling::Yarn {
            factor: 4.0,
            attention_factor: 0.5,
            fast: 32.0,
            slow: 1.0,
            is_whole: true,
            original: 2048,
        };
        let yarn = Frequencies::new(8, 10_000.0, scaling);
        // ln(2048 / 64π) · 8 / (2 ln 10000) = 1.008, down to 1; ln(2048 / 2π) · … = 2.51, up to 3: half of the third.
        assert_near(&yarn.of(1), &[1.0, 0.1, 0.01 * (0.5 / 4.0 + 0.5), 0.001 / 4.0]);
        let rotary = yarn.at([RotaryPlace { position: 0, reach: 1 }].into_iter(), &Device::flex());
        let cos: Vec<f32> = rotary.cos.into_data().try_into_vec().unwrap();
        assert_eq!(cos, [0.5; 4]);
    }

    #[test]
    fn texts_beyond_the_original_positions_turn_slower() {
        let dynamic = RotaryScaling::Dynamic { factor: 2.0, original: 100 };
        let dynamic = Frequencies::new(8, 10_000.0, dynamic);
        assert_near(&dynamic.of(100), &[1.0, 0.1, 0.01, 0.001]);
        // 2 · 150 / 100 − 1 = 2 times as far: the slowest of the four turns by half.
        assert_near(
            &dynamic.of(150),
            &[1.0, 0.1 / 2f32.cbrt(), 0.01 / 2f32.cbrt().powi(2), 0.0005],
        );
        let long = RotaryScaling::Long {
            short: vec![1.0, 2.0],
            long: vec![4.0, 8.0],
            original: 10,
            attention_factor: 1.0,
        };
        let long = Frequencies::new(4, 10_000.0, long);
        assert_near(&long.of(10), &[1.0, 0.005]);
        assert_near(&long.of(11), &[0.25, 0.00125]);
    }
}
