//! Broken models, tokenizers, tasks, tables, traces and gates, read as `ee-eval` reads them.
//!
//! `EE_BROKEN_FILES=1000 cargo test --release -p ee-eval --test broken_files -- --nocapture` tries a thousand
//! forms of every file and prints the results; the number is small otherwise.

mod campaign;
#[path = "../../crates/ee-eval/tests/fixture/mod.rs"]
mod fixture;
mod memory;
mod mutate;
mod pickles;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use burn::tensor::Device;
use campaign::{Case, run};
use clap::Parser;
use ee_eval::Arguments;
use ee_models::checkpoint::{Precision, Weights};
use mutate::Kind;
use parquet::arrow::ArrowWriter;

/// What `ee-eval` says to words separated by spaces; `@` stands for the folder.
fn command(folder: &Path, words: &str) -> Result<(), String> {
    let folder = folder.to_str().expect("a folder with a plain name");
    let words = words.split_whitespace().map(|word| word.replace('_', " ").replace('@', folder));
    let words = std::iter::once("ee-eval".to_owned()).chain(words);
    let arguments = Arguments::try_parse_from(words).expect("a sound command line");
    let result = ee_eval::run(&arguments);
    result.map(|_| ()).map_err(|error| format!("{error:#}"))
}

/// A case whose reader is one or several command lines.
fn case(
    name: &'static str,
    folder: &Path,
    file: &'static str,
    kind: Kind,
    words: &'static [&'static str],
) -> Case {
    let read = Box::new(move |folder: &Path| words.iter().try_for_each(|w| command(folder, w)));
    let (folder, hostile) = (folder.to_owned(), Vec::new());
    Case { name, folder, file, kind, or_named: &[], writes: false, hostile, read }
}

const TRACE: &[&str] = &["trace --model @/model --task @/task.toml --limit 4 --output @/x.parquet"];

/// An encoder with everything that a folder may hold, and a task for it.
fn encoder(root: &Path) -> PathBuf {
    let folder = root.join("encoder");
    fixture::checkpoint(&folder.join("model"), 16);
    fixture::task(&folder, &["no", "yes"]);
    let settings = r#"{"do_lower_case": true, "strip_accents": null, "pad_token": "[PAD]",
        "unk_token": {"content": "[UNK]"}, "model_max_length": 32}"#;
    fs::write(folder.join("model/tokenizer_config.json"), settings).unwrap();
    fs::write(folder.join("model/special_tokens_map.json"), r#"{"sep_token": "[SEP]"}"#).unwrap();
    folder
}

fn encoders(root: &Path) -> Vec<Case> {
    let folder = encoder(root);
    let of_model = |name, file, kind| Case {
        // A model is named by its folder where its files do not fit each other.
        or_named: &["/model"],
        ..case(name, &folder, file, kind, TRACE)
    };
    vec![
        of_model("encoder config", "model/config.json", Kind::Json),
        of_model("encoder weights", "model/model.safetensors", Kind::Safetensors),
        of_model("vocabulary", "model/vocab.txt", Kind::Text),
        of_model("tokenizer settings", "model/tokenizer_config.json", Kind::Json),
        of_model("special tokens", "model/special_tokens_map.json", Kind::Json),
        of_model("training facts", "model/ee_training.json", Kind::Json),
        // Files that a task names, and a model that does not answer it, are named for themselves.
        Case {
            or_named: &["broken-files/task", "/model"],
            ..case("task", &folder, "task.toml", Kind::Text, TRACE)
        },
    ]
}

/// The same rows in every format of tables.
fn tables(root: &Path) -> Vec<Case> {
    let rows = [("w1 w2", "no"), ("w3, \"w4\"", "yes"), ("w5\tw6", "no"), ("w7", "yes")];
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let lines = |between: &str| -> String {
        let lines = rows.map(|(text, label)| format!("{}{between}{label}\r\n", quoted(text)));
        format!("text{between}label\n{}", lines.concat())
    };
    let object = |(text, label): (&str, &str)| {
        serde_json::json!({"text": text, "label": label, "more": [1, {"deep": null}]}).to_string()
    };
    let tab = "text\tlabel\nw1 w2\tno\nw3 \"w4\tyes\nw5\tno\n".to_owned();
    let files = [
        ("tsv", "table.tsv", Kind::Text, tab),
        ("quoted-tsv", "table.qtsv", Kind::Text, lines("\t")),
        ("csv", "table.csv", Kind::Text, lines(",")),
        ("jsonl", "table.jsonl", Kind::JsonLines, rows.map(object).join("\n")),
        ("json", "table.json", Kind::Json, format!("[{}]", rows.map(object).join(",\n"))),
    ];
    let mut cases = Vec::new();
    let mut add = |format: &'static str, file: &'static str, kind| {
        let folder = root.join(format!("table-{format}"));
        fixture::checkpoint(&folder.join("model"), 16);
        fixture::task(&folder, &["no", "yes"]);
        let task = fs::read_to_string(folder.join("task.toml")).unwrap();
        let task = task.replace("format = \"tsv\"", &format!("format = \"{format}\""));
        fs::write(folder.join("task.toml"), task.replace("dev.tsv", file)).unwrap();
        cases.push(case(format, &folder, file, kind, TRACE));
        folder
    };
    for (format, file, kind, text) in files {
        let folder = add(format, file, kind);
        fs::write(folder.join(file), text).unwrap();
    }
    let folder = add("parquet", "table.parquet", Kind::Binary);
    let texts = StringArray::from_iter_values(rows.map(|(text, _)| text));
    let labels = StringArray::from_iter_values(rows.map(|(_, label)| label));
    let numbers = Int64Array::from_iter_values(0..4);
    let lists = ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(
        (0..4).map(|n| Some(vec![Some(n), None])),
    );
    let columns: [(&str, ArrayRef); 4] = [
        ("text", Arc::new(texts)),
        ("label", Arc::new(labels)),
        ("number", Arc::new(numbers)),
        ("list", Arc::new(lists)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(folder.join("table.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    cases
}

const GENERATE: &[&str] = &["generate --model @/model --prompt the_cat --max-new-tokens 2"];

fn decoder(root: &Path) -> PathBuf {
    let folder = root.join("decoder");
    let model = folder.join("model");
    fs::create_dir_all(&model).unwrap();
    fixture::decoder::checkpoint(&model, 2, 0.3, 1);
    let settings = format!("{}/tokenizer_config.json", fixture::decoder::TOKENIZER);
    fs::copy(settings, model.join("tokenizer_config.json")).unwrap();
    let generation = r#"{"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0,
        "do_sample": true, "temperature": 0.6, "top_p": 0.9, "max_length": 64}"#;
    fs::write(model.join("generation_config.json"), generation).unwrap();
    fixture::decoder::task(&folder, "\"exact_match\"", 2, &[("dev", 4)]);
    fs::write(folder.join("prompts.txt"), "the cat\na dog\n\nthe dog\r\n").unwrap();
    // A gate of two exits on states of 32 numbers.
    let header = r#"{"weight":{"dtype":"F32","shape":[2,32],"data_offsets":[0,256]},"bias":{"dtype":"F32","shape":[2],"data_offsets":[256,264]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    let gate = [&length[..], header.as_bytes(), &[0; 264]].concat();
    fs::write(folder.join("gate.safetensors"), gate).unwrap();
    folder
}

fn decoders(root: &Path) -> Vec<Case> {
    let folder = decoder(root);
    let of_model = |name, file, kind| Case {
        or_named: &["/model"],
        ..case(name, &folder, file, kind, GENERATE)
    };
    let shards = root.join("shards");
    let model = shards.join("model");
    fs::create_dir_all(&model).unwrap();
    fixture::decoder::checkpoint(&model, 1, 0.3, 1);
    let shard = "model-00001-of-00001.safetensors";
    let weights = Weights::open(&model).unwrap();
    let map: serde_json::Map<_, _> =
        weights.names().map(|name| (name.to_owned(), shard.into())).collect();
    fs::rename(model.join("model.safetensors"), model.join(shard)).unwrap();
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    fs::write(model.join("model.safetensors.index.json"), index).unwrap();
    vec![
        of_model("decoder config", "model/config.json", Kind::Json),
        of_model("decoder weights", "model/model.safetensors", Kind::Safetensors),
        of_model("tokenizer", "model/tokenizer.json", Kind::Json),
        of_model("tokenizer text", "model/tokenizer.json", Kind::Text),
        Case {
            hostile: patterns(&folder.join("model/tokenizer.json")),
            ..case(
                "patterns",
                &folder,
                "model/tokenizer.json",
                Kind::Json,
                &["generate --model @/model --max-new-tokens 2 --prompt \
                   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"],
            )
        },
        of_model("decoder settings", "model/tokenizer_config.json", Kind::Json),
        of_model("generation config", "model/generation_config.json", Kind::Json),
        Case {
            or_named: &["/model"],
            ..case("index", &shards, "model/model.safetensors.index.json", Kind::Json, GENERATE)
        },
        case(
            "prompts",
            &folder,
            "prompts.txt",
            Kind::Text,
            &["generate --model @/model --prompts @/prompts.txt --max-new-tokens 1 --truncate"],
        ),
        Case {
            // A folder that is not stated and a prompt that is too long are named by what mends them.
            or_named: &["broken-files/generation", "/model", "--data-dir", "--truncate"],
            ..case(
                "generation task",
                &folder,
                "task.toml",
                Kind::Text,
                &["generate --model @/model --task @/task.toml --limit 2 --max-new-tokens 1"],
            )
        },
        case(
            "gate",
            &folder,
            "gate.safetensors",
            Kind::Safetensors,
            &["decode --model @/model --prompt the_cat --max-new-tokens 2 --gate learned:0.5 \
               --gate-file @/gate.safetensors"],
        ),
    ]
}

/// A tokenizer with patterns that search forever, or grow beyond memory, if allowed to.
fn patterns(path: &Path) -> Vec<Vec<u8>> {
    let sound: serde_json::Value =
        serde_json::from_slice(&fs::read(path).unwrap()).expect("a sound tokenizer");
    let patterns = [
        "(a*)*b",
        "(a|a)*b",
        r"(a+a+)+\1b",
        r"(?=(a+))\1*b",
        "(?:a?){40}a{40}",
        "(?:(?:(?:a{1000}){1000}){1000}){1000}",
        "((((((((((a{0,99}){0,99}){0,99}){0,99}){0,99}))))))",
        "(",
        "",
        r"\p{Nonsense}",
    ];
    let with = |key: &str, value: serde_json::Value| {
        let mut broken = sound.clone();
        broken[key] = value;
        broken.to_string().into_bytes()
    };
    let regex = |pattern: &str| serde_json::json!({"Regex": pattern});
    let split = |pattern: &str| {
        let value = serde_json::json!({"type": "Split", "pattern": regex(pattern),
            "behavior": "Isolated", "invert": false});
        with("pre_tokenizer", value)
    };
    let replace = |pattern: &str| {
        let value =
            serde_json::json!({"type": "Replace", "pattern": regex(pattern), "content": "aa"});
        with("normalizer", value)
    };
    patterns.iter().flat_map(|pattern| [split(pattern), replace(pattern)]).collect()
}

/// Files that are read without a model.
fn alone(root: &Path) -> Vec<Case> {
    let archive =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/bert-tiny-bin");
    let weights = |folder: &Path| {
        let weights = Weights::open(folder).map_err(|error| error.to_string())?;
        let numbers = |name: &str| weights.data(name, Precision::F32);
        let refused = weights.names().filter_map(|name| numbers(name).err());
        // Buffers of whole numbers are no parameters, and are never read.
        let mut messages = refused.map(|error| error.to_string());
        let refused = messages.find(|message| !message.contains("expected F64, F32, F16 or BF16"));
        refused.map_or(Ok(()), Err)
    };
    let pieces = root.join("bytes");
    fs::create_dir_all(&pieces).unwrap();
    let words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "t", "h", "e", "th", "the", "\u{120}"];
    let ids: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    fs::write(pieces.join("vocab.json"), serde_json::Value::from(ids).to_string()).unwrap();
    fs::write(pieces.join("merges.txt"), "#version: 0.2\nt h\nth e\n").unwrap();
    let spell = |folder: &Path| {
        let tokenizer = ee_tasks::Tokenizer::from_folder(folder, 16).map_err(|e| e.to_string())?;
        tokenizer.encode("the the", Some("he")).map(|_| ()).map_err(|error| error.to_string())
    };
    let or_named: &[&str] = &["broken-files"];
    let case = |name, folder: &Path, file, kind, read| Case {
        name,
        folder: folder.to_owned(),
        file,
        kind,
        or_named,
        writes: false,
        hostile: Vec::new(),
        read,
    };
    let fairseq = |name: &str| archive.with_file_name(name);
    let load = |folder: &Path| {
        let loaded = ee_models::arch::decoder(folder, Precision::F32, &Device::flex());
        loaded.map(|_| ()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    };
    let older = fairseq("fairseq-old-tiny");
    let pair = |folder: &Path| {
        let tokenizer = ee_tasks::TextTokenizer::of_pair(folder).map_err(|e| e.to_string())?;
        let ids = tokenizer.encode_answer("the old house 12%").map_err(|e| e.to_string())?;
        let read = tokenizer.encode_prompt("das alte Haus").and_then(|_| tokenizer.decode(&ids));
        read.map(|_| ()).map_err(|error| error.to_string())
    };
    let side =
        |name, folder: &str, file, kind| case(name, &fairseq(folder), file, kind, Box::new(pair));
    vec![
        case(
            "fairseq",
            &fairseq("fairseq-tiny"),
            "checkpoint_best.pt",
            Kind::Binary,
            Box::new(load),
        ),
        Case {
            hostile: pickles::hostile(),
            ..case("older fairseq", &older, "model.pt", Kind::Leading, Box::new(load))
        },
        case("dictionary", &older, "dict.en.txt", Kind::Text, Box::new(load)),
        side("dictionary of words", "tokenizer-fairseq", "dict.de.txt", Kind::Text),
        side("codes", "tokenizer-fairseq", "bpecodes", Kind::Text),
        side("fsmt dictionary", "tokenizer-fsmt", "vocab-src.json", Kind::Json),
        side("fsmt merges", "tokenizer-fsmt", "merges.txt", Kind::Text),
        side("marian pieces", "tokenizer-marian", "source.spm", Kind::Leading),
        side("marian dictionary", "tokenizer-marian", "vocab.json", Kind::Json),
        side("t5 pieces", "tokenizer-t5", "spiece.model", Kind::Leading),
        case("archive", &archive, "pytorch_model.bin", Kind::Binary, Box::new(weights)),
        case("vocabulary of bytes", &pieces, "vocab.json", Kind::Json, Box::new(spell)),
        case("merges", &pieces, "merges.txt", Kind::Text, Box::new(spell)),
    ]
}

fn traces(root: &Path) -> Vec<Case> {
    let (labels, texts) = (encoder(&root.join("of-labels")), decoder(&root.join("of-texts")));
    for words in TRACE {
        command(&labels, words).unwrap();
    }
    command(&texts, "trace --model @/model --task @/task.toml --output @/x.parquet").unwrap();
    let words: &[&str] = &[
        "gates --trace @/x.parquet --output @/gates",
        "ideal --trace @/x.parquet",
        "calibrate --trace @/x.parquet --output @/calibrate --risk 0.9 --confidence 0.1",
    ];
    let of_texts: &[&str] = &[
        "ideal --trace @/x.parquet",
        "calibrate --trace @/x.parquet --output @/calibrate \
           --risk 0.9 --confidence 0.1",
    ];
    let read_texts = |folder: &Path| {
        let texts = ee_eval::trace::read_texts(&folder.join("x.parquet"));
        texts.map(|_| ()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    };
    vec![
        case("trace", &labels, "x.parquet", Kind::Binary, words),
        case("trace of texts", &texts, "x.parquet", Kind::Binary, of_texts),
        Case {
            read: Box::new(read_texts),
            ..case("texts", &texts, "x.texts.jsonl", Kind::JsonLines, &[])
        },
    ]
}

#[test]
fn broken_files_are_read_or_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let makers: [fn(&Path) -> Vec<Case>; 5] = [encoders, tables, decoders, alone, traces];
    run(&makers.map(|make| make(root)).into_iter().flatten().collect::<Vec<_>>());
}
