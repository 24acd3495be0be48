use tempfile::TempDir;

use super::*;
use crate::fixture::folder;

const WORDPIECE: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\n##s\nCaf\n##e\ncafe\n,\n";

fn ids(tokenizer: &Tokenizer, text: &str, pair: Option<&str>) -> (Vec<u32>, Vec<u32>) {
    let encoding = tokenizer.encode(text, pair).expect("an encoding");
    (encoding.ids, encoding.type_ids)
}

fn wordpiece(max_length: usize) -> Tokenizer {
    let folder = folder(&[("vocab.txt", WORDPIECE)]);
    Tokenizer::from_folder(folder.path(), max_length).expect("a sound vocabulary")
}

/// `a`, `b`, `Ġb` and their merge `ab`; `Ġ` stands for a space.
fn byte_level() -> TempDir {
    let vocabulary =
        r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"ab":6,"Ġ":7,"Ġb":8,"<mask>":9}"#;
    folder(&[("vocab.json", vocabulary), ("merges.txt", "#version: 0.2\na b\nĠ b\n")])
}

#[test]
fn wordpiece_frames_lower_cases_strips_accents_and_splits_words() {
    let tokenizer = wordpiece(16);
    assert_eq!(ids(&tokenizer, "The cats, café", None).0, [2, 5, 6, 8, 12, 11, 3]);
    assert_eq!(ids(&tokenizer, "dog", None).0, [2, 1, 3]);
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.padding_id()), (13, 0));
}

#[test]
fn wordpiece_types_tell_the_two_texts_apart() {
    assert_eq!(
        ids(&wordpiece(16), "the cat", Some("sat")),
        (vec![2, 5, 6, 3, 7, 3], vec![0, 0, 0, 0, 1, 1])
    );
}

#[test]
fn wordpiece_honours_the_case_setting_and_keeps_special_tokens_whole() {
    let cased = folder(&[
        ("vocab.txt", WORDPIECE),
        ("tokenizer_config.json", r#"{"do_lower_case": false}"#),
    ]);
    let tokenizer = Tokenizer::from_folder(cased.path(), 16).expect("a sound vocabulary");
    assert_eq!(ids(&tokenizer, "Cafe The [MASK]", None).0, [2, 9, 10, 1, 4, 3]);
}

#[test]
fn byte_level_bpe_merges_and_frames_pairs_with_two_separators_and_one_type() {
    let folder = byte_level();
    let tokenizer = Tokenizer::from_folder(folder.path(), 16).expect("a sound vocabulary");
    assert_eq!(ids(&tokenizer, "ab b", None).0, [0, 6, 8, 2]);
    let (pair, types) = ids(&tokenizer, "ab", Some("b"));
    assert_eq!(pair, [0, 6, 2, 2, 5, 2]);
    assert_eq!(types, [0; 6]);
    assert_eq!(ids(&tokenizer, "a <mask>b", None).0, [0, 4, 9, 5, 2]);
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.padding_id()), (10, 1));
}

#[test]
fn truncation_takes_from_the_longer_text() {
    let long = "the cat sat the cat sat";
    assert_eq!(ids(&wordpiece(7), long, Some("cat")).0, [2, 5, 6, 7, 3, 6, 3]);
    assert_eq!(ids(&wordpiece(7), "cat", Some(long)).0, [2, 6, 3, 5, 6, 7, 3]);
    assert_eq!(ids(&wordpiece(7), long, Some(long)).0.len(), 7);
    assert_eq!(ids(&wordpiece(7), long, None).0, [2, 5, 6, 7, 5, 6, 3]);
}

#[test]
fn a_long_text_is_cut_as_a_short_one_is() {
    let long = "the cat, ".repeat(70_000);
    let tokenizer = wordpiece(8);
    assert_eq!(ids(&tokenizer, &long, None), ids(&tokenizer, &long[..900], None));
    assert_eq!(ids(&tokenizer, &long, Some("cat")), ids(&tokenizer, &long[..900], Some("cat")));
    assert_eq!(ids(&tokenizer, "cat", Some(&long)), ids(&tokenizer, "cat", Some(&long[..900])));
}

#[test]
fn an_empty_text_is_its_special_tokens() {
    assert_eq!(ids(&wordpiece(16), "", None).0, [2, 3]);
    assert_eq!(ids(&wordpiece(16), "", Some("")).0, [2, 3, 3]);
}

#[test]
fn tokenizer_json_wins() {
    let folder = folder(&[("vocab.txt", WORDPIECE)]);
    let inner =
        Tokenizer::from_folder(folder.path(), 16).expect("a sound vocabulary").backend.inner;
    inner.save(folder.path().join("tokenizer.json"), false).expect("saved");
    fs::write(folder.path().join("vocab.txt"), "nothing\n").expect("written");
    let tokenizer = Tokenizer::from_folder(folder.path(), 16).expect("a sound tokenizer.json");
    assert_eq!(ids(&tokenizer, "the cat sat the cat", None).0, [2, 5, 6, 7, 5, 6, 3]);
}

#[test]
fn byte_order_marks_are_no_tokens() {
    let mark = "\u{FEFF}";
    let words = folder(&[("vocab.txt", &format!("{mark}{WORDPIECE}"))]);
    let tokenizer = Tokenizer::from_folder(words.path(), 16).expect("a sound vocabulary");
    assert_eq!((ids(&tokenizer, "the cat", None).0, tokenizer.padding_id()), (vec![2, 5, 6, 3], 0));
    let bytes = byte_level();
    let plain = Tokenizer::from_folder(bytes.path(), 16).expect("a sound vocabulary");
    for name in ["vocab.json", "merges.txt"] {
        let text = fs::read_to_string(bytes.path().join(name)).expect("there");
        fs::write(bytes.path().join(name), format!("{mark}{text}")).expect("written");
    }
    let marked = Tokenizer::from_folder(bytes.path(), 16).expect("a sound vocabulary");
    assert_eq!(ids(&marked, "ab b", None), ids(&plain, "ab b", None));
}

#[test]
fn added_tokens_beside_a_vocabulary_are_kept_whole() {
    let folder = folder(&[("vocab.txt", WORDPIECE), ("added_tokens.json", r#"{"[NEW]": 13}"#)]);
    let tokenizer = Tokenizer::from_folder(folder.path(), 16).expect("a sound vocabulary");
    assert_eq!(ids(&tokenizer, "the [NEW] cat", None).0, [2, 5, 13, 6, 3]);
    assert_eq!(tokenizer.vocabulary_size(), 14);
}

#[test]
fn padding_behind_the_embedding_is_another_row_s() {
    let folder =
        folder(&[("vocab.txt", WORDPIECE), ("tokenizer_config.json", r#"{"pad_token": "[NEW]"}"#)]);
    let tokenizer = Tokenizer::from_folder(folder.path(), 16).expect("a sound vocabulary");
    assert_eq!(tokenizer.padding_id(), 13);
    let tokenizer = tokenizer.for_rows(13);
    assert_eq!((tokenizer.padding_id(), ids(&tokenizer, "the", None).0), (0, vec![2, 5, 3]));
    let message = tokenizer.encode("the [NEW]", None).expect_err("no row").to_string();
    assert!(message.contains("token `[NEW]` has id 13, but the model's embedding has 13 rows"));
}

#[test]
fn many_examples_are_encoded_as_one_by_one() {
    let tokenizer = wordpiece(8);
    let example = |text: &str, pair: Option<&str>| Example {
        text: text.into(),
        pair: pair.map(Into::into),
        label: Some(0),
    };
    let examples = [
        example("the cat", Some("sat")),
        example("", None),
        example("cats cats cats cats cats", None),
    ];
    let all = tokenizer.encode_all(&examples).expect("encodings");
    for (encoding, example) in all.iter().zip(&examples) {
        assert_eq!(
            *encoding,
            tokenizer.encode(&example.text, example.pair.as_deref()).expect("an encoding")
        );
    }
}

#[test]
fn copied_files_make_the_same_tokenizer() {
    let (from, to) = (byte_level(), folder(&[]));
    copy_files(from.path(), to.path()).expect("copied");
    let names = |folder: &TempDir| fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names(&to), 2);
    assert!(Tokenizer::from_folder(to.path(), 16).is_ok());
}

#[test]
fn unusable_folders_are_explained() {
    let message = |files: &[(&str, &str)], max_length: usize| {
        Tokenizer::from_folder(folder(files).path(), max_length).expect_err("unusable").to_string()
    };
    let nothing = message(&[], 16);
    assert!(
        nothing.ends_with(
            "no tokenizer, expected tokenizer.json, vocab.txt, or vocab.json and merges.txt"
        ),
        "{nothing}"
    );
    let broken = message(&[("tokenizer.json", "{")], 16);
    assert!(broken.contains("tokenizer.json: not a tokenizer"), "{broken}");
    let frameless = message(&[("vocab.txt", "[PAD]\n[UNK]\nthe\n")], 16);
    assert!(frameless.ends_with("no special token `[SEP]` in the vocabulary"), "{frameless}");
    let short = message(&[("vocab.txt", WORDPIECE)], 4);
    assert_eq!(short, "a length of 4 tokens has no room for a pair, expected 5 or more");
    let added = message(&[("vocab.txt", WORDPIECE), ("added_tokens.json", r#"{"a": -1}"#)], 16);
    assert!(added.contains("added_tokens.json: expected an id for token `a`, found -1"), "{added}");
    let words = r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#;
    let class = message(&[("vocab.txt", WORDPIECE), ("tokenizer_config.json", words)], 16);
    assert!(class.contains("found vocabulary files of a BertJapaneseTokenizer"), "{class}");
    let bytes = r#"{"tokenizer_class": "GPT2TokenizerFast"}"#;
    let files = [("vocab.json", "{}"), ("merges.txt", ""), ("tokenizer_config.json", bytes)];
    let class = message(&files, 16);
    assert!(class.contains("found vocabulary files of a GPT2TokenizerFast"), "{class}");
    let merges =
        message(&[("vocab.json", r#"{"a": 0}"#), ("merges.txt", "#version: 0.2\na\n")], 16);
    assert!(merges.contains("merges.txt: line 2: expected two tokens"), "{merges}");
}
