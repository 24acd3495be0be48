//! What a gate makes of every row of a trace at every exit before the last: all that thresholds are found from,
//! whatever the gate reads.

use super::{Comparison, ExitSpace, Gate, Range};
use crate::trace::Trace;

/// How a gate's numbers are compared with its threshold, and the thresholds that matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// How.
    pub comparison: Comparison,
    /// From the threshold that never fires to the one that always does.
    pub range: Range,
}

impl Scale {
    /// That of a gate on signals.
    #[must_use]
    pub fn of(gate: &dyn Gate, space: ExitSpace) -> Self {
        Self { comparison: gate.comparison(), range: gate.range(space) }
    }

    /// Whether some number fires at this threshold.
    #[must_use]
    pub fn can_fire(self, threshold: f32) -> bool {
        match self.comparison {
            Comparison::Above | Comparison::AtLeast => threshold < self.range.never,
            Comparison::Below => threshold > self.range.never,
        }
    }

    /// What a threshold must keep to fire, in words.
    #[must_use]
    pub fn bound(self) -> String {
        let sign = if self.comparison == Comparison::Below { ">" } else { "<" };
        format!("{sign} {}", self.range.never)
    }
}

/// A gate's numbers, `[rows × (N − 1)]`; NaN where no threshold of its range fires.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    scale: Scale,
    rows: usize,
    layers: usize,
    values: Vec<f32>,
}

impl Numbers {
    /// The numbers of the exits before the last of `layers`, row by row.
    ///
    /// # Panics
    /// When there are not as many as rows and exits say.
    #[must_use]
    pub fn new(scale: Scale, rows: usize, layers: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), rows * (layers - 1), "a number per row and exit");
        Self { scale, rows, layers, values }
    }

    /// What a gate on signals makes of a trace.
    #[must_use]
    pub fn of(trace: &Trace, gate: &dyn Gate) -> Self {
        let layers = trace.layers();
        let scale = Scale::of(gate, ExitSpace { layers, labels: trace.facts.outputs() });
        let mut signals = Vec::with_capacity(layers);
        let mut values = Vec::with_capacity(trace.rows() * (layers - 1));
        for row in 0..trace.rows() {
            trace.exits(row, &mut signals);
            values.extend((1..layers).map(|exit| gate.number(&signals[..exit])));
        }
        Self::new(scale, trace.rows(), layers, values)
    }

    /// How they are compared.
    #[must_use]
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The number of exits, the last one included.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A row's numbers at the exits 1..N.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        let exits = self.layers - 1;
        &self.values[row * exits..(row + 1) * exits]
    }

    /// The exit, from 1, at which every row leaves when its threshold is `threshold(row)`.
    #[must_use]
    pub fn exits(&self, threshold: impl Fn(usize) -> f32) -> Vec<usize> {
        let exit = |row: usize| {
            let fires = |&number: &f32| self.scale.comparison.fires(number, threshold(row));
            self.row(row).iter().position(fires).map_or(self.layers, |at| at + 1)
        };
        (0..self.rows).map(exit).collect()
    }

    /// The same rows on another scale; `change` is given a row and a number.
    #[must_use]
    pub fn rescaled(&self, scale: Scale, change: impl Fn(usize, f32) -> f32) -> Self {
        let exits = self.layers - 1;
        let values = self.values.iter().enumerate();
        let values = values.map(|(at, &number)| change(at / exits, number)).collect();
        Self { scale, values, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::{GATES, SetGate};
    use crate::trace::sample;

    #[test]
    fn numbers_leave_where_signals_do() {
        let trace = sample::random(60, 5, 3, 4);
        for &gate in GATES {
            let numbers = Numbers::of(&trace, gate);
            let Range { never, always } = numbers.scale().range;
            for step in 0..=20 {
                let threshold = never + (always - never) * step as f32 / 20.0;
                let expected = SetGate { gate, threshold }.exits(&trace);
                assert_eq!(numbers.exits(|_| threshold), expected, "{}:{threshold}", gate.name());
            }
        }
    }

    #[test]
    fn what_is_no_number_never_fires() {
        let range = Range { never: 1.0, always: 0.0 };
        for comparison in [Comparison::Above, Comparison::Below, Comparison::AtLeast] {
            let scale = Scale { comparison, range };
            let numbers = Numbers::new(scale, 2, 2, vec![f32::NAN, 0.5]);
            assert_eq!(
                numbers.exits(|_| 0.5).iter().filter(|&&exit| exit == 1).count(),
                usize::from(comparison == Comparison::AtLeast)
            );
            assert_eq!(numbers.exits(|row| if row == 0 { 0.0 } else { 0.4 })[0], 2);
        }
    }
}
