//! Ways of decoding tried on examples of a task, side by side: speed, texts and scores of each.
//!
//! Every way runs beside plain decoding, batch by batch in turn ([`crate::decode::measure`]). True early exit
//! and lossless speculation stand in one table here, and every line says which it is. What further texts may
//! expect of a way's quality is judged in [`quality`].

mod places;
pub mod quality;
mod results;
mod way;

use std::time::Instant;

use ee_decode::generate::{Choice, Options, Unwatched, generate};

pub(crate) use places::joined;
pub use places::{Place, places};
pub use results::{Drafted, Left, Trial, Trials};
pub use way::WayFacts;

use crate::decode::material::{Material, texts};
use crate::decode::measure::{Runs, Way, measure};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::words::count;

/// Tries every way on every prompt.
///
/// # Errors
/// Settings that do not go together, a prompt that cannot be continued, a metric's complaint, an interrupt.
pub(crate) fn run(
    subject: &DecoderSubject,
    material: &Material,
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<Trials> {
    announce(subject, material, ways.len())?;
    let Runs { ways: mut measured, load } = measure(subject, &material.work, ways, interrupt)?;
    let plain = measured.remove(0);
    let plain_timed = plain.timed.clone();
    let plain = texts(material, plain)?.0;
    let mut trials = Vec::with_capacity(ways.len());
    for (way, measured) in ways.iter().zip(measured) {
        let (timed, tally) = (measured.timed.clone(), measured.tally.clone());
        let (texts, clock) = texts(material, measured)?;
        let facts = WayFacts::of(way);
        let layers = ee_models::ExitModel::n_layers(subject.model());
        trials.push(Trial::of(
            facts,
            texts,
            (timed, &clock, &tally),
            (&plain, &plain_timed),
            layers,
        ));
    }
    Ok(Trials {
        batch: material.work.batch,
        rounds: material.work.rounds,
        max_new_tokens: material.work.max_new_tokens,
        metrics: material.metric_facts(),
        device: subject.device().to_owned(),
        load,
        plain_tokens_per_second: plain.tokens_per_second(material.work.rounds),
        plain,
        plain_timed,
        further: None,
        trials,
    })
}

/// Decodes further prompts, once and against no clock, plainly and in the ways of the trials at these places.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_further(
    subject: &DecoderSubject,
    material: &Material,
    (trials, places): (&mut Trials, &[usize]),
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<()> {
    let ways: Vec<Way> = places.iter().map(|&place| ways[place].clone()).collect();
    let mut measured = measure(subject, &material.work, &ways, interrupt)?.ways;
    let plain = texts(material, measured.remove(0))?.0;
    for (&place, measured) in places.iter().zip(measured) {
        let mut texts = texts(material, measured)?.0;
        texts.outputs.iter_mut().for_each(|output| output.prompt.clear());
        trials.trials[place].further = Some(texts);
    }
    trials.further = Some(plain);
    Ok(())
}

/// Says how long it will take, if every way were as slow as plain decoding is on the longest prompt.
fn announce(subject: &DecoderSubject, material: &Material, ways: usize) -> Result<()> {
    let work = &material.work;
    let longest = (0..work.prompts.len()).max_by_key(|&at| work.prompts[at].len());
    let Some(longest) = longest else { return Ok(()) };
    let prompt = &work.prompts[longest];
    let options = Options {
        max_new_tokens: work.max_new_tokens,
        choice: Choice::Greedy,
        ends: subject.ends().to_vec(),
        first_number: 0,
    };
    let started = Instant::now();
    generate(subject.model(), std::slice::from_ref(prompt), &options, &mut Unwatched)
        .map_err(|error| EvalError::of_batch(error, |_| work.examples[longest]))?;
    let runs = (ways + 1) * work.prompts.len() * (work.rounds + 1);
    let minutes = started.elapsed().as_secs_f64() * runs as f64 / 60.0;
    ee_files::note!(
        "{} of decoding beside the plain one, {}, {}: at most about {minutes:.1} minutes",
        count(ways, "way"),
        count(work.prompts.len(), "text"),
        count(work.rounds, "round")
    );
    Ok(())
}
