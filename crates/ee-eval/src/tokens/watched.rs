//! A trace as gates see it while decoding: thresholds, exits, agreement.

use ee_decode::ExitRule;
use ee_decode::decay::{Position, undecayed};
use ee_decode::gates::{Comparison, ExitSpace, FIXED_NAME, GATES, Gate, Range, Scale};
use ee_decode::rule::{OpenRule, Rule};
use ee_models::signal::ideal_exit;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::states::StateNumbers;
use crate::certify::certify;
use crate::error::{EvalError, Result};
use crate::exits::oracle;
use crate::exits::sweep::{Agreement, RowScores, WholeTexts, best, curve_of};
use crate::gates::Numbers;
use crate::report::table::{Cell, threshold};
use crate::trace::Trace;

/// A trace as gates see it while decoding: read at some exits, the first tokens never leaving.
pub(crate) struct Watched<'t> {
    trace: &'t Trace,
    /// Before the last.
    exits: Vec<usize>,
    /// The rows that may leave.
    rows: Vec<usize>,
    /// They alone, at those exits and the last one.
    asked: Trace,
    /// New tokens per text at most, on which thresholds that decay depend.
    limit: usize,
    states: Option<&'t StateNumbers>,
}

/// A gate at a threshold, on the full model's context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenGate {
    /// The threshold; of a fixed depth the exit.
    pub(crate) threshold: f32,
    pub(crate) average_exit: f64,
    /// The share of all tokens that are the full model's.
    pub(crate) equal_share: f64,
    /// Of tokens that may leave, the mean of |gate exit − ideal exit|.
    pub(crate) distance: f64,
    /// The share of them that leave before their ideal exit.
    pub(crate) premature: f64,
    /// The share of them that leave after it.
    pub(crate) late: f64,
    /// All tokens by exit, 1..=N.
    pub(crate) histogram: Vec<usize>,
}

/// The gate of the shallowest average exit; a fixed depth is none.
pub(crate) fn shallowest(gates: &IndexMap<String, TokenGate>) -> (&str, &TokenGate) {
    let gates = gates.iter().filter(|(name, _)| *name != FIXED_NAME);
    let best = gates.min_by(|a, b| a.1.average_exit.total_cmp(&b.1.average_exit));
    let (name, gate) = best.expect("there is at least one gate");
    (name, gate)
}

impl TokenGate {
    /// Threshold, average exit, equal tokens, distance, premature and late.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        vec![
            threshold(self.threshold),
            Cell::number(self.average_exit, 2),
            Cell::percent(self.equal_share),
            Cell::number(self.distance, 2),
            Cell::percent(self.premature),
            Cell::percent(self.late),
        ]
    }
}

impl<'t> Watched<'t> {
    /// A greedy trace, read at `exits`, whose first `min_tokens` tokens of each text, without an encoder one at least,
    /// never leave.
    pub(crate) fn new(trace: &'t Trace, exits: &[usize], min_tokens: usize) -> Result<Self> {
        let facts = trace.facts.generation.as_ref();
        if facts.is_none_or(|facts| facts.teacher_forced) {
            let reason = "expected a trace of text that the model wrote itself".to_owned();
            return Err(EvalError::Setting { reason });
        }
        Self::of_any(trace, exits, min_tokens)
    }

    /// The same of any trace of text, a teacher-forced one included: its tokens follow the gold ones.
    pub(crate) fn of_any(trace: &'t Trace, exits: &[usize], min_tokens: usize) -> Result<Self> {
        let facts = trace.facts.generation.as_ref();
        let limit = facts.map_or(1, |facts| facts.max_new_tokens);
        let first = trace.facts.never_leaving(min_tokens);
        let rows: Vec<usize> =
            (0..trace.rows()).filter(|&row| trace.position[row] as usize >= first).collect();
        if rows.is_empty() {
            let what = format!(
                "no text of the trace has more than {first} new tokens, and the first {first} never leave: --min-tokens"
            );
            return Err(EvalError::Empty { what });
        }
        let exits: Vec<usize> =
            exits.iter().copied().filter(|&exit| exit < trace.layers()).collect();
        let asked = trace.select(&rows).at_exits(&exits);
        Ok(Self { trace, exits, rows, asked, limit, states: None })
    }

    /// Decoding texts of at most this many new tokens, where the trace has another number.
    pub(crate) fn up_to(self, max_new_tokens: usize) -> Self {
        Self { limit: max_new_tokens, ..self }
    }

    /// Adds the numbers of gates on states for the same trace.
    pub(crate) fn with_states(self, states: Option<&'t StateNumbers>) -> Self {
        Self { states, ..self }
    }

    /// The threshold that gives the shallowest exits while this share of the tokens that may leave stays the
    /// full model's; none where the gate would have to stay shut.
    pub(crate) fn keeping(&self, gate: OpenRule, keep: f64) -> Option<ExitRule> {
        self.shallowest(gate, &Agreement { trace: &self.asked }, keep)
    }

    /// Every gate on signals at that threshold, judged, and whether there is one; else shut.
    pub(crate) fn gates(&self, keep: f64) -> Vec<(&'static str, TokenGate, Option<ExitRule>)> {
        let judged = GATES.iter().map(|&gate| {
            let open = OpenRule { gate, decays: false };
            let found = self.keeping(open, keep);
            let shut = open.at(open.scale(self.space()).range.never);
            (gate.name(), self.judge(found.unwrap_or(shut)), found)
        });
        judged.collect()
    }

    /// The threshold that gives the shallowest exits while this share of the texts stays the full model's, token
    /// for token; none where the gate would have to stay shut.
    pub(crate) fn keeping_texts(&self, gate: OpenRule, keep: f64) -> Option<ExitRule> {
        self.shallowest(gate, &WholeTexts::new(&self.asked), keep)
    }

    /// The threshold that is certified to change at most this share of a text's tokens; none where none is.
    pub(crate) fn certified(&self, gate: OpenRule, risk: f64, confidence: f64) -> Option<ExitRule> {
        let exits = |threshold| self.places(gate.at(threshold));
        let scale = gate.scale(self.space());
        let threshold = certify(&self.asked, scale, exits, risk, confidence)?;
        self.that_fires(gate, threshold)
    }

    /// The shallowest exit at which all tokens that may leave can, while this share of them stays the full
    /// model's: the model cut off there. None where that is only the last one.
    pub(crate) fn cut_keeping(&self, keep: f64) -> Option<ExitRule> {
        self.cut(&Agreement { trace: &self.asked }, keep)
    }

    /// The same while this share of the texts stays the full model's, token for token.
    pub(crate) fn cut_keeping_texts(&self, keep: f64) -> Option<ExitRule> {
        self.cut(&WholeTexts::new(&self.asked), keep)
    }

    /// The shallowest exit that is certified to change at most this share of a text's tokens, tested from the
    /// deepest on; none where none is.
    pub(crate) fn cut_certified(&self, risk: f64, confidence: f64) -> Option<ExitRule> {
        let places = self.asked.layers() as f32;
        let range = Range { never: places, always: 1.0 };
        let scale = Scale { comparison: Comparison::AtLeast, range };
        let exits = |place: f32| vec![place as usize; self.rows.len()];
        let place = certify(&self.asked, scale, exits, risk, confidence)?;
        self.fixed(place as usize)
    }

    fn cut(&self, scores: &impl RowScores, keep: f64) -> Option<ExitRule> {
        let keeps = |place: &usize| {
            let mut sum = scores.zero();
            (0..self.rows.len()).for_each(|row| scores.add(&mut sum, row, *place, 1.0));
            scores.score(&sum) >= keep
        };
        (1..self.asked.layers()).find(keeps).and_then(|place| self.fixed(place))
    }

    /// The rule of a place among the exits that are read.
    fn fixed(&self, place: usize) -> Option<ExitRule> {
        let exit = *self.exits.get(place - 1)?;
        Some(ExitRule::fixed(exit))
    }

    fn shallowest(&self, gate: OpenRule, scores: &impl RowScores, keep: f64) -> Option<ExitRule> {
        let mut numbers = self.numbers(gate.gate)?;
        if gate.decays {
            let scale = numbers.scale();
            let still = |row, number| undecayed(scale, number, self.position(row));
            numbers = numbers.rescaled(gate.scale(self.space()), still);
        }
        self.that_fires(gate, best(&curve_of(&numbers, scores), keep).threshold)
    }

    fn that_fires(&self, gate: OpenRule, threshold: f32) -> Option<ExitRule> {
        let rule = gate.at(threshold);
        let layers = self.asked.layers();
        let is_open = rule.check(layers, self.space()).is_ok()
            && self.places(rule).iter().any(|&place| place < layers);
        is_open.then_some(rule)
    }

    /// The numbers of a gate for the tokens that may leave, at the exits that are read; none for a gate on states of
    /// which nothing is known.
    fn numbers(&self, gate: &'static dyn Gate) -> Option<Numbers> {
        if !gate.is_on_states() {
            return Some(Numbers::of(&self.asked, gate));
        }
        let values = self.states?.values(gate, &self.rows, &self.exits)?;
        let scale = gate.scale(self.space());
        Some(Numbers::new(scale, self.rows.len(), self.asked.layers(), values))
    }

    /// As a decoder's [`ee_decode::Settings::space`].
    fn space(&self) -> ExitSpace {
        ExitSpace { layers: self.asked.layers(), labels: self.asked.facts.outputs() }
    }

    fn position(&self, row: usize) -> Position {
        Position { number: self.asked.position[row] as usize, limit: self.limit }
    }

    /// The place, among the exits read and the last one, at which each token that may leave does.
    fn places(&self, rule: ExitRule) -> Vec<usize> {
        let numbers = rule.gate().and_then(|(open, _)| self.numbers(open.gate));
        let Some(numbers) = numbers else { return vec![self.asked.layers(); self.rows.len()] };
        let space = self.space();
        let threshold = |row| rule.threshold(space, self.position(row)).unwrap_or(f32::NAN);
        numbers.exits(threshold)
    }

    /// The exit of every token of the trace.
    pub(crate) fn exits(&self, rule: ExitRule) -> Vec<usize> {
        let layers = self.trace.layers();
        let mut exits = vec![layers; self.trace.rows()];
        if let Some(exit) = rule.depth() {
            self.rows.iter().for_each(|&row| exits[row] = exit.min(layers));
            return exits;
        }
        for (&row, place) in self.rows.iter().zip(self.places(rule)) {
            exits[row] = self.exits.get(place - 1).copied().unwrap_or(layers);
        }
        exits
    }

    /// The numbers of a gate for the trace.
    pub(crate) fn judge(&self, rule: ExitRule) -> TokenGate {
        let exits = self.exits(rule);
        let n = self.rows.len() as f64;
        let pairs = self.rows.iter();
        let pairs: Vec<(usize, usize)> =
            pairs.map(|&row| (exits[row], ideal_exit(self.trace.predictions(row)))).collect();
        let apart = pairs.iter().map(|(exit, ideal)| exit.abs_diff(*ideal));
        let share =
            |holds: fn(&&(usize, usize)) -> bool| pairs.iter().filter(holds).count() as f64 / n;
        TokenGate {
            threshold: match rule.rule {
                Rule::Gate(set) => set.threshold,
                Rule::None | Rule::Ideal => f32::NAN,
            },
            average_exit: oracle::average(&exits),
            equal_share: equal_share(self.trace, &exits),
            distance: apart.sum::<usize>() as f64 / n,
            premature: share(|(exit, ideal)| exit < ideal),
            late: share(|(exit, ideal)| exit > ideal),
            histogram: oracle::histogram(&exits, self.trace.layers()),
        }
    }

    /// Whether each token of the trace may leave.
    pub(crate) fn may_leave(&self) -> Vec<bool> {
        let mut may = vec![false; self.trace.rows()];
        self.rows.iter().for_each(|&row| may[row] = true);
        may
    }

    /// The exits before the last at which gates are read.
    pub(crate) fn read_at(&self) -> &[usize] {
        &self.exits
    }
}

/// The share of tokens that are the last exit's when row r leaves at `exits[r]`.
pub(crate) fn equal_share(trace: &Trace, exits: &[usize]) -> f64 {
    let layers = trace.layers();
    let is_equal =
        |row: &usize| trace.prediction(*row, exits[*row]) == trace.prediction(*row, layers);
    (0..trace.rows()).filter(is_equal).count() as f64 / trace.rows() as f64
}

/// The share of tokens, at each of the exits 1..=N, that are the last exit's.
pub(crate) fn agreement_per_exit(trace: &Trace) -> Vec<f64> {
    (1..=trace.layers()).map(|exit| equal_share(trace, &vec![exit; trace.rows()])).collect()
}

#[cfg(test)]
mod tests;
