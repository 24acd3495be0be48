//! Beams against transformers' `generate(num_beams=...)` and fairseq's `SequenceGenerator`.

mod goldens;

use std::collections::BTreeMap;

use burn::tensor::Device;
use ee_decode::beam::{BeamOptions, Hypothesis, beams, by_name};
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_models::Decoder;
use ee_models::arch;
use ee_models::checkpoint::Precision;
use serde::Deserialize;

/// A search by transformers or fairseq.
#[derive(Deserialize)]
struct Case {
    prompts: Vec<Vec<u32>>,
    size: usize,
    n_best: usize,
    rule: String,
    length_penalty: f64,
    min_new_tokens: usize,
    max_new_tokens: usize,
    max_length: Option<(f64, f64)>,
    ends: Vec<u32>,
    texts: Vec<Vec<Vec<u32>>>,
    scores: Vec<Vec<f64>>,
}

impl Case {
    fn options(&self) -> BeamOptions {
        BeamOptions {
            n_best: self.n_best,
            length_penalty: self.length_penalty,
            min_new_tokens: self.min_new_tokens,
            max_length: self.max_length,
            ..BeamOptions::new(
                self.size,
                by_name(&self.rule).unwrap(),
                self.max_new_tokens,
                self.ends.clone(),
            )
        }
    }
}

fn cases() -> BTreeMap<String, Vec<Case>> {
    goldens::read("beams.json")
}

fn model(name: &str) -> Box<dyn Decoder> {
    arch::decoder(&goldens::folder(name), Precision::Stored, &Device::flex()).unwrap().model
}

/// The worst difference seen is 4e-6.
const TOLERANCE: f64 = 2e-5;

#[test]
fn texts_and_scores_are_those_of_the_reference() {
    for (name, cases) in cases() {
        let model = model(&name);
        for (at, case) in cases.iter().enumerate() {
            let found = beams(&*model, &case.prompts, &case.options()).unwrap();
            for (row, found) in found.iter().enumerate() {
                let place = format!("{name}, case {at}: {}, prompt {row}", case.rule);
                let texts: Vec<_> = found.iter().map(|found| found.tokens.clone()).collect();
                assert_eq!(texts, case.texts[row], "{place}");
                for (Hypothesis { score, .. }, expected) in found.iter().zip(&case.scores[row]) {
                    let error = (score - expected).abs() / expected.abs().max(1.0);
                    assert!(error < TOLERANCE, "{place}: {score} for {expected}");
                }
            }
        }
    }
}

#[test]
fn a_prompt_alone_gives_the_same_bits() {
    for (name, cases) in cases() {
        let model = model(&name);
        // One batch of the prompts of many cases.
        let case = &cases[cases.len() / 2];
        let prompts: Vec<_> = cases.iter().flat_map(|case| case.prompts.clone()).take(16).collect();
        let longest = prompts.iter().map(Vec::len).max().unwrap();
        let options = BeamOptions { max_length: Some((1.0, 4.0)), ..case.options() };
        let options = BeamOptions { min_new_tokens: options.min_new_tokens.min(4), ..options };
        let together = beams(&*model, &prompts, &options).unwrap();
        for (prompt, together) in prompts.iter().zip(together) {
            let alone = beams(&*model, std::slice::from_ref(prompt), &options).unwrap().remove(0);
            assert_eq!(alone, together, "{name}");
        }
        assert!(prompts.iter().any(|prompt| prompt.len() < longest));
    }
}

#[test]
fn a_beam_of_one_is_greedy() {
    for (name, cases) in cases() {
        let (model, case) = (model(&name), &cases[0]);
        let greedy = Options {
            max_new_tokens: 12,
            choice: Choice::Greedy,
            ends: case.ends.clone(),
            first_number: 0,
        };
        let expected = generate(&*model, &case.prompts, &greedy, &mut Unwatched).unwrap();
        let rule = by_name("transformers:true").unwrap();
        let options = BeamOptions::new(1, rule, 12, case.ends.clone());
        let found = beams(&*model, &case.prompts, &options).unwrap();
        let found: Vec<_> = found.into_iter().map(|mut best| best.remove(0).tokens).collect();
        assert_eq!(found, expected, "{name}");
    }
}
