//! The angles of rotary position embeddings, with the scalings that longer contexts were trained with.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};

use crate::kernels::Rotary;

/// How frequencies were changed for longer contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RotaryScaling {
    /// Not at all.
    None,
    /// All divided by the factor (Chen et al. 2023).
    Linear {
        /// Contexts became so many times longer.
        factor: f64,
    },
    /// Low ones divided by the factor, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// Contexts became so many times longer.
        factor: f64,
        /// Frequencies below so many turns per original context are low.
        low_frequency_factor: f64,
        /// Frequencies above so many turns per original context are high.
        high_frequency_factor: f64,
        /// The context before.
        original_positions: f64,
    },
}

/// The frequencies of a head, from the fastest to the slowest.
#[derive(Clone, Debug)]
pub struct Frequencies(Vec<f32>);

impl Frequencies {
    /// θ^(−2i / head_dim) for i in 0..head_dim / 2, scaled.
    pub fn new(head_dim: usize, theta: f64, scaling: RotaryScaling) -> Self {
        let frequency = |i: usize| {
            // In f32 as the checkpoints were trained; an angle of a late position shows the difference.
            let exponent = (2 * i) as f32 / head_dim as f32;
            1.0 / (theta as f32).powf(exponent)
        };
        Self((0..head_dim / 2).map(|i| scaled(frequency(i), scaling)).collect())
    }

    /// The angles of some positions.
    pub fn at(&self, positions: &[usize], device: &Device) -> Rotary {
        let angles = || {
            positions.iter().flat_map(|&position| self.0.iter().map(move |&w| position as f32 * w))
        };
        let shape = [positions.len(), self.0.len()];
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        Rotary {
            cos: tensor(angles().map(f32::cos).collect()),
            sin: tensor(angles().map(f32::sin).collect()),
        }
    }
}

fn scaled(frequency: f32, scaling: RotaryScaling) -> f32 {
    match scaling {
        RotaryScaling::None => frequency,
        RotaryScaling::Linear { factor } => frequency / factor as f32,
        RotaryScaling::Llama3 {
            factor,
            low_frequency_factor: low,
            high_frequency_factor: high,
            original_positions,
        } => {
            let turns = original_positions * f64::from(frequency) / (2.0 * PI);
            let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            let frequency = f64::from(frequency);
            ((1.0 - blend) * frequency / factor + blend * frequency) as f32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_one_turn_per_radian() {
        let plain = Frequencies::new(8, 10_000.0, RotaryScaling::None);
        for (found, expected) in plain.0.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((found - expected).abs() < 1e-7, "{found}");
        }
        let halved = Frequencies::new(8, 10_000.0, RotaryScaling::Linear { factor: 2.0 });
        assert!((halved.0[0] - 0.5).abs() < 1e-7);
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
        let found = [1.0, 0.01, 0.001].map(|frequency| scaled(frequency, scaling));
        let blend = (1000.0 * 0.01 / (2.0 * PI) - 1.0) / 3.0;
        let between = ((1.0 - blend) / 8.0 + blend) * 0.01;
        for (found, expected) in found.into_iter().zip([1.0, between, 0.001 / 8.0]) {
            assert!((f64::from(found) - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }
}
