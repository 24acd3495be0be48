use serde::Deserialize;
use tempfile::TempDir;

use super::*;
use crate::{TextTokenizer, fixture};

/// What subword-nmt and fairseq's dictionary give; see `scripts/goldens_words.py`.
#[derive(Deserialize)]
struct Golden {
    texts: Vec<Text>,
    drawn: Vec<Drawn>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    #[serde(default)]
    segmented: String,
    #[serde(default)]
    older: String,
    source: Vec<u32>,
    #[serde(default)]
    target: Vec<u32>,
}

#[derive(Deserialize)]
struct Drawn {
    ids: Vec<u32>,
    decoded: String,
}

fn golden(name: &str) -> (TextTokenizer, Golden) {
    let tokenizer = TextTokenizer::of_pair(&fixture::golden(name));
    (
        tokenizer.unwrap_or_else(|error| panic!("{error}")),
        fixture::read(&format!("{name}/golden.json")),
    )
}

/// A copy of fairseq's golden folder with one file's text changed.
fn changed(name: &str, change: impl Fn(&str) -> String) -> TempDir {
    let copy = fixture::folder(&[]);
    for file in ["bpecodes", "dict.de.txt", "dict.en.txt", "tokenizer_config.json"] {
        let text = text::read(&fixture::golden("tokenizer-fairseq").join(file)).expect("there");
        fixture::write(&copy, file, if file == name { change(&text) } else { text });
    }
    copy
}

fn message(name: &str, change: impl Fn(&str) -> String) -> String {
    let folder = changed(name, change);
    TextTokenizer::of_pair(folder.path()).expect_err("unusable").to_string()
}

#[test]
fn codes_of_both_versions_cut_words_as_subword_nmt() {
    let (_, golden) = golden("tokenizer-fairseq");
    let folder = fixture::golden("tokenizer-fairseq");
    let [newer, older] =
        ["bpecodes", "codes-0.1"].map(|name| Codes::read(&folder.join(name)).expect("sound codes"));
    assert!(golden.texts.iter().any(|text| text.older != text.segmented));
    for Text { text, segmented, older: before, .. } in &golden.texts {
        assert_eq!(newer.segmented(text), *segmented, "{text:?}");
        assert_eq!(older.segmented(text), *before, "{text:?}");
    }
}

#[test]
fn fairseq_s_dictionaries_number_words_and_joined_pieces_come_back() {
    let (tokenizer, golden) = golden("tokenizer-fairseq");
    for Text { text, source, target, .. } in &golden.texts {
        assert_eq!(tokenizer.encode_prompt(text).expect("ids"), *source, "{text:?}");
        assert_eq!(tokenizer.encode_answer(text).expect("ids"), *target, "{text:?}");
    }
    for Drawn { ids, decoded } in &golden.drawn {
        assert_eq!(tokenizer.decode(ids).expect("a text"), *decoded, "{ids:?}");
        let mut stream = tokenizer.stream();
        let mut joined: String = ids.iter().map(|id| stream.push(*id).expect("a text")).collect();
        joined.push_str(&stream.finish().expect("a text"));
        assert_eq!(joined, *decoded, "{ids:?}");
    }
    assert_eq!(tokenizer.end_id(), Some(2));
    assert_eq!(tokenizer.decode(&[0, 1, 2, 3]).expect("a text"), "");
    let both = [tokenizer.prompt_vocabulary_size(), tokenizer.vocabulary_size()];
    assert!(
        both[0] > both[1] && both.iter().all(|size| size % 8 == 1),
        "{both:?}: one row overwrites"
    );
}

#[test]
fn fsmt_s_texts_go_through_moses_and_come_back() {
    let (tokenizer, golden) = golden("tokenizer-fsmt");
    for Text { text, source, .. } in &golden.texts {
        assert_eq!(tokenizer.encode_prompt(text).expect("ids"), *source, "{text:?}");
    }
    for Drawn { ids, decoded } in &golden.drawn {
        assert_eq!(tokenizer.decode(ids).expect("a text"), *decoded, "{ids:?}");
    }
    // The target's dictionary spells answers, where transformers' tokenizer takes the source's.
    let ids = tokenizer.encode_answer("A dog runs.").expect("ids");
    assert_eq!(tokenizer.decode(&ids).expect("a text"), "a dog runs.");
}

#[test]
fn words_alone_are_taken_as_they_stand() {
    let folder = fixture::folder(&[("dict.de.txt", "ein@@ 3\nhund 2\r\n. 1")]);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("one dictionary is both sides'");
    assert_eq!(tokenizer.encode_prompt(" ein@@ hund\t. x").expect("ids"), [4, 5, 6, 3, 2]);
    assert_eq!(tokenizer.encode_answer("").expect("ids"), [2]);
    assert_eq!(tokenizer.decode(&[4, 5, 6, 2]).expect("a text"), "ein@@ hund .");
    assert_eq!(tokenizer.vocabulary_size(), 7);
    assert_eq!(tokenizer.languages(), Some(&["de", "de"].map(str::to_owned)));
}

#[test]
fn two_dictionaries_need_to_be_told_apart() {
    let text = message("tokenizer_config.json", |_| "{}".to_owned());
    assert!(
        text.contains("dictionaries of de and en, of which nothing says which is the source's"),
        "{text}"
    );
    let folder = changed("tokenizer_config.json", |_| "{}".to_owned());
    let languages = ["en", "de"].map(str::to_owned);
    let turned = TextTokenizer::of_languages(folder.path(), &languages).expect("told");
    let (tokenizer, _) = golden("tokenizer-fairseq");
    let ids = [turned.encode_answer("zwei hunde"), tokenizer.encode_prompt("zwei hunde")];
    let [one, other] = ids.map(|ids| ids.expect("ids"));
    assert_eq!(one, other);
    let languages = ["en", "fr"].map(str::to_owned);
    let missing =
        TextTokenizer::of_languages(folder.path(), &languages).expect_err("no dictionary");
    assert!(missing.to_string().contains("dict.fr.txt"), "{missing}");
}

#[test]
fn dictionaries_and_codes_that_do_not_parse_are_named_with_their_line() {
    let text = message("dict.en.txt", |text| text.replacen(' ', "", 1));
    assert!(text.contains("dict.en.txt: line 1: expected a word and its count"), "{text}");
    let text = message("dict.en.txt", |text| text.replace(" #fairseq:overwrite", ""));
    assert!(text.contains("is there twice, expected `#fairseq:overwrite`"), "{text}");
    let text = message("dict.de.txt", |text| format!("<unk> 5\n{text}"));
    assert!(text.contains("dict.de.txt: line 1: word `<unk>` is there twice"), "{text}");
    let text = message("bpecodes", |text| text.replace("#version: 0.2", "#version: 0.3"));
    assert!(
        text.ends_with("bpecodes: line 1: BPE codes of version 0.3, expected 0.1 or 0.2"),
        "{text}"
    );
    let text = message("bpecodes", |text| text.replacen("</w>", "</w> 7", 1));
    assert!(text.contains("expected two symbols with a space between them"), "{text}");
}
