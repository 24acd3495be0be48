//! Whole runs of encoder-decoders: from nothing, from a checkpoint, by tokens, averaged, killed and resumed.

mod dictionaries;
#[path = "../playground/mod.rs"]
mod playground;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use ee_models::arch::seq2seq::load;
use ee_models::checkpoint::Precision;
use ee_tasks::TextTokenizer;
use playground::{Playground, listing, stderr, succeeded};
use safetensors::SafeTensors;
use serde_json::Value;

/// Words to be spelled backwards, letter by letter.
fn pairs() -> Playground {
    let playground = Playground::new();
    let lines = |from: usize, to: usize| -> [String; 2] {
        let word = |n: usize| -> Vec<String> {
            let letter = |at| char::from(b'a' + (n * 7 + n / 8 + at * 3) as u8 % 8).to_string();
            (0..2 + n % 4).map(letter).collect()
        };
        let (mut source, mut target) = (String::new(), String::new());
        for n in from..to {
            let mut word = word(n);
            source += &(word.join(" ") + "\n");
            word.reverse();
            target += &(word.join(" ") + "\n");
        }
        [source, target]
    };
    for (name, [source, target]) in [("train", lines(0, 64)), ("dev", lines(0, 24))] {
        playground.write(&format!("{name}.src"), source);
        playground.write(&format!("{name}.tgt"), target);
    }
    playground.write(
        "reverse.toml",
        "name = 'reverse'\nkind = 'generation'\nformat = 'parallel'\nprompt = '{source}'\nmax_new_tokens = 10\n\
         metrics = ['bleu']\ndata_dir = '.'\n[splits.train]\nsource = 'train.src'\nreferences = ['train.tgt']\n\
         [splits.dev]\nsource = 'dev.src'\nreferences = ['dev.tgt']\n",
    );
    playground.write(
        "run.toml",
        "[model]\nencoder_layers = 2\ndecoder_layers = 3\nd_model = 32\nheads = 4\ninner = 64\npositions = 32\n\
         [tokenizer]\nmerges = 8\n[task]\nfile = 'reverse.toml'\nmax_length = 16\n\
         [optimizer]\nlearning_rate = 5e-3\nbeta_2 = 0.98\n\
         [schedule]\nkind = 'inverse_sqrt'\nwarm_up_steps = 20\n\
         [training]\nepochs = 3\nbatch_tokens = 64\nlabel_smoothing = 0.1\nsample_tokens = 8\n\
         [validation]\nmetric = 'bleu:none'\nbeam = 2\nmax_length = [1.0, 2]\n",
    );
    playground
}

fn of_kind<'l>(log: &'l [Value], kind: &str) -> Vec<&'l Value> {
    log.iter().filter(|line| line["kind"] == kind).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn losses(playground: &Playground, run: &str) -> Vec<f64> {
    let log = playground.log(run);
    of_kind(&log, "step").iter().map(|step| step["loss"].as_f64().unwrap()).collect()
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |data: &[u8]| -> Vec<f32> {
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    file.iter().map(|(name, view)| (name.to_owned(), values(view.data()))).collect()
}

#[test]
fn an_encoder_decoder_learns_at_every_exit_and_writes_what_it_learned() {
    let playground = pairs();
    let output = playground.train("run", &["--joint", "--set", "training.epochs=80"]);
    succeeded(&output);
    let log = playground.log("run");
    let first = of_kind(&log, "step")[0];
    let smoothed = numbers(&first["exit_smoothed_losses"]);
    assert!((smoothed.iter().sum::<f64>() - first["loss"].as_f64().unwrap()).abs() < 1e-6);
    assert_ne!(first["exit_losses"], first["exit_smoothed_losses"]);
    let scores = &of_kind(&log, "validation").last().unwrap()["scores"];
    assert_eq!(scores[0]["metric"], "bleu:none");
    let bleu = scores[0]["scores"].as_array().unwrap();
    assert!(bleu[0].is_null() && bleu[1].is_null(), "only the last exit writes: {scores}");
    assert!(bleu[2].as_f64().unwrap() > 60.0, "{scores}");
    let found = numbers(&scores[1]["scores"]);
    assert!(scores[1]["metric"] == "perplexity" && found.iter().all(|it| *it < 2.0), "{scores}");
    let samples = of_kind(&log, "samples").last().unwrap()["samples"].as_array().unwrap().clone();
    assert_eq!(samples[1]["exit"], 3);
    assert_eq!(samples[1]["prompt"], "a d");
    assert_eq!(samples[1]["text"], "d a");
    let message = stderr(&output);
    assert!(message.contains("learnt a dictionary of"), "{message}");
    assert!(message.contains("without smoothing"), "{message}");
    let names = listing(&playground.path("run/best"));
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
    assert!(playground.path("run/tokenizer/tokenizer.json").is_file());

    // What a run left is what another one starts from, with its tokenizer.
    let text = fs::read_to_string(playground.path("run.toml")).unwrap();
    let (before, after) = (text.find("[model]").unwrap(), text.find("[task]").unwrap());
    playground.write("run.toml", format!("{}{}", &text[..before], &text[after..]));
    let best = playground.path("run/best");
    let flags = ["--model", best.to_str().unwrap(), "--set", "optimizer.learning_rate=1e-9"];
    succeeded(&playground.train("tuned", &[&flags[..], &["--set", "training.epochs=1"]].concat()));
    let tuned = playground.log("tuned");
    let tuned = numbers(&of_kind(&tuned, "validation")[0]["scores"][1]["scores"]);
    let best = of_kind(&log, "validation");
    let all: Vec<Vec<f64>> =
        best.iter().map(|line| numbers(&line["scores"][1]["scores"])).collect();
    let is_close =
        |scores: &&Vec<f64>| scores.iter().zip(&tuned).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(all.iter().any(|scores| is_close(&scores)), "{tuned:?} is none of {all:?}");
}

#[test]
fn the_average_is_the_mean_of_the_last_checkpoints() {
    let playground = pairs();
    let output = playground.train("run", &["--set", "training.average_checkpoints=2"]);
    succeeded(&output);
    assert!(stderr(&output).contains("average of the last 2 checkpoints"), "{}", stderr(&output));
    let facts = playground.json("run/average/ee_training.json");
    let steps: Vec<u64> =
        facts["averaged_steps"].as_array().unwrap().iter().map(|s| s.as_u64().unwrap()).collect();
    assert_eq!(steps.len(), 2);
    let of = |folder: String| tensors(&playground.path(&folder).join("model.safetensors"));
    let [one, two] = [steps[0], steps[1]].map(|step| of(format!("run/checkpoints/step-{step:08}")));
    let mean = of("run/average".to_owned());
    assert_eq!(mean.len(), one.len());
    let mut differ = 0;
    for (name, mean) in &mean {
        for ((a, b), mean) in one[name].iter().zip(&two[name]).zip(mean) {
            assert!(((a + b) / 2.0 - mean).abs() <= 1e-6 * mean.abs().max(1e-3), "{name}");
            differ += usize::from(a != b);
        }
    }
    assert!(differ > 1000, "the checkpoints differ in {differ} numbers alone");
    let log = playground.log("run");
    assert_eq!(of_kind(&log, "average").len(), 1);
    // Asked to go on, a finished run says the same again.
    let again = ["--set", "training.average_checkpoints=2", "--resume"];
    succeeded(&playground.train("run", &again));
    assert_eq!(playground.log("run"), log);
}

#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let playground = pairs();
    let flags = [
        "--joint",
        "--set",
        "training.checkpoint_every_steps=2",
        "--set",
        "training.average_checkpoints=2",
        "--set",
        "training.batches_per_step=2",
    ];
    let started = Instant::now();
    succeeded(&playground.train("whole", &flags));
    let seconds = started.elapsed().as_secs_f64();
    let flags = [&flags[..], &["--resume"]].concat();
    let mut kills = 0;
    for part in [0.3, 0.5, 0.6, 0.8] {
        kills += usize::from(playground.killed("killed", &flags, seconds * part));
    }
    assert!(kills > 0, "every run was faster than its kill");
    succeeded(&playground.train("killed", &flags));
    assert!(playground.weights("killed") == playground.weights("whole"));
    let average =
        |run: &str| fs::read(playground.path(run).join("average/model.safetensors")).unwrap();
    assert!(average("killed") == average("whole"));
    assert_eq!(playground.log("killed"), playground.log("whole"));
    assert_eq!(
        listing(&playground.path("killed/checkpoints")),
        listing(&playground.path("whole/checkpoints"))
    );
}

#[test]
fn checkpointed_steps_and_several_devices_train_alike() {
    let playground = pairs();
    let flags = ["--joint", "--set", "training.epochs=1"];
    let with = |name: &str, more: &[&str]| {
        succeeded(&playground.train(name, &[&flags[..], more].concat()));
        losses(&playground, name)
    };
    let kept = with("kept", &["--set", "model.dropout=0.2"]);
    let again = ["--set", "training.gradient_checkpointing=true", "--set", "model.dropout=0.2"];
    assert_eq!(kept, with("checkpointed", &again));
    let plain = ["--set", "model.dropout=0.0"];
    let one = with("one", &plain);
    assert_ne!(kept, one, "dropout changes the losses");
    let shared = ["--device", "cpu,cpu", "--set", "training.shard_optimizer=true"];
    let found = with("two", &[&plain[..], &shared].concat());
    let close = one.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4 * a);
    assert!(one.len() == found.len() && close, "{one:?}\n{found:?}");
}

#[test]
fn two_dictionaries_and_other_families_are_learned() {
    let playground = pairs();
    let flags = ["--set", "training.epochs=1", "--set", "tokenizer.joined=false"];
    let decoder = ["--set", "model.sharing=decoder"];
    let output = playground.train("two", &[&flags[..], &decoder].concat());
    succeeded(&output);
    assert!(stderr(&output).contains("learnt dictionaries of"), "{}", stderr(&output));
    assert!(playground.path("two/best/tokenizer.source.json").is_file());
    let families = ee_models::arch::seq2seq::FAMILIES;
    for family in families {
        let name = family.facts.model_type;
        let family = format!("model.family={name}");
        let flags = ["--set", "training.epochs=1", "--set", &family];
        succeeded(&playground.train(name, &flags));
        let found = losses(&playground, name);
        assert!(found.last() < found.first(), "{name}: {found:?}");
    }
}

#[test]
fn pairs_that_cannot_be_learned_are_named() {
    let playground = pairs();
    playground.write("train.src", "a b\na b c d e f g h a b c d e f g h a\nc\nc d\n");
    playground.write("train.tgt", "b a\na\n\n\n");
    let short = ["--set", "training.epochs=1", "--set", "tokenizer.merges=1"];
    let output = playground.train("short", &short);
    succeeded(&output);
    let message = stderr(&output);
    assert!(
        message.contains("2 training examples have an empty side and are left out: lines 3, 4"),
        "{message}"
    );
    assert!(
        message.contains("1 training examples are longer than 16 tokens on a side"),
        "{message}"
    );
    let even =
        [&short[..], &["--set", "task.max_ratio=1.5", "--set", "task.max_length=32"]].concat();
    let message = stderr(&playground.train("even", &even));
    let expected = "1 training examples have a side more than 1.5 times as long as the other";
    assert!(message.contains(expected), "{message}");
    playground.refused(
        "ratio",
        &["--set", "task.max_ratio=0.5"],
        2,
        &["`task.max_ratio`: expected 1 or more"],
    );
    playground.refused(
        "none",
        &["--set", "task.max_length=1"],
        1,
        &["no training example has two sides"],
    );
    playground.refused(
        "tokens",
        &["--set", "training.batch_tokens=2"],
        1,
        &["training.batch_tokens is 2, the longest example has"],
    );
    playground.write(
        "run.toml",
        fs::read_to_string(playground.path("run.toml")).unwrap().replace("[1.0, 2]", "[1.0, 9]"),
    );
    for (flags, code, expected) in [
        (&["--set", "task.max_length=33"][..], 1, "33"),
        (
            &["--set", "model.sharing=all", "--set", "tokenizer.joined=false"],
            2,
            "no table in common",
        ),
        (&["--set", "lora.rank=2"], 1, "lora is a setting of decoders without an encoder"),
        // Known before the first step, not at the first validation.
        (
            &["--set", "model.positions=9", "--set", "task.max_length=9"],
            1,
            "do not fit the model's 9 positions",
        ),
        (&["--set", "validation.beam=100"], 1, "a beam of 100 looks at"),
        (&["--set", "task.packing=true"], 1, "learns pairs"),
        (&["--set", "model.tokenizer=x"], 2, "either its folder"),
        (&["--set", "model.layers=2"], 2, "model.layers"),
        (&["--set", "model.family=marin"], 2, "did you mean"),
        (&["--set", "training.label_smoothing=1.0"], 2, "label_smoothing"),
        (&["--set", "task.file=task.toml"], 1, "encoder-decoder writes texts"),
    ] {
        playground.refused("refused", flags, code, &[expected]);
        assert!(!playground.path("refused").exists());
    }
}

#[test]
fn a_token_that_is_forced_before_answers_takes_a_position() {
    let playground = pairs();
    let bart = ["--set", "model.family=bart", "--set", "model.positions=9"];
    let short = [
        "--set",
        "training.epochs=1",
        "--set",
        "training.sample_tokens=9",
        "--set",
        "task.max_length=9",
        "--set",
        "validation.max_length=[0.0, 5]",
    ];
    // A word is one token or two: some answer has nine with its end.
    let repeated: String = (1..10).map(|n| vec!["a"; n].join(" ") + "\n").collect();
    for file in ["train.src", "train.tgt", "dev.src", "dev.tgt"] {
        playground.write(file, &repeated);
    }
    succeeded(&playground.train("run", &[&bart[..], &short].concat()));
    playground.copy("run/best", "forced");
    for name in ["config.json", "generation_config.json"] {
        let mut json = playground.json(&format!("forced/{name}"));
        json["forced_bos_token_id"] = 3.into();
        playground.write(&format!("forced/{name}"), json.to_string());
    }
    let text = fs::read_to_string(playground.path("run.toml")).unwrap();
    let task = &text[text.find("[task]").unwrap()..];
    playground.write("run.toml", format!("[model]\npath = 'forced'\n{task}"));
    let output = playground.train("tuned", &short);
    succeeded(&output);
    assert!(stderr(&output).contains("are longer than 9 tokens on a side"), "{}", stderr(&output));
}

#[test]
fn checkpoints_of_fairseq_are_fine_tuned_and_written_as_transformers_has_them() {
    let playground = pairs();
    let golden = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        format!("[model]\npath = '{}'\n", path.display())
    };
    let run = fs::read_to_string(playground.path("run.toml")).unwrap();
    let rest = &run[run.find("[task]").unwrap()..];
    let lines = |step: usize| -> String {
        (0..12).map(|at| format!("w{} w{} w{}\n", at % 7, at * step % 5, at % 3)).collect()
    };
    for (file, step) in [("train.src", 2), ("dev.src", 2), ("train.tgt", 3), ("dev.tgt", 3)] {
        playground.write(file, lines(step));
    }
    for (name, family) in [("fairseq-tiny", "fsmt"), ("fairseq-prenorm-tiny", "m2m_100")] {
        playground.write("run.toml", golden(name) + rest);
        let output = playground.train(name, &["--set", "training.epochs=20"]);
        succeeded(&output);
        let message = stderr(&output);
        assert!(message.contains("pt is read, a checkpoint of fairseq"), "{message}");
        let best = format!("{name}/best");
        assert_eq!(playground.json(&format!("{best}/config.json"))["model_type"], family);
        let written = playground.path(&best);
        let tokenizer = TextTokenizer::of_pair(&written).unwrap();
        assert_eq!(tokenizer.encode_prompt("w0 w3 x").unwrap(), [4, 7, 3, 2]);
        let loaded = load(&written, Precision::F32, &Device::flex()).unwrap();
        assert_eq!(loaded.config.tokens.start, 2);
        let found = losses(&playground, name);
        assert!(found.last() < found.first(), "{name}: {found:?}");
        // What was written is a start, too.
        playground.write("run.toml", format!("[model]\npath = '{}'\n{rest}", written.display()));
        succeeded(&playground.train(&format!("{name}-on"), &["--set", "training.epochs=1"]));
    }
    playground.write("run.toml", golden("fairseq-learned-tiny") + rest);
    playground.refused("learned", &[], 1, &["can be used and not be written"]);
}
