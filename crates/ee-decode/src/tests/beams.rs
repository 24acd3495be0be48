//! Beams on a decoder that reads its prompts itself.

use ee_models::Decoder;

use super::{models, prompts};
use crate::beam::{BeamOptions, Hypothesis, RULES, beams, by_name};
use crate::generate::{Unwatched, generate, generate_from};
use crate::sample::{LAYERS, NEW, VOCABULARY, model, options};

fn beam(size: usize, rule: &str) -> BeamOptions {
    let options = BeamOptions::new(size, by_name(rule).unwrap(), NEW, options().ends);
    BeamOptions { n_best: size, ..options }
}

fn found(model: &dyn Decoder, prompts: &[Vec<u32>], options: &BeamOptions) -> Vec<Vec<Hypothesis>> {
    beams(model, prompts, options).unwrap()
}

/// Σ log p of a text by the model's logits of the whole text.
fn sum_of(model: &dyn Decoder, prompt: &[u32], tokens: &[u32]) -> f64 {
    (0..tokens.len())
        .map(|at| {
            let text = [prompt, &tokens[..at]].concat();
            let n = text.len();
            let batch = ee_models::Batch::new(text, vec![0; n], vec![n], n).unwrap();
            let logits = model.exit_logits(&batch).narrow(0, LAYERS - 1, 1);
            let logits: Vec<f32> = logits.into_data().try_into_vec().unwrap();
            let total: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
            f64::from(logits[tokens[at] as usize]) - total.ln()
        })
        .sum()
}

#[test]
fn a_beam_of_one_is_greedy() {
    let model = model();
    let greedy = generate(&model, &prompts(), &options(), &mut Unwatched).unwrap();
    let greedily = beam(1, "transformers:true");
    let best = found(&model, &prompts(), &greedily);
    assert_eq!(best.iter().map(|best| best[0].tokens.clone()).collect::<Vec<_>>(), greedy);
    let cut = generate_from(&model, 2, &prompts(), &options(), &mut Unwatched).unwrap();
    assert_ne!(cut, greedy);
    let options = BeamOptions { depth: Some(2), ..greedily };
    let best = found(&model, &prompts(), &options);
    assert_eq!(best.iter().map(|best| best[0].tokens.clone()).collect::<Vec<_>>(), cut);
}

#[test]
fn scores_are_sums_of_log_probabilities_by_length_and_texts_differ() {
    let model = model();
    for rule in RULES {
        for penalty in [-0.5, 0.0, 1.0, 2.0] {
            let options = BeamOptions { length_penalty: penalty, ..beam(4, rule.name()) };
            for (prompt, best) in prompts().iter().zip(found(&model, &prompts(), &options)) {
                assert_eq!(best.len(), 4);
                assert!(best.is_sorted_by(|a, b| a.score >= b.score));
                for (at, Hypothesis { tokens, score }) in best.iter().enumerate() {
                    let expected =
                        sum_of(&model, prompt, tokens) / (tokens.len() as f64).powf(penalty);
                    let error = (score - expected).abs();
                    assert!(error < 1e-4 * expected.abs().max(1.0), "{score} for {expected}");
                    assert!(best[..at].iter().all(|other| other.tokens != *tokens));
                }
            }
        }
    }
}

#[test]
fn nothing_depends_on_the_batch() {
    for model in models() {
        let model = &*model;
        let prompts: Vec<Vec<u32>> =
            (0..16).map(|at| crate::sample::prompt(1 + at % 7, at)).collect();
        for rule in RULES {
            for (size, min_new_tokens) in [(1, 0), (3, 2), (5, 4), (8, 0)] {
                let max_length = (size == 5).then_some((1.5, 5.0));
                let options = BeamOptions { min_new_tokens, max_length, ..beam(size, rule.name()) };
                let together = found(model, &prompts, &options);
                for (prompt, together) in prompts.iter().zip(together) {
                    let alone = found(model, std::slice::from_ref(prompt), &options).remove(0);
                    assert_eq!(alone, together, "{}, beam {size}", rule.name());
                    let ends = |tokens: &Vec<u32>| {
                        tokens.iter().position(|token| options.ends.contains(token))
                    };
                    for Hypothesis { tokens, .. } in &alone {
                        assert!(ends(tokens).is_none_or(|end| end + 1 == tokens.len()));
                        assert!(ends(tokens).is_none_or(|end| end >= min_new_tokens));
                        let most = if size == 5 { prompt.len() * 3 / 2 + 6 } else { NEW };
                        assert!(tokens.len() <= most);
                    }
                }
            }
        }
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let model = model();
    let message = |change: &dyn Fn(&mut BeamOptions)| {
        let mut options = beam(4, "fairseq");
        change(&mut options);
        beams(&model, &prompts(), &options).unwrap_err().to_string()
    };
    let refused = |part: &str, change: &dyn Fn(&mut BeamOptions)| {
        let message = message(change);
        assert!(message.contains(part), "{message}");
    };
    refused("a beam of 0", &|options| options.size = 0);
    refused("the best 5 of a beam of 4", &|options| options.n_best = 5);
    refused("the best 0", &|options| options.n_best = 0);
    refused("length penalty NaN", &|options| options.length_penalty = f64::NAN);
    refused("length penalty inf", &|options| options.length_penalty = f64::INFINITY);
    refused("patience 0", &|options| options.patience = 0.0);
    refused("waits for 2 alone", &|options| options.patience = 0.5);
    refused("knows no patience", &|options| {
        (options.rule, options.patience) = (by_name("transformers:never").unwrap(), 2.0);
    });
    refused("exit 6: expected 1 to 5", &|options| options.depth = Some(6));
    refused("exit 0", &|options| options.depth = Some(0));
    refused("needs a token that ends texts", &|options| options.ends.clear());
    refused("end token 60 is not in the vocabulary of 60", &|options| options.ends.push(60));
    refused("0 new tokens", &|options| options.max_new_tokens = 0);
    refused("prompt 0: at least 24 tokens before the end, and at most 23", &|options| {
        options.min_new_tokens = NEW;
    });
    refused("prompt 2: at least 5 tokens before the end, and at most 4", &|options| {
        (options.min_new_tokens, options.max_length) = (5, Some((1.0, 3.0)));
    });
    refused("longest length NaN", &|options| options.max_length = Some((f64::NAN, 3.0)));
    refused("longest length -1 · 7 + 3", &|options| options.max_length = Some((-1.0, 3.0)));
    // Two end tokens: three candidates each.
    refused(
        "a beam of 21 looks at 63 tokens in the first step; the vocabulary has 60",
        &|options| {
            options.size = 21;
        },
    );
    refused("a beam of 18446744073709551615", &|options| options.size = usize::MAX);
    let options = BeamOptions { size: 20, ..beam(4, "fairseq") };
    assert_eq!(model.vocabulary_size(), VOCABULARY);
    assert_eq!(beams(&model, &prompts()[..1], &options).unwrap()[0].len(), 4);
    assert!(beams(&model, &[], &options).unwrap().is_empty());
    let long = vec![1; 110];
    let error = beams(&model, &[long], &options).unwrap_err().to_string();
    assert!(error.contains("110 tokens and 24 new ones do not fit"), "{error}");
}

#[test]
fn patience_waits_for_more_hypotheses_or_for_fewer() {
    let model = model();
    let sum = |patience| {
        let options = BeamOptions { patience, n_best: 2, ..beam(4, "fairseq") };
        let best = found(&model, &prompts(), &options);
        best.iter().map(|best| best[0].score).sum::<f64>()
    };
    let (less, plain, more) = (sum(0.5), sum(1.0), sum(3.0));
    assert!(less <= plain && plain <= more && less < more, "{less}, {plain}, {more}");
}
