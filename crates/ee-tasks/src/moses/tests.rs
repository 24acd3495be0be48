use serde::Deserialize;

use super::*;
use crate::fixture;

/// What sacremoses gives; see `scripts/goldens_words.py`.
#[derive(Deserialize)]
struct Golden {
    tokenized: Vec<Tokenized>,
    detokenized: Vec<Detokenized>,
}

#[derive(Deserialize)]
struct Tokenized {
    language: String,
    dashes: bool,
    text: String,
    tokens: String,
}

#[derive(Deserialize)]
struct Detokenized {
    language: String,
    tokens: String,
    text: String,
}

#[test]
fn texts_are_cut_and_put_together_as_by_sacremoses() {
    let Golden { tokenized, detokenized } = fixture::read("moses.json");
    for Tokenized { language, dashes, text, tokens } in tokenized {
        assert_eq!(tokenize(&text, &language, dashes), tokens, "{language}: {text:?}");
    }
    for Detokenized { language, tokens, text } in detokenized {
        assert_eq!(detokenize(&tokens, &language), text, "{language}: {tokens:?}");
    }
}

#[test]
fn a_task_names_the_language_and_sub_words_are_joined() {
    let english = Detokenization::parse("moses:en").expect("a language");
    assert_eq!(english.apply("it 's a sm@@ all do@@ g ."), "it's a small dog.");
    assert_eq!(english.signature(), "detok:moses-en");
    for wrong in ["moses", "moses:eng", "nltk:en", "moses:EN"] {
        let message = Detokenization::parse(wrong).expect_err("no language");
        assert!(message.contains(&format!("found `{wrong}`")), "{message}");
    }
    assert_eq!(Detokenization::parse("moses:fi"), Err("the rules of `fi` are not here".to_owned()));
}
