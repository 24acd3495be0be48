//! Thresholds that decay with the position, CALM's: λ(t) = clip(0.9 λ + 0.1 e^(−4t/T), 0, 1) at new token t (from
//! 0) of at most T.
//!
//! It is made for numbers from 0 to 1 that fire above λ; a gate with another range is mapped to it by where
//! its threshold stands between always firing (0) and never (1).

use crate::gates::{Comparison, Range, Scale};

/// Where in a text a token stands.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Its number among the new tokens, from 0.
    pub number: usize,
    /// New tokens at most.
    pub limit: usize,
}

impl Position {
    /// The end of every text, where a threshold is at its loosest.
    pub(super) const END: Self = Self { number: 1, limit: 1 };

    /// 0.1 e^(−4t/T)
    fn addition(self) -> f32 {
        let share = self.number as f32 / self.limit.max(1) as f32;
        0.1 * (-4.0 * share).exp()
    }

    /// λ(t) for a threshold λ between 0 and 1.
    fn decay(self, threshold: f32) -> f32 {
        (0.9 * threshold + self.addition()).clamp(0.0, 1.0)
    }
}

/// What a typed threshold is at a position.
pub fn decayed(scale: Scale, threshold: f32, position: Position) -> f32 {
    let (always, span) = unit(scale);
    always + span * position.decay((threshold - always) / span)
}

/// A number that fires at a threshold T exactly where this one fires at the decayed T: thresholds that
/// decay are found like others. NaN where it never fires in the range.
pub fn undecayed(scale: Scale, number: f32, position: Position) -> f32 {
    let (always, span) = unit(scale);
    let still = ((number - always) / span - position.addition()) / 0.9;
    match scale.comparison {
        _ if still < 0.0 => f32::NAN,
        // Thresholds are whole.
        Comparison::AtLeast => (always + span * still).floor(),
        Comparison::Above | Comparison::Below => always + span * still,
    }
}

/// The scale of typed thresholds that decay.
pub fn decaying(scale: Scale) -> Scale {
    let never = undecayed(scale, scale.range.never, Position::END);
    Scale { range: Range { never, always: unit(scale).0 }, ..scale }
}

/// Where λ = 0 stands, and how far from it λ = 1.
fn unit(scale: Scale) -> (f32, f32) {
    match scale.comparison {
        Comparison::Above => (0.0, 1.0),
        Comparison::Below | Comparison::AtLeast => {
            (scale.range.always, scale.range.never - scale.range.always)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::{self, ExitSpace};

    #[test]
    fn a_number_fires_at_the_threshold_as_it_does_at_what_it_decayed_to() {
        let space = ExitSpace { layers: 6, labels: 50 };
        let mut fired = 0;
        for gate in gates::all() {
            let scale = gate.scale(space);
            let Range { never, always } = decaying(scale).range;
            for number in [0, 1, 9, 20, 39] {
                let position = Position { number, limit: 40 };
                for at in 0..=20 {
                    // Neither ends nor steps of one are those of the other: nothing is equal but for rounding.
                    let number = match scale.comparison {
                        Comparison::AtLeast => (at % 5) as f32,
                        _ => {
                            0.0123
                                + 0.9 * scale.range.never.max(scale.range.always) * at as f32 / 20.0
                        }
                    };
                    for step in 0..=30 {
                        let threshold = match scale.comparison {
                            Comparison::AtLeast => (step % 5) as f32,
                            _ => always + (never - always) * step as f32 / 30.3,
                        };
                        let live = decayed(scale, threshold, position);
                        let expected = scale.comparison.fires(number, live);
                        let still = undecayed(scale, number, position);
                        let name = format!("{}:{threshold} at {number}", gate.name());
                        assert_eq!(scale.comparison.fires(still, threshold), expected, "{name}");
                        fired += usize::from(expected);
                    }
                }
            }
        }
        assert!(fired > 1000, "{fired}");
    }

    #[test]
    fn numbers_by_hand() {
        let confidence = gates::by_name("confidence").unwrap();
        let scale = confidence.scale(ExitSpace { layers: 6, labels: 50 });
        // 0.9 · 0.8 + 0.1 at the beginning.
        let start = Position { number: 0, limit: 9 };
        assert!((undecayed(scale, 0.82, start) - 0.8).abs() < 1e-6);
        assert!(undecayed(scale, 0.0999, start).is_nan());
        // (1 − 0.1 e⁻⁴) / 0.9
        assert!((decaying(scale).range.never - 1.109_076).abs() < 1e-6);
    }
}
