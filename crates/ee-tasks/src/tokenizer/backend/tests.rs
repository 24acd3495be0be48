use serde_json::{Value, json};

use super::*;
use crate::fixture;

/// The decoders' golden tokenizer with a change.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let mut json = fixture::read("tokenizer-pieces/tokenizer.json");
    change(&mut json);
    fixture::folder(&[("tokenizer.json", &json.to_string())])
}

fn message(change: impl FnOnce(&mut Value)) -> String {
    let folder = changed(change);
    let opened = Backend::open(folder.path(), "tokenizer.json", None);
    let spelled = opened.and_then(|(backend, _)| backend.cut("the play", Some("was good"), 100));
    spelled.expect_err("a file that breaks the library").to_string()
}

#[test]
fn a_file_that_makes_the_library_panic_is_named() {
    let messages = [
        message(|json| {
            json["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
        }),
        message(|json| json["post_processor"]["special_tokens"] = json!({})),
        message(|json| json["model"]["continuing_subword_prefix"] = json!("##")),
        message(|json| json["model"]["merges"] = json!([["a", "nowhere"]])),
        message(|json| json["added_tokens"] = json!([{"id": 0}])),
    ];
    for message in messages {
        assert!(message.contains("tokenizer.json: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn the_file_s_limits_do_not_act() {
    let folder = changed(|json| {
        json["truncation"] = json!({
            "direction": "Left", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
        });
        json["padding"] = json!({
            "strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>",
        });
    });
    let plain = changed(|_| {});
    let ids = |folder: &tempfile::TempDir, length| {
        let (backend, _) = Backend::open(folder.path(), "tokenizer.json", None).unwrap();
        backend.cut("the play was good", None, length).unwrap().get_ids().to_vec()
    };
    let whole = ids(&plain, 100);
    assert_eq!(ids(&folder, 100), whole);
    // Only the side on which they act stays, as with transformers.
    assert_eq!(ids(&plain, 4), whole[..4]);
    assert_eq!(ids(&folder, 4), [&whole[..1], &whole[whole.len() - 3..]].concat());
}

#[test]
fn a_token_behind_the_embedding_is_an_error_where_it_occurs() {
    let folder = changed(|json| {
        let id = 460 + json["added_tokens"].as_array().unwrap().len();
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": id, "content": "[PAD]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        }));
    });
    let (mut backend, _) = Backend::open(folder.path(), "tokenizer.json", None).unwrap();
    let added = backend.inner.token_to_id("[PAD]").unwrap();
    backend.limit(added as usize);
    assert!(backend.cut("the play", None, 100).is_ok());
    let message = backend.cut("the [PAD]", None, 100).unwrap_err().to_string();
    let expected =
        format!("token `[PAD]` has id {added}, but the model's embedding has {added} rows");
    assert!(message.contains(&expected) && message.contains("tokenizer.json"), "{message}");
}

#[test]
fn the_longer_text_is_cut_first_and_keeps_one_more_of_an_odd_number() {
    for (lengths, room, expected) in [
        ([3, 4], 7, [3, 4]),
        ([10, 2], 7, [5, 2]),
        ([2, 10], 7, [2, 5]),
        ([600, 500], 511, [256, 255]),
        ([500, 600], 511, [255, 256]),
        ([600, 600], 511, [255, 256]),
        ([600, 500], 510, [255, 255]),
        ([4, 9], 7, [3, 4]),
        ([9, 4], 7, [4, 3]),
    ] {
        assert_eq!(longest_first(lengths, room), expected, "{lengths:?} in {room}");
    }
}
