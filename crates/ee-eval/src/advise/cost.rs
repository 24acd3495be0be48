//! How long decoding would take, from a trace and the times of the parts.
//!
//! Early exit: layers up to each token's exit, the head as often as the gate asks it, keys and values as the
//! policy fills them; what is computed later is counted as if all of it were needed in the end. Speculation:
//! the rounds follow exactly from where an exit's answers are the last one's. Loops and bookkeeping cost
//! nothing here, so small models are slower than this predicts.

use ee_decode::policy::Cost as Kv;
use ee_decode::speculate::Plan;

use super::times::{Asked, Times};
use crate::tokens::Watched;
use crate::trace::Trace;

/// The longest draft that is looked at.
const LONGEST: usize = 8;

/// A trace with the times of one text at a time.
pub(crate) struct Cost<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) times: &'a Times,
}

impl Cost<'_> {
    /// Seconds of plain decoding.
    pub(crate) fn plain(&self) -> f64 {
        let steps = self.trace.position.iter().filter(|&&position| position > 0).count();
        self.prompts() + steps as f64 * self.step()
    }

    /// Seconds of a step of plain decoding.
    fn step(&self) -> f64 {
        self.trace.layers() as f64 * self.times.layer + self.times.head
    }

    /// Seconds where row r leaves at `exits[r]`, found by a gate that is asked in this way.
    pub(crate) fn exits(
        &self,
        watched: &Watched<'_>,
        exits: &[usize],
        asked: &Asked,
        kv: Kv,
    ) -> f64 {
        let (times, layers) = (self.times, self.trace.layers());
        let skipped = match kv {
            Kv::Nothing => 0.0,
            Kv::Projections => times.key_value,
            Kv::Later => times.further_layer,
        };
        let may_leave = watched.may_leave();
        let mut seconds = self.prompts();
        for (row, &exit) in exits.iter().enumerate() {
            if self.trace.position[row] == 0 {
                if !may_leave[row] {
                    continue;
                }
                // A prompt's time holds all layers of the first token, which may leave where there is an encoder.
                seconds -= self.step();
            }
            let reads = match may_leave[row] {
                true => watched.read_at().iter().filter(|&&read| read <= exit).count(),
                false => 0,
            };
            seconds += exit as f64 * times.layer + (layers - exit) as f64 * skipped;
            if reads > 0 {
                seconds += asked.first + (reads - 1) as f64 * asked.later;
            }
            seconds += match reads {
                _ if exit == layers => times.head,
                1 => asked.leave_at_first,
                _ => asked.leave_later,
            };
        }
        seconds
    }

    /// Seconds where every token that may leave does so at one exit, its head read once; nothing is
    /// computed later, as no later token goes deeper.
    pub(crate) fn cut(&self, watched: &Watched<'_>, exits: &[usize], kv: Kv) -> f64 {
        let head = self.times.head;
        let unasked = Asked {
            name: String::new(),
            first: 0.0,
            later: 0.0,
            leave_at_first: head,
            leave_later: head,
        };
        let kv = if kv == Kv::Later { Kv::Nothing } else { kv };
        self.exits(watched, exits, &unasked, kv)
    }

    /// Seconds in rounds of one plan.
    pub(crate) fn speculation(&self, plan: Plan) -> f64 {
        let Times { layer, further_layer, head, further_head, .. } = *self.times;
        let (layers, exit) = (self.trace.layers(), plan.exit);
        let mut seconds = self.prompts();
        for drafts in self.rounds(plan) {
            let d = drafts as f64;
            seconds += (d + 1.0) * exit as f64 * layer + d * head;
            seconds += (layers - exit) as f64 * (layer + d * further_layer);
            seconds += head + d * further_head;
        }
        seconds
    }

    /// The plan of the fewest seconds; none for a model of one exit.
    pub(crate) fn best_plan(&self) -> Option<(Plan, f64)> {
        let plans = (1..self.trace.layers())
            .flat_map(|exit| (1..=LONGEST).map(move |drafts| Plan { exit, drafts }));
        let timed = plans.map(|plan| (plan, self.speculation(plan)));
        timed.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The drafts of every round of every text.
    fn rounds(&self, plan: Plan) -> Vec<usize> {
        let layers = self.trace.layers();
        let limit =
            self.trace.facts.generation.as_ref().map_or(usize::MAX, |facts| facts.max_new_tokens);
        let agrees = |row: usize| {
            self.trace.prediction(row, plan.exit) == self.trace.prediction(row, layers)
        };
        let mut rounds = Vec::new();
        for rows in crate::certify::examples(self.trace) {
            // The first token comes with the prompt.
            let mut next = rows.start + 1;
            while next < rows.end {
                let drafts = plan.drafts.min(limit.saturating_sub(next - rows.start + 1));
                let stays = (next..rows.end).take(drafts).take_while(|&row| agrees(row)).count();
                rounds.push(drafts);
                next += stays + 1;
            }
        }
        rounds
    }

    fn prompts(&self) -> f64 {
        crate::certify::examples(self.trace).len() as f64 * self.times.prompt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample;

    fn asked(times: [f64; 4]) -> Asked {
        let [first, later, leave_at_first, leave_later] = times;
        Asked { name: "some".into(), first, later, leave_at_first, leave_later }
    }

    fn times() -> Times {
        Times {
            prompt: 100.0,
            layer: 1.0,
            further_layer: 0.25,
            head: 3.0,
            further_head: 0.5,
            key_value: 0.125,
            asked: vec![],
        }
    }

    /// One text of five tokens, four exits; exit 1 is right at positions 1, 2 and 4.
    fn trace() -> Trace {
        let rows: [&[u32]; 5] =
            [&[1, 1, 1, 2], &[4, 4, 4, 4], &[6, 6, 6, 6], &[5, 5, 7, 7], &[8, 8, 8, 8]];
        sample::as_text(sample::of_predictions(&rows, &[0; 5], 9), &[5])
    }

    #[test]
    fn costs_add_up_by_hand() {
        let (trace, times) = (trace(), times());
        let cost = Cost { trace: &trace, times: &times };
        // Four steps of 4 layers and a head.
        assert_eq!(cost.plain(), 100.0 + 4.0 * 7.0);
        let watched = Watched::new(&trace, &[1, 2, 3], 2).unwrap();
        // Position 1 may not leave; positions 2 to 4 leave at exit 1 after one read.
        let sure = watched.exits("confidence:0.5".parse().unwrap());
        let full = |kv| cost.exits(&watched, &sure, &asked([3.0, 3.0, 0.0, 0.0]), kv);
        assert_eq!(full(Kv::Nothing), 100.0 + 7.0 + 3.0 * (1.0 + 3.0));
        assert_eq!(full(Kv::Projections), full(Kv::Nothing) + 9.0 * 0.125);
        assert_eq!(full(Kv::Later), full(Kv::Nothing) + 9.0 * 0.25);
        // A gate that asks no head reads it where a token leaves.
        let states = asked([0.25, 0.25, 3.0, 3.0]);
        assert_eq!(
            cost.exits(&watched, &sure, &states, Kv::Nothing),
            100.0 + 7.0 + 3.0 * (1.0 + 0.25 + 3.0)
        );
        // Two equal answers: exit 2 for positions 2 and 4; position 3 too, as 5, 5.
        let patient = watched.exits("patience:1".parse().unwrap());
        let pruned = asked([3.5, 0.5, 0.0, 3.0]);
        assert_eq!(
            cost.exits(&watched, &patient, &pruned, Kv::Nothing),
            100.0 + 7.0 + 3.0 * (2.0 + 3.5 + 0.5 + 3.0)
        );
        // Nothing leaves: the last exit's head is as plain decoding's.
        let never = watched.exits("patience:3".parse().unwrap());
        assert_eq!(
            cost.exits(&watched, &never, &states, Kv::Nothing),
            100.0 + 7.0 + 3.0 * (4.0 + 3.0 * 0.25 + 3.0)
        );
    }

    #[test]
    fn behind_an_encoder_the_first_token_may_leave_too() {
        let (mut trace, times) = (trace(), times());
        trace.facts.generation.as_mut().unwrap().encoder_layers = Some(2);
        let cost = Cost { trace: &trace, times: &times };
        let watched = Watched::new(&trace, &[1, 2, 3], 0).unwrap();
        // All five leave at exit 1 after one read; a prompt's 100 hold 4 layers and a head.
        let sure = watched.exits("confidence:0.5".parse().unwrap());
        let seconds = cost.exits(&watched, &sure, &asked([3.0, 3.0, 0.0, 0.0]), Kv::Nothing);
        assert_eq!(seconds, 100.0 - 7.0 + 5.0 * (1.0 + 3.0));
        let shut = vec![4; 5];
        let unasked = asked([0.0; 4]);
        assert_eq!(cost.exits(&watched, &shut, &unasked, Kv::Nothing), cost.plain());
    }

    #[test]
    fn rounds_follow_from_where_the_exit_agrees() {
        let (mut trace, times) = (trace(), times());
        let cost = Cost { trace: &trace, times: &times };
        let plan = Plan { exit: 1, drafts: 2 };
        // Positions 1 and 2 stay, 3 comes on top; then 4 stays and the text ends.
        assert_eq!(cost.rounds(plan), [2, 2]);
        let round = 3.0 * 1.0 + 2.0 * 3.0 + 3.0 * 1.5 + 4.0;
        assert_eq!(cost.speculation(plan), 100.0 + 2.0 * round);
        let (best, seconds) = cost.best_plan().unwrap();
        assert!(seconds <= cost.speculation(plan) && best.drafts >= 1);
        // With room for five tokens no draft goes beyond them.
        trace.facts.generation.as_mut().unwrap().max_new_tokens = 5;
        let cost = Cost { trace: &trace, times: &times };
        assert_eq!(cost.rounds(Plan { exit: 1, drafts: 8 }), [3, 0]);
    }
}
