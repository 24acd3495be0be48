use std::fs;

use serde::Deserialize;

use super::*;
use crate::fixture;
use crate::metrics::text::{by_name, check_name, score_by_name};

/// What sacreBLEU with MeCab and IPADIC gives; see `scripts/goldens_ja_mecab.py`.
#[derive(Deserialize)]
struct Golden {
    cut: Vec<Cut>,
    hypotheses: Vec<String>,
    references: Vec<String>,
    score: f64,
    signature: String,
}

#[derive(Deserialize)]
struct Cut {
    text: String,
    words: Vec<String>,
}

fn golden() -> Golden {
    fixture::read("ja_mecab.json")
}

/// IPADIC, or a line saying what was skipped: it is not part of the project.
fn dictionary() -> Option<&'static Mecab> {
    if std::env::var_os(VARIABLE).is_none() {
        println!("SKIPPED: {VARIABLE} is not set");
        return None;
    }
    Some(ipadic().unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn words_are_mecab_s() {
    let Some(mecab) = dictionary() else { return };
    for Cut { text, words } in golden().cut {
        assert_eq!(mecab.words(text.trim()), words, "{text:?}");
    }
}

#[test]
fn the_score_is_sacrebleu_s() {
    if dictionary().is_none() {
        return;
    }
    let Golden { hypotheses, references, score, signature, .. } = golden();
    let metric = by_name("bleu:ja-mecab", false).expect("the dictionary is there");
    let mut sum = vec![0.0; 10];
    for (hypothesis, reference) in hypotheses.iter().zip(&references) {
        let statistics = metric.statistics(hypothesis, &[reference]).expect("statistics");
        sum.iter_mut().zip(statistics).for_each(|(sum, one)| *sum += one);
    }
    assert!((metric.score(&sum) - score).abs() < 1e-9, "{} {score}", metric.score(&sum));
    assert_eq!(score_by_name("bleu:ja-mecab").expect("known")(&sum), metric.score(&sum));
    let fields = signature.rsplit_once("|version").expect("a version last").0;
    assert!(metric.signature(Some(1)).starts_with(fields), "{}", metric.signature(Some(1)));
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    assert!(check_name("bleu:ja-mecab").is_ok(), "a task file may name it");
    if std::env::var_os(VARIABLE).is_none() {
        let message = by_name("bleu:ja-mecab", false).err().expect("no dictionary").to_string();
        assert!(message.contains("pip install ipadic") && message.contains(VARIABLE), "{message}");
    }
    for name in ["bleu:ko-mecab", "bleu:flores200", "bleu:spm", "bleu:ja"] {
        let message = check_name(name).expect_err("not here").to_string();
        assert!(message.contains(&format!("no metric `{name}`: ")), "{message}");
    }
}

#[test]
fn broken_dictionaries_are_named_and_cut_ones_do_not_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let message = || Mecab::open(folder.path()).err().expect("no dictionary").to_string();
    assert!(message().contains("char.bin"), "{}", message());
    for name in ["char.bin", "unk.dic", "sys.dic", "matrix.bin"] {
        fs::write(folder.path().join(name), [7; 100]).expect("written");
    }
    assert!(message().contains("char.bin: expected kinds"), "{}", message());
    let mut characters = vec![0; 4 + 4 * 0xffff];
    characters[..4].copy_from_slice(&0_u32.to_le_bytes());
    fs::write(folder.path().join("char.bin"), characters).expect("written");
    assert!(message().contains("unk.dic: expected a dictionary"), "{}", message());
}
