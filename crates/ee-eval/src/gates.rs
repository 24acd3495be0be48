//! Gates on traces: the number of a gate for every row at every exit before the last, all that thresholds are found
//! from, and where rows leave.

use ee_decode::gates::{ExitSpace, Gate, Scale, SetGate};

use crate::trace::Trace;

/// The exit, from 1, at which every row of a trace leaves.
pub fn exits_on(gate: SetGate, trace: &Trace) -> Vec<usize> {
    let mut signals = Vec::with_capacity(trace.layers());
    (0..trace.rows())
        .map(|row| {
            trace.exits(row, &mut signals);
            gate.exit(&signals)
        })
        .collect()
}

/// A gate's numbers, `[rows × (N − 1)]`; NaN where no threshold of its range fires.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
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
    pub(crate) fn new(scale: Scale, rows: usize, layers: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), rows * (layers - 1), "a number per row and exit");
        Self { scale, rows, layers, values }
    }

    /// The numbers of a gate on signals for a trace.
    pub(crate) fn of(trace: &Trace, gate: &dyn Gate) -> Self {
        let layers = trace.layers();
        let scale = gate.scale(ExitSpace { layers, labels: trace.facts.outputs() });
        let mut signals = Vec::with_capacity(layers);
        let mut values = Vec::with_capacity(trace.rows() * (layers - 1));
        for row in 0..trace.rows() {
            trace.exits(row, &mut signals);
            values.extend((1..layers).map(|exit| gate.number(&signals[..exit])));
        }
        Self::new(scale, trace.rows(), layers, values)
    }

    /// How they are compared.
    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    /// The number of exits, the last one included.
    pub(crate) fn layers(&self) -> usize {
        self.layers
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// A row's numbers at the exits 1..N.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        let exits = self.layers - 1;
        &self.values[row * exits..(row + 1) * exits]
    }

    /// The exit, from 1, at which every row leaves when its threshold is `threshold(row)`.
    pub(crate) fn exits(&self, threshold: impl Fn(usize) -> f32) -> Vec<usize> {
        let exit = |row: usize| {
            let fires = |&number: &f32| self.scale.comparison.fires(number, threshold(row));
            self.row(row).iter().position(fires).map_or(self.layers, |at| at + 1)
        };
        (0..self.rows).map(exit).collect()
    }

    /// The same rows on another scale; `change` is given a row and a number.
    pub(crate) fn rescaled(&self, scale: Scale, change: impl Fn(usize, f32) -> f32) -> Self {
        let exits = self.layers - 1;
        let values = self.values.iter().enumerate();
        let values = values.map(|(at, &number)| change(at / exits, number)).collect();
        Self { scale, values, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use ee_decode::gates::{Comparison, GATES, Range, rules};

    use super::*;
    use crate::trace::sample;

    #[test]
    fn numbers_leave_where_signals_do() {
        let trace = sample::random(60, 5, 3, 4);
        for &gate in GATES {
            let numbers = Numbers::of(&trace, gate);
            let Range { never, always } = numbers.scale().range;
            for step in 0..=20 {
                let threshold = never + (always - never) * step as f32 / 20.0;
                let expected = exits_on(SetGate { gate, threshold }, &trace);
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

    /// Thresholds from one end of a gate's range to the other, from never to always.
    fn ladder(range: Range) -> impl Iterator<Item = f32> {
        (0..=200).map(move |step| range.never + (range.always - range.never) * step as f32 / 200.0)
    }

    #[test]
    fn every_gate_leaves_last_at_one_end_first_at_the_other_and_is_monotone_between() {
        for (layers, labels) in [(6, 2), (4, 3), (12, 5)] {
            let trace = sample::random(80, layers, labels, 5);
            for gate in rules() {
                let range = gate.range(ExitSpace { layers, labels });
                let at = |threshold| exits_on(SetGate { gate, threshold }, &trace);
                assert!(at(range.never).iter().all(|&exit| exit == layers), "{}", gate.name());
                assert!(at(range.always).iter().all(|&exit| exit == 1), "{}", gate.name());
                let mut before = at(range.never);
                for threshold in ladder(range) {
                    let now = at(threshold);
                    assert!(
                        now.iter().zip(&before).all(|(now, before)| now <= before),
                        "{}",
                        gate.name()
                    );
                    before = now;
                }
            }
        }
    }

    #[test]
    fn a_fixed_depth_is_every_rows_exit_and_has_to_be_there() {
        let trace = sample::random(20, 6, 2, 3);
        let space = ExitSpace { layers: 6, labels: 2 };
        for depth in 1..=6 {
            let fixed: SetGate = format!("fixed:{depth}").parse().unwrap();
            fixed.check(space).unwrap();
            assert_eq!(exits_on(fixed, &trace), [depth; 20]);
        }
        let seven = "fixed:7".parse::<SetGate>().unwrap().check(space).unwrap_err().to_string();
        assert!(seven.contains("the exits 1 to 6"), "{seven}");
        for text in ["fixed:0", "fixed:1.5", "fixed"] {
            assert!(text.parse::<SetGate>().is_err(), "{text}");
        }
    }
}
