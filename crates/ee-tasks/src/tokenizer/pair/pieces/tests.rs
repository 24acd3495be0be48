use serde::Deserialize;

use crate::TextTokenizer;
use crate::fixture;

/// What transformers gives; see `scripts/goldens_pieces.py`.
#[derive(Deserialize)]
struct Golden {
    size: usize,
    end: u32,
    texts: Vec<Text>,
    drawn: Vec<Drawn>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    source: Vec<u32>,
    target: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct Drawn {
    ids: Vec<u32>,
    decoded: String,
}

const FOLDERS: [&str; 2] = ["tokenizer-marian", "tokenizer-t5"];

fn golden(name: &str) -> (TextTokenizer, Golden) {
    let tokenizer = TextTokenizer::of_pair(&fixture::golden(name));
    (tokenizer.expect("a sound folder"), fixture::read(&format!("{name}/golden.json")))
}

/// A copy of Marian's golden folder without one file.
fn without(name: &str) -> tempfile::TempDir {
    let copy = fixture::folder(&[]);
    for file in ["source.spm", "target.spm", "vocab.json"].into_iter().filter(|file| *file != name)
    {
        let bytes = std::fs::read(fixture::golden("tokenizer-marian").join(file)).expect("there");
        fixture::write(&copy, file, bytes);
    }
    copy
}

fn message(folder: &tempfile::TempDir) -> String {
    TextTokenizer::of_pair(folder.path()).expect_err("unusable").to_string()
}

#[test]
fn texts_become_the_reference_s_ids_and_come_back() {
    for (tokenizer, golden) in FOLDERS.map(golden) {
        for Text { text, source, target, decoded } in &golden.texts {
            assert_eq!(tokenizer.encode_prompt(text).expect("ids"), *source, "{text:?}");
            assert_eq!(tokenizer.encode_answer(text).expect("ids"), *target, "{text:?}");
            assert_eq!(tokenizer.decode(target).expect("a text"), *decoded, "{text:?}");
        }
        assert_eq!(
            (tokenizer.vocabulary_size(), tokenizer.end_id()),
            (golden.size, Some(golden.end))
        );
        assert_eq!(tokenizer.prompt_vocabulary_size(), golden.size);
    }
}

#[test]
fn drawn_ids_decode_as_in_the_reference_and_in_pieces() {
    for (tokenizer, golden) in FOLDERS.map(golden) {
        for Drawn { ids, decoded } in &golden.drawn {
            assert_eq!(tokenizer.decode(ids).expect("a text"), *decoded, "{ids:?}");
            let mut stream = tokenizer.stream();
            let pushed = ids.iter().map(|id| stream.push(*id).expect("a text"));
            let mut joined: String = pushed.collect();
            joined.push_str(&stream.finish().expect("a text"));
            assert_eq!(joined.trim_end(), *decoded, "{ids:?}");
        }
    }
}

#[test]
fn an_untied_target_has_a_dictionary_of_its_own() {
    let folder = without("");
    fixture::write(&folder, "target_vocab.json", r#"{"</s>": 0, "<unk>": 1, "▁a": 2, "<pad>": 3}"#);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound folder");
    let (shared, golden) = golden("tokenizer-marian");
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.prompt_vocabulary_size()), (4, golden.size));
    assert_eq!(tokenizer.encode_answer("a zzz").expect("ids")[0], 2);
    let ids = [&tokenizer, &shared].map(|side| side.encode_prompt("a zzz").expect("ids"));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(tokenizer.decode(&[2, 1, 2, 0]).expect("a text"), "a a");
    fixture::write(&folder, "tokenizer_config.json", r#"{"separate_vocabs": false}"#);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound folder");
    assert_eq!(tokenizer.vocabulary_size(), golden.size);
}

#[test]
fn missing_and_broken_files_are_named() {
    let text = message(&without("source.spm"));
    assert!(text.ends_with("no source.spm beside target.spm"), "{text}");
    let text = message(&without("target.spm"));
    assert!(text.ends_with("no target.spm beside source.spm"), "{text}");
    let text = message(&without("vocab.json"));
    assert!(text.ends_with("no vocab.json beside source.spm"), "{text}");
    let alone = fixture::folder(&[("vocab.json", "{}")]);
    assert!(message(&alone).ends_with("no source.spm beside vocab.json"), "{}", message(&alone));
    let folder = without("source.spm");
    fixture::write(&folder, "source.spm", "not a model");
    assert!(
        message(&folder).contains("source.spm: not a SentencePiece model"),
        "{}",
        message(&folder)
    );
    let folder = without("vocab.json");
    fixture::write(&folder, "vocab.json", r#"{"a": -1}"#);
    assert!(message(&folder).contains("vocab.json: expected an id for piece `a`, found -1"));
    fixture::write(&folder, "vocab.json", r#"{"</s>": 0}"#);
    assert!(message(&folder).ends_with("vocab.json: no special token `<unk>` in the dictionary"));
}

#[test]
fn a_model_cut_short_anywhere_is_an_error_or_a_model() {
    let bytes = std::fs::read(fixture::golden("tokenizer-marian/source.spm")).expect("there");
    let folder = without("source.spm");
    for length in (0..bytes.len()).step_by(97) {
        fixture::write(&folder, "source.spm", &bytes[..length]);
        if let Ok(tokenizer) = TextTokenizer::of_pair(folder.path()) {
            tokenizer.encode_prompt("The play, ½ off").expect("ids");
        }
    }
}
