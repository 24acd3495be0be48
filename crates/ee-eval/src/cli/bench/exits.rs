//! Early exits while decoding, against what the parts that a token runs take alone.

use std::time::{Duration, Instant};

use clap::Args;
use ee_decode::clock::{Clock, Part};
use ee_decode::gates::GATES;
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_decode::lane::Lane;
use ee_decode::rule::OpenRule;
use ee_decode::{ExitRule, HeadChoice, Settings, decode, policy};
use ee_models::arch::llama::Llama;
use ee_models::device::peak_memory_mib;
use ee_models::kernels::Rows;
use ee_models::signal::exit_signals;
use ee_models::{Decoder, ExitModel};
use serde_json::json;

use super::super::values::positive;
use super::{DecoderSizes, FINITE, line, prompt, token};
use crate::error::{EvalError, Result};
use crate::spread::Spread;

/// Random weights are never as sure.
const NEVER: f32 = 0.9999;

/// `ee-eval bench exits`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    sizes: DecoderSizes,
    /// The exit at which every new token but the first leaves, its keys and values projected from there.
    #[arg(long, value_name = "D", default_value = "6", value_parser = positive)]
    exit: usize,
    /// Outputs that the pruned head scores at later exits.
    #[arg(long, value_name = "K", default_value = "64", value_parser = positive)]
    pruned: usize,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "32", value_parser = positive)]
    new: usize,
    /// Timed rounds; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
}

/// Times decoding whose tokens leave at a fixed exit against the layers, the projections and the head that it
/// runs, each timed alone in the same rounds; and how much of a step a gate that asks every exit through a
/// pruned head takes, none of whose tokens leave.
pub(super) fn run(flags: &Flags) -> Result<String> {
    let Flags { ref sizes, exit, pruned, prompt: length, new, steps } = *flags;
    if exit >= sizes.layers {
        let reason = format!("--exit {exit}: expected an exit before the last, {}", sizes.layers);
        return Err(EvalError::Setting { reason });
    }
    let model = sizes.random(length + new)?.model;
    let prompt = prompt(length, sizes.vocab);
    let fixed = settings(&model, ExitRule::fixed(exit), HeadChoice::default());
    let pruning = HeadChoice::asked(pruned).find(|choice| choice.head.has_number());
    let pruning = pruning.expect("one of the heads reads some outputs alone");
    let gated = settings(&model, OpenRule { gate: GATES[0], decays: false }.at(NEVER), pruning);
    let mut rounds = Vec::with_capacity(steps);
    for round in 0..=steps {
        let measured = Round {
            plain: plain(&model, &prompt, new)?,
            fixed: clock(&model, &prompt, new, &fixed)?,
            gated: clock(&model, &prompt, new, &gated)?,
            parts: Parts::measure(&model, &prompt, new, exit),
        };
        // The first round warms up.
        if round > 0 {
            rounds.push(measured);
        }
    }
    let of = |number: &dyn Fn(&Round) -> f64| {
        Spread::of(&rounds.iter().map(number).collect::<Vec<f64>>()).median
    };
    let per_token = |clock: &Clock| clock.steps.as_secs_f64() / (new - 1).max(1) as f64;
    let measured = json!({
        "prompt": length, "new": new, "exit": exit, "pruned": pruned, "weights": sizes.weights(),
        "plain_seconds_per_token": of(&|round| round.plain / new as f64),
        "seconds_per_token": of(&|round| per_token(&round.fixed)),
        "bound_seconds_per_token": of(&|round| round.parts.bound(exit)),
        "of_bound": of(&|round| round.parts.bound(exit) / per_token(&round.fixed)),
        "layer_seconds": of(&|round| round.parts.layer),
        "key_value_seconds": of(&|round| round.parts.key_value),
        "head_seconds": of(&|round| round.parts.head),
        "rest_share": of(&|round| rest(&round.fixed)),
        "pruned_seconds_per_token": of(&|round| per_token(&round.gated)),
        "pruned_gate_share": of(&|round| share(&round.gated, Part::Gates)),
        "pruned_first_read_share": of(&|round| share(&round.gated, Part::Heads) / 2.0),
        "pruned_rest_share": of(&|round| rest(&round.gated)),
        "peak_mib": peak_memory_mib(),
    });
    Ok(line(sizes.facts("exits"), measured))
}

fn share(clock: &Clock, part: Part) -> f64 {
    clock.spent(part).as_secs_f64() / clock.steps.as_secs_f64()
}

fn rest(clock: &Clock) -> f64 {
    let parts = [Part::Layers, Part::Heads, Part::Gates, Part::Kv];
    1.0 - parts.map(|part| share(clock, part)).iter().sum::<f64>()
}

/// One round of everything.
struct Round {
    /// Seconds of plain decoding, the prompt included.
    plain: f64,
    fixed: Clock,
    gated: Clock,
    parts: Parts,
}

fn settings(model: &Llama, rule: ExitRule, head: HeadChoice) -> Settings {
    let exits = (1..model.n_layers()).collect();
    Settings { rule, policy: policy::DEFAULT, head, exits, min_tokens: 1, fitted: None }
}

fn options(new: usize) -> Options {
    Options { max_new_tokens: new, choice: Choice::Greedy, ends: Vec::new(), first_number: 0 }
}

fn plain(model: &Llama, prompt: &[u32], new: usize) -> Result<f64> {
    let started = Instant::now();
    generate(model, &[prompt.to_vec()], &options(new), &mut Unwatched)?;
    Ok(started.elapsed().as_secs_f64())
}

fn clock(model: &Llama, prompt: &[u32], new: usize, settings: &Settings) -> Result<Clock> {
    let prompts = [prompt.to_vec()];
    let clock = Clock::new(model.device());
    Ok(decode(model, &prompts, &options(new), (settings, clock), &mut Unwatched)?.clock)
}

/// Seconds of one of each.
struct Parts {
    layer: f64,
    /// Norm and projections of one layer's keys and values.
    key_value: f64,
    /// The head and its signals.
    head: f64,
    skipped: usize,
}

impl Parts {
    /// Times steps of one token: all layers, the head, the projections of the layers above `exit`. Between two
    /// reads of a weight lie those of all others, as in decoding.
    fn measure(model: &Llama, prompt: &[u32], new: usize, exit: usize) -> Self {
        let layers = model.n_layers();
        let [mut lane, mut spare] = [(); 2].map(|()| Lane::behind(model, &[prompt.to_vec()], new));
        let mut spent = [Duration::ZERO; 3];
        for at in 0..new {
            let started = Instant::now();
            let stream = lane.read(&[token(at, 97)], Rows::Few, |_, _| ());
            spent[0] += started.elapsed();
            let started = Instant::now();
            let logits = model.read(stream.hidden.clone(), Rows::Few);
            assert_eq!(exit_signals(logits, layers).expect(FINITE).len(), 1);
            spent[1] += started.elapsed();
            let started = Instant::now();
            for index in exit..layers {
                model.write_kv(index, &stream, spare.cache.layer(index));
            }
            spent[2] += started.elapsed();
        }
        let skipped = layers - exit;
        let one = |spent: Duration, n: usize| spent.as_secs_f64() / (new * n) as f64;
        Self {
            layer: one(spent[0], layers),
            head: one(spent[1], 1),
            key_value: one(spent[2], skipped),
            skipped,
        }
    }

    /// What a token that leaves at `exit` takes at least.
    fn bound(&self, exit: usize) -> f64 {
        exit as f64 * self.layer + self.skipped as f64 * self.key_value + self.head
    }
}
