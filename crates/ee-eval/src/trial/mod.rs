//! One way to try anything live, and one record of it: this way, tried on these examples, beside the plain one.
//!
//! [`rounds`] is the one loop, over batches of [`labels`] or of [`texts`]; [`record`] holds the results. The commands
//! [`decode`], [`speculate`] and [`speed`] are tables over it, and so are comparisons and recommendations. True early exit
//! and lossless speculation stand in one table, and every line says which it is. What further texts may expect of a
//! way's quality is judged in [`quality`].

pub(crate) mod beams;
pub(crate) mod decode;
mod fidelity;
pub(crate) mod labels;
mod lengths;
pub(crate) mod material;
pub(crate) mod outputs;
pub(crate) mod quality;
pub(crate) mod record;
pub(crate) mod rounds;
pub(crate) mod speculate;
pub(crate) mod speed;
mod texts;
pub(crate) mod way;

pub(crate) use self::fidelity::{Place, joined};
pub(crate) use self::record::{Trial, Trials, on_prompts};
pub(crate) use self::way::Way;

use std::time::Instant;

use ee_decode::generate::{Options, Unwatched, generate};

use self::material::Material;
use self::outputs::Texts;
use self::record::Beside;
use self::rounds::{Tried, TriedWays, tried};
use self::texts::{Found, Prompts, Runner, scored};
use crate::error::{EvalError, Result};
use crate::interrupt::Interrupt;
use crate::subject::DecoderSubject;
use crate::words::count;

/// Tries every way on every prompt.
pub(crate) fn run(
    subject: &DecoderSubject,
    material: &Material,
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<Trials> {
    let (mut found, load) = decoded(subject, material, ways, interrupt)?;
    let (tried, plain) = found.remove(0);
    let (rounds, plain_timed) = (material.terms.rounds, tried.timed);
    let beside = Beside { texts: &plain, timed: &plain_timed, rounds };
    let layers = subject.model().n_layers();
    let trials = ways.iter().zip(found);
    let trials =
        trials.map(|(way, (tried, texts))| Trial::of(way, tried, texts, &beside, layers)).collect();
    Ok(Trials {
        batch: material.terms.batch,
        rounds,
        max_new_tokens: material.request.max_new_tokens,
        metrics: material.metric_facts(),
        device: subject.device().to_owned(),
        load,
        plain_tokens_per_second: plain.tokens_per_second(rounds),
        plain,
        plain_timed,
        further: None,
        trials,
    })
}

/// Decodes further prompts, once and against no clock, plainly and in the ways of the trials at these places.
pub(crate) fn run_further(
    subject: &DecoderSubject,
    material: &Material,
    (trials, places): (&mut Trials, &[usize]),
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<()> {
    let ways: Vec<Way> = places.iter().map(|&place| ways[place].clone()).collect();
    let mut found = decoded(subject, material, &ways, interrupt)?.0;
    trials.further = Some(found.remove(0).1);
    for (&place, (_, mut texts)) in places.iter().zip(found) {
        texts.forget_prompts();
        trials.trials[place].further = Some(texts);
    }
    Ok(())
}

/// The results of plain decoding and of every way, with their texts.
fn decoded(
    subject: &DecoderSubject,
    material: &Material,
    ways: &[Way],
    interrupt: &Interrupt,
) -> Result<TriedWays<(Tried<Found>, Texts)>> {
    ways.iter().try_for_each(|way| way.check(subject.model()))?;
    let layers = subject.model().n_layers();
    let mut runners = vec![Runner::Plain];
    runners.extend(ways.iter().map(|way| Runner::of(way, layers)));
    let prompts = Prompts::new(subject, material, interrupt);
    let (found, load) = tried(&prompts, &mut runners, material.terms.rounds, "decoding")?;
    let scored = found.into_iter().map(|tried| {
        let texts = scored(material, &tried)?;
        Ok((tried, texts))
    });
    Ok((scored.collect::<Result<_>>()?, load))
}

/// Says how long it will take, if every way were as slow as plain decoding is on the longest prompt.
pub(crate) fn announce(subject: &DecoderSubject, material: &Material, ways: usize) -> Result<()> {
    let (prompts, terms) = (&material.prompts, material.terms);
    let longest = (0..prompts.len()).max_by_key(|&at| prompts[at].len());
    let Some(longest) = longest else { return Ok(()) };
    let options = Options {
        max_new_tokens: material.request.max_new_tokens,
        choice: terms.choice,
        ends: subject.ends().to_vec(),
        first_number: 0,
    };
    let started = Instant::now();
    generate(subject.model(), std::slice::from_ref(&prompts[longest]), &options, &mut Unwatched)
        .map_err(|error| EvalError::of_batch(error, |_| material.number(longest)))?;
    let runs = (ways + 1) * prompts.len() * (terms.rounds + 1);
    let minutes = started.elapsed().as_secs_f64() * runs as f64 / 60.0;
    ee_files::note!(
        "{} of decoding beside the plain one, {}, {}: at most about {minutes:.1} minutes",
        count(ways, "way"),
        count(prompts.len(), "text"),
        count(terms.rounds, "round")
    );
    Ok(())
}
