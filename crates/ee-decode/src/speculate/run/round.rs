//! One round: drafting, verifying, looking.

use std::time::Instant;

use rand::RngExt;

use super::{Clock, Run};
use crate::speculate::Plan;
use crate::speculate::accept::{Drafted, Said};
use crate::speculate::adapt::{Course, Lesson, Outcome, Pace};
use crate::speculate::look::{Watched, by_row, positions, spread};
use crate::speculate::tally::Seconds;
use ee_models::Stream;
use ee_models::kernels::Rows;
use ee_models::signal::NotFinite;

/// What a round gave.
pub(in crate::speculate) struct Round {
    /// The new tokens of each row.
    pub(in crate::speculate) tokens: Vec<Vec<u32>>,
    /// What it teaches.
    pub(in crate::speculate) lesson: Lesson,
}

/// What drafting leaves.
struct Draft {
    /// By row, at most as many as there are steps but one.
    drafts: Vec<Vec<Drafted>>,
    /// By step, what the draft exit's layers gave; one more than drafts.
    steps: Vec<Stream>,
}

impl Run<'_> {
    /// Drafts and verifies; [`Run::take`] must follow.
    ///
    /// # Errors
    /// [`NotFinite`].
    pub(in crate::speculate) fn round(&mut self, course: Course) -> Result<Round, NotFinite> {
        let started = Instant::now();
        let Course { plan: Plan { exit, drafts: most }, mut pace, looks } = course;
        let mut seconds = Seconds::default();
        let mut watched = Watched::new(looks);
        let room = self.live.iter().map(|live| most.min(live.left - 1)).collect();
        let Draft { drafts, steps } =
            self.draft(exit, room, pace.as_mut(), &mut watched, &mut seconds)?;
        watched.join_steps();
        let plan = Plan { exit, drafts: steps.len() - 1 };
        let width = plan.drafts + 1;
        let said = self
            .verify(plan, &drafts, steps, &mut watched, &mut seconds)
            .map_err(|error| self.named(error, width))?;
        let rows = self.live.iter_mut().zip(&drafts).enumerate();
        let tokens: Vec<Vec<u32>> = rows
            .map(|(row, (live, own))| said.tokens(row * width, own, || live.random.random()))
            .collect();
        let mut outcomes = self.judge(plan, &drafts, &tokens);
        if !watched.is_empty() {
            let known = (0..).zip(&tokens).flat_map(|(row, tokens)| {
                (row * width..row * width + tokens.len()).collect::<Vec<_>>()
            });
            let places = spread(known.collect(), positions(self.choice));
            let mut clock = Clock::start();
            let seen = watched.look(self.model, self.choice, &places, &said);
            outcomes.extend(seen.map_err(|error| self.named(error, width))?);
            seconds.looks = clock.lap(&self.device);
        }
        self.tally.rounds += 1;
        self.tally.layer_reads += self.model.n_layers() + plan.drafts * exit;
        self.tally.head_reads += width;
        self.tally.seconds.add(&seconds);
        let lesson = Lesson {
            plan,
            rows: self.live.len(),
            tokens: tokens.iter().map(Vec::len).sum(),
            rest: started.elapsed().as_secs_f64() - seconds.sum(),
            seconds,
            outcomes,
        };
        Ok(Round { tokens, lesson })
    }

    /// Which prompt and new token a position is, of `width` a row.
    fn named(&self, error: NotFinite, width: usize) -> NotFinite {
        let live = &self.live[error.row / width];
        let written = self.texts[live.row].len();
        error.at_token(written + error.row % width).of_row(|_| live.row)
    }

    /// Guesses token after token, at most as many as a row has room for and none after one that ends its text;
    /// the last guess, too, goes through the layers, as its keys and values are needed if it stays.
    fn draft(
        &mut self,
        exit: usize,
        mut room: Vec<usize>,
        mut pace: Option<&mut Pace>,
        watched: &mut Watched,
        seconds: &mut Seconds,
    ) -> Result<Draft, NotFinite> {
        let mut drafts: Vec<Vec<Drafted>> = vec![Vec::new(); self.live.len()];
        let mut steps = Vec::new();
        let mut tokens: Vec<u32> = self.live.iter().map(|live| live.last).collect();
        let mut goes_on = true;
        let mut clock = Clock::start();
        for step in 0.. {
            let mut stream = self.embed(&tokens, 1, step, Rows::Few);
            for index in 0..exit {
                stream = self.model.layer_with(index, stream, self.cache.layer(index));
                watched.see(index + 1, || stream.hidden.clone());
            }
            seconds.draft_layers += clock.lap(&self.device);
            steps.push(stream.clone());
            if !goes_on || room.iter().all(|&room| room <= step) {
                break;
            }
            let said = Said::of(self.model.read(stream.hidden, Rows::Few), exit, self.choice);
            let said = said.map_err(|error| {
                self.named(error, 1).at_token(self.texts[self.live[error.row].row].len() + step)
            })?;
            let rows = self.live.iter_mut().zip(&mut drafts).zip(&mut room).zip(&mut tokens);
            for (place, (((live, drafts), room), token)) in rows.enumerate() {
                if step < *room {
                    let guess = said.draw(place, || live.random.random());
                    if self.ends.contains(&guess.token) {
                        *room = step + 1;
                    }
                    *token = guess.token;
                    drafts.push(guess);
                }
            }
            if let Some(pace) = &mut pace {
                goes_on = pace.goes_on(&drafts, &room);
            }
            seconds.draft_heads += clock.lap(&self.device);
        }
        Ok(Draft { drafts, steps })
    }

    /// What the last exit says after the last token and after every draft, `drafts + 1` positions a row, from
    /// where drafting left each step.
    fn verify(
        &mut self,
        plan: Plan,
        drafts: &[Vec<Drafted>],
        mut steps: Vec<Stream>,
        watched: &mut Watched,
        seconds: &mut Seconds,
    ) -> Result<Said, NotFinite> {
        let mut clock = Clock::start();
        let mut stream = if steps.len() == 1 {
            steps.remove(0)
        } else {
            let mut tokens = Vec::with_capacity(self.live.len() * steps.len());
            for (live, drafts) in self.live.iter().zip(drafts) {
                tokens.push(live.last);
                let ids = drafts.iter().map(|draft| draft.token);
                tokens.extend(ids.chain(std::iter::repeat(0)).take(plan.drafts));
            }
            let block = self.embed(&tokens, steps.len(), 0, Rows::Few);
            let hidden = by_row(steps.into_iter().map(|step| step.hidden).collect());
            Stream { hidden, ..block }
        };
        for index in plan.exit..self.model.n_layers() {
            stream = self.model.layer_with(index, stream, self.cache.layer(index));
            watched.see(index + 1, || stream.hidden.clone());
        }
        seconds.verification_layers += clock.lap(&self.device);
        let layers = self.model.n_layers();
        let said = Said::of(self.model.read(stream.hidden, Rows::Few), layers, self.choice)?;
        seconds.verification_head += clock.lap(&self.device);
        Ok(said)
    }

    /// What became of the drafts on which the full model had its say.
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
