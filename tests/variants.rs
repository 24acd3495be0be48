//! The models of tests/golden under other configurations, against transformers (variants.json, made by
//! scripts/goldens_variants.py): scalings of rotary positions, windows of some layers, keys that families
//! ignore, names of activation functions, a padding id in the text.

mod goldens;

use burn::tensor::Device;
use ee_decode::clock::Clock;
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_decode::speculate::{Plan, Strategy, speculate};
use ee_models::arch::bert::{self, Head};
use ee_models::arch::llama::Llama;
use ee_models::kernels::Rows;
use ee_models::{Block, Decoder, ExitModel};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::goldens::{Padded, values, whole};

/// Of logits of size 10; the worst measured over all variants is 3e-5.
const TOLERANCE: f32 = 2e-4;

#[derive(Deserialize)]
struct Variants {
    decoders: Vec<DecoderVariant>,
    encoders: Vec<EncoderVariant>,
}

#[derive(Deserialize)]
struct DecoderVariant {
    name: String,
    folder: String,
    grows: bool,
    config: Value,
    newer: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    continuation: Vec<u32>,
    positions: Vec<usize>,
    /// Of the text read whole, `[exit][position][token]`.
    logits: Vec<Vec<Vec<f32>>>,
    /// Of the last step of decoding with a cache, `[exit][token]`.
    last_step: Vec<Vec<f32>>,
}

impl Case {
    /// What is read before the last token is chosen.
    fn text(&self) -> Vec<u32> {
        [&self.prompt, &self.continuation[..self.continuation.len() - 1]].concat()
    }
}

#[derive(Deserialize)]
struct EncoderVariant {
    name: String,
    folder: String,
    config: Value,
    batch: Padded,
    /// `[exit][row][label]`
    logits: Vec<Vec<Vec<f32>>>,
}

fn variants() -> Variants {
    goldens::read("variants.json")
}

/// The weights of a folder under another configuration.
fn folder(weights: &str, config: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let name = "model.safetensors";
    std::fs::copy(goldens::folder(weights).join(name), folder.path().join(name)).unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn decoder(weights: &str, config: &Value) -> Llama {
    goldens::decoder(folder(weights, config).path()).model
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) -> f32 {
    let worst = goldens::worst(found, expected);
    assert!(worst <= TOLERANCE, "{what}: {worst:e}");
    worst
}

/// Logits of every exit at the last token, the text read in blocks of these widths.
fn in_blocks(model: &Llama, text: &[u32], widths: &[usize]) -> Vec<Vec<f32>> {
    let mut cache = model.empty_cache([0].into(), text.len());
    let (mut logits, mut start) = (Vec::new(), 0);
    for &width in widths {
        let rows = if start == 0 { Rows::Many } else { Rows::Few };
        let block = Block { width, start, padding: [0].into(), lengths: [width].into(), rows };
        let mut stream = model.embed_block(&text[start..start + width], &block);
        logits.clear();
        for index in 0..model.n_layers() {
            stream = model.layer_with(index, stream, cache.layer(index));
            logits.push(values(model.read(model.exit_state(&stream), Rows::Few)));
        }
        start += width;
    }
    logits
}

/// The same, the first `prompt` tokens read at once and the rest in steps.
fn stepwise(model: &Llama, text: &[u32], prompt: usize) -> Vec<Vec<f32>> {
    in_blocks(model, text, &[vec![prompt], vec![1; text.len() - prompt]].concat())
}

#[test]
fn decoders_equal_transformers_read_whole_and_step_by_step() {
    let mut worst: f32 = 0.0;
    for variant in variants().decoders {
        for config in [&variant.config, &variant.newer] {
            let model = decoder(&variant.folder, config);
            for case in &variant.cases {
                let text = case.text();
                let name = format!("{}, prompt of {}", variant.name, case.prompt.len());
                let found = whole(&model, &text, &case.positions);
                for (exit, (found, expected)) in found.iter().zip(&case.logits).enumerate() {
                    let what = format!("{name}, exit {} whole", exit + 1);
                    worst = worst.max(assert_close(found, &expected.concat(), &what));
                }
                let found = stepwise(&model, &text, case.prompt.len());
                for (exit, (found, expected)) in found.iter().zip(&case.last_step).enumerate() {
                    let what = format!("{name}, exit {} in steps", exit + 1);
                    worst = worst.max(assert_close(found, expected, &what));
                }
            }
        }
    }
    println!("largest difference {worst:e}");
}

#[test]
fn greedy_texts_equal_transformers_alone_in_a_batch_and_by_speculation() {
    for variant in variants().decoders {
        let model = decoder(&variant.folder, &variant.config);
        let prompts: Vec<Vec<u32>> = variant.cases.iter().map(|case| case.prompt.clone()).collect();
        let max_new_tokens = variant.cases[0].continuation.len();
        let options =
            Options { max_new_tokens, choice: Choice::Greedy, ends: Vec::new(), first_number: 0 };
        let together = generate(&model, &prompts, &options, &mut Unwatched).unwrap();
        for (row, case) in variant.cases.iter().enumerate() {
            let what = format!("{}, prompt {row}", variant.name);
            let alone = generate(&model, &prompts[row..=row], &options, &mut Unwatched).unwrap();
            assert_eq!(alone[0], case.continuation, "{what}");
            assert_eq!(together[row], case.continuation, "{what}, in a batch");
        }
        let way = (&mut Strategy::Fixed(Plan { exit: 1, drafts: 3 }), Clock::default());
        let found = speculate(&model, &prompts, &options, way, &mut Unwatched).unwrap();
        assert_eq!(found.texts, together, "{}, by speculation", variant.name);
    }
}

#[test]
fn blocks_change_no_bit_of_what_follows_a_prompt() {
    for variant in variants().decoders {
        let model = decoder(&variant.folder, &variant.config);
        let case = &variant.cases[0];
        let text = case.text();
        let (prompt, n) = (case.prompt.len(), text.len());
        let logits = in_blocks(&model, &text, &[prompt, 7, n - prompt - 7]);
        assert_eq!(logits, stepwise(&model, &text, prompt), "{}", variant.name);
        assert_eq!(variant.grows, variant.cases.len() > 1);
    }
}

#[test]
fn encoders_equal_transformers() {
    let mut worst: f32 = 0.0;
    for variant in variants().encoders {
        let EncoderVariant { name, folder: weights, config, batch, logits } = variant;
        let folder = folder(&weights, &config);
        let model = bert::load(folder.path(), &Head::Required, &Device::flex()).unwrap().model;
        let found = values(model.exit_logits(&batch.batch()));
        let expected: Vec<f32> = logits.concat().concat();
        worst = worst.max(assert_close(&found, &expected, &name));
    }
    println!("largest difference {worst:e}");
}
