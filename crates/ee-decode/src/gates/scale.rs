//! How numbers are compared with thresholds, whatever a gate reads.

use super::{Comparison, Range};

/// How a gate's numbers are compared with its threshold, and the thresholds that matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// How.
    pub comparison: Comparison,
    /// From the threshold that never fires to the one that always does.
    pub range: Range,
}

impl Scale {
    /// Whether some number fires at this threshold.
    pub fn can_fire(self, threshold: f32) -> bool {
        match self.comparison {
            Comparison::Above | Comparison::AtLeast => threshold < self.range.never,
            Comparison::Below => threshold > self.range.never,
        }
    }

    /// The bound that a threshold must keep to fire, in words.
    pub fn bound(self) -> String {
        let sign = if self.comparison == Comparison::Below { ">" } else { "<" };
        format!("{sign} {}", self.range.never)
    }
}
