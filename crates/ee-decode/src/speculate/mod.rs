//! Lossless self-speculative decoding (Elhoushi et al. 2024, LayerSkip): the first layers guess, all layers
//! decide.
//!
//! A round drafts some tokens with the layers up to an exit and the shared head, then runs the layers above
//! the exit once over all of them, from the states that drafting left. Drafts are kept as far as the full
//! model says the same, and its next token comes on top. Greedy texts are those of [`crate::generate`], token
//! for token; drawn ones have the same distribution (Leviathan et al. 2023). On the CPU a row's numbers have
//! the same bits in a block of any width and in any batch, which makes "token for token" exact; a backend
//! without that property may diverge where two logits tie to within rounding.

mod accept;
mod adapt;
mod look;
mod round;
mod tally;

use crate::clock::Clock;
use crate::lane::{Options, Way, run};
use crate::watch::Watcher;
use ee_models::Decoder;
use ee_models::{Error, Result};

pub use self::adapt::Adaptive;
use self::adapt::Course;
use self::round::Drafting;
pub use self::tally::{Acceptance, Tally};

/// How a round drafts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plan {
    /// The exit that guesses, 1..N; 0 where nothing is guessed.
    pub exit: usize,
    /// How many tokens it guesses.
    pub drafts: usize,
}

impl Plan {
    /// A step of plain decoding.
    pub const PLAIN: Self = Self { exit: 0, drafts: 0 };

    /// The plan with at most `drafts` drafts.
    fn at_most(self, drafts: usize) -> Self {
        let drafts = self.drafts.min(drafts);
        if drafts == 0 { Self::PLAIN } else { Self { drafts, ..self } }
    }
}

/// Where the rounds' plans come from.
#[derive(Debug)]
pub enum Strategy {
    /// One plan for all rounds.
    Fixed(Plan),
    /// The plan that promises most by what was measured so far; it goes on learning from batch to batch.
    Adaptive(Box<Adaptive>),
}

impl Strategy {
    /// Checks a fixed plan against the number of layers.
    ///
    /// # Errors
    /// An exit that is none or the last.
    pub fn check(&self, n_layers: usize) -> Result<()> {
        match self {
            Self::Fixed(Plan { exit, .. }) if *exit == 0 || *exit >= n_layers => {
                Err(Error::Batch(format!(
                    "draft exit {exit}: expected one of the exits 1 to {} of the model's {n_layers}",
                    n_layers - 1
                )))
            }
            Self::Fixed(_) | Self::Adaptive(_) => Ok(()),
        }
    }

    /// The longest draft there can be.
    fn longest(&self) -> usize {
        match self {
            Self::Fixed(plan) => plan.drafts,
            Self::Adaptive(_) => adapt::LONGEST,
        }
    }

    /// The exits to look at where the prompts end.
    fn first_looks(&self) -> Vec<usize> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Adaptive(adaptive) => adaptive.first_looks(),
        }
    }

    /// What the next round is to do.
    fn course(&self, rows: usize) -> Course {
        match self {
            Self::Fixed(plan) => Course { plan: *plan, pace: None, looks: Vec::new() },
            Self::Adaptive(adaptive) => adaptive.course(rows),
        }
    }
}

/// What came of some prompts.
#[derive(Clone, Debug)]
pub struct Speculated {
    /// The new tokens of each prompt, an end token included.
    pub texts: Vec<Vec<u32>>,
    /// What was counted.
    pub tally: Tally,
}

/// Continues every prompt as [`crate::generate::generate`] does, in rounds of drafting and verifying.
///
/// The watcher receives every token once it is certain, and never signals. With [`Strategy::Fixed`] a drawn
/// text depends on seed, prompt, its number and the plan alone; with [`Strategy::Adaptive`] also on the
/// clock, which chooses plans: it runs then, whatever is asked.
///
/// # Errors
/// As [`crate::generate::generate`]; a fixed plan whose exit the model has not, or the last one.
pub fn speculate(
    model: &dyn Decoder,
    prompts: &[Vec<u32>],
    options: &Options,
    (strategy, clock): (&mut Strategy, Clock),
    watcher: &mut dyn Watcher,
) -> Result<Speculated> {
    options.check(model, prompts)?;
    strategy.check(model.n_layers())?;
    let mut drafting = Drafting::new(model, strategy, &clock);
    let way = (&mut drafting as &mut dyn Way, clock);
    let found = run((model, model.n_layers()), prompts, options, way, watcher)?;
    let mut tally = drafting.tally;
    // Each text's first token comes from its prompt.
    tally.round_tokens = found.tokens.iter().map(|text| text.len().saturating_sub(1)).sum();
    tally.clock = found.clock;
    Ok(Speculated { texts: found.tokens, tally })
}
