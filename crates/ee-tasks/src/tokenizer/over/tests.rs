//! Against transformers 4 and 5; see `scripts/goldens_tokenizer_configs.py`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::fixture;
use crate::tokenizer::backend::Backend;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    pair: [String; 2],
    bases: BTreeMap<String, Value>,
    cases: Vec<Case>,
    cuts: Vec<Cut>,
}

#[derive(Deserialize)]
struct Case {
    base: String,
    files: Map<String, Value>,
    answers: BTreeMap<String, Answer>,
}

/// What a release says, or that it refuses the folder.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Read { ids: Vec<Vec<u32>>, pair: Vec<u32>, decoded: Vec<String> },
    Refused(String),
}

#[derive(Deserialize)]
struct Cut {
    texts: Vec<String>,
    limit: usize,
    side: String,
    ids: BTreeMap<String, Vec<u32>>,
}

fn golden() -> Golden {
    fixture::read("tokenizer_configs.json")
}

fn opened(base: &Value, files: &Map<String, Value>) -> Backend {
    let folder = fixture::folder(&[("tokenizer.json", &base.to_string())]);
    for (name, content) in files {
        fixture::write(&folder, name, content.to_string());
    }
    Backend::open(folder.path(), "tokenizer.json", None).unwrap_or_else(|error| panic!("{error}")).0
}

/// The release that a case follows, and why where it is not 4.
fn release(Case { files, answers, .. }: &Case) -> &'static str {
    if matches!(answers["4"], Answer::Refused(_)) {
        return "5";
    }
    let config = &files["tokenizer_config.json"];
    let names_class = config.get("tokenizer_class").is_some();
    let is_llama = files["config.json"]["model_type"] == "llama";
    match config.get("backend").is_some() {
        // Written by 5.
        true => "5",
        // No class and no switch: the frame is the file's.
        false if !names_class && is_llama && config.get("add_bos_token").is_none() => "5",
        false => "4",
    }
}

#[test]
fn ids_are_those_of_auto_tokenizer_whatever_lies_beside_the_file() {
    let Golden { texts, pair, bases, cases, .. } = golden();
    let mut n_differing = 0;
    for case in &cases {
        let Case { base, files, answers } = case;
        let backend = opened(&bases[base], files);
        let what = format!("{base} with {}", Value::Object(files.clone()));
        let Answer::Read { ids, pair: pair_ids, .. } = &answers[release(case)] else {
            panic!("{what}: refused");
        };
        let plain = opened(&bases[base], &Map::new());
        for (text, ids) in texts.iter().zip(ids) {
            let found = backend.cut(text, None, 1000).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(found.get_ids(), ids, "{text:?}: {what}");
            n_differing += usize::from(plain.cut(text, None, 1000).unwrap().get_ids() != ids);
            let found = backend.decode(ids).unwrap_or_else(|error| panic!("{error}"));
            let is_theirs = answers.values().any(|answer| match answer {
                Answer::Read { decoded, .. } => decoded.contains(&found),
                Answer::Refused(why) => !why.starts_with("refused"),
            });
            assert!(is_theirs, "{found:?}: {what}");
        }
        let found = backend.cut(&pair[0], Some(&pair[1]), 1000).unwrap();
        assert_eq!(found.get_ids(), pair_ids, "{what}");
    }
    assert!(n_differing > 100, "{n_differing} texts are spelled otherwise than by the file alone");
}

#[test]
fn pairs_that_are_too_long_are_cut_as_by_both_releases() {
    let Golden { bases, cuts, .. } = golden();
    for Cut { texts, limit, side, ids } in &cuts {
        let config =
            serde_json::json!({"tokenizer_class": "BertTokenizer", "truncation_side": side});
        let files = Map::from_iter([("tokenizer_config.json".to_owned(), config)]);
        let backend = opened(&bases["wordpiece"], &files);
        let found = backend.cut(&texts[0], texts.get(1).map(String::as_str), *limit).unwrap();
        for (release, ids) in ids {
            assert_eq!(
                found.get_ids(),
                ids,
                "{texts:?} to {limit} from the {side} as {release} does"
            );
        }
    }
    assert!(cuts.iter().all(|cut| cut.ids.len() == 2), "both releases are asked");
}
