//! Self-speculation against plain decoding, and against what its formula promises.
//!
//! The layers above the draft exit write less into the stream, by a factor on their output projections that
//! is adjusted until about the desired share of drafts stays; their cost stays the same.

use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use clap::Args;
use ee_decode::clock::{Clock, Part};
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_decode::lane::Lane;
use ee_decode::speculate::{Plan, Strategy, Tally, speculate};
use ee_models::ExitModel;
use ee_models::arch::llama::{Llama, Loaded};
use ee_models::checkpoint::ParameterNames;
use ee_models::device::peak_memory_mib;
use ee_models::kernels::{self, Rows, row_statistics};
use serde_json::{Value, json};

use super::super::speculate::DraftArguments;
use super::super::values::{positive, share};
use super::{DecoderSizes, line, prompt, token};
use crate::error::Result;
use crate::spread::Spread;

/// Factors that are tried.
const TRIES: usize = 9;
/// Steps that are timed by layers and head after each round.
const STEPS: usize = 4;

/// `ee-eval bench speculate`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    sizes: DecoderSizes,
    #[command(flatten)]
    draft: DraftArguments,
    /// With --adaptive, the exit above which layers change little.
    #[arg(long, value_name = "E", default_value = "4", value_parser = positive)]
    agreeing_exit: usize,
    /// How often the draft exit's token should be the last exit's; what it is in the end is measured.
    #[arg(long, value_name = "SHARE", default_value = "0.8", value_parser = share)]
    agreement: f64,
    /// Tokens before the first new one.
    #[arg(long, default_value = "16", value_parser = positive)]
    prompt: usize,
    /// New tokens.
    #[arg(long, default_value = "64", value_parser = positive)]
    new: usize,
    /// Texts per batch.
    #[arg(long, default_value = "1", value_parser = positive)]
    batch: usize,
    /// Timed rounds of both ways; one more warms up.
    #[arg(long, default_value = "5", value_parser = positive)]
    steps: usize,
}

/// Times greedy decoding of the same texts, prompts included, plainly and in rounds of drafting and verifying,
/// in turn; and single steps, whose layers and heads say what the formula promises.
pub(super) fn run(flags: &Flags) -> Result<String> {
    let Flags { ref sizes, draft, prompt: length, new, batch, steps, .. } = *flags;
    let exit = draft.draft_exit.unwrap_or(flags.agreeing_exit);
    let Loaded { model, names, .. } = sizes.random(length + new)?;
    draft.strategy(sizes.layers).check(sizes.layers)?;
    let text = |row| (0..length).map(|at| token(row * length + at, sizes.vocab)).collect();
    let texts = Texts {
        prompts: (0..batch).map(text).collect(),
        options: Options {
            max_new_tokens: new,
            choice: Choice::Greedy,
            ends: Vec::new(),
            first_number: 0,
        },
    };
    let (model, factor) = agreeing(model, &names, exit, flags, &texts)?;
    let timed = Timed::run(&model, flags, &texts)?;
    let Timed { plain, ours, ratio, layer, head, same, ref tally } = timed;
    let agreement = tally.agreement();
    let prediction = match (draft.draft_exit, draft.draft_length, agreement) {
        (Some(exit), Some(drafts), Some(agreement)) => {
            let costs = Costs { n_layers: sizes.layers, head: head.median / layer.median };
            Some(costs.promise(agreement, Plan { exit, drafts }))
        }
        _ => None,
    };
    let per_second = |seconds: Spread| (batch * new) as f64 / seconds.median;
    let measured = json!({
        "lossless": true, "prompt": length, "new": new, "batch": batch, "weights": sizes.weights(),
        "steps": steps, "draft": draft.to_string(), "agreeing_exit": exit,
        "asked_agreement": flags.agreement, "agreement": agreement, "factor": factor,
        "seconds": ours.median, "seconds_min": ours.min, "seconds_max": ours.max,
        "plain_seconds": plain.median, "plain_seconds_min": plain.min,
        "plain_seconds_max": plain.max, "tokens_per_second": per_second(ours),
        "plain_tokens_per_second": per_second(plain), "ratio": ratio.median,
        "ratio_min": ratio.min, "ratio_max": ratio.max, "layer_seconds": layer.median,
        "head_seconds": head.median, "tokens_per_round": tally.tokens_per_round(),
        "expected_tokens_per_round": tally.expected_tokens_per_round(), "plans": plans(tally),
        "shares": shares(tally), "prediction": prediction,
        "ratio_by_prediction": prediction.map(|prediction| ratio.median / prediction),
        "same_tokens": same, "peak_mib": peak_memory_mib(),
    });
    Ok(line(sizes.facts("speculate"), measured))
}

fn plans(tally: &Tally) -> Vec<Value> {
    let of = |(plan, n): (&Plan, &usize)| json!({"exit": plan.exit, "drafts": plan.drafts, "row_rounds": n});
    tally.plans.iter().map(of).collect()
}

fn shares(tally: &Tally) -> Value {
    let clock = &tally.clock;
    let share = |part| clock.share(clock.spent(part));
    json!({
        "prompts": clock.share(clock.prompts), "draft_layers": share(Part::DraftLayers),
        "verification_layers": share(Part::Layers),
        "heads": share(Part::DraftHeads) + share(Part::Heads),
        "looks": share(Part::Looks), "rest": clock.share(clock.rest()),
    })
}

/// What was measured.
struct Timed {
    plain: Spread,
    ours: Spread,
    ratio: Spread,
    layer: Spread,
    head: Spread,
    /// Whether all texts had the tokens of plain decoding.
    same: bool,
    tally: Tally,
}

impl Timed {
    fn run(model: &Llama, flags: &Flags, texts: &Texts) -> Result<Self> {
        let (steps, n_layers) = (flags.steps, model.n_layers());
        let mut strategy = flags.draft.strategy(n_layers);
        let mut parts = Parts::begin(model, &texts.prompts, flags.sizes.vocab);
        let (mut plain, mut ours, mut layers, mut heads) = (vec![], vec![], vec![], vec![]);
        let (mut tally, mut same) = (Tally::default(), true);
        for step in 0..=steps {
            let started = Instant::now();
            let expected = generate(model, &texts.prompts, &texts.options, &mut Unwatched)?;
            let plain_seconds = started.elapsed().as_secs_f64();
            let started = Instant::now();
            let (found, counts) = texts.speculate(model, &mut strategy)?;
            let seconds = started.elapsed().as_secs_f64();
            same &= found == expected;
            let times: Vec<[f64; 2]> = (0..STEPS).map(|_| parts.step()).collect();
            // The first round warms up.
            if step > 0 {
                plain.push(plain_seconds);
                ours.push(seconds);
                layers.extend(times.iter().map(|[layers, _]| layers / n_layers as f64));
                heads.extend(times.iter().map(|[_, head]| *head));
                tally.add(&counts);
            }
        }
        let ratios: Vec<f64> = plain.iter().zip(&ours).map(|(plain, ours)| plain / ours).collect();
        let [plain, ours, ratio, layer, head] =
            [&plain, &ours, &ratios, &layers, &heads].map(|numbers| Spread::of(numbers));
        Ok(Self { plain, ours, ratio, layer, head, same, tally })
    }
}

/// What is decoded.
struct Texts {
    prompts: Vec<Vec<u32>>,
    options: Options,
}

impl Texts {
    fn speculate(&self, model: &Llama, strategy: &mut Strategy) -> Result<(Vec<Vec<u32>>, Tally)> {
        let clock = Clock::new(model.device());
        let found =
            speculate(model, &self.prompts, &self.options, (strategy, clock), &mut Unwatched)?;
        Ok((found.texts, found.tally))
    }
}

/// The costs of the formula, in units of a layer.
struct Costs {
    n_layers: usize,
    head: f64,
}

impl Costs {
    /// (1 + α + … + α^D) tokens for N + D·E layers and D + 1 heads, against one for N layers and a head.
    fn promise(&self, agreement: f64, Plan { exit, drafts }: Plan) -> f64 {
        let tokens: f64 = (0..=drafts as i32).map(|power| agreement.powi(power)).sum();
        let plain = self.n_layers as f64 + self.head;
        let layers = (self.n_layers + drafts * exit) as f64;
        tokens * plain / (layers + (drafts + 1) as f64 * self.head)
    }
}

/// The model with its layers above an exit damped, by the factor that comes closest to the desired agreement.
fn agreeing(
    mut model: Llama,
    names: &ParameterNames,
    exit: usize,
    flags: &Flags,
    texts: &Texts,
) -> Result<(Llama, f64)> {
    let drafts = flags.draft.draft_length.unwrap_or(4);
    let damp = |model: Llama, by: f64| model.map(&mut Damping { names, exit, by });
    // Factors by their logarithm: agreement falls from 1 to chance between these.
    let (mut low, mut high) = (1e-3_f64.ln(), 4_f64.ln());
    let (mut factor, mut best) = (1.0_f64, (f64::INFINITY, 1.0));
    for _ in 0..TRIES {
        let next = ((low + high) / 2.0).exp();
        model = damp(model, next / factor);
        factor = next;
        let mut fixed = Strategy::Fixed(Plan { exit, drafts });
        let found = texts.speculate(&model, &mut fixed)?.1.agreement().unwrap_or(0.0);
        let distance = (found - flags.agreement).abs();
        if distance < best.0 {
            best = (distance, factor);
        }
        *if found > flags.agreement { &mut low } else { &mut high } = factor.ln();
    }
    Ok((damp(model, best.1 / factor), best.1))
}

/// Scales what the layers above an exit write into the stream.
struct Damping<'a> {
    names: &'a ParameterNames,
    exit: usize,
    by: f64,
}

impl Damping<'_> {
    /// Whether a parameter is an output projection of a layer above the exit.
    fn concerns(&self, name: &str) -> bool {
        let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        layer.is_some_and(|(index, part)| {
            let writes = ["self_attn.o_proj.weight", "mlp.down_proj.weight"].contains(&part);
            writes && index.parse().is_ok_and(|index: usize| index >= self.exit)
        })
    }
}

impl ModuleMapper for Damping<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.names.get(param.id).is_some_and(|name| self.concerns(name)) {
            return param;
        }
        param.map(|tensor| {
            let shape = tensor.dims();
            let scaled = tensor * self.by;
            // What is read repeatedly lies on large pages, as before.
            kernels::settle(&scaled.clone().reshape([shape[0], shape[1]]));
            scaled
        })
    }
}

/// Single steps after prompts, timed by layers and head.
struct Parts<'m> {
    lane: Lane<'m>,
    next: Vec<u32>,
}

impl<'m> Parts<'m> {
    fn begin(model: &'m Llama, prompts: &[Vec<u32>], vocabulary: usize) -> Self {
        let lane = Lane::behind(model, prompts, 1);
        Self { lane, next: prompt(prompts.len(), vocabulary) }
    }

    /// Seconds of all layers and of the head, in one step of plain decoding.
    fn step(&mut self) -> [f64; 2] {
        let (model, filled) = (self.lane.model, self.lane.filled());
        let started = Instant::now();
        let stream = self.lane.read(&self.next, Rows::Few, |_, _| ());
        let state = model.exit_state(&stream);
        model.device().sync().expect("the device works");
        let layers = started.elapsed().as_secs_f64();
        let started = Instant::now();
        row_statistics(model.read(state, Rows::Few), None);
        let head = started.elapsed().as_secs_f64();
        self.lane.crop(filled);
        [layers, head]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_counts_layers_and_heads() {
        let costs = Costs { n_layers: 12, head: 3.0 };
        // 1 + 1/2 + 1/4 tokens for 12 + 2·4 layers and 3 heads, against one for 12 layers and one head.
        let found = costs.promise(0.5, Plan { exit: 4, drafts: 2 });
        assert!((found - 1.75 * 15.0 / 29.0).abs() < 1e-12);
        assert_eq!(costs.promise(0.9, Plan { exit: 1, drafts: 0 }), 1.0);
    }

    #[test]
    fn only_writers_above_the_exit_are_damped() {
        let names = ParameterNames::default();
        let damping = Damping { names: &names, exit: 2, by: 0.5 };
        assert!(damping.concerns("model.layers.2.mlp.down_proj.weight"));
        assert!(damping.concerns("model.layers.11.self_attn.o_proj.weight"));
        assert!(!damping.concerns("model.layers.1.mlp.down_proj.weight"));
        assert!(!damping.concerns("model.layers.2.mlp.up_proj.weight"));
        assert!(!damping.concerns("lm_head.weight"));
    }
}
