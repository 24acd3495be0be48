//! How long the parts of a round take, by recent measurements.

use std::collections::BTreeMap;

use super::{LONGEST, Seconds};
use crate::speculate::Plan;
use crate::speculate::tally::expected_tokens;

/// Rounds after which a time is forgotten unless it is measured again.
const REMEMBERED: usize = 256;
/// What a time weighs a round later.
const FADING: f64 = 0.98;
/// Latest times, whose median counts.
const RECENT: usize = 5;
/// What a further row is assumed to add to the first one's time before wider blocks were measured.
const FURTHER_ROW: f64 = 0.1;

/// Measured seconds of a layer, of the head and of what happens between them.
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
    /// Learns the times of a round of `rows` rows, whose choosing took `rest`.
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
        let all = [&mut self.layer, &mut self.head, &mut self.rest];
        for times in self.drafting.values_mut().chain(all) {
            times.forget(now);
        }
    }

    /// Rounds that it has seen.
    pub(super) fn rounds(&self) -> usize {
        self.round
    }

    /// The prices for this number of rows; none before plain decoding was measured for them.
    pub(super) fn prices(&self, rows: usize, n_layers: usize) -> Option<Prices> {
        let plain = [self.layer.measured(rows)?, self.head.measured(rows)?];
        let by_width = |times: &Times| {
            let line = times.line(rows, (LONGEST + 1) * rows, self.round);
            (0..=LONGEST).map(|more| line.at((more + 1) * rows)).collect()
        };
        let drafting = (1..n_layers).map(|exit| {
            let near = self.drafting.iter().filter_map(|(&at, of)| Some((at, of.measured(rows)?)));
            near.min_by_key(|(at, _)| at.abs_diff(exit)).map_or(plain[0], |(_, seconds)| seconds)
        });
        Some(Prices {
            n_layers,
            plain: n_layers as f64 * plain[0] + plain[1],
            layer: by_width(&self.layer),
            head: by_width(&self.head),
            drafting: drafting.collect(),
            rest: self.rest.measured(rows)?,
        })
    }
}

/// Seconds for one number of rows.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    n_layers: usize,
    /// A step of plain decoding, without the rest.
    plain: f64,
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
        if drafts == 0 {
            return self.plain + self.rest;
        }
        let lower = ((drafts + 1) * exit) as f64 * self.drafting[exit - 1];
        let upper = (self.n_layers - exit) as f64 * self.layer[drafts];
        lower + upper + drafts as f64 * self.head[0] + self.head[drafts] + self.rest
    }

    /// Tokens per second of a row whose drafts stay with this probability.
    pub(super) fn promise(&self, plan: Plan, agreement: f64) -> f64 {
        expected_tokens(agreement, plan.drafts) / self.round(plan)
    }

    /// The length with the highest predicted speed for an exit, and that speed.
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

    /// The line through what was measured for these numbers of rows, new times before old ones and none
    /// alone: a single wide block that something disturbed must not keep others from being tried.
    fn line(&self, from: usize, to: usize, now: usize) -> Line {
        let point = |(&rows, recent): (&usize, &Recent)| {
            let age = (now - recent.round) as i32;
            (rows as f64, recent.median(), recent.seconds.len() as f64 * FADING.powi(age))
        };
        let points: Vec<(f64, f64, f64)> = self.0.range(from..=to).map(point).collect();
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            let sum: f64 =
                points.iter().map(|&(rows, seconds, weight)| weight * of(rows, seconds)).sum();
            sum / points.iter().map(|point| point.2).sum::<f64>()
        };
        let (rows, seconds) = (mean(&|rows, _| rows), mean(&|_, seconds| seconds));
        let spread = mean(&|at, _| (at - rows) * (at - rows));
        let slope = if spread > 0.0 {
            // More rows are never cheaper, whatever noise says.
            (mean(&|at, of| (at - rows) * (of - seconds)) / spread).max(0.0)
        } else {
            // At this slope `from` rows take `seconds` and each `from` more a part of that.
            FURTHER_ROW * seconds / from as f64
        };
        Line { rows, seconds, slope }
    }
}

/// Seconds that grow with the rows.
struct Line {
    rows: f64,
    seconds: f64,
    slope: f64,
}

impl Line {
    fn at(&self, rows: usize) -> f64 {
        self.seconds + self.slope * (rows as f64 - self.rows)
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
    fn times_lie_on_a_line_through_what_was_measured() {
        let mut times = Times::default();
        times.note(2, 1.0, 1);
        // One number alone: each further block of two rows adds a tenth.
        assert!((times.line(2, 26, 1).at(6) - 1.2).abs() < 1e-12);
        for seconds in [5.0, 3.0, 4.0] {
            times.note(6, seconds, 1);
        }
        let at = |times: &Times, rows| times.line(2, 26, 1).at(rows);
        for (rows, seconds) in [(2, 1.0), (4, 2.5), (6, 4.0), (8, 5.5)] {
            assert!((at(&times, rows) - seconds).abs() < 1e-12, "{rows}");
        }
        // One disturbed time of a wide block bends the line, which others then straighten.
        times.note(8, 50.0, 1);
        let bent = at(&times, 6);
        for _ in 0..4 {
            times.note(8, 5.5, 1);
        }
        assert!(bent > 8.0 && (at(&times, 6) - 4.0).abs() < 1e-12, "{bent}");
        assert_eq!((times.measured(2), times.measured(3)), (Some(1.0), None));
        times.forget(257);
        assert_eq!(times.measured(2), None);
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
