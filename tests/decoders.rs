//! Decoders against transformers (tests/golden, made by scripts/goldens_decoders.py), and against
//! themselves: cached equals whole, batched equals alone.

mod goldens;

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ee_decode::generate::{Choice, Options, Sampling, Unwatched, Watcher, generate};
use ee_models::arch::llama::{self, LLAMA, Llama, LlamaConfig, LlamaSizes, Loaded};
use ee_models::checkpoint::{Precision, Weights, save};
use ee_models::kernels::Rows;
use ee_models::signal::{Agreement, Signal, Signals};
use ee_models::{Batch, Block, Decoder, ExitModel};
use serde::Deserialize;

use crate::goldens::{values, whole};

const GOLDENS: [&str; 6] =
    ["llama-tiny", "llama3-tiny", "llama-linear-tiny", "qwen2-tiny", "mistral-tiny", "qwen3-tiny"];

/// Of logits of size 10; the worst measured against transformers is stated in `logits_of_every_exit`.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: Vec<u32>,
    continuation: Vec<u32>,
    exit_predictions: Vec<Vec<u32>>,
    positions: Vec<usize>,
    logits: Vec<Vec<Vec<f32>>>,
}

fn golden(name: &str) -> Golden {
    goldens::read(&format!("{name}/golden.json"))
}

fn load(name: &str) -> Loaded {
    goldens::decoder(&goldens::folder(name))
}

/// Greedy, with the ends that the checkpoint states.
fn options(loaded: &Loaded, max_new_tokens: usize) -> Options {
    Options {
        max_new_tokens,
        choice: Choice::Greedy,
        ends: loaded.config.special.ends.clone(),
        first_number: 0,
    }
}

#[test]
fn logits_of_every_exit_equal_transformers() {
    let mut worst: f32 = 0.0;
    for name in GOLDENS {
        let loaded = load(name);
        for case in golden(name).cases {
            let text = [case.prompt.clone(), case.continuation.clone()].concat();
            let found = whole(&loaded.model, &text, &case.positions);
            for (exit, (found, expected)) in found.iter().zip(&case.logits).enumerate() {
                let error = goldens::worst(found, &expected.concat());
                assert!(error <= TOLERANCE, "{name}, exit {}: {error:e}", exit + 1);
                worst = worst.max(error);
            }
        }
    }
    println!("largest difference {worst:e}");
}

/// Keeps the predictions of every exit.
#[derive(Default)]
struct Predictions(Vec<Vec<Vec<u32>>>);

impl Watcher for Predictions {
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
        self.0[row].push(signals.unwrap().iter().map(|(signal, _)| signal.prediction).collect());
        ControlFlow::Continue(())
    }
}

#[test]
fn greedy_continuations_equal_transformers_alone_and_in_a_batch() {
    for name in GOLDENS {
        let loaded = load(name);
        let cases = golden(name).cases;
        let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.prompt.clone()).collect();
        let mut together = Predictions::default();
        let batched =
            generate(&loaded.model, &prompts, &options(&loaded, 64), &mut together).unwrap();
        for (row, case) in cases.iter().enumerate() {
            let prompt = &prompts[row..=row];
            let mut watcher = Predictions::default();
            let alone =
                generate(&loaded.model, prompt, &options(&loaded, 64), &mut watcher).unwrap();
            assert_eq!(alone[0], case.continuation, "{name}, prompt {row}");
            assert_eq!(batched[row], case.continuation, "{name}, prompt {row} in a batch");
            // exit → step in the file, step → exit here.
            for (step, exits) in watcher.0[0].iter().enumerate() {
                let expected: Vec<u32> =
                    case.exit_predictions.iter().map(|exit| exit[step]).collect();
                assert_eq!(exits, &expected, "{name}, prompt {row}, step {step}");
            }
            assert_eq!(watcher.0[0], together.0[row], "{name}, prompt {row}");
            let unwatched =
                generate(&loaded.model, prompt, &options(&loaded, 64), &mut Unwatched).unwrap();
            assert_eq!(unwatched, alone, "recording changes nothing");
        }
    }
}

/// Some tokens.
fn text(config: &LlamaConfig, n: usize, seed: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 31 + seed * 17) % config.vocab_size) as u32).collect()
}

/// The state at every depth of the last token, after running `text` in blocks of the given widths.
fn in_blocks(model: &Llama, rows: &[Vec<u32>], widths: &[usize], reading: Rows) -> Vec<Vec<f32>> {
    let width: usize = widths.iter().sum();
    let padding: Arc<[usize]> = rows.iter().map(|row| width - row.len()).collect();
    let mut cache = model.empty_cache(padding.clone(), width);
    let mut states = Vec::new();
    let mut start = 0;
    for &width in widths {
        let block = Block {
            width,
            start,
            padding: padding.clone(),
            lengths: vec![width; rows.len()].into(),
            rows: reading,
        };
        let tokens: Vec<u32> = rows
            .iter()
            .zip(padding.iter())
            .flat_map(|(row, &padding)| {
                (start..start + width)
                    .map(move |slot| slot.checked_sub(padding).map_or(0, |at| row[at]))
            })
            .collect();
        let mut stream = model.embed_block(&tokens, &block);
        states.clear();
        for index in 0..model.n_layers() {
            stream = model.layer_with(index, stream, cache.layer(index));
            states.push(values(model.exit_state(&stream)));
        }
        start += width;
    }
    states
}

#[test]
fn blocks_and_padding_change_no_bit() {
    for name in GOLDENS {
        let Loaded { model, config, .. } = load(name);
        let text = |n, seed| text(&config, n, seed);
        let (long, short) = (text(23, 1), text(9, 2));
        for reading in [Rows::Few, Rows::Many] {
            let whole = in_blocks(&model, std::slice::from_ref(&long), &[23], reading);
            for widths in [vec![1; 23], vec![20, 1, 1, 1], vec![7, 16]] {
                let pieces = in_blocks(&model, std::slice::from_ref(&long), &widths, reading);
                assert_eq!(whole, pieces, "{name}: {widths:?} read as {reading:?}");
            }
            let alone = in_blocks(&model, std::slice::from_ref(&short), &[9], reading);
            let both = in_blocks(&model, &[long.clone(), short.clone()], &[16, 7], reading);
            for (depth, both) in both.iter().enumerate() {
                let both: Vec<&[f32]> = both.chunks(both.len() / 2).collect();
                assert_eq!(both[0], whole[depth], "{name}, depth {}", depth + 1);
                assert_eq!(both[1], alone[depth], "{name}, depth {}, padded", depth + 1);
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for name in GOLDENS {
        let Loaded { model, config, .. } = load(name);
        let text = text(&config, 23, 0);
        for (reading, widths) in [(Rows::Many, vec![23]), (Rows::Few, vec![1; 23])] {
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| in_blocks(&model, std::slice::from_ref(&text), &widths, reading))
            };
            let one = on(1);
            for threads in [2, 3, 7] {
                assert_eq!(on(threads), one, "{name} on {threads} threads, {reading:?}");
            }
        }
    }
}

#[test]
fn a_layer_writes_its_keys_and_values_without_being_run() {
    for name in GOLDENS {
        let Loaded { model, .. } = load(name);
        let padding: Arc<[usize]> = Arc::from([0, 2]);
        let [mut run, mut written] = [(); 2].map(|()| model.empty_cache(padding.clone(), 8));
        for (start, width) in [(0, 3), (3, 1)] {
            let lengths = Arc::from([width; 2]);
            let block = Block { width, start, padding: padding.clone(), lengths, rows: Rows::Few };
            let tokens: Vec<u32> = (0..2 * width as u32).map(|at| 3 + 7 * at).collect();
            let mut stream = model.embed_block(&tokens, &block);
            for index in 0..model.n_layers() {
                model.write_kv(index, &stream, written.layer(index));
                // A state that is known goes on as if it had been run up to there.
                let resumed = model.resume_block(stream.hidden.clone(), &block);
                stream = model.layer_with(index, resumed, run.layer(index));
            }
        }
        for index in 0..model.n_layers() {
            for row in 0..2 {
                let [a, b] = [&mut run, &mut written]
                    .map(|cache| cache.layer(index).block(&[row], padding[row], 4 - padding[row]));
                for (a, b) in a.into_iter().zip(b) {
                    assert_eq!(values(a), values(b), "{name}, layer {index}, row {row}");
                }
            }
        }
    }
}

#[test]
fn rows_of_a_stream_stay_with_their_rows_of_the_cache() {
    for name in GOLDENS {
        let Loaded { model, .. } = load(name);
        let padding: Arc<[usize]> = Arc::from([0, 1, 0]);
        let block = |start, width: usize| Block {
            width,
            start,
            padding: padding.clone(),
            lengths: Arc::from([width; 3]),
            rows: Rows::Few,
        };
        let states = |leave_after: Option<usize>| -> Vec<Vec<f32>> {
            let mut cache = model.empty_cache(padding.clone(), 8);
            let mut stream = model.embed_block(&(5..17).collect::<Vec<u32>>(), &block(0, 4));
            for index in 0..model.n_layers() {
                stream = model.layer_with(index, stream, cache.layer(index));
            }
            let mut stream = model.embed_block(&[20, 21, 22], &block(4, 1));
            for index in 0..model.n_layers() {
                stream = model.layer_with(index, stream, cache.layer(index));
                if leave_after == Some(index) {
                    stream = stream.rows(&[2, 1]);
                }
            }
            let d = stream.hidden.dims()[1];
            values(stream.hidden).chunks(d).map(<[f32]>::to_vec).collect()
        };
        let all = states(None);
        assert_eq!(states(Some(0)), [all[2].clone(), all[1].clone()], "{name}");
    }
}

#[test]
fn stored_formats_load_as_they_are_and_are_written_back() {
    let exact = load("llama-tiny");
    let prompt: Vec<u32> = golden("llama-tiny").cases[2].prompt.clone();
    let full = whole(&exact.model, &prompt, &[prompt.len() - 1]);
    for (name, tolerance) in [("llama-tiny-f16", 0.05), ("llama-tiny-bf16", 0.4)] {
        let half = load(name);
        let found = whole(&half.model, &prompt, &[prompt.len() - 1]);
        let worst = goldens::worst(&full.concat(), &found.concat());
        assert!(worst > 0.0 && worst < tolerance, "{name}: {worst}");
        let widened = llama::load(&goldens::folder(name), Precision::F32, &Device::flex()).unwrap();
        assert_eq!(whole(&widened.model, &prompt, &[prompt.len() - 1]), found, "{name} as F32");

        let written = tempfile::tempdir().unwrap();
        let json = half.config.to_json();
        save(&half.model, json, &half.names, written.path()).unwrap();
        let [before, after] =
            [&goldens::folder(name), written.path()].map(|folder| Weights::open(folder).unwrap());
        assert_eq!(before.names().collect::<Vec<_>>(), after.names().collect::<Vec<_>>());
        for tensor in before.names() {
            let stored = |weights: &Weights| weights.data(tensor, Precision::Stored).unwrap();
            assert_eq!(stored(&before), stored(&after), "{name}: {tensor}");
        }
        let again = goldens::decoder(written.path());
        assert_eq!(whole(&again.model, &prompt, &[prompt.len() - 1]), found);
    }
}

#[test]
fn states_in_chunks_give_the_signals_of_one_product() {
    let Loaded { model, .. } = load("llama-tiny");
    let texts: Vec<Vec<u32>> = (0..20).map(|row| (row..row + 20).collect()).collect();
    let batch = Batch::new(texts.concat(), vec![0; 400], vec![20; 20], 20).unwrap();
    let mut stream = model.embed(&batch, None);
    let mut states = Vec::new();
    for index in 0..model.n_layers() {
        stream = model.layer(index, stream);
        states.push(stream.hidden.clone());
    }
    let chunked = Signals::of_states(&model, &states).unwrap();
    let logits = model.read(Tensor::cat(states, 0), Rows::Many);
    let at_once = Signals::read(logits, model.n_layers()).unwrap();
    assert_eq!(chunked.n_rows(), 400);
    for row in 0..400 {
        for (a, b) in chunked.row(row).iter().zip(at_once.row(row)) {
            assert_eq!((a.0, a.1.final_rank), (b.0, b.1.final_rank), "row {row}");
            assert!((a.1.final_probability - b.1.final_probability).abs() < 1e-6);
        }
    }
}

#[test]
fn draws_depend_on_seed_and_prompt_alone() {
    let loaded = load("llama-tiny");
    let prompts = vec![vec![3, 4], vec![5], vec![6, 7, 8]];
    let sampled = |seed, first: usize, prompts: &[Vec<u32>]| {
        let sampling = Sampling { temperature: 1.5, top_k: Some(40), top_p: Some(0.95), seed };
        let options = Options {
            choice: Choice::Sample(sampling),
            first_number: first as u64,
            ..options(&loaded, 20)
        };
        generate(&loaded.model, prompts, &options, &mut Unwatched).unwrap()
    };
    let together = sampled(1, 0, &prompts);
    for row in 0..3 {
        assert_eq!(sampled(1, row, &prompts[row..=row])[0], together[row], "prompt {row}");
    }
    assert_ne!(sampled(2, 0, &prompts), together);
}

#[test]
fn what_does_not_fit_is_refused_with_its_number() {
    let loaded = load("llama-tiny");
    let complain = |prompts: &[Vec<u32>], new| {
        let result = generate(&loaded.model, prompts, &options(&loaded, new), &mut Unwatched);
        result.unwrap_err().to_string()
    };
    assert!(complain(&[vec![1], vec![]], 4).contains("prompt 1: it has no tokens"));
    let room = loaded.model.max_positions();
    let long = complain(&[vec![1; room]], 1);
    assert!(long.contains(&format!("{room} tokens and 1 new ones")), "{long}");
    assert!(complain(&[vec![96]], 1).contains("token 96"));
    let encoder = LlamaConfig::read(&goldens::folder("bert-tiny")).unwrap_err().to_string();
    assert!(encoder.contains("expected a decoder"), "{encoder}");
}

#[test]
fn a_head_of_another_size_than_the_vocabulary_is_named() {
    let sizes = LlamaSizes {
        vocabulary: 20,
        d_model: 8,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        inner: 12,
        positions: 16,
    };
    let config = LlamaConfig::of_sizes(&LLAMA, &sizes).unwrap();
    let made = llama::random(config, 1, Precision::F32, &Device::flex());
    let written = tempfile::tempdir().unwrap();
    let mut json = made.config.to_json();
    json.insert("vocab_size".into(), 21.into());
    save(&made.model, json, &made.names, written.path()).unwrap();
    let error = llama::load(written.path(), Precision::Stored, &Device::flex()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("'lm_head.weight' has shape [20, 8], expected [21, 8]"), "{error}");
}
