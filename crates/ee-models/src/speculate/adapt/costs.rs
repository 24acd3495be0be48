//! What the parts of a round take, as measured lately.

use std::collections::BTreeMap;

use super::LONGEST;
use crate::speculate::tally::expected_tokens;
use crate::speculate::{Plan, Seconds};

/// Rounds after which a time that was not measured again is forgotten.
const REMEMBERED: usize = 256;
/// Latest times of which the median counts.
const RECENT: usize = 5;
/// What a further row is taken to add to the first one's time before wider blocks were measured.
const FURTHER_ROW: f64 = 0.1;

/// Measured seconds of a layer, of the head and of what lies between them.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// A layer of plain decoding, or above a draft exit, by rows.
    layer: Times,
    /// A layer below the draft exit, by exit and rows: few layers' weights stay in the caches.
    drafting: BTreeMap<usize, Times>,
    head: Times,
    /// A round's choosing and bookkeeping.
    rest: Times,
    round: usize,
}

impl Costs {
    /// Learns the times of a round of so many rows, whose choosing took `rest`.
    pub(super) fn note(
        &mut self,
        plan: Plan,
        rows: usize,
        n_layers: usize,
        seconds: &Seconds,
        rest: f64,
    ) {
        self.round += 1;
        let (now, wide) = (self.round, rows * (plan.drafts + 1));
        if plan.drafts > 0 {
            let of_exit = self.drafting.entry(plan.exit).or_default();
            let layers = plan.exit * (plan.drafts + 1);
            of_exit.note(rows, seconds.draft_layers / layers as f64, now);
            self.head.note(rows, seconds.draft_heads / plan.drafts as f64, now);
        }
        self.layer.note(wide, seconds.verification_layers / (n_layers - plan.exit) as f64, now);
        self.head.note(wide, seconds.verification_head, now);
        self.rest.note(rows, rest, now);
        for times in self.drafting.values_mut().chain([&mut self.layer, &mut self.head]) {
            times.forget(now);
        }
    }

    /// The prices for so many rows; none before plain decoding was measured for them.
    pub(super) fn prices(&self, rows: usize, n_layers: usize) -> Option<Prices> {
        let plain = self.layer.measured(rows)?;
        let by_width = |times: &Times| -> Option<Vec<f64>> {
            (0..=LONGEST).map(|more| times.at((more + 1) * rows)).collect()
        };
        let drafting = (1..n_layers).map(|exit| {
            let near = self.drafting.iter().filter_map(|(&at, of)| Some((at, of.at(rows)?)));
            near.min_by_key(|(at, _)| at.abs_diff(exit)).map_or(plain, |(_, seconds)| seconds)
        });
        Some(Prices {
            n_layers,
            layer: by_width(&self.layer)?,
            head: by_width(&self.head)?,
            drafting: drafting.collect(),
            rest: self.rest.at(rows)?,
        })
    }
}

/// Seconds for one number of rows.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    n_layers: usize,
    /// A layer over `[rows]`, `[2 rows]`, …
    layer: Vec<f64>,
    head: Vec<f64>,
    /// A layer below a draft exit, by exit from 1.
    drafting: Vec<f64>,
    rest: f64,
}

impl Prices {
    /// Seconds of a round.
    pub(super) fn round(&self, Plan { exit, drafts }: Plan) -> f64 {
        let lower = match exit {
            0 => 0.0,
            _ => ((drafts + 1) * exit) as f64 * self.drafting[exit - 1],
        };
        let upper = (self.n_layers - exit) as f64 * self.layer[drafts];
        lower + upper + drafts as f64 * self.head[0] + self.head[drafts] + self.rest
    }

    /// Tokens per second of a row whose drafts stay with this probability.
    pub(super) fn promise(&self, plan: Plan, agreement: f64) -> f64 {
        expected_tokens(agreement, plan.drafts) / self.round(plan)
    }

    /// The length that promises most for an exit, with its promise.
    pub(super) fn best_length(&self, exit: usize, agreement: f64) -> (Plan, f64) {
        let plans = (1..=LONGEST).map(|drafts| Plan { exit, drafts });
        plans
            .map(|plan| (plan, self.promise(plan, agreement)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .expect("there is a length")
    }
}

/// Measured seconds by number of rows.
#[derive(Debug, Default)]
struct Times(BTreeMap<usize, Recent>);

/// The latest times for one number of rows.
#[derive(Debug, Default)]
struct Recent {
    seconds: Vec<f64>,
    round: usize,
}

impl Times {
    fn note(&mut self, rows: usize, seconds: f64, round: usize) {
        let recent = self.0.entry(rows).or_default();
        if recent.seconds.len() == RECENT {
            recent.seconds.remove(0);
        }
        recent.seconds.push(seconds);
        recent.round = round;
    }

    fn forget(&mut self, now: usize) {
        self.0.retain(|_, recent| recent.round + REMEMBERED > now);
    }

    fn measured(&self, rows: usize) -> Option<f64> {
        self.0.get(&rows).map(Recent::median)
    }

    /// Seconds for so many rows: on the line through the two measured numbers around it, or through the two
    /// largest below it.
    fn at(&self, rows: usize) -> Option<f64> {
        let point = |(&n, recent): (&usize, &Recent)| (n as f64, recent.median());
        let mut below = self.0.range(..=rows).rev().map(point);
        let above = self.0.range(rows..).next().map(point);
        let (from, to) = match (below.next(), above) {
            (Some(from), Some(to)) if from.0 < to.0 => (from, to),
            (Some(at), Some(_)) => return Some(at.1),
            (None, first) => return first.map(|(_, seconds)| seconds),
            (Some(last), None) => match below.next() {
                // Wider blocks are never cheaper, whatever noise says.
                Some(before) => (before, (last.0, last.1.max(before.1))),
                None => return Some(last.1 * (1.0 + FURTHER_ROW * (rows as f64 / last.0 - 1.0))),
            },
        };
        Some(from.1 + (rows as f64 - from.0) / (to.0 - from.0) * (to.1 - from.1))
    }
}

impl Recent {
    fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_on_lines_through_what_was_measured() {
        let mut times = Times::default();
        assert_eq!(times.at(1), None);
        times.note(2, 1.0, 0);
        // One number alone: each further block of two rows adds a tenth.
        assert_eq!(times.at(6), Some(1.2));
        for seconds in [5.0, 3.0, 4.0] {
            times.note(6, seconds, 60);
        }
        assert_eq!([1, 2, 3, 6, 8].map(|rows| times.at(rows).unwrap()), [1.0, 1.0, 1.75, 4.0, 5.5]);
        assert_eq!((times.measured(2), times.measured(3)), (Some(1.0), None));
        times.forget(256);
        assert_eq!(times.at(2), Some(4.0));
    }

    #[test]
    fn promises_are_the_formula() {
        let mut costs = Costs::default();
        assert!(costs.prices(1, 12).is_none());
        let seconds =
            Seconds { verification_layers: 12.0, verification_head: 3.0, ..Seconds::default() };
        costs.note(Plan::PLAIN, 1, 12, &seconds, 0.5);
        let drafts = Plan { exit: 2, drafts: 2 };
        let seconds = Seconds {
            draft_layers: 3.0,
            draft_heads: 6.0,
            verification_layers: 20.0,
            verification_head: 4.0,
            ..Seconds::default()
        };
        costs.note(drafts, 1, 12, &seconds, 0.5);
        let prices = costs.prices(1, 12).unwrap();
        assert_eq!(prices.round(Plan::PLAIN), 12.0 + 3.0 + 0.5);
        // Two layers for three tokens at half a second each, ten layers at two; heads twice 3 and once 4.
        let round = 3.0 * 2.0 * 0.5 + 10.0 * 2.0 + 2.0 * 3.0 + 4.0 + 0.5;
        assert!((prices.round(drafts) - round).abs() < 1e-12);
        let promise = prices.promise(drafts, 0.5);
        assert!((promise - (1.0 + 0.5 + 0.25) / round).abs() < 1e-12, "{promise}");
        assert!(costs.prices(2, 12).is_none(), "two rows were never decoded plainly");
    }
}
