//! The contract of predictions: a gate leaves, by a trace and the numbers of its texts' states, where decoding
//! really leaves.

use std::ops::ControlFlow;
use std::sync::Arc;

use ee_decode::clock::Clock;
use ee_decode::gates::{self, GATES, STATE_GATES};
use ee_decode::generate::{Options, Unwatched, Watcher, generate};
use ee_decode::policy::by_name;
use ee_decode::sample::{LAYERS, NEW, VOCABULARY, model, options, pair, prompt};
use ee_decode::{Settings, decode};
use ee_models::Decoder;
use ee_models::gate::LinearGate;
use ee_models::signal::{Agreement, Signal};

use super::*;
use crate::interrupt::Interrupt;
use crate::trace::{ExitColumns, sample};

fn prompts() -> Vec<Vec<u32>> {
    (1..=16).map(|seed| prompt(1 + seed * 7 % 13 + seed / 16 * 30, seed)).collect()
}

/// Keeps what every exit says about every token.
#[derive(Default)]
struct Recorder(Vec<Vec<Token>>);

/// A token and what every exit says about it.
type Token = (u32, Vec<(Signal, Agreement)>);

impl Watcher for Recorder {
    fn wants_signals(&self) -> bool {
        true
    }

    fn token(
        &mut self,
        row: usize,
        token: u32,
        signals: Option<&[(Signal, Agreement)]>,
    ) -> ControlFlow<()> {
        self.0.resize(self.0.len().max(row + 1), Vec::new());
        self.0[row].push((token, signals.unwrap().to_vec()));
        ControlFlow::Continue(())
    }
}

/// The model's greedy texts as a trace.
fn traced(model: &dyn Decoder) -> Trace {
    let mut recorder = Recorder::default();
    generate(model, &prompts(), &options(), &mut recorder).unwrap();
    let tokens = recorder.0.concat();
    let mut signals = ExitColumns::default();
    for (signal, agreement) in tokens.iter().flat_map(|(_, exits)| exits.clone()) {
        signals.push(signal, agreement);
    }
    let trace = Trace {
        facts: sample::facts(tokens.len(), LAYERS, VOCABULARY),
        example: vec![],
        position: vec![],
        gold: tokens.iter().map(|(token, _)| *token).collect(),
        prompt_tokens: vec![],
        signals,
    };
    let lengths: Vec<u32> = recorder.0.iter().map(|text| text.len() as u32).collect();
    let mut trace = sample::as_text(trace, &lengths);
    let facts = trace.facts.generation.as_mut().unwrap();
    facts.max_new_tokens = NEW;
    facts.encoder_layers = model.encoder().map(|encoder| encoder.n_layers());
    let of_prompt = |&example: &u32| prompts()[example as usize].len() as u32;
    trace.prompt_tokens = trace.example.iter().map(of_prompt).collect();
    trace
}

fn fitted(model: &dyn Decoder) -> Arc<LinearGate> {
    let weight = model.head_weight().matrix.narrow(0, 0, LAYERS);
    Arc::new(LinearGate::new(weight, vec![0.3; LAYERS]))
}

fn observed(model: &dyn Decoder, trace: &Trace) -> StateNumbers {
    let gate = fitted(model);
    let gates = (STATE_GATES, Some(&*gate));
    StateNumbers::observe(model, trace, &prompts(), gates, &Interrupt::default()).unwrap()
}

fn settings(model: &dyn Decoder, rule: ExitRule, exits: &[usize], policy: &str) -> Settings {
    Settings {
        rule,
        policy: by_name(policy).unwrap(),
        head: "full".parse().unwrap(),
        exits: exits.to_vec(),
        min_tokens: 2,
        fitted: Some(fitted(model)),
    }
}

/// Every gate, still and decaying, at a threshold at which some of these tokens leave and others do not.
fn rules() -> Vec<ExitRule> {
    let threshold = |name| match name {
        "patience" => "1",
        "entropy" => "2.0",
        "margin" => "0.2",
        "confidence" => "0.4",
        "cosine" => "0.5",
        "learned" => "0.6",
        other => panic!("a threshold for {other}"),
    };
    let typed = gates::all().flat_map(|gate| {
        let still = format!("{}:{}", gate.name(), threshold(gate.name()));
        [still.clone(), still + "@decay"]
    });
    typed.map(|rule| rule.parse().unwrap()).collect()
}

#[test]
fn tokens_leave_as_predicted() {
    // Some tokens leave and others do not, of every rule, at either set of exits.
    assert_eq!(leave_as_predicted(&model(), 2), [2 * rules().len(), 0]);
}

#[test]
fn behind_an_encoder_the_first_tokens_leave_as_predicted() {
    let [split, first] = leave_as_predicted(&pair(), 0);
    assert!(split > 8 && first > 8, "{split} settings, {first} first tokens by their states");
}

/// In how many settings some tokens leave and others do not, and how many first tokens gates on states let leave.
fn leave_as_predicted(model: &dyn Decoder, min_tokens: usize) -> [usize; 2] {
    let (mut split, mut first) = (0, 0);
    let trace = traced(model);
    let states = observed(model, &trace);
    assert!(trace.rows() > 100 && trace.rows() < NEW * prompts().len());
    for exits in [vec![1, 2, 3, 4], vec![2, 4]] {
        let watched = Watched::new(&trace, &exits, min_tokens).unwrap().with_states(Some(&states));
        for rule in rules() {
            let predicted = watched.exits(rule);
            let live = |policy| {
                let settings = Settings { min_tokens, ..settings(model, rule, &exits, policy) };
                decode(model, &prompts(), &options(), (&settings, Clock::default()), &mut Unwatched)
                    .unwrap()
            };
            // Exits that take no effect: every token.
            let full = live("full");
            assert_eq!(full.exits.concat(), predicted, "{rule} at {exits:?}");
            let different = predicted.iter().filter(|&&exit| exit < LAYERS).count();
            split += usize::from(different > 5 && different < trace.rows() - 10);
            if rule.gate().is_some_and(|(open, _)| open.gate.is_on_states()) {
                first += full.exits.iter().filter(|exits| exits[0] < LAYERS).count();
            }
            // Exits that do: up to the first token that leaves.
            for policy in ["deferred", "recompute", "copy"] {
                for (ours, full) in live(policy).exits.iter().zip(&full.exits) {
                    let left = full.iter().position(|&exit| exit < LAYERS);
                    let same = left.map_or(full.len(), |at| at + 1);
                    assert_eq!(ours[..same], full[..same], "{rule} with {policy}");
                }
            }
        }
    }
    [split, first]
}

#[test]
fn thresholds_that_decay_depend_on_the_longest_text() {
    let model = model();
    let trace = traced(&model);
    let exits = |limit| {
        let watched = Watched::new(&trace, &[1, 2, 3, 4], 2).unwrap().up_to(limit);
        watched.exits("confidence:0.4@decay".parse().unwrap())
    };
    let settings = settings(&model, "confidence:0.4@decay".parse().unwrap(), &[1, 2, 3, 4], "full");
    let options = Options { max_new_tokens: 80, ..options() };
    let found = decode(&model, &prompts(), &options, (&settings, Clock::default()), &mut Unwatched)
        .unwrap();
    let mut rows = exits(80).into_iter();
    for (text, rows_of) in found.exits.iter().zip(crate::certify::examples(&trace)) {
        let predicted: Vec<usize> = rows.by_ref().take(rows_of.len()).collect();
        assert_eq!(text[..predicted.len()], predicted);
    }
    assert_ne!(exits(80), exits(NEW));
}

#[test]
fn thresholds_of_gates_on_states_are_the_best_of_all_that_keep_enough() {
    let model = model();
    let trace = traced(&model);
    let states = observed(&model, &trace);
    let watched = Watched::new(&trace, &[1, 2, 3, 4], 2).unwrap().with_states(Some(&states));
    let may = watched.may_leave();
    let rows: Vec<usize> = (0..trace.rows()).filter(|&row| may[row]).collect();
    let kept = |exits: &[usize]| {
        let exits: Vec<usize> = rows.iter().map(|&row| exits[row]).collect();
        equal_share(&trace.select(&rows), &exits)
    };
    for &gate in STATE_GATES {
        for decays in [false, true] {
            let open = OpenRule { gate, decays };
            let found = watched.keeping(open, 0.5).unwrap();
            let average = watched.judge(found).average_exit;
            assert!(kept(&watched.exits(found)) >= 0.5 && average < LAYERS as f64, "{found}");
            let range = open.scale(ExitSpace { layers: LAYERS, labels: VOCABULARY }).range;
            for step in 0..=400 {
                let threshold = range.never + (range.always - range.never) * step as f32 / 400.0;
                let exits = watched.exits(open.at(threshold));
                assert!(kept(&exits) < 0.5 || oracle::average(&exits) >= average - 1e-9, "{found}");
            }
            // Nothing is known of them without their numbers.
            let blind = Watched::new(&trace, &[1, 2, 3, 4], 2).unwrap();
            assert!(blind.keeping(open, 0.5).is_none());
        }
    }
}

#[test]
fn prompts_of_other_texts_are_refused() {
    let model = model();
    let trace = traced(&model);
    let gate = fitted(&model);
    let observe = |prompts: &[Vec<u32>]| {
        let gates = (STATE_GATES, Some(&*gate));
        StateNumbers::observe(&model, &trace, prompts, gates, &Interrupt::default())
    };
    let mut other = prompts();
    other[1].push(4);
    let error = observe(&other).unwrap_err().to_string();
    // 1 + 14 mod 13 tokens, and one more.
    assert!(error.contains("`prompt_tokens` is 2") && error.contains("3 here"), "{error}");
    assert!(observe(&prompts()[1..]).unwrap_err().to_string().contains("`examples`"));
}

#[test]
fn gates_know_only_the_exits_they_read_and_the_tokens_that_may_leave() {
    // One text of four tokens, four exits; every signal is as sure as can be.
    let rows: [&[u32]; 4] = [&[1, 1, 1, 2], &[3, 4, 4, 4], &[5, 6, 6, 6], &[8, 8, 7, 8]];
    let trace = sample::as_text(sample::of_predictions(&rows, &[0; 4], 9), &[4]);
    let watched = Watched::new(&trace, &[2, 4], 2).unwrap();
    let sure: ExitRule = "confidence:0.5".parse().unwrap();
    // Positions 2 and 3 leave at the first exit read, 2.
    assert_eq!(watched.exits(sure), [4, 4, 2, 2]);
    assert_eq!(watched.may_leave(), [false, false, true, true]);
    let judged = watched.judge(sure);
    assert_eq!((judged.average_exit, judged.equal_share), (3.0, 1.0));
    // Ideal exits 2 and 1.
    assert_eq!((judged.distance, judged.premature, judged.late), (0.5, 0.0, 0.5));
    let first = Watched::new(&trace, &[1, 2, 3], 0).unwrap();
    assert_eq!(first.exits(sure), [4, 1, 1, 1]);
    assert_eq!(first.judge(sure).equal_share, 0.5);
    assert!(Watched::new(&trace, &[1], 4).is_err());
    assert_eq!(agreement_per_exit(&trace), [0.25, 0.75, 0.5, 1.0]);
}

#[test]
fn thresholds_are_the_best_of_all_that_keep_enough() {
    let trace = sample::generated(&[9, 12, 7, 14], 6, 8, 3);
    let watched = Watched::new(&trace, &[2, 3, 5], 3).unwrap();
    let kept = |exits: &[usize]| {
        let may = watched.may_leave();
        let rows: Vec<usize> = (0..trace.rows()).filter(|&row| may[row]).collect();
        let exits: Vec<usize> = rows.iter().map(|&row| exits[row]).collect();
        equal_share(&trace.select(&rows), &exits)
    };
    let mut found_any = [0, 0];
    for (gate, decays) in signals() {
        let open = OpenRule { gate, decays };
        let Some(found) = watched.keeping(open, 0.7) else { continue };
        found_any[usize::from(decays)] += 1;
        assert!(kept(&watched.exits(found)) >= 0.7, "{found}");
        // A little looser, one token more leaves: too few are kept, or nothing is shallower.
        let range = open.scale(ExitSpace { layers: 4, labels: 8 }).range;
        for step in 0..=400 {
            let threshold = range.never + (range.always - range.never) * step as f32 / 400.0;
            let exits = watched.exits(open.at(threshold));
            if kept(&exits) >= 0.7 {
                let average = oracle::average(&exits);
                assert!(average >= watched.judge(found).average_exit - 1e-9, "{found}");
            }
        }
    }
    assert!(found_any[0] > 1 && found_any[1] > 1, "{found_any:?}");
}

/// Every gate on signals, still and decaying.
fn signals() -> impl Iterator<Item = (&'static dyn Gate, bool)> {
    let gates = GATES.iter().copied();
    gates.flat_map(|gate| [(gate, false), (gate, true)])
}
