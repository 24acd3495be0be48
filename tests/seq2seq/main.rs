//! Encoder-decoders against transformers (tests/golden, made by scripts/goldens_seq2seq.py), and against
//! themselves: cached equals whole, batched equals alone, written equals read.

#[path = "../goldens/encoder_decoders.rs"]
mod encoder_decoders;
#[path = "../goldens/mod.rs"]
mod goldens;

mod files;
mod gradients;
mod new_models;

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ee_decode::generate::{Choice, Options, Unwatched, generate};
use ee_models::arch::seq2seq::{self, Loaded, Seq2Seq};
use ee_models::checkpoint::Precision;
use ee_models::kernels::Rows;
use ee_models::{Batch, Block, Decoder, ExitModel, Stream};
use serde::Deserialize;

pub(crate) use crate::encoder_decoders::{GOLDENS, GoldenBatch};
use crate::goldens::values;

/// Of logits of size 10; the worst measured is 1.6e-5.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) batch: GoldenBatch,
    /// `[exit][target][token]`
    logits: Vec<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Greedy {
    new_tokens: usize,
    sources: Vec<Vec<u32>>,
    texts: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Golden {
    #[serde(flatten)]
    case: Case,
    /// Texts that are longer than the distances that T5 tells apart one by one, or a padding token within a source.
    more: Option<Case>,
    greedy: Greedy,
    /// The texts of the same sources where a token follows the decoder's first.
    forced: Option<Forced>,
}

#[derive(Deserialize)]
struct Forced {
    token: u32,
    texts: Vec<Vec<u32>>,
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/golden.json"))
}

pub(crate) fn load(name: &str) -> Loaded {
    seq2seq::load(&goldens::folder(name), Precision::Stored, &Device::flex()).unwrap()
}

/// The logits of every exit at some places of a batch. Nothing is ruled out.
pub(crate) fn logits(model: &Seq2Seq, batch: &Batch, places: &[usize]) -> Vec<Vec<f32>> {
    let mut stream = ExitModel::embed(model, batch, None);
    (0..ExitModel::n_layers(model))
        .map(|index| {
            stream = ExitModel::layer(model, index, stream.clone());
            let state = model.head_state(stream.select(places), None);
            let [logits] = ee_models::kernels::project(state, [model.head_weight()], Rows::Many);
            values(logits)
        })
        .collect()
}

#[test]
fn logits_of_every_exit_equal_transformers() {
    let mut worst: f32 = 0.0;
    for name in GOLDENS {
        let loaded = load(name);
        let golden = golden(name);
        for (number, case) in std::iter::once(golden.case).chain(golden.more).enumerate() {
            let found = logits(&loaded.model, &case.batch.batch(), &case.batch.places());
            assert_eq!(found.len(), case.logits.len(), "{name}: exits");
            for (exit, (found, expected)) in found.iter().zip(&case.logits).enumerate() {
                let error = goldens::worst(found, &expected.concat());
                assert!(error <= TOLERANCE, "{name}, case {number}, exit {}: {error:e}", exit + 1);
                worst = worst.max(error);
            }
        }
    }
    println!("largest difference {worst:e}");
}

/// A source alone, and the decoder's tokens.
fn alone([source, text]: [&[u32]; 2]) -> Batch {
    goldens::alone(text).with_source(goldens::alone(source)).unwrap()
}

#[test]
fn padding_and_batching_change_no_bit() {
    for name in GOLDENS {
        let Loaded { model, .. } = load(name);
        let Golden { case, .. } = golden(name);
        let together = logits(&model, &case.batch.batch(), &case.batch.places());
        let mut at = 0;
        for row in 0..case.batch.input_ids.len() {
            let [source, text] = case.batch.row(row);
            let places: Vec<usize> = (0..text.len()).collect();
            let lonely = logits(&model, &alone([source, text]), &places);
            for (exit, lonely) in lonely.iter().enumerate() {
                let part = &together[exit][at..at + lonely.len()];
                assert_eq!(part, lonely, "{name}, row {row}, exit {}", exit + 1);
            }
            at += lonely[0].len();
        }
    }
}

/// A block of one token of each row at slot `start`.
fn step(rows: usize, start: usize) -> Block {
    Block {
        width: 1,
        start,
        padding: vec![0; rows].into(),
        lengths: vec![1; rows].into(),
        rows: Rows::Few,
    }
}

#[test]
fn stepwise_with_a_cache_equals_whole_and_rows_may_be_kept_twice() {
    for name in GOLDENS {
        let Loaded { model, .. } = load(name);
        let Golden { case, .. } = golden(name);
        // Two rows of one text each, and the second once more.
        let rows: Vec<[&[u32]; 2]> = [0, 1].map(|row| case.batch.row(row)).into();
        let width = rows.iter().map(|[_, text]| text.len()).min().unwrap();
        let prompts: Vec<Vec<u32>> = rows.iter().map(|[source, _]| source.to_vec()).collect();
        let padding: Arc<[usize]> = vec![0; 2].into();
        let mut cache = model.empty_cache(padding, width + 1);
        model.remember(&prompts, &mut cache);
        let mut order = vec![0, 1];
        for slot in 0..width {
            if slot == 1 {
                order = vec![1, 0, 1];
                cache.keep(&order);
            }
            let tokens: Vec<u32> = order.iter().map(|&row| rows[row][1][slot]).collect();
            let mut stream = model.embed_block(&tokens, &step(order.len(), slot));
            for index in 0..ExitModel::n_layers(&model) {
                stream = model.layer_with(index, stream, cache.layer(index));
                let state = model.head_state(stream.hidden.clone(), None);
                let [found] = ee_models::kernels::project(state, [model.head_weight()], Rows::Few);
                let found = values(found);
                let n = found.len() / order.len();
                for (at, &row) in order.iter().enumerate() {
                    let whole = &logits(&model, &alone(rows[row]), &[slot])[index];
                    let error = goldens::worst(&found[at * n..(at + 1) * n], whole);
                    assert!(error <= 2e-5, "{name}, slot {slot}, exit {}: {error:e}", index + 1);
                }
            }
        }
    }
}

#[test]
fn keys_and_values_written_alone_are_those_of_the_layer() {
    for name in ["marian-tiny", "t5-tiny"] {
        let Loaded { model, .. } = load(name);
        let Golden { case, .. } = golden(name);
        let [source, text] = case.batch.row(1);
        let begin = || {
            let mut cache = model.empty_cache(vec![0].into(), 2);
            model.remember(&[source.to_vec()], &mut cache);
            (cache, model.embed_block(&text[..1], &step(1, 0)))
        };
        let (mut whole, stream) = begin();
        model.layer_with(0, stream, whole.layer(0));
        let (mut written, stream) = begin();
        model.write_kv(0, &stream, written.layer(0));
        let numbers = |tensor: Tensor<2>| values(tensor);
        assert_eq!(numbers(whole.layer(0).key()), numbers(written.layer(0).key()), "{name}");
        assert_eq!(numbers(whole.layer(0).value()), numbers(written.layer(0).value()), "{name}");
    }
}

#[test]
fn greedy_texts_equal_transformers_alone_and_in_a_batch() {
    for name in GOLDENS {
        let Loaded { model, config, .. } = load(name);
        let Greedy { new_tokens, sources, texts } = golden(name).greedy;
        let options = Options {
            max_new_tokens: new_tokens,
            choice: Choice::Greedy,
            ends: config.tokens.special.ends.clone(),
            first_number: 0,
        };
        let together = generate(&model, &sources, &options, &mut Unwatched).unwrap();
        // A text of the longest length ends with what the files force, which the reference was told not to.
        let cut = |text: &[u32]| match config.tokens.forced_end {
            Some(_) if text.len() == new_tokens => text[..new_tokens - 1].to_vec(),
            _ => text.to_vec(),
        };
        for (row, text) in texts.iter().enumerate() {
            let alone = generate(&model, &sources[row..=row], &options, &mut Unwatched).unwrap();
            assert_eq!(cut(&alone[0]), cut(text), "{name}, source {row}");
            assert_eq!(together[row], alone[0], "{name}, source {row} in a batch");
        }
    }
}

#[test]
fn a_forced_beginning_is_part_of_what_texts_begin_with() {
    let Golden { greedy, forced, .. } = golden("mbart-tiny");
    let Forced { token, texts } = forced.unwrap();
    let Loaded { model, config, .. } =
        files::with("mbart-tiny", "forced_bos_token_id", token.into());
    assert_eq!(model.opening(), [5, token]);
    let options = Options {
        // The forced token counts as none.
        max_new_tokens: greedy.new_tokens - 1,
        choice: Choice::Greedy,
        ends: config.tokens.special.ends.clone(),
        first_number: 0,
    };
    let found = generate(&model, &greedy.sources, &options, &mut Unwatched).unwrap();
    for (found, expected) in found.iter().zip(&texts) {
        assert_eq!(expected[0], token);
        let last = if expected.len() == greedy.new_tokens { 1 } else { 0 };
        assert_eq!(found[..found.len() - last], expected[1..expected.len() - last]);
    }
    assert_ne!(texts, greedy.texts);
}

#[test]
fn what_is_never_generated_is_ruled_out_where_answers_are_chosen() {
    let Loaded { model, config, .. } = load("marian-tiny");
    assert_eq!(config.tokens.never, [39]);
    assert_eq!(model.opening(), [39]);
    assert_eq!(model.forced_end(), Some(0));
    let case = golden("marian-tiny").case;
    let stream: Stream = ExitModel::embed(&model, &case.batch.batch(), None);
    let state = stream.select(&[0]);
    let read = values(model.read(state.clone(), Rows::Many));
    let [real] = ee_models::kernels::project(
        model.head_state(state, None),
        [model.head_weight()],
        Rows::Many,
    );
    let real = values(real);
    assert_eq!(read[..39], real[..39]);
    assert!(read[39] < -1e29 && real[39].abs() < 100.0, "{} {}", read[39], real[39]);
}
