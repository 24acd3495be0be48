use std::sync::Arc;
use std::time::{Duration, Instant};

use ee_decode::clock::{Clock, Part};
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_decode::{Settings, decode};
use ee_models::arch::llama::Llama;
use ee_models::device::peak_memory_mib;
use ee_models::kernels::Rows;
use ee_models::signal::exit_signals;
use ee_models::{Block, Decoder, ExitModel, KvCache, Stream};
use serde_json::json;

use super::{FINITE, decoder, token};
use crate::cli::ExitsBenchArguments;
use crate::error::{EvalError, Result};
use crate::spread::Spread;

/// Random weights are never as sure.
const NEVER: &str = "confidence:0.9999";

/// Times decoding whose tokens leave at a fixed exit against the layers, the projections and the head that it
/// runs, each timed alone in the same rounds; and how much of a step a gate that asks every exit through a
/// pruned head takes, none of whose tokens leave.
///
/// # Errors
/// Sizes that do not go together, an unknown device, an exit that is not there.
pub fn exits(arguments: &ExitsBenchArguments) -> Result<String> {
    let ExitsBenchArguments { ref sizes, exit, pruned, prompt, new, steps } = *arguments;
    if exit >= sizes.layers {
        let reason = format!("--exit {exit}: expected an exit before the last, {}", sizes.layers);
        return Err(EvalError::Setting { reason });
    }
    let model = decoder::model(sizes, prompt + new)?;
    let prompt: Vec<u32> = (0..prompt).map(|at| token(at, sizes.vocab)).collect();
    let of_rule = |rule: &str, head: &str| settings(&model, rule, head);
    let fixed = of_rule(&format!("fixed:{exit}"), "full")?;
    let gated = of_rule(NEVER, &format!("pruned:{pruned}"))?;
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
    let share = |clock: &Clock, part| clock.spent(part).as_secs_f64() / clock.steps.as_secs_f64();
    let rest = |clock: &Clock| {
        let parts = [Part::Layers, Part::Heads, Part::Gates, Part::Kv];
        1.0 - parts.map(|part| share(clock, part)).iter().sum::<f64>()
    };
    Ok(json!({
        "verb": "exits", "layers": sizes.layers, "dim": sizes.dim, "inner": sizes.inner,
        "vocab": sizes.vocab, "prompt": prompt.len(), "new": new, "exit": exit, "pruned": pruned,
        "weights": format!("{:?}", sizes.weights).to_lowercase(), "device": sizes.device,
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
    })
    .to_string())
}

/// One round of everything.
struct Round {
    /// Seconds of plain decoding, the prompt included.
    plain: f64,
    fixed: Clock,
    gated: Clock,
    parts: Parts,
}

fn settings(model: &Llama, rule: &str, head: &str) -> Result<Settings> {
    Ok(Settings {
        rule: rule.parse()?,
        policy: ee_decode::policy::by_name("recompute")?,
        head: head.parse()?,
        exits: (1..model.n_layers()).collect(),
        min_tokens: 1,
        fitted: None,
    })
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
        let capacity = prompt.len() + new;
        let padding: Arc<[usize]> = Arc::from([0]);
        let mut caches = [(); 2].map(|()| model.empty_cache(padding.clone(), capacity));
        for cache in &mut caches {
            run(model, prompt, 0, Rows::Many, cache);
        }
        let [cache, spare] = &mut caches;
        let mut spent = [Duration::ZERO; 3];
        for at in 0..new {
            let started = Instant::now();
            let stream = run(model, &[token(at, 97)], prompt.len() + at, Rows::Few, cache);
            spent[0] += started.elapsed();
            let started = Instant::now();
            let signals =
                exit_signals(model.read(stream.hidden.clone(), Rows::Few), layers).expect(FINITE);
            spent[1] += started.elapsed();
            assert_eq!(signals.len(), 1);
            let started = Instant::now();
            for index in exit..layers {
                model.write_kv(index, &stream, spare.layer(index));
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

/// Tokens through all layers.
fn run(model: &Llama, tokens: &[u32], start: usize, rows: Rows, cache: &mut KvCache) -> Stream {
    let width = tokens.len();
    let (padding, lengths) = (Arc::from([0]), Arc::from([width]));
    let block = Block { width, start, padding, lengths, rows };
    let mut stream = model.embed_block(tokens, &block);
    for index in 0..model.n_layers() {
        stream = model.layer_with(index, stream, cache.layer(index));
    }
    stream
}
