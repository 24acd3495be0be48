//! Drawn texts: the same in any batch, and distributed as plain decoding's.

use super::*;

const SAMPLING: Sampling = Sampling { temperature: 0.8, top_k: Some(4), top_p: None, seed: 9 };

fn drawn(
    model: &Llama,
    prompts: &[Vec<u32>],
    first: u64,
    new: usize,
    strategy: &mut Strategy,
) -> (Vec<Vec<u32>>, Tally) {
    let options = Options {
        choice: Choice::Sample(SAMPLING),
        first_number: first,
        ..options(new, Vec::new())
    };
    let found = speculated(model, prompts, &options, strategy);
    (found.texts, found.tally)
}

#[test]
fn drawn_texts_do_not_depend_on_the_batch() {
    let model = damped(80, 6, 2, 0.4, 1);
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let prompts = prompts(&mut random, 6, 12, 80);
    let mut fixed = fixed(2, 3);
    let (together, tally) = drawn(&model, &prompts, 0, 20, &mut fixed);
    for (row, together) in together.iter().enumerate() {
        let (single, _) = drawn(&model, &prompts[row..=row], row as u64, 20, &mut fixed);
        assert_eq!(&single[0], together, "prompt {row}");
    }
    assert!(tally.agreement().unwrap() > 0.2 && tally.agreement().unwrap() < 1.0);
}

#[test]
fn texts_of_encoder_decoders_follow_from_the_seed_and_not_from_the_batch() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    for (name, model) in PAIRS.into_iter().zip(pairs()) {
        let options = |first_number, seed| Options {
            choice: Choice::Sample(Sampling { seed, ..SAMPLING }),
            first_number,
            ..options(8, Vec::new())
        };
        let draw = |prompts: &[Vec<u32>], options: Options| {
            generate(&*model, prompts, &options, &mut Unwatched).unwrap()
        };
        let prompts = prompts(&mut random, 16, 10, model.prompt_vocabulary());
        let together = draw(&prompts, options(0, 9));
        assert_eq!(draw(&prompts, options(0, 9)), together, "{name}");
        assert_ne!(draw(&prompts, options(0, 10)), together, "{name}: another seed");
        for (row, text) in together.iter().enumerate() {
            let alone = draw(&prompts[row..=row], options(row as u64, 9));
            assert_eq!(&alone[0], text, "{name}, prompt {row}");
        }
    }
}

/// The probability of each next token under [`SAMPLING`], from a run of the whole text.
fn next(model: &dyn Decoder, prompt: &[u32], text: &[u32]) -> Vec<f64> {
    let batch = match model.opening() {
        [] => goldens::alone(&[prompt, text].concat()),
        opening => {
            goldens::alone(&[opening, text].concat()).with_source(goldens::alone(prompt)).unwrap()
        }
    };
    let last = model.exit_states(&batch, None).pop().unwrap();
    let logits = goldens::values(model.read(last, Rows::Many));
    let mut sorted = logits.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let weight = |&logit: &f32| {
        let logit = f64::from(logit);
        if logit < f64::from(sorted[3]) { 0.0 } else { (logit / SAMPLING.temperature).exp() }
    };
    let weights: Vec<f64> = logits.iter().map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// The value that χ² with this many degrees of freedom exceeds once in a million (Wilson & Hilferty 1931).
fn bound(freedom: usize) -> f64 {
    let k = freedom as f64;
    k * (1.0 - 2.0 / (9.0 * k) + 4.75 * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

/// Every continuation by this many tokens with its probability, in the order of their ids.
fn continuations(model: &dyn Decoder, prompt: &[u32], text: &[u32], tokens: usize) -> Vec<f64> {
    if tokens == 0 {
        return vec![1.0];
    }
    let of_token = |(id, probability): (usize, f64)| {
        if probability == 0.0 {
            return vec![0.0; model.vocabulary_size().pow(tokens as u32 - 1)];
        }
        let longer = [text, &[id as u32]].concat();
        continuations(model, prompt, &longer, tokens - 1).iter().map(|p| p * probability).collect()
    };
    next(model, prompt, text).into_iter().enumerate().flat_map(of_token).collect()
}

const TEXTS: usize = 40_960;

/// Draws [`TEXTS`] texts of this many tokens in rounds and compares how often each comes with how often it should.
fn check_distribution(
    model: &Llama,
    tokens: usize,
    batch: usize,
    strategy: &mut Strategy,
) -> Tally {
    let mut tally = Tally::default();
    compare(model, tokens, batch, |prompts, first| {
        let (texts, more) = drawn(model, prompts, first, tokens, strategy);
        tally.add(&more);
        texts
    });
    let agreement = tally.agreement().unwrap();
    println!("agreement {agreement}, {:?}", tally.plans);
    assert!(agreement > 0.3 && agreement < 0.9, "both rules are at work: {agreement}");
    tally
}

/// Compares how often `draw` gives each beginning of this many tokens with how often it should.
fn compare(
    model: &dyn Decoder,
    tokens: usize,
    batch: usize,
    mut draw: impl FnMut(&[Vec<u32>], u64) -> Vec<Vec<u32>>,
) {
    let prompt = vec![3, 1, 4];
    let vocabulary = model.vocabulary_size();
    let mut counts = vec![0.0; vocabulary.pow(tokens as u32)];
    for first in (0..TEXTS).step_by(batch) {
        for text in draw(&vec![prompt.clone(); batch], first as u64) {
            let cell = text[..tokens].iter().fold(0, |cell, &id| cell * vocabulary + id as usize);
            counts[cell] += 1.0;
        }
    }
    let (mut statistic, mut cells) = (0.0, 0_usize);
    // Cells that are expected fewer than five times count as one.
    let (mut few_expected, mut few_found) = (0.0, 0.0);
    for (found, probability) in counts.into_iter().zip(continuations(model, &prompt, &[], tokens)) {
        let expected = TEXTS as f64 * probability;
        if expected < 5.0 {
            few_expected += expected;
            few_found += found;
        } else {
            statistic += (found - expected).powi(2) / expected;
            cells += 1;
        }
    }
    if few_expected >= 5.0 {
        statistic += (few_found - few_expected).powi(2) / few_expected;
        cells += 1;
    } else {
        assert!(few_found < 30.0, "{few_found} texts of which {few_expected} are expected");
    }
    assert!(cells > 30, "{cells}");
    println!("{statistic} of at most {} with {cells} cells", bound(cells - 1));
    assert!(statistic < bound(cells - 1), "{statistic} with {cells} cells");
}

#[test]
fn tokens_of_encoder_decoders_have_the_exact_joint_distribution() {
    for (name, model) in PAIRS.into_iter().zip(pairs()) {
        println!("{name}");
        compare(&*model, 3, 512, |prompts, first_number| {
            // The last token may be one that the model forces.
            let options = Options {
                choice: Choice::Sample(SAMPLING),
                first_number,
                ..options(4, Vec::new())
            };
            generate(&*model, prompts, &options, &mut Unwatched).unwrap()
        });
    }
}

#[test]
fn three_drawn_tokens_have_the_exact_joint_distribution() {
    let model = damped(12, 4, 1, 0.5, 3);
    check_distribution(&model, 3, 256, &mut fixed(1, 2));
}

#[test]
fn drafts_of_any_length_leave_the_joint_distribution_exact() {
    // More layers make drafting pay, so that rounds draft and stop by how sure they are.
    let model = damped(12, 16, 1, 0.1, 3);
    let tally = check_distribution(&model, 4, 4, &mut adaptive(16));
    assert!(tally.plans.keys().any(|plan| plan.drafts > 0), "{:?}", tally.plans);
}
