//! Rounds of drafting, verifying and looking.
//!
//! All rows of a batch draft equally many tokens and go on at one slot of the cache, though they accept
//! different numbers. A row near its longest length ignores drafts beyond it, so that neither its tokens nor its
//! chance depend on the batch.

use ee_models::kernels::Rows;
use ee_models::signal::NotFinite;
use ee_models::{Decoder, Stream};
use rand::RngExt;

use super::accept::{Drafted, Said};
use super::adapt::{Course, Lesson, Outcome, Pace, Seconds};
use super::look::{Looks, by_row, positions, spread};
use super::tally::Tally;
use super::{Plan, Strategy};
use crate::clock::{Clock, Part};
use crate::lane::{Given, Row, Run, Way};

/// As many tokens as a draft is right about, and one more.
pub(super) struct Drafting<'s> {
    strategy: &'s mut Strategy,
    pub(super) tally: Tally,
    clock: Clock,
}

/// What drafting leaves.
struct Draft {
    /// By row, at most as many as there are steps but one.
    drafts: Vec<Vec<Drafted>>,
    /// By step, what the draft exit's layers gave; one more than drafts.
    steps: Vec<Stream>,
}

impl<'s> Drafting<'s> {
    pub(super) fn new(model: &dyn Decoder, strategy: &'s mut Strategy, asked: &Clock) -> Self {
        let clock = match strategy {
            Strategy::Fixed(_) => asked.clone(),
            Strategy::Adaptive(_) => Clock::new(model.device()),
        };
        Self { strategy, tally: Tally::default(), clock }
    }
}

impl Way for Drafting<'_> {
    fn overhang(&self) -> usize {
        self.strategy.longest()
    }

    fn read(&mut self, run: &mut Run<'_>, prompts: Stream) -> Result<Vec<Given>, NotFinite> {
        let (model, choice, width) = (run.lane.model, run.options.choice, prompts.width);
        self.tally.texts = run.rows.len();
        let ends = prompt_ends(width, run.lane.cache.padding(), positions(choice));
        let mut watched = Looks::new(self.strategy.first_looks());
        let layers = run.lane.depth();
        let stream = run.lane.layers(0..layers, prompts, |exit, stream| {
            watched.see(exit, || stream.select(&ends));
        });
        let state = model.exit_state(&stream);
        let said = Said::of(model.read(state, Rows::Few), layers, choice)
            .map_err(|error| error.at_token(0))?;
        let rows = run.rows.iter_mut().enumerate();
        let draw = |(at, row): (usize, &mut Row)| {
            Given::token(said.draw(at, || row.random.random()).token)
        };
        let first = rows.map(draw).collect();
        if !watched.is_empty() {
            let row = |error: NotFinite| error.of_row(|at| ends[at] / width);
            let seen = self.clock.time(Part::Looks, || {
                let full = Said::of(model.read(stream.select(&ends), Rows::Few), layers, choice)?;
                watched.look(model, choice, &(0..ends.len()).collect::<Vec<_>>(), &full)
            });
            self.learn_looks(&seen.map_err(row)?);
            run.clock.add(&self.clock);
        }
        Ok(first)
    }

    fn step(&mut self, run: &mut Run<'_>) -> Result<Vec<Given>, NotFinite> {
        let left = run.rows.iter().map(|row| run.options.max_new_tokens - row.tokens.len() - 1);
        let most = left.max().expect("there are rows");
        let course = self.strategy.course(run.rows.len());
        self.clock.restart();
        let (tokens, plan, outcomes) =
            self.round(run, Course { plan: course.plan.at_most(most), ..course })?;
        self.clock.end_steps();
        run.clock.add(&self.clock);
        if let Strategy::Adaptive(adaptive) = &mut *self.strategy {
            adaptive.learn(&Lesson {
                plan,
                rows: run.rows.len(),
                tokens: tokens.iter().map(Vec::len).sum(),
                seconds: Seconds::of(&self.clock),
                rest: self.clock.rest().as_secs_f64(),
                outcomes,
            });
        }
        Ok(tokens.into_iter().map(|tokens| Given { tokens, ..Given::default() }).collect())
    }
}

/// The new tokens of every row, what was drafted, and what became of it.
type Round = (Vec<Vec<u32>>, Plan, Vec<Outcome>);

impl Drafting<'_> {
    fn learn_looks(&mut self, seen: &[Outcome]) {
        let seconds = self.clock.spent(Part::Looks).as_secs_f64();
        if let Strategy::Adaptive(adaptive) = &mut *self.strategy {
            adaptive.learn_looks(seen, seconds);
        }
    }

    fn round(&mut self, run: &mut Run<'_>, course: Course) -> Result<Round, NotFinite> {
        let Course { plan: Plan { exit, drafts: most }, mut pace, looks } = course;
        let mut watched = Looks::new(looks);
        let Draft { drafts, steps } = self.draft(run, (exit, most), pace.as_mut(), &mut watched)?;
        watched.join_steps();
        let plan = Plan { exit, drafts: steps.len() - 1 };
        let width = plan.drafts + 1;
        let said = self
            .verify(run, plan, &drafts, steps, &mut watched)
            .map_err(|error| named(run, error, width))?;
        let rows = run.rows.iter_mut().zip(&drafts).enumerate();
        let tokens: Vec<Vec<u32>> = rows
            .map(|(at, (row, own))| said.tokens(at * width, own, || row.random.random()))
            .collect();
        let mut outcomes = self.judge(plan, &drafts, &tokens);
        if !watched.is_empty() {
            let (model, choice) = (run.lane.model, run.options.choice);
            let known = (0..).zip(&tokens).flat_map(|(row, tokens)| {
                (row * width..row * width + tokens.len()).collect::<Vec<_>>()
            });
            let places = spread(known.collect(), positions(choice));
            let seen = self.clock.time(Part::Looks, || watched.look(model, choice, &places, &said));
            outcomes.extend(seen.map_err(|error| named(run, error, width))?);
        }
        self.tally.rounds += 1;
        self.tally.layer_reads += run.lane.depth() + plan.drafts * exit;
        self.tally.head_reads += width;
        Ok((tokens, plan, outcomes))
    }

    /// Guesses token after token, at most as many as a row has room for and none after one that ends its text;
    /// the last guess also goes through the layers, as its keys and values are needed if it stays.
    fn draft(
        &mut self,
        run: &mut Run<'_>,
        (exit, most): (usize, usize),
        mut pace: Option<&mut Pace>,
        watched: &mut Looks,
    ) -> Result<Draft, NotFinite> {
        let Run { lane, rows, options, .. } = run;
        let mut room: Vec<usize> = (rows.iter())
            .map(|row| most.min(options.max_new_tokens - row.tokens.len() - 1))
            .collect();
        let mut drafts: Vec<Vec<Drafted>> = vec![Vec::new(); rows.len()];
        let mut steps = Vec::new();
        let mut tokens: Vec<u32> = rows.iter().map(|row| row.last()).collect();
        let mut goes_on = true;
        for step in 0.. {
            let stream = self.clock.time(Part::DraftLayers, || {
                let stream = lane.embed(&tokens, step, Rows::Few);
                lane.layers(0..exit, stream, |exit, stream| {
                    watched.see(exit, || stream.hidden.clone());
                })
            });
            steps.push(stream.clone());
            if !goes_on || room.iter().all(|&room| room <= step) {
                break;
            }
            // Draws count, too: each guess has a distribution of its own to make.
            self.clock.time(Part::DraftHeads, || {
                let logits = lane.model.read(stream.hidden, Rows::Few);
                let said = Said::of(logits, exit, options.choice)
                    .map_err(|error| error.at_token(rows[error.row].tokens.len() + step))?;
                let all = rows.iter_mut().zip(&mut drafts).zip(&mut room).zip(&mut tokens);
                for (place, (((row, drafts), room), token)) in all.enumerate() {
                    if step < *room {
                        let guess = said.draw(place, || row.random.random());
                        if options.ends.contains(&guess.token) {
                            *room = step + 1;
                        }
                        *token = guess.token;
                        drafts.push(guess);
                    }
                }
                Ok(())
            })?;
            if let Some(pace) = &mut pace {
                goes_on = pace.goes_on(&drafts, &room);
            }
        }
        Ok(Draft { drafts, steps })
    }

    /// What the last exit says after the last token and after every draft, `drafts + 1` positions a row, from
    /// where drafting left each step.
    fn verify(
        &mut self,
        run: &mut Run<'_>,
        plan: Plan,
        drafts: &[Vec<Drafted>],
        mut steps: Vec<Stream>,
        watched: &mut Looks,
    ) -> Result<Said, NotFinite> {
        let Run { lane, rows, options, .. } = run;
        let (model, layers) = (lane.model, lane.depth());
        let stream = self.clock.time(Part::Layers, || {
            let stream = if steps.len() == 1 {
                steps.remove(0)
            } else {
                let mut tokens = Vec::with_capacity(rows.len() * steps.len());
                for (row, drafts) in rows.iter().zip(drafts) {
                    tokens.push(row.last());
                    let ids = drafts.iter().map(|draft| draft.token);
                    tokens.extend(ids.chain(std::iter::repeat(0)).take(plan.drafts));
                }
                let hidden = by_row(steps.into_iter().map(|step| step.hidden).collect());
                Stream { hidden, ..lane.embed(&tokens, 0, Rows::Few) }
            };
            lane.layers(plan.exit..layers, stream, |exit, stream| {
                watched.see(exit, || stream.hidden.clone());
            })
        });
        self.clock.time(Part::Heads, || {
            Said::of(model.read(stream.hidden, Rows::Few), layers, options.choice)
        })
    }

    /// What became of the drafts that the full model judged.
    fn judge(&mut self, plan: Plan, drafts: &[Vec<Drafted>], tokens: &[Vec<u32>]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (drafts, tokens) in drafts.iter().zip(tokens) {
            self.tally.count_row(Plan { drafts: drafts.len(), ..plan }, tokens.len());
            let examined = drafts.iter().take(tokens.len()).enumerate();
            outcomes.extend(examined.map(|(at, draft)| Outcome {
                exit: plan.exit,
                confidence: draft.confidence,
                stays: f64::from(u8::from(at + 1 < tokens.len())),
            }));
        }
        outcomes
    }
}

/// The row and the new token of a position, of `width` a row.
fn named(run: &Run<'_>, error: NotFinite, width: usize) -> NotFinite {
    let row = error.row / width;
    error.at_token(run.rows[row].tokens.len() + error.row % width).of_row(|_| row)
}

/// Places of at most `most` tokens at the ends of padded prompts, some of each.
fn prompt_ends(width: usize, padding: &[usize], most: usize) -> Vec<usize> {
    let each = (most / padding.len()).max(1);
    let of_row = |(row, &before): (usize, &usize)| {
        row * width + before.max(width.saturating_sub(each))..(row + 1) * width
    };
    padding.iter().enumerate().take(most).flat_map(of_row).collect()
}
