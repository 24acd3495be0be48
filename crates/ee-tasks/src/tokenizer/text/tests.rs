use serde::Deserialize;

use super::*;
use crate::fixture;

/// What transformers gives; see `scripts/goldens_tokenizers.py`.
#[derive(Deserialize)]
struct Golden {
    vocabulary_size: usize,
    beginning: u32,
    end: u32,
    special: Vec<u32>,
    texts: Vec<Text>,
    pairs: Vec<Pair>,
    drawn: Vec<Drawn>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct Pair {
    prompt: String,
    response: String,
    ids: Vec<u32>,
    prompt_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Drawn {
    ids: Vec<u32>,
    decoded: String,
}

fn tokenizer(name: &str) -> TextTokenizer {
    TextTokenizer::from_folder(&fixture::golden(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn library(tokenizer: &TextTokenizer) -> &Library {
    match &tokenizer.sides {
        Sides::One(library) => library,
        Sides::Two(_) => panic!("the tokenizer of a decoder"),
    }
}

/// Each tokenizer with its golden.
fn goldens() -> [(TextTokenizer, Golden); 2] {
    ["tokenizer-bytes", "tokenizer-pieces"]
        .map(|name| (tokenizer(name), fixture::read(&format!("{name}/golden.json"))))
}

fn streamed(tokenizer: &TextTokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<String> =
        ids.iter().map(|id| stream.push(*id).expect("a decoder that works")).collect();
    pieces.push(stream.finish().expect("a decoder that works"));
    pieces
}

#[test]
fn texts_become_the_reference_s_ids_and_come_back() {
    for (tokenizer, golden) in goldens() {
        for Text { text, ids, decoded } in &golden.texts {
            assert_eq!(tokenizer.encode_prompt(text).expect("ids"), *ids, "{text:?}");
            assert_eq!(tokenizer.decode(ids).expect("a text"), *decoded, "{text:?}");
        }
        assert_eq!(golden.texts.iter().filter(|text| text.decoded == text.text).count(), 13);
        assert_eq!(tokenizer.vocabulary_size(), golden.vocabulary_size);
        assert_eq!(tokenizer.beginning_id(), Some(golden.beginning));
        assert_eq!(tokenizer.end_id(), Some(golden.end));
        assert_eq!(library(&tokenizer).special.iter().copied().collect::<Vec<_>>(), golden.special);
    }
}

#[test]
fn a_stream_shows_whole_characters_that_join_to_the_text() {
    for (tokenizer, golden) in goldens() {
        for Text { ids, decoded, .. } in &golden.texts {
            let pieces = streamed(&tokenizer, ids);
            assert_eq!(pieces.concat(), *decoded);
            // A text with that character in it may show it, no other.
            let broken = pieces.iter().any(|piece| piece.contains('\u{FFFD}'));
            assert_eq!(broken, decoded.contains('\u{FFFD}'), "{pieces:?}");
        }
    }
    let pieces = tokenizer("tokenizer-pieces");
    let ids = pieces.encode_prompt("\u{1F44B}b").expect("ids");
    let shown = streamed(&pieces, &ids[ids.len() - 5..]);
    assert_eq!(shown, ["", "", "", "\u{1F44B}", "b", ""]);
}

#[test]
fn drawn_ids_decode_as_in_the_reference_whatever_their_bytes() {
    let mut n_broken_runs = 0;
    for (tokenizer, golden) in goldens() {
        for Drawn { ids, decoded } in &golden.drawn {
            assert_eq!(tokenizer.decode(ids).expect("a text"), *decoded, "{ids:?}");
            let joined = streamed(&tokenizer, ids).concat();
            // The one exception: what a later byte replaces had been shown.
            if joined != *decoded {
                n_broken_runs += 1;
                let kept = |text: &str| text.chars().filter(|char| *char != '\u{FFFD}').count();
                assert!(decoded.contains('\u{FFFD}') && kept(&joined) > kept(decoded), "{ids:?}");
                assert_eq!(tokenizer.end_id(), Some(2), "byte-level streams have no exception");
            }
        }
    }
    assert!(n_broken_runs < 20, "{n_broken_runs} of 40");
}

#[test]
fn a_broken_byte_run_keeps_what_was_shown() {
    let tokenizer = tokenizer("tokenizer-pieces");
    let id =
        |name: &str| library(&tokenizer).backend.inner.token_to_id(name).expect("a byte token");
    let ids = ["<0x41>", "<0xC3>", "<0xA9>", "<0xC3>", "<0x41>"].map(id);
    assert_eq!(tokenizer.decode(&ids).expect("a text"), "\u{FFFD}".repeat(5));
    assert_eq!(streamed(&tokenizer, &ids), ["A", "", "\u{e9}", "", "", "\u{FFFD}\u{FFFD}"]);
}

#[test]
fn a_prompt_and_its_response_are_spelled_as_one_text() {
    let mut n_merged = 0;
    for (tokenizer, golden) in goldens() {
        for Pair { prompt, response, ids, prompt_ids } in &golden.pairs {
            let found = tokenizer.encode_prompted(prompt, response).expect("ids");
            assert_eq!(found.ids, *ids, "{prompt:?} {response:?}");
            match ids.starts_with(prompt_ids) {
                true => assert_eq!(found.prompt_length, prompt_ids.len(), "{prompt:?}"),
                false => {
                    n_merged += 1;
                    let up_to = |n: usize| tokenizer.decode(&ids[..n]).expect("a text");
                    assert!(prompt.starts_with(&up_to(found.prompt_length)), "{prompt:?}");
                    assert!(!prompt.starts_with(&up_to(found.prompt_length + 1)), "{prompt:?}");
                }
            }
        }
    }
    assert!(n_merged >= 2, "some pairs are spelled otherwise than their parts");
}

#[test]
fn a_long_text_is_spelled_in_pieces_and_only_as_far_as_needed() {
    let text = "The play was good, 12345 € and 日本語. ".repeat(14_000);
    for (tokenizer, _) in goldens() {
        let whole = library(&tokenizer).backend.inner.encode(&*text, true).expect("ids");
        assert_eq!(tokenizer.encode_prompt(&text).expect("ids"), whole.get_ids());
        let some = tokenizer.encode_prompt_within(&text, 100).expect("ids");
        assert!(some.len() >= 100 && some.len() < whole.len() / 2, "{}", some.len());
        assert!(whole.get_ids().starts_with(&some[..100]));
        let prompted = tokenizer.encode_prompted(&text, "the end").expect("ids");
        assert!((0..8).contains(&(prompted.ids.len() - prompted.prompt_length)));
        let within = tokenizer.encode_prompted_within("the", &text, 100).expect("ids");
        assert!(within.ids.len() < whole.len() / 2 && within.prompt_length < 5);
    }
}

#[test]
fn what_a_tokenizer_puts_after_a_text_is_no_part_of_a_prompt() {
    let mut json: serde_json::Value = fixture::read("tokenizer-pieces/tokenizer.json");
    let processor = &mut json["post_processor"];
    let end = serde_json::json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    processor["single"].as_array_mut().expect("a template").push(end);
    processor["special_tokens"]["</s>"] =
        serde_json::json!({"id": "</s>", "ids": [2], "tokens": ["</s>"]});
    let settings: serde_json::Value = fixture::read("tokenizer-pieces/tokenizer_config.json");
    let (json, settings) = (json.to_string(), settings.to_string());
    let copy = fixture::folder(&[("tokenizer.json", &json), ("tokenizer_config.json", &settings)]);
    let framed = TextTokenizer::from_folder(copy.path()).expect("a sound tokenizer");
    let plain = tokenizer("tokenizer-pieces");
    // An end that is written in the text stays.
    for text in ["the play", "", "the</s>"] {
        let ids = plain.encode_prompt(text).expect("ids");
        assert_eq!(framed.encode_prompt(text).expect("ids"), ids, "{text:?}");
    }
    let prompted = framed.encode_prompted("the", " play").expect("ids");
    assert_eq!(prompted, plain.encode_prompted("the", " play").expect("ids"));
}

#[test]
fn unusable_folders_are_explained() {
    let folder = fixture::folder(&[]);
    let message = || TextTokenizer::from_folder(folder.path()).expect_err("unusable").to_string();
    assert!(message().ends_with("no tokenizer, expected tokenizer.json"), "{}", message());
    fixture::write(&folder, "tokenizer.model", "");
    assert!(
        message().ends_with(
            "expected tokenizer.json, found tokenizer.model alone: convert it with transformers, \
             AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        ),
        "{}",
        message()
    );
    fixture::write(&folder, "tokenizer.json", "{");
    assert!(message().contains("tokenizer.json: not a tokenizer"), "{}", message());
}
