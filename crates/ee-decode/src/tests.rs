//! Contracts of the loop, over every rule, policy and head there is.

use std::ops::ControlFlow;

use crate::generate::{Unwatched, Watcher, generate};
use ee_models::arch::llama::Llama;
use ee_models::gate::LinearGate;
use ee_models::kernels::Rows;
use ee_models::signal::{Agreement, Signal};
use ee_models::{Decoder, ExitModel, KvCache};

use super::clock::Clock;
use super::head::HEADS;
use super::lane::{Given, Options, Run, Way};
use super::policy::{self, POLICIES};
use super::rule::names;
use super::sample::{LAYERS, NEW, VOCABULARY, model, options, prompt};
use super::walk::Leaving;
use super::*;

fn prompts() -> Vec<Vec<u32>> {
    [(7, 1), (3, 2), (1, 3), (7, 4)].map(|(n, seed)| prompt(n, seed)).to_vec()
}

fn settings(model: &Llama, rule: &str, policy: &str, head: &str) -> Settings {
    let weight = model.head_weight().matrix.narrow(0, 0, LAYERS);
    Settings {
        rule: rule.parse().unwrap(),
        policy: policy::by_name(policy).unwrap(),
        head: head.parse().unwrap(),
        exits: (1..LAYERS).collect(),
        min_tokens: 2,
        fitted: Some(std::sync::Arc::new(LinearGate::new(weight, vec![0.3; LAYERS]))),
    }
}

/// Rules under which rows leave at different exits, all of them.
fn firing() -> Vec<String> {
    let parameter = |name: &str| match name {
        "none" | "ideal" => String::new(),
        "fixed" => ":2".to_owned(),
        "patience" => ":1".to_owned(),
        "entropy" => ":2.0".to_owned(),
        "margin" => ":0.2".to_owned(),
        "confidence" => ":0.4".to_owned(),
        "cosine" => ":0.5".to_owned(),
        "learned" => ":0.6".to_owned(),
        other => panic!("a threshold for {other}"),
    };
    names().into_iter().map(|name| format!("{name}{}", parameter(name))).collect()
}

fn heads() -> Vec<String> {
    let number = |has| if has { ":8" } else { "" };
    HEADS.iter().map(|head| format!("{}{}", head.name(), number(head.has_number()))).collect()
}

fn run(model: &Llama, prompts: &[Vec<u32>], settings: &Settings) -> Decoded {
    decode(model, prompts, &options(), (settings, Clock::new(model.device())), &mut Unwatched)
        .unwrap()
}

/// Whether the rule goes with the head, and with what it is.
fn goes(settings: &Settings, model: &Llama) -> bool {
    settings.check(model).is_ok()
}

#[test]
fn where_no_gate_fires_every_policy_is_plain_decoding() {
    let model = model();
    let plain = generate(&model, &prompts(), &options(), &mut Unwatched).unwrap();
    assert!(
        plain.iter().any(|text| text.len() < NEW) && plain.iter().any(|text| text.len() == NEW)
    );
    for policy in POLICIES {
        for head in heads() {
            for rule in ["none", "fixed:5", "confidence:0.999999", "cosine:0.999999"] {
                let settings = settings(&model, rule, policy.name(), &head);
                if !goes(&settings, &model) {
                    continue;
                }
                let found = run(&model, &prompts(), &settings);
                assert_eq!(found.tokens, plain, "{rule}, {}, {head}", policy.name());
                assert!(found.exits.concat().iter().all(|&exit| exit == LAYERS));
            }
        }
    }
}

#[test]
fn rows_of_a_batch_leave_as_if_alone() {
    let model = model();
    let mut different = 0;
    for policy in POLICIES {
        for head in heads() {
            for rule in firing() {
                let settings = settings(&model, &rule, policy.name(), &head);
                if !goes(&settings, &model) {
                    continue;
                }
                let together = run(&model, &prompts(), &settings);
                for (row, prompt) in prompts().into_iter().enumerate() {
                    let alone = run(&model, &[prompt], &settings);
                    let name = format!("{rule}, {}, {head}, row {row}", policy.name());
                    assert_eq!(alone.exits[0], together.exits[row], "{name}");
                    assert_eq!(alone.tokens[0], together.tokens[row], "{name}");
                }
                let exits = together.exits.concat();
                assert!(rule == "none" || exits.iter().any(|&exit| exit < LAYERS), "{rule} fires");
                different += usize::from(exits.iter().any(|&exit| exit != exits[0]));
            }
        }
    }
    assert!(different > 40, "{different} settings let rows leave at different exits");
}

/// A run step by step, its inputs given.
struct Walk<'m> {
    run: Run<'m>,
    leaving: Leaving<'m>,
    chosen: Vec<Given>,
}

impl<'m> Walk<'m> {
    fn begin(
        model: &'m Llama,
        prompts: &[Vec<u32>],
        (settings, options): (&'m Settings, &'m Options),
    ) -> Self {
        let mut leaving = Leaving::new(model, settings, prompts.len());
        let whole = (model as &dyn Decoder, LAYERS);
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
    let (model, options) = (model(), options());
    let (short, long) = (prompts()[1].clone(), prompts()[0].clone());
    for rule in ["fixed:2", "confidence:0.4", "ideal"] {
        let settings = settings(&model, rule, "deferred", "full");
        let both = [short.clone(), long.clone()];
        let mut walk = Walk::begin(&model, &both, (&settings, &options));
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
            let mut full = Walk::begin(&model, std::slice::from_ref(prompt), (&plain, &options));
            for &token in &text[prompt.len()..] {
                full.advance(&[token]);
            }
            let padding = long.len() - prompt.len();
            for index in 0..LAYERS {
                let len = walk.cache().layer(index).lens()[row];
                let [key, value] = walk.cache().layer(index).block(&[row], padding, len - padding);
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

#[test]
fn skipped_layers_hold_the_exit_state_at_its_own_position() {
    let (model, options) = (model(), options());
    let both = [prompts()[1].clone(), prompts()[0].clone()];
    let len = both[1].len() + 4;
    let cache_of = |policy: &str, prompts: &[Vec<u32>]| {
        let settings = Settings { min_tokens: 1, ..settings(&model, "fixed:2", policy, "full") };
        let mut walk = Walk::begin(&model, prompts, (&settings, &options));
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
        let padding = both[1].len() - both[0].len();
        for index in 0..LAYERS {
            let a = together.layer(index).block(&[0], padding, len - padding);
            let b = alone.layer(index).block(&[0], 0, len - padding);
            for (a, b) in a.into_iter().zip(b) {
                assert_eq!(a.into_data(), b.into_data(), "{policy}, layer {index}");
            }
        }
    }
    let (mut copied, mut projected) = (cache_of("copy", &both), cache_of("recompute", &both));
    let d = 16;
    let last = |layers: &[[Vec<f32>; 2]], index: usize, which: usize| {
        layers[index][which][(len - 1) * d..].to_vec()
    };
    let (copied, projected) = (slots(&mut copied, 1, len), slots(&mut projected, 1, len));
    for which in [0, 1] {
        for index in 2..LAYERS {
            assert_eq!(last(&copied, index, which), last(&copied, 1, which));
            assert_ne!(last(&projected, index, which), last(&projected, 1, which));
        }
    }
}

#[test]
fn recomputed_keys_and_values_are_projected_from_the_exit_state() {
    let (model, options) = (model(), options());
    let prompt = prompts()[0].clone();
    for rule in ["fixed:2", "ideal"] {
        let settings = Settings { min_tokens: 1, ..settings(&model, rule, "recompute", "full") };
        let plain = Settings { rule: "none".parse().unwrap(), ..settings.clone() };
        let one = std::slice::from_ref(&prompt);
        let [mut walk, mut full] =
            [&settings, &plain].map(|way| Walk::begin(&model, one, (way, &options)));
        let mut start = prompt.len();
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
        let [ours, by_hand] = [walk.cache(), full.cache()].map(|cache| slots(cache, 0, start + 1));
        assert_eq!(ours, by_hand, "{rule}");
    }
}

#[test]
fn rows_kept_twice_and_in_another_order_go_on_as_one_alone() {
    let (model, options) = (model(), options());
    for policy in POLICIES {
        for rule in firing() {
            let settings = settings(&model, &rule, policy.name(), "full");
            let mut alone = Walk::begin(&model, &prompts(), (&settings, &options));
            let mut copied = Walk::begin(&model, &prompts(), (&settings, &options));
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

#[test]
fn a_pruned_head_leaves_only_where_the_whole_head_would() {
    let model = model();
    for rule in ["confidence:0.4", "margin:0.2", "patience:1"] {
        let whole = settings(&model, rule, "full", "full");
        let full = run(&model, &prompts(), &whole);
        // All outputs are candidates: nothing is lost.
        let all = settings(&model, rule, "full", &format!("pruned:{VOCABULARY}"));
        assert_eq!(run(&model, &prompts(), &all).exits, full.exits, "{rule}");
        let few = run(&model, &prompts(), &settings(&model, rule, "full", "pruned:4"));
        assert_eq!(few.tokens, full.tokens);
        let later =
            few.exits.concat().iter().zip(full.exits.concat()).all(|(few, full)| *few >= full);
        assert!(
            rule == "patience:1" || later,
            "{rule}: confirmed means the whole head would have left"
        );
    }
}

#[test]
fn a_gate_leaves_last_at_one_end_first_at_the_other_and_is_monotone_between() {
    let model = model();
    let gates = ["confidence", "margin", "cosine", "learned"].map(|name| (name, 1.0, -1.001));
    for (name, never, always) in gates.into_iter().chain([("entropy", 0.0, 4.2)]) {
        // The first token never leaves.
        let mut before = vec![LAYERS + 1; prompts().len() * (NEW - 1)];
        for step in 0..=10 {
            let threshold = never + (always - never) * step as f32 / 10.0;
            let rule = format!("{name}:{threshold}");
            // Tokens do not depend on exits that take no effect; a threshold that never fires is refused.
            let settings = Settings { min_tokens: 0, ..settings(&model, &rule, "full", "full") };
            if step == 0 {
                assert!(!goes(&settings, &model), "{rule}");
                continue;
            }
            let exits = run(&model, &prompts(), &settings).exits;
            let now: Vec<usize> = exits.iter().flat_map(|exits| exits[1..].to_vec()).collect();
            assert!(now.iter().zip(&before).all(|(now, before)| now <= before), "{rule}");
            before = now;
        }
        assert!(before.iter().all(|&exit| exit == 1), "{name}");
    }
}

#[test]
fn exits_are_read_where_they_are_wanted() {
    let model = model();
    for rule in firing().into_iter().filter(|rule| !rule.starts_with("fixed")) {
        let settings =
            Settings { exits: vec![2, 4], ..settings(&model, &rule, "recompute", "full") };
        let found = run(&model, &prompts(), &settings).exits.concat();
        assert!(found.iter().all(|exit| [2, 4, LAYERS].contains(exit)), "{rule}: {found:?}");
    }
    let first: Vec<usize> = run(&model, &prompts(), &settings(&model, "fixed:1", "copy", "full"))
        .exits
        .iter()
        .flat_map(|exits| exits.iter().take(2).copied())
        .collect();
    assert!(first.iter().all(|&exit| exit == LAYERS), "the first two never leave");
}

/// Keeps the ideal exit of every token.
#[derive(Default)]
struct IdealExits(Vec<Vec<usize>>);

impl Watcher for IdealExits {
    fn wants_signals(&self) -> bool {
        true
    }

    fn token(
        &mut self,
        row: usize,
        _token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        self.0.resize(self.0.len().max(row + 1), Vec::new());
        let said: Vec<u32> = signals.unwrap().iter().map(|(signal, _)| signal.prediction).collect();
        self.0[row].push(ee_models::signal::ideal_exit(&said));
        ControlFlow::Continue(())
    }
}

#[test]
fn ideal_exits_without_effect_are_those_of_a_trace() {
    let model = model();
    let mut traced = IdealExits::default();
    let tokens = generate(&model, &prompts(), &options(), &mut traced).unwrap();
    let settings = Settings { min_tokens: 0, ..settings(&model, "ideal", "full", "full") };
    let found = run(&model, &prompts(), &settings);
    // The first token never leaves, under `full` as under every policy.
    let mut expected = traced.0;
    assert!(expected.iter().any(|exits| exits[0] < LAYERS));
    expected.iter_mut().for_each(|exits| exits[0] = LAYERS);
    assert_eq!((found.exits, found.tokens), (expected, tokens.clone()));
    // Exact keys and values under exits that take effect: the same tokens, and after the first the same exits.
    let exact = Settings { policy: policy::by_name("deferred").unwrap(), ..settings };
    assert_eq!(run(&model, &prompts(), &exact).tokens, tokens);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let model = model();
    let message = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&model, "confidence:0.4", "recompute", "full");
        change(&mut settings);
        settings.check(&model).unwrap_err().to_string()
    };
    assert!(message(&|settings| settings.exits = vec![5]).contains("before the last, 5"));
    assert!(message(&|settings| settings.exits = vec![3, 2]).contains("rising"));
    assert!(message(&|settings| settings.head = "gate".parse().unwrap()).contains("asks the head"));
    let unfitted = message(&|settings| {
        settings.rule = "learned:0.5".parse().unwrap();
        settings.fitted = None;
    });
    assert!(unfitted.contains("--gate-file"), "{unfitted}");
    assert!(message(&|settings| settings.rule = "fixed:6".parse().unwrap()).contains("1 to 5"));
}
