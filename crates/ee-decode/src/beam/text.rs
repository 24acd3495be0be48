//! A text on its way: its unfinished hypotheses and its finished ones.

use super::Hypothesis;
use super::options::{BeamOptions, Limits};
use super::rules::{LastToken, Progress, score};

/// An unfinished hypothesis: a row of the batch.
struct Beginning {
    tokens: Vec<u32>,
    /// Σ log p
    sum: f64,
    /// The text's row that it goes on from.
    parent: usize,
}

pub(super) struct Text {
    pub(super) prompt: usize,
    /// By falling sum; all have as many tokens.
    beginnings: Vec<Beginning>,
    finished: Vec<Hypothesis>,
}

/// A way to go on.
struct Candidate {
    row: usize,
    token: u32,
    sum: f64,
}

impl Text {
    pub(super) fn new(prompt: usize) -> Self {
        let first = Beginning { tokens: Vec::new(), sum: 0.0, parent: 0 };
        Self { prompt, beginnings: vec![first], finished: Vec::new() }
    }

    /// New tokens so far.
    pub(super) fn n_tokens(&self) -> usize {
        self.beginnings[0].tokens.len()
    }

    pub(super) fn n_rows(&self) -> usize {
        self.beginnings.len()
    }

    /// By row, the text's row that it goes on from.
    pub(super) fn parents(&self) -> impl Iterator<Item = usize> {
        self.beginnings.iter().map(|beginning| beginning.parent)
    }

    /// By row, its last token.
    pub(super) fn last_tokens(&self) -> impl Iterator<Item = u32> {
        let last = |beginning: &Beginning| *beginning.tokens.last().expect("a text has begun");
        self.beginnings.iter().map(last)
    }

    /// Whether the next token is the last there can be.
    pub(super) fn ends_now(&self, limits: &Limits) -> bool {
        self.n_tokens() + 1 == limits.new_tokens[self.prompt]
    }

    /// Takes one more token, of those that every row says are its best; gives whether the text goes on.
    pub(super) fn advance(
        &mut self,
        said: Vec<Vec<(u32, f64)>>,
        options: &BeamOptions,
        limits: &Limits,
    ) -> bool {
        let ends_now = self.ends_now(limits);
        let length = self.n_tokens() + 1 + limits.forced;
        let mut candidates = self.candidates(said, ends_now.then_some(limits.last));
        candidates.truncate(options.candidates(limits.ends.len()));
        let (mut ended, mut beginnings) = (Vec::new(), Vec::with_capacity(options.size));
        for (place, Candidate { row, token, sum }) in candidates.into_iter().enumerate() {
            let ends = ends_now || limits.ends.contains(&token);
            if if ends { place >= options.size } else { beginnings.len() == options.size } {
                continue;
            }
            let mut tokens = Vec::with_capacity(length);
            tokens.extend_from_slice(&self.beginnings[row].tokens);
            tokens.push(token);
            if ends {
                ended
                    .push(Hypothesis { tokens, score: score(sum, length, options.length_penalty) });
            } else {
                beginnings.push(Beginning { tokens, sum, parent: row });
            }
        }
        self.beginnings = beginnings;
        options.rule.collect(&mut self.finished, ended, limits.most);
        let Some(best) = self.beginnings.first() else { return false };
        let progress = Progress {
            finished: &self.finished,
            most: limits.most,
            best_sum: best.sum,
            length,
            longest: limits.new_tokens[self.prompt] + limits.forced,
            length_penalty: options.length_penalty,
        };
        !options.rule.is_done(&progress)
    }

    /// The ways to go on, by falling sum.
    fn candidates(&self, said: Vec<Vec<(u32, f64)>>, last: Option<LastToken>) -> Vec<Candidate> {
        let is_certain = matches!(last, Some(LastToken::Certain(_)));
        let mut candidates = Vec::with_capacity(said.iter().map(Vec::len).sum());
        for (row, said) in said.into_iter().enumerate() {
            let before = self.beginnings[row].sum;
            candidates.extend(said.into_iter().map(|(token, log_probability)| Candidate {
                row,
                token,
                sum: before + if is_certain { 0.0 } else { log_probability },
            }));
        }
        candidates.sort_by(|a, b| {
            let order = b.sum.total_cmp(&a.sum);
            order.then(a.row.cmp(&b.row)).then(a.token.cmp(&b.token))
        });
        candidates
    }

    /// The best finished hypotheses, by falling score.
    pub(super) fn best(&mut self, n: usize) -> Vec<Hypothesis> {
        let mut finished = std::mem::take(&mut self.finished);
        finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        finished.truncate(n);
        finished
    }
}
