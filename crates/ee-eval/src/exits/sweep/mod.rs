//! The whole trade-off curve of a gate, exactly: every threshold that changes anything, once.
//!
//! A row leaves at the first exit whose number passes the threshold, so only the record numbers of
//! a row matter: as the threshold loosens past a record, the row moves from its present exit to the
//! record's. All such moves of all rows are sorted once; running sums of the exits and of the
//! metric's statistics then give average exit and score at every distinct value. O(nN log nN) for
//! the complete curve, against one pass over the data for every point of a grid.

use ee_decode::gates::{Comparison, Gate, Scale};
use serde::{Deserialize, Serialize};

use crate::exits::score::Scorer;
use crate::gates::Numbers;
use crate::trace::Trace;

/// One point of a trade-off curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// A threshold that gives exactly this point.
    pub threshold: f32,
    pub(crate) average_exit: f64,
    pub(crate) score: f64,
}

/// A row that moves from one exit to a shallower one as the threshold passes `number`.
struct Move {
    number: f32,
    row: u32,
    from: u32,
    to: u32,
}

/// The contribution of a trace's rows to a score.
pub(crate) trait RowScores {
    /// The statistics of no row.
    fn zero(&self) -> Vec<f64>;
    /// Adds `times` × the statistics of a row that leaves at `exit`, from 1.
    fn add(&self, sum: &mut [f64], row: usize, exit: usize, times: f64);
    /// The score of the statistics of all rows.
    fn score(&self, sum: &[f64]) -> f64;
}

/// A metric of labels.
pub(crate) struct LabelScores<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) scorer: &'a Scorer,
}

impl RowScores for LabelScores<'_> {
    fn zero(&self) -> Vec<f64> {
        self.scorer.sum(std::iter::empty())
    }

    fn add(&self, sum: &mut [f64], row: usize, exit: usize, times: f64) {
        self.scorer.add(sum, self.trace.prediction(row, exit), self.trace.reference(row), times);
    }

    fn score(&self, sum: &[f64]) -> f64 {
        self.scorer.score(sum)
    }
}

/// The share of rows with the full model's prediction: labels or tokens.
pub(crate) struct Agreement<'a> {
    pub(crate) trace: &'a Trace,
}

impl RowScores for Agreement<'_> {
    fn zero(&self) -> Vec<f64> {
        vec![0.0]
    }

    fn add(&self, sum: &mut [f64], row: usize, exit: usize, times: f64) {
        let predictions = self.trace.predictions(row);
        if predictions[exit - 1] == predictions[predictions.len() - 1] {
            sum[0] += times;
        }
    }

    fn score(&self, sum: &[f64]) -> f64 {
        sum[0] / self.trace.rows() as f64
    }
}

/// The share of texts all of whose rows have the full model's prediction.
pub(crate) struct WholeTexts<'a> {
    trace: &'a Trace,
    text_of: Vec<usize>,
    texts: usize,
}

impl<'a> WholeTexts<'a> {
    /// Rows of one example, which stand together, are a text.
    pub(crate) fn new(trace: &'a Trace) -> Self {
        let mut texts = 0;
        let mut text_of = Vec::with_capacity(trace.rows());
        for rows in trace.example.chunk_by(|one, other| one == other) {
            text_of.extend(std::iter::repeat_n(texts, rows.len()));
            texts += 1;
        }
        Self { trace, text_of, texts }
    }
}

impl RowScores for WholeTexts<'_> {
    /// Texts that differ, then rows that differ in each text.
    fn zero(&self) -> Vec<f64> {
        vec![0.0; 1 + self.texts]
    }

    fn add(&self, sum: &mut [f64], row: usize, exit: usize, times: f64) {
        let predictions = self.trace.predictions(row);
        if predictions[exit - 1] != predictions[predictions.len() - 1] {
            let place = 1 + self.text_of[row];
            let differed = sum[place] > 0.0;
            sum[place] += times;
            sum[0] += f64::from(u8::from(sum[place] > 0.0)) - f64::from(u8::from(differed));
        }
    }

    fn score(&self, sum: &[f64]) -> f64 {
        1.0 - sum[0] / self.texts as f64
    }
}

/// [`curve_of`] a metric of labels.
///
/// # Panics
/// As [`curve_of`].
pub fn curve(trace: &Trace, gate: &dyn Gate, scorer: &Scorer) -> Vec<Candidate> {
    curve_of(&Numbers::of(trace, gate), &LabelScores { trace, scorer })
}

/// Every distinct behaviour of a gate with these numbers, from never leaving early to always leaving at 1;
/// `scores` are those of the same rows.
pub(crate) fn curve_of(numbers: &Numbers, scores: &impl RowScores) -> Vec<Candidate> {
    let rows = u32::try_from(numbers.rows()).expect("a trace has at most u32::MAX rows");
    let layers = numbers.layers();
    let scale = numbers.scale();
    let (range, comparison) = (scale.range, scale.comparison);
    let moves = sorted_moves(numbers);

    let mut exits = u64::from(rows) * layers as u64;
    let mut sum = scores.zero();
    (0..numbers.rows()).for_each(|row| scores.add(&mut sum, row, layers, 1.0));
    let point = |threshold, exits: u64, sum: &[f64]| Candidate {
        threshold,
        average_exit: exits as f64 / f64::from(rows),
        score: scores.score(sum),
    };
    let first_threshold = match moves.first() {
        Some(first) => between(comparison, range.never, first.number),
        None => range.never,
    };
    let mut candidates = vec![point(first_threshold, exits, &sum)];
    for (group, next) in groups(&moves) {
        let number = group[0].number;
        for step in group {
            let row = step.row as usize;
            exits -= u64::from(step.from - step.to);
            scores.add(&mut sum, row, step.from as usize, -1.0);
            scores.add(&mut sum, row, step.to as usize, 1.0);
        }
        let next = next.unwrap_or(range.always);
        candidates.push(point(between(comparison, number, next), exits, &sum));
    }
    candidates
}

/// Thresholds from tight to loose at which the mean exit of these rows has come 1/`steps`, 2/`steps`, … of the way from
/// N to 1, and at last one at which every row leaves at 1. Where exits count whole numbers there is one for each.
///
/// A threshold is itself a number of these rows, not one between two: gates that rank exits alike, as confidence,
/// margin and entropy of two labels do, thereby split any other rows in the same way.
pub(crate) fn thresholds(numbers: &Numbers, steps: usize) -> Vec<f32> {
    assert!(numbers.rows() > 0 && steps > 0, "{} rows, {steps} steps", numbers.rows());
    let Scale { comparison, range } = numbers.scale();
    let moves = sorted_moves(numbers);
    let all = (numbers.rows() * (numbers.layers() - 1)) as f64;
    let (mut found, mut gone, mut reached) = (Vec::new(), 0, 0);
    for (group, next) in groups(&moves) {
        gone += group.iter().map(|step| (step.from - step.to) as usize).sum::<usize>();
        let step = (gone as f64 / all * steps as f64) as usize;
        // Whole numbers are few.
        if step > reached || comparison == Comparison::AtLeast {
            reached = step;
            found.push(match (comparison, next) {
                (Comparison::AtLeast, _) => group[0].number,
                // The next number does not pass itself.
                (_, Some(next)) => next,
                (_, None) => range.always,
            });
        }
    }
    if found.last() != Some(&range.always) {
        found.push(range.always);
    }
    found
}

/// Moves of one number, and the number after it.
fn groups(moves: &[Move]) -> impl Iterator<Item = (&[Move], Option<f32>)> {
    let mut end = 0;
    moves.chunk_by(|one, other| one.number == other.number).map(move |group| {
        end += group.len();
        (group, moves.get(end).map(|next| next.number))
    })
}

/// All moves of all rows, in the order in which a loosening threshold meets them.
fn sorted_moves(numbers: &Numbers) -> Vec<Move> {
    let layers = numbers.layers();
    let comparison = numbers.scale().comparison;
    let mut moves = Vec::new();
    for row in 0..numbers.rows() {
        let first_of_row = moves.len();
        let mut record: Option<f32> = None;
        for (number, exit) in numbers.row(row).iter().zip(1..) {
            // Adding zero turns −0 into 0, which no threshold can distinguish.
            let number = number + 0.0;
            let is_looser = |record| looser_first(comparison, number, record).is_lt();
            if !number.is_nan() && record.is_none_or(is_looser) {
                record = Some(number);
                moves.push(Move { number, row: row as u32, from: 0, to: exit });
            }
        }
        // A looser threshold meets the deeper record first: the row comes from the one after it.
        let of_row = &mut moves[first_of_row..];
        for at in 0..of_row.len() {
            of_row[at].from = of_row.get(at + 1).map_or(layers as u32, |deeper| deeper.to);
        }
    }
    moves.sort_unstable_by(|a, b| looser_first(comparison, a.number, b.number));
    moves
}

/// The order in which a loosening threshold meets two numbers.
fn looser_first(comparison: Comparison, a: f32, b: f32) -> std::cmp::Ordering {
    match comparison {
        Comparison::Above | Comparison::AtLeast => b.total_cmp(&a),
        Comparison::Below => a.total_cmp(&b),
    }
}

/// A threshold that `fired` passes and `waiting`, the next number, does not; for the first point of
/// a curve, one that `waiting` does not pass either way.
fn between(comparison: Comparison, fired: f32, waiting: f32) -> f32 {
    let middle = waiting + (fired - waiting) / 2.0;
    match comparison {
        // The middle may round to the number that must fire; the one that must wait never fires at itself.
        Comparison::Above | Comparison::Below => {
            if comparison.fires(fired, middle) && !comparison.fires(waiting, middle) {
                middle
            } else {
                waiting
            }
        }
        Comparison::AtLeast => fired,
    }
}

/// The lowest score that the quality rule allows: `keep` × `full`, or as far below `full` when that
/// is not positive, where a share of it would be no loss but a gain.
pub(crate) fn floor(full: f64, keep: f64) -> f64 {
    if full > 0.0 { keep * full } else { full - (1.0 - keep) * full.abs() }
}

/// The candidate of the shallowest average exit whose score is at least `floor`.
///
/// The first candidate of a curve is the full model, which keeps any floor that is at most its score.
pub(crate) fn best(candidates: &[Candidate], floor: f64) -> Candidate {
    // Average exits fall strictly along a curve.
    *candidates.iter().rev().find(|candidate| candidate.score >= floor).unwrap_or(&candidates[0])
}

/// The points that draw the same picture: of each of `bins` equal steps of the average exit the
/// first, the last, the best and the worst, in order.
pub(crate) fn thinned(candidates: &[Candidate], bins: usize) -> Vec<Candidate> {
    if candidates.len() <= 4 * bins {
        return candidates.to_vec();
    }
    let (deepest, shallowest) =
        (candidates[0].average_exit, candidates[candidates.len() - 1].average_exit);
    let bin = |candidate: &Candidate| {
        let share = (deepest - candidate.average_exit) / (deepest - shallowest);
        ((share * bins as f64) as usize).min(bins - 1)
    };
    let mut kept = Vec::new();
    for group in candidates.chunk_by(|a, b| bin(a) == bin(b)) {
        let by_score = |a: &usize, b: &usize| group[*a].score.total_cmp(&group[*b].score);
        let extremes = [(0..group.len()).min_by(by_score), (0..group.len()).max_by(by_score)];
        let mut at: Vec<usize> =
            extremes.into_iter().flatten().chain([0, group.len() - 1]).collect();
        at.sort_unstable();
        at.dedup();
        kept.extend(at.into_iter().map(|at| group[at]));
    }
    kept
}

#[cfg(test)]
mod tests;
