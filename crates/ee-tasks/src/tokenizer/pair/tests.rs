use crate::TextTokenizer;
use crate::fixture;

/// `▁` before each word, merges up to `▁ab`, and `</s>` after a text.
fn json(names: &[&str], merges: &[[&str; 2]]) -> String {
    let vocabulary: serde_json::Map<_, _> =
        names.iter().enumerate().map(|(id, name)| ((*name).to_owned(), id.into())).collect();
    let added: Vec<_> = ["</s>", "<unk>", "<pad>"]
        .iter()
        .map(|name| {
            serde_json::json!({
                "id": vocabulary[*name], "content": name, "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let space =
        serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
    let end = vocabulary["</s>"].clone();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": space,
        "decoder": space,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [end], "tokens": ["</s>"]}},
        },
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocabulary, "merges": merges},
    })
    .to_string()
}

const SETTINGS: &str = r#"{"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}"#;

fn source() -> String {
    json(&["</s>", "<unk>", "▁", "a", "b", "▁a", "▁ab", "<pad>"], &[["▁", "a"], ["▁a", "b"]])
}

#[test]
fn one_dictionary_serves_both_sides() {
    let folder =
        fixture::folder(&[("tokenizer.json", &source()), ("tokenizer_config.json", SETTINGS)]);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound tokenizer");
    assert_eq!(tokenizer.encode_prompt("ab ba").expect("ids"), [6, 2, 4, 3, 0]);
    assert_eq!(tokenizer.encode_answer("ab ba").expect("ids"), [6, 2, 4, 3, 0]);
    assert_eq!(tokenizer.encode_prompt("").expect("ids"), [0]);
    assert_eq!(tokenizer.decode(&[6, 2, 4, 3, 0]).expect("a text"), "ab ba");
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.prompt_vocabulary_size()), (8, 8));
    assert_eq!((tokenizer.end_id(), tokenizer.beginning_id()), (Some(0), None));
}

#[test]
fn two_dictionaries_spell_each_its_side() {
    let target = json(&["</s>", "<unk>", "▁", "x", "▁x", "<pad>"], &[["▁", "x"]]);
    let folder = fixture::folder(&[
        ("tokenizer.source.json", &source()),
        ("tokenizer.target.json", &target),
        ("tokenizer_config.json", SETTINGS),
    ]);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound tokenizer");
    assert_eq!(tokenizer.encode_prompt("ab x").expect("ids"), [6, 2, 1, 0]);
    assert_eq!(tokenizer.encode_answer("ab x").expect("ids"), [2, 1, 1, 4, 0]);
    assert_eq!(tokenizer.decode(&[4, 3, 4, 0]).expect("a text"), "xx x");
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.prompt_vocabulary_size()), (6, 8));
    let mut stream = tokenizer.stream();
    let pieces = [4, 3, 4, 0].map(|id| stream.push(id).expect("a text"));
    assert_eq!(pieces, ["x", "x", " x", ""]);
    let limited = tokenizer.for_rows_of(6, 4);
    let message = limited.encode_prompt("ab").expect_err("no row").to_string();
    assert!(
        message.contains(
            "tokenizer.source.json: token `▁ab` has id 6, but the model's embedding has 6 rows"
        ),
        "{message}"
    );
    let message = limited.encode_answer("x").expect_err("no row").to_string();
    assert!(message.contains("tokenizer.target.json: token `▁x` has id 4"), "{message}");
    assert!(limited.check(&[3]).is_ok() && limited.check(&[4]).is_err());
}

#[test]
fn bart_frames_sources_and_leaves_its_beginning_to_the_model() {
    let vocabulary =
        r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"ab":6,"Ġ":7,"Ġb":8,"<mask>":9}"#;
    let folder = fixture::folder(&[
        ("vocab.json", vocabulary),
        ("merges.txt", "#version: 0.2\na b\nĠ b\n"),
        ("config.json", r#"{"model_type": "bart"}"#),
    ]);
    let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound tokenizer");
    assert_eq!(tokenizer.encode_prompt("ab b").expect("ids"), [0, 6, 8, 2]);
    assert_eq!(tokenizer.encode_answer("ab b").expect("ids"), [6, 8, 2]);
    assert_eq!(tokenizer.decode(&[0, 6, 8, 2]).expect("a text"), "ab b");
    assert_eq!((tokenizer.beginning_id(), tokenizer.end_id()), (Some(0), Some(2)));
}

#[test]
fn decoders_and_pairs_are_not_taken_for_each_other() {
    let folder =
        fixture::folder(&[("tokenizer.json", &source()), ("tokenizer_config.json", SETTINGS)]);
    let pair = TextTokenizer::of_pair(folder.path()).expect("a sound tokenizer");
    let message = pair.encode_prompted("a", "b").expect_err("a pair").to_string();
    assert!(
        message.ends_with("the tokenizer of an encoder-decoder, expected that of a decoder"),
        "{message}"
    );
    let decoder = TextTokenizer::from_folder(folder.path()).expect("a sound tokenizer");
    let message = decoder.encode_answer("a").expect_err("a decoder").to_string();
    assert!(
        message.ends_with("the tokenizer of a decoder, expected that of an encoder-decoder"),
        "{message}"
    );
    assert_eq!(decoder.prompt_vocabulary_size(), 8);
}

/// Copies the files of a golden folder but its golden values.
fn copied(name: &str) -> tempfile::TempDir {
    let copy = fixture::folder(&[]);
    for entry in std::fs::read_dir(fixture::golden(name)).expect("there") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if file != "golden.json" {
            fixture::write(&copy, file, std::fs::read(&path).expect("there"));
        }
    }
    copy
}

#[test]
fn of_several_kinds_of_files_the_more_telling_counts() {
    let text = "The play";
    let own = |name: &str| {
        let tokenizer = TextTokenizer::of_pair(&fixture::golden(name)).expect("a sound folder");
        tokenizer.encode_prompt(text).expect("ids")
    };
    // A converted `tokenizer.json` lies beside the files of many of Marian's checkpoints, and beside T5's.
    let alone = fixture::folder(&[("tokenizer.json", &source())]);
    let alone = TextTokenizer::of_pair(alone.path()).expect("a sound folder");
    let of_json = alone.encode_prompt(text).expect("ids");
    for (name, expected) in [
        ("tokenizer-marian", own("tokenizer-marian")),
        ("tokenizer-fsmt", own("tokenizer-fsmt")),
        ("tokenizer-fairseq", own("tokenizer-fairseq")),
        ("tokenizer-t5", of_json.clone()),
    ] {
        let folder = copied(name);
        fixture::write(&folder, "tokenizer.json", source());
        let tokenizer = TextTokenizer::of_pair(folder.path()).expect("a sound folder");
        assert_eq!(tokenizer.encode_prompt(text).expect("ids"), expected, "{name}");
        assert_ne!(own(name), of_json, "{name}");
    }
}

#[test]
fn lines_of_any_kind_are_cut_in_their_length() {
    let folders = ["tokenizer-marian", "tokenizer-t5", "tokenizer-fairseq", "tokenizer-fsmt"];
    for name in folders {
        let tokenizer = TextTokenizer::of_pair(&fixture::golden(name)).expect("a sound folder");
        for part in
            ["hund", "a ", "日", ".", ". ", "  ", "\u{A0}", "-a", "',\"", "<", "</s>", "½", "5,"]
        {
            let text = part.repeat(50_000 / part.chars().count());
            let ids = tokenizer.encode_prompt(&text).expect("ids");
            tokenizer.decode(&ids).expect("a text");
        }
    }
}

#[test]
fn unusable_folders_are_explained() {
    let message = |files: &[(&str, &str)]| {
        let folder = fixture::folder(files);
        TextTokenizer::of_pair(folder.path()).expect_err("unusable").to_string()
    };
    let nothing = message(&[]);
    assert!(
        nothing.contains("no tokenizer of an encoder-decoder, expected tokenizer.json"),
        "{nothing}"
    );
    let one = message(&[("tokenizer.source.json", &source()), ("tokenizer_config.json", SETTINGS)]);
    assert!(one.contains("tokenizer.target.json: "), "{one}");
    let pieces = message(&[("sentencepiece.bpe.model", ""), ("vocab.json", "{}")]);
    assert!(pieces.contains("found sentencepiece.bpe.model without tokenizer.json"), "{pieces}");
    let endless = source().replace("</s>", "[SEP]");
    let folder = fixture::folder(&[("tokenizer.json", &endless)]);
    let endless = TextTokenizer::of_pair(folder.path()).expect("a sound tokenizer");
    let endless = endless.encode_answer("a").expect_err("no end").to_string();
    assert!(endless.contains("tokenizer.json: no end token for an answer"), "{endless}");
}
