//! Whether a trace says what a run can say: every column whole, every number in its range, and what
//! the numbers of a row say about each other.
//!
//! A trace is a file that other programs also write and that disks may damage; what is computed from one is only as
//! good as it is. The cost is one pass over the columns.

use super::record::Trace;

/// What is wrong with it, in words.
type Complaint = std::result::Result<(), String>;

impl Trace {
    pub(crate) fn check(&self) -> Complaint {
        self.check_shape()?;
        for row in 0..self.rows() {
            let named = |complaint: String| {
                let (example, position) = (self.example[row], self.position[row]);
                format!("row {row} (example {example}, position {position}){complaint}")
            };
            self.check_place(row).map_err(|complaint| named(format!(": {complaint}")))?;
            for exit in 1..=self.layers() {
                self.check_exit(row, exit)
                    .map_err(|complaint| named(format!(", exit {exit}: {complaint}")))?;
            }
        }
        Ok(())
    }

    /// Every column has its length.
    fn check_shape(&self) -> Complaint {
        let (rows, layers, outputs) = (self.rows(), self.layers(), self.facts.outputs());
        if layers == 0 || outputs < 2 {
            return Err(format!(
                "expected at least 1 exit and 2 outputs, found {layers} and {outputs}"
            ));
        }
        let shard = self.facts.shard;
        if shard.index == 0 || shard.index > shard.count {
            return Err(format!("there is no shard {}/{}", shard.index, shard.count));
        }
        if self.facts.rows != rows {
            return Err(format!("its facts say {} rows, the table has {rows}", self.facts.rows));
        }
        let values = rows.checked_mul(layers).ok_or("it has more exits than can be counted")?;
        let is_text = self.facts.generation.is_some();
        let with_prompts = if is_text { rows } else { 0 };
        // Every text has tokens; labels may be unknown.
        let with_gold = if is_text || self.facts.has_gold { rows } else { 0 };
        let plain = [
            ("prompt_tokens", self.prompt_tokens.len(), with_prompts),
            ("position", self.position.len(), rows),
            ("gold", self.gold.len(), with_gold),
        ];
        let lists = self.signals.lengths().into_iter().map(|(name, n)| (name, n, values));
        let mut lengths = plain.into_iter().chain(lists);
        match lengths.find(|(_, found, expected)| found != expected) {
            Some((name, found, expected)) => {
                Err(format!("column `{name}` has {found} values, expected {expected}"))
            }
            None => Ok(()),
        }
    }

    /// The row stands where it can: in its shard, and new tokens of a text in their order.
    fn check_place(&self, row: usize) -> Complaint {
        let (example, position) = (self.example[row] as usize, self.position[row]);
        let (examples, shard) = (self.facts.examples, self.facts.shard);
        if example >= examples {
            return Err(format!("expected an example below the {examples} of the facts"));
        }
        if !shard.holds(example) {
            return Err(format!("its example is not of shard {}/{}", shard.index, shard.count));
        }
        let (gold, outputs) = (self.reference(row), self.facts.outputs());
        if gold as usize >= outputs {
            return Err(format!("gold {gold} is not one of the {outputs} outputs of the facts"));
        }
        let Some(generation) = &self.facts.generation else {
            return if position == 0 {
                Ok(())
            } else {
                Err("expected position 0, as it is no generated text".to_owned())
            };
        };
        let goes_on = row > 0 && self.example[row - 1] == self.example[row];
        let expected = if goes_on { self.position[row - 1] + 1 } else { 0 };
        if position != expected {
            return Err(format!("expected position {expected} here"));
        }
        if position as usize >= generation.max_new_tokens {
            return Err(format!("expected at most {} new tokens", generation.max_new_tokens));
        }
        if goes_on && self.prompt_tokens[row] != self.prompt_tokens[row - 1] {
            let (found, before) = (self.prompt_tokens[row], self.prompt_tokens[row - 1]);
            return Err(format!("its prompt has {found} tokens and had {before} a row before"));
        }
        let last = self.prediction(row, self.layers());
        if !generation.teacher_forced && gold != last && !generation.may_be_forced(position) {
            return Err(format!(
                "gold is {gold} and the last exit says {last}; the model's own text is what that says"
            ));
        }
        Ok(())
    }

    /// The signals of an exit are those of a distribution, and agree with the last exit's prediction.
    fn check_exit(&self, row: usize, exit: usize) -> Complaint {
        let (layers, outputs) = (self.layers(), self.facts.outputs());
        let at = row * layers + exit - 1;
        let signals = &self.signals;
        let (prediction, last) = (signals.prediction[at], self.prediction(row, layers));
        if prediction as usize >= outputs {
            return Err(format!("prediction {prediction} is not one of the {outputs} outputs"));
        }
        let rank = signals.final_rank[at];
        if rank == 0 || rank as usize > outputs {
            return Err(format!("final_rank {rank}, expected one from 1 to {outputs}"));
        }
        if (rank == 1) != (prediction == last) {
            return Err(format!(
                "final_rank {rank}, where this exit predicts {prediction} and the last one {last}"
            ));
        }
        signals.check(at, outputs)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::{Trace, sample};

    type Spoil = fn(&mut Trace);

    fn complaint(mut trace: Trace, spoil: Spoil) -> String {
        trace.check().expect("the trace is sound before");
        spoil(&mut trace);
        trace.check().expect_err("and not after")
    }

    #[test]
    fn traces_of_models_are_sound() {
        for outputs in [2, 3, 50] {
            sample::random(200, 5, outputs, 3).check().unwrap();
            sample::generated(&[3, 1, 7], 4, outputs, 3).check().unwrap();
        }
    }

    #[test]
    fn a_number_out_of_its_range_is_named_with_its_row_and_exit() {
        // Row 1 of 4 exits: its exit 2 is value 5.
        let cases: [(&str, Spoil); 16] = [
            ("confidence 2", |trace| trace.signals.confidence[5] = 2.0),
            ("confidence NaN", |trace| trace.signals.confidence[5] = f32::NAN),
            ("confidence inf", |trace| trace.signals.confidence[5] = f32::INFINITY),
            ("confidence 0.1", |trace| trace.signals.confidence[5] = 0.1),
            ("margin -0.1", |trace| trace.signals.margin[5] = -0.1),
            ("margin NaN", |trace| trace.signals.margin[5] = f32::NAN),
            ("margin 1.5", |trace| trace.signals.margin[5] = 1.5),
            ("entropy -0.5", |trace| trace.signals.entropy[5] = -0.5),
            ("entropy NaN", |trace| trace.signals.entropy[5] = f32::NAN),
            ("entropy 1.2", |trace| trace.signals.entropy[5] = 1.2),
            ("final_rank 0", |trace| trace.signals.final_rank[5] = 0),
            ("final_rank 4", |trace| trace.signals.final_rank[5] = 4),
            ("final_probability NaN", |trace| trace.signals.final_probability[5] = f32::NAN),
            ("final_probability -1", |trace| trace.signals.final_probability[5] = -1.0),
            ("final_probability 1.1", |trace| trace.signals.final_probability[5] = 1.1),
            ("prediction 3", |trace| trace.signals.prediction[5] = 3),
        ];
        for (expected, spoil) in cases {
            let found = complaint(sample::random(3, 4, 3, 1), spoil);
            let place = "row 1 (example 1, position 0), exit 2: ";
            assert!(found.starts_with(&format!("{place}{expected}")), "{expected}: {found}");
        }
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let rank = complaint(sample::of_predictions(&[&[0, 1]], &[1], 2), |trace| {
            trace.signals.final_rank[0] = 1;
        });
        assert!(rank.contains("final_rank 1") && rank.contains("exit 1"), "{rank}");
        let rank = complaint(sample::of_predictions(&[&[1, 1]], &[1], 2), |trace| {
            trace.signals.final_rank[1] = 2;
        });
        assert!(rank.contains("final_rank 2") && rank.contains("exit 2"), "{rank}");
        let probability = complaint(sample::of_predictions(&[&[1, 1]], &[1], 2), |trace| {
            trace.signals.final_probability[0] = 0.5;
        });
        assert!(probability.contains("final_probability 0.5"), "{probability}");
    }

    #[test]
    fn rows_stand_where_a_run_puts_them() {
        let text = || sample::generated(&[3, 2], 4, 50, 2);
        let label = || sample::random(3, 4, 3, 1);
        let cases: [(&str, Trace, Spoil); 11] = [
            ("expected position 1", text(), |trace| trace.position.swap(1, 2)),
            ("expected position 0", text(), |trace| trace.position[0] = 7),
            ("expected position 2", text(), |trace| trace.position[2] = 1),
            ("expected at most 2 new", text(), |trace| {
                trace.facts.generation.as_mut().unwrap().max_new_tokens = 2;
            }),
            ("its prompt has 9", text(), |trace| trace.prompt_tokens[1] = 9),
            ("the model's own text", text(), |trace| trace.gold[1] = (trace.gold[1] + 1) % 50),
            ("expected position 0", label(), |trace| trace.position[1] = 1),
            ("below the 2", label(), |trace| trace.facts.examples = 2),
            ("not of shard 1/2", label(), |trace| trace.facts.shard.count = 2),
            ("no shard 0/1", label(), |trace| trace.facts.shard.index = 0),
            ("gold 3", label(), |trace| trace.gold[2] = 3),
        ];
        for (expected, trace, spoil) in cases {
            let found = complaint(trace, spoil);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn the_end_of_the_longest_text_may_be_forced_where_there_is_an_encoder() {
        let mut trace = sample::generated(&[3, 2], 4, 50, 2);
        trace.gold[2] = (trace.gold[2] + 1) % 50;
        let facts = trace.facts.generation.as_mut().unwrap();
        (facts.max_new_tokens, facts.encoder_layers) = (3, Some(2));
        trace.check().unwrap();
        trace.facts.generation.as_mut().unwrap().encoder_layers = None;
        assert!(trace.check().is_err());
    }
}
