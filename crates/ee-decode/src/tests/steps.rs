//! Runs step by step: what the cache holds, and rows that are kept twice.

use ee_models::kernels::Rows;
use ee_models::{Decoder, KvCache};

use super::{firing, is_pair, models, prompts, settings};
use crate::clock::Clock;
use crate::lane::{Given, Options, Run, Way};
use crate::policy::POLICIES;
use crate::sample::{LAYERS, NEW, options};
use crate::settings::Settings;
use crate::walk::Leaving;

/// A run step by step, its inputs given.
struct Walk<'m> {
    run: Run<'m>,
    leaving: Leaving<'m>,
    chosen: Vec<Given>,
}

impl<'m> Walk<'m> {
    fn begin(
        model: &'m dyn Decoder,
        prompts: &[Vec<u32>],
        (settings, options): (&'m Settings, &'m Options),
    ) -> Self {
        let mut leaving = Leaving::new(model, settings, prompts.len());
        let whole = (model, LAYERS);
        let (mut run, stream) = Run::begin(whole, prompts, options, &leaving, Clock::default());
        let chosen = leaving.read(&mut run, stream).unwrap();
        Self { run, leaving, chosen }
    }

    fn tokens(&self) -> Vec<u32> {
        self.chosen.iter().map(|given| given.tokens[0]).collect()
    }

    fn exits(&self) -> Vec<usize> {
        self.chosen.iter().map(|given| given.exit.unwrap()).collect()
    }

    fn advance(&mut self, inputs: &[u32]) {
        for (row, &token) in self.run.rows.iter_mut().zip(inputs) {
            row.tokens.push(token);
        }
        self.chosen = self.run.step(&mut self.leaving).unwrap();
    }

    fn keep(&mut self, rows: &[usize]) {
        self.run.keep(rows, &mut self.leaving);
        self.chosen = rows.iter().map(|&row| self.chosen[row].clone()).collect();
    }

    fn cache(&mut self) -> &mut KvCache {
        &mut self.run.lane.cache
    }
}

/// The slots of some prompts' rows that hold no token, and the first one of a new token: where an encoder reads the
/// prompts, all rows have the decoder's opening alone.
fn slots_before(model: &dyn Decoder, prompts: &[Vec<u32>]) -> (Vec<usize>, usize) {
    if is_pair(model) {
        return (vec![0; prompts.len()], model.opening().len());
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap();
    (prompts.iter().map(|prompt| longest - prompt.len()).collect(), longest)
}

/// The keys and values of one row's slots, layer by layer.
fn slots(cache: &mut KvCache, row: usize, len: usize) -> Vec<[Vec<f32>; 2]> {
    (0..LAYERS)
        .map(|index| {
            let [key, value] = cache.layer(index).block(&[row], 0, len);
            [key, value].map(|tensor| tensor.into_data().try_into_vec().unwrap())
        })
        .collect()
}

#[test]
fn deferred_layers_have_the_full_models_keys_and_values() {
    let options = options();
    for model in models() {
        let model = &*model;
        let (short, long) = (prompts()[1].clone(), prompts()[0].clone());
        for rule in ["fixed:2", "confidence:0.4", "ideal"] {
            let settings = settings(model, rule, "deferred", "full");
            let both = [short.clone(), long.clone()];
            let mut walk = Walk::begin(model, &both, (&settings, &options));
            let mut texts = both.clone();
            let mut ragged = false;
            for _ in 0..NEW - 2 {
                let inputs = walk.tokens();
                for (text, &token) in texts.iter_mut().zip(&inputs) {
                    text.push(token);
                }
                walk.advance(&inputs);
                let top = walk.cache().layer(LAYERS - 1).lens().to_vec();
                ragged |= top.iter().any(|&len| len < walk.cache().layer(0).len());
            }
            assert!(ragged, "{rule}: layers hold different tokens on the way");
            let plain = Settings { rule: "none".parse().unwrap(), ..settings.clone() };
            for (row, text) in texts.iter().enumerate() {
                let prompt = &both[row];
                // The same tokens through the full model, step by step.
                let mut full = Walk::begin(model, std::slice::from_ref(prompt), (&plain, &options));
                for &token in &text[prompt.len()..] {
                    full.advance(&[token]);
                }
                let padding = slots_before(model, &both).0[row];
                for index in 0..LAYERS {
                    let len = walk.cache().layer(index).lens()[row];
                    let [key, value] =
                        walk.cache().layer(index).block(&[row], padding, len - padding);
                    let [full_key, full_value] =
                        full.cache().layer(index).block(&[0], 0, len - padding);
                    let same = |a: burn::tensor::Tensor<2>, b: burn::tensor::Tensor<2>| {
                        a.into_data() == b.into_data()
                    };
                    assert!(same(key, full_key), "{rule}: keys of layer {index}, row {row}");
                    assert!(same(value, full_value), "{rule}: values of layer {index}, row {row}");
                }
            }
        }
    }
}

#[test]
fn skipped_layers_hold_the_exit_state_at_its_own_position() {
    let options = options();
    for model in models() {
        let model = &*model;
        let both = [prompts()[1].clone(), prompts()[0].clone()];
        let (padding, first) = slots_before(model, &both);
        let len = first + 4;
        let cache_of = |policy: &str, prompts: &[Vec<u32>]| {
            let settings = Settings { min_tokens: 1, ..settings(model, "fixed:2", policy, "full") };
            let mut walk = Walk::begin(model, prompts, (&settings, &options));
            for _ in 0..4 {
                let inputs = walk.tokens();
                walk.advance(&inputs);
            }
            walk.run.lane.cache
        };
        // Padding moves slots, not positions.
        for policy in ["recompute", "copy"] {
            let mut together = cache_of(policy, &both);
            let mut alone = cache_of(policy, &both[..1]);
            let padding = padding[0];
            for index in 0..LAYERS {
                let a = together.layer(index).block(&[0], padding, len - padding);
                let b = alone.layer(index).block(&[0], 0, len - padding);
                for (a, b) in a.into_iter().zip(b) {
                    assert_eq!(a.into_data(), b.into_data(), "{policy}, layer {index}");
                }
            }
        }
        let (mut copied, mut projected) = (cache_of("copy", &both), cache_of("recompute", &both));
        let last = |layers: &[[Vec<f32>; 2]], index: usize, which: usize| {
            let numbers = &layers[index][which];
            numbers[numbers.len() / len * (len - 1)..].to_vec()
        };
        let (copied, projected) = (slots(&mut copied, 1, len), slots(&mut projected, 1, len));
        for which in [0, 1] {
            for index in 2..LAYERS {
                assert_eq!(last(&copied, index, which), last(&copied, 1, which));
                assert_ne!(last(&projected, index, which), last(&projected, 1, which));
            }
        }
    }
}

#[test]
fn recomputed_keys_and_values_are_projected_from_the_exit_state() {
    let options = options();
    for model in models() {
        let model = &*model;
        let prompt = prompts()[0].clone();
        for rule in ["fixed:2", "ideal"] {
            let settings = Settings { min_tokens: 1, ..settings(model, rule, "recompute", "full") };
            let plain = Settings { rule: "none".parse().unwrap(), ..settings.clone() };
            let one = std::slice::from_ref(&prompt);
            let [mut walk, mut full] =
                [&settings, &plain].map(|way| Walk::begin(model, one, (way, &options)));
            let mut start = slots_before(model, one).1;
            // Up to the first token that leaves, both are the full model.
            let (token, exit) = loop {
                let token = walk.tokens()[0];
                walk.advance(&[token]);
                if walk.exits()[0] < LAYERS {
                    break (token, walk.exits()[0]);
                }
                full.advance(&[token]);
                start += 1;
            };
            // By hand: that token's state at its exit, and what the layers above project from it.
            let block = ee_models::Block {
                width: 1,
                start,
                padding: std::sync::Arc::from([0]),
                lengths: std::sync::Arc::from([1]),
                rows: Rows::Few,
            };
            let mut stream = model.embed_block(&[token], &block);
            for index in 0..exit {
                stream = model.layer_with(index, stream, full.cache().layer(index));
            }
            for index in exit..LAYERS {
                model.write_kv(index, &stream, full.cache().layer(index));
            }
            let [ours, by_hand] =
                [walk.cache(), full.cache()].map(|cache| slots(cache, 0, start + 1));
            assert_eq!(ours, by_hand, "{rule}");
        }
    }
}

#[test]
fn rows_kept_twice_and_in_another_order_go_on_as_one_alone() {
    let options = options();
    for model in models() {
        let model = &*model;
        for policy in POLICIES {
            for rule in firing(model) {
                let settings = settings(model, &rule, policy.name(), "full");
                let mut alone = Walk::begin(model, &prompts(), (&settings, &options));
                let mut copied = Walk::begin(model, &prompts(), (&settings, &options));
                let go_on = |walk: &mut Walk<'_>| {
                    for _ in 0..5 {
                        walk.advance(&walk.tokens());
                    }
                };
                go_on(&mut alone);
                go_on(&mut copied);
                let rows = [2, 0, 2, 3];
                copied.keep(&rows);
                go_on(&mut alone);
                go_on(&mut copied);
                let name = format!("{rule}, {}", policy.name());
                for (at, row) in rows.into_iter().enumerate() {
                    assert_eq!(copied.tokens()[at], alone.tokens()[row], "{name}");
                    assert_eq!(copied.exits()[at], alone.exits()[row], "{name}");
                    assert_eq!(copied.run.rows[at].tokens, alone.run.rows[row].tokens, "{name}");
                }
            }
        }
    }
}
