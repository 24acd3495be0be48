//! Contracts of the loop, over every rule, policy and head there is.

mod beams;
mod steps;

use std::ops::ControlFlow;

use crate::generate::{Unwatched, Watcher, generate};
use ee_models::Decoder;
use ee_models::gate::LinearGate;
use ee_models::signal::{Agreement, Signal};

use super::clock::Clock;
use super::gates::{self, Comparison, ExitSpace, Range};
use super::head::HEADS;
use super::policy::{self, POLICIES};
use super::rule::{IDEAL, NONE};
use super::sample::{LAYERS, NEW, VOCABULARY, model, options, pair, prompt};
use super::*;

fn prompts() -> Vec<Vec<u32>> {
    [(7, 1), (3, 2), (1, 3), (7, 4)].map(|(n, seed)| prompt(n, seed)).to_vec()
}

/// One that reads its prompts itself, and one with an encoder.
fn models() -> [Box<dyn Decoder>; 2] {
    [Box::new(model()), Box::new(pair())]
}

/// Whether the first token may leave.
fn is_pair(model: &dyn Decoder) -> bool {
    model.encoder().is_some()
}

/// Where an encoder reads the prompts, all tokens may leave, else those after the second.
fn settings(model: &dyn Decoder, rule: &str, policy: &str, head: &str) -> Settings {
    let weight = model.head_weight().matrix.narrow(0, 0, LAYERS);
    Settings {
        rule: rule.parse().unwrap(),
        policy: policy::by_name(policy).unwrap(),
        head: head.parse().unwrap(),
        exits: (1..LAYERS).collect(),
        min_tokens: if is_pair(model) { 0 } else { 2 },
        fitted: Some(std::sync::Arc::new(LinearGate::new(weight, vec![0.3; LAYERS]))),
    }
}

/// Every rule, gates at a threshold at which some tokens leave early, at different exits where that can be.
fn firing(model: &dyn Decoder) -> Vec<String> {
    let gates = gates::all_rules().map(|gate| {
        let Range { never, always } = gate.range(ExitSpace { layers: LAYERS, labels: VOCABULARY });
        let typed = (12..=20).map(|step| {
            let threshold = never + (always - never) * step as f32 / 20.0;
            let is_whole = gate.comparison() == Comparison::AtLeast;
            format!("{}:{}", gate.name(), if is_whole { threshold.floor() } else { threshold })
        });
        let exits = |rule: &String| {
            let settings = settings(model, rule, "full", "full");
            let exits = goes(&settings, model).then(|| run(model, &prompts(), &settings).exits);
            exits.unwrap_or_default().concat()
        };
        let fires = |rule: &String| exits(rule).iter().any(|&exit| exit < LAYERS - 1);
        let typed: Vec<String> = typed.collect();
        typed.iter().find(|rule| fires(rule)).expect("a gate fires at some threshold").clone()
    });
    [NONE, IDEAL].into_iter().map(str::to_owned).chain(gates).collect()
}

fn heads() -> Vec<String> {
    let number = |has| if has { ":8" } else { "" };
    HEADS.iter().map(|head| format!("{}{}", head.name(), number(head.has_number()))).collect()
}

fn run(model: &dyn Decoder, prompts: &[Vec<u32>], settings: &Settings) -> Decoded {
    decode(model, prompts, &options(), (settings, Clock::new(model.device())), &mut Unwatched)
        .unwrap()
}

/// Whether the rule fits the head.
fn goes(settings: &Settings, model: &dyn Decoder) -> bool {
    settings.check(model).is_ok()
}

#[test]
fn where_no_gate_fires_every_policy_is_plain_decoding() {
    for model in models() {
        let model = &*model;
        let plain = generate(model, &prompts(), &options(), &mut Unwatched).unwrap();
        assert!(
            plain.iter().any(|text| text.len() < NEW) && plain.iter().any(|text| text.len() == NEW)
        );
        for policy in POLICIES {
            for head in heads() {
                for rule in ["none", "fixed:5", "confidence:0.999999", "cosine:0.999999"] {
                    let settings = settings(model, rule, policy.name(), &head);
                    if !goes(&settings, model) {
                        continue;
                    }
                    let found = run(model, &prompts(), &settings);
                    assert_eq!(found.tokens, plain, "{rule}, {}, {head}", policy.name());
                    assert!(found.exits.concat().iter().all(|&exit| exit == LAYERS));
                }
            }
        }
    }
}

#[test]
fn rows_of_a_batch_leave_as_if_alone() {
    let mut different = 0;
    for model in models() {
        let model = &*model;
        for policy in POLICIES {
            for head in heads() {
                for rule in firing(model) {
                    let settings = settings(model, &rule, policy.name(), &head);
                    if !goes(&settings, model) {
                        continue;
                    }
                    let together = run(model, &prompts(), &settings);
                    for (row, prompt) in prompts().into_iter().enumerate() {
                        let alone = run(model, &[prompt], &settings);
                        let name = format!("{rule}, {}, {head}, row {row}", policy.name());
                        assert_eq!(alone.exits[0], together.exits[row], "{name}");
                        assert_eq!(alone.tokens[0], together.tokens[row], "{name}");
                    }
                    let exits = together.exits.concat();
                    assert!(
                        rule == "none" || exits.iter().any(|&exit| exit < LAYERS),
                        "{rule} fires"
                    );
                    different += usize::from(exits.iter().any(|&exit| exit != exits[0]));
                }
            }
        }
    }
    assert!(different > 80, "{different} settings let rows leave at different exits");
}

#[test]
fn a_pruned_head_leaves_only_where_the_whole_head_would() {
    for model in models() {
        let model = &*model;
        for rule in ["confidence:0.4", "margin:0.2", "patience:1"] {
            let whole = settings(model, rule, "full", "full");
            let full = run(model, &prompts(), &whole);
            // All outputs are candidates: nothing is lost.
            let all = settings(model, rule, "full", &format!("pruned:{VOCABULARY}"));
            assert_eq!(run(model, &prompts(), &all).exits, full.exits, "{rule}");
            let few = run(model, &prompts(), &settings(model, rule, "full", "pruned:4"));
            assert_eq!(few.tokens, full.tokens);
            let later =
                few.exits.concat().iter().zip(full.exits.concat()).all(|(few, full)| *few >= full);
            assert!(
                rule == "patience:1" || later,
                "{rule}: confirmed means the whole head would have left"
            );
        }
    }
}

#[test]
fn a_gate_leaves_last_at_one_end_first_at_the_other_and_is_monotone_between() {
    for model in models() {
        let model = &*model;
        let gates = ["confidence", "margin", "cosine", "learned"].map(|name| (name, 1.0, -1.001));
        for (name, never, always) in gates.into_iter().chain([("entropy", 0.0, 4.2)]) {
            // The first token never leaves, unless there is an encoder.
            let mut before = vec![LAYERS + 1; prompts().len() * (NEW - 1)];
            for step in 0..=10 {
                let threshold = never + (always - never) * step as f32 / 10.0;
                let rule = format!("{name}:{threshold}");
                // Tokens do not depend on exits that take no effect; a threshold that never fires is refused.
                let settings = Settings { min_tokens: 0, ..settings(model, &rule, "full", "full") };
                if step == 0 {
                    assert!(!goes(&settings, model), "{rule}");
                    continue;
                }
                let exits = run(model, &prompts(), &settings).exits;
                let now: Vec<usize> = exits.iter().flat_map(|exits| exits[1..].to_vec()).collect();
                assert!(now.iter().zip(&before).all(|(now, before)| now <= before), "{rule}");
                before = now;
            }
            assert!(before.iter().all(|&exit| exit == 1), "{name}");
        }
    }
}

#[test]
fn exits_are_read_where_they_are_wanted() {
    for model in models() {
        let model = &*model;
        for rule in firing(model).into_iter().filter(|rule| !rule.starts_with("fixed")) {
            let settings =
                Settings { exits: vec![2, 4], ..settings(model, &rule, "recompute", "full") };
            let found = run(model, &prompts(), &settings).exits.concat();
            assert!(found.iter().all(|exit| [2, 4, LAYERS].contains(exit)), "{rule}: {found:?}");
        }
        let first: Vec<usize> = run(model, &prompts(), &settings(model, "fixed:1", "copy", "full"))
            .exits
            .iter()
            .flat_map(|exits| exits.iter().take(2).copied())
            .collect();
        let expected = if is_pair(model) { 1 } else { LAYERS };
        assert!(first.iter().all(|&exit| exit == expected), "where the first two leave");
    }
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
    for model in models() {
        let model = &*model;
        let mut traced = IdealExits::default();
        let tokens = generate(model, &prompts(), &options(), &mut traced).unwrap();
        let settings = Settings { min_tokens: 0, ..settings(model, "ideal", "full", "full") };
        let found = run(model, &prompts(), &settings);
        // A prompt's token never leaves, under `full` as under every policy.
        let mut expected = traced.0;
        assert!(expected.iter().any(|exits| exits[0] < LAYERS));
        if !is_pair(model) {
            expected.iter_mut().for_each(|exits| exits[0] = LAYERS);
        }
        assert_eq!((found.exits, found.tokens), (expected, tokens.clone()));
        // Exact keys and values under exits that take effect: the same tokens, and after the first the same exits.
        let exact = Settings { policy: policy::by_name("deferred").unwrap(), ..settings };
        assert_eq!(run(model, &prompts(), &exact).tokens, tokens);
    }
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
