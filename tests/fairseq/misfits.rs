//! Files that do not fit, and files that would run something.

use std::path::Path;

use crate::{copy, holds, load};

/// Changes every place of a file that holds some bytes.
fn change(folder: &Path, from: &[u8], to: &[u8]) {
    let path = folder.join("model.pt");
    let bytes = std::fs::read(&path).unwrap();
    let (mut changed, mut rest) = (Vec::new(), &bytes[..]);
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        changed.extend_from_slice(&rest[..at]);
        changed.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    changed.extend_from_slice(rest);
    assert_ne!(changed, bytes, "nothing to change");
    std::fs::write(path, changed).unwrap();
}

/// What a folder of the older form is refused for after a change of its options.
fn refused(from: &[u8], to: &[u8]) -> String {
    let folder = copy("fairseq-old-tiny");
    change(folder.path(), from, to);
    let message = load(folder.path()).unwrap_err();
    assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
    message
}

/// A key of the options, up to its value.
fn key(name: &str, place: &[u8]) -> Vec<u8> {
    [name.as_bytes(), place].concat()
}

#[test]
fn options_of_other_models_are_named() {
    let path = crate::goldens::folder("fairseq-old-tiny/model.pt");
    let bytes = std::fs::read(path).unwrap();
    // A key, its place in the memo, and a value of one byte.
    let set = |name: &str, value: u8| {
        let at = bytes.windows(name.len()).position(|window| window == name.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {name}")) + name.len();
        let end = if bytes[at] == b'q' { at + 2 } else { at + 5 };
        let from = key(name, &bytes[at..=end]);
        let mut to = from.clone();
        *to.last_mut().unwrap() = value;
        refused(&from, &to)
    };
    let message = set("adaptive_softmax_cutoff", 0x88);
    assert!(
        message.contains("'adaptive_softmax_cutoff' is set, which is not supported"),
        "{message}"
    );
    let message = set("encoder_normalize_before", 0x88);
    assert!(
        message.contains("encoder_normalize_before true and decoder_normalize_before false differ"),
        "{message}"
    );
    let message = set("encoder_learned_pos", 0x88);
    assert!(
        message.contains("encoder_learned_pos true and decoder_learned_pos false"),
        "{message}"
    );
    let message = set("source_lang", b'N');
    assert!(message.contains("its pickle"), "{message}");
    // The head has no tensor of its own.
    let message = set("share_all_embeddings", 0x89);
    assert!(message.contains("output_projection.weight"), "{message}");
    assert!(!message.contains("extra tensor"), "{message}");
}

#[test]
fn an_architecture_that_states_its_sizes_need_not_be_known() {
    let folder = copy("fairseq-old-tiny");
    change(folder.path(), b"transformer_wmt_en_de", b"transformer_of_mine__");
    holds(&load(folder.path()).unwrap(), "fairseq-old-tiny");
    change(folder.path(), b"encoder_layers", b"encoder_latent");
    let message = load(folder.path()).unwrap_err();
    assert!(message.contains("missing key 'encoder_layers'"), "{message}");
}

#[test]
fn a_dictionary_fits_its_table() {
    // 40 rows: 36 words and four more, or fewer and filled up to a multiple of eight.
    for (words, fits) in [(28, false), (29, true), (35, true), (36, true), (37, false), (0, false)]
    {
        let folder = copy("fairseq-old-tiny");
        let lines: String = (0..words).map(|at| format!("w{at} 1\n")).collect();
        std::fs::write(folder.path().join("dict.en.txt"), lines).unwrap();
        match load(folder.path()) {
            Ok(_) => assert!(fits, "{words}"),
            Err(message) => {
                assert!(!fits, "{words}: {message}");
                let expected = format!(
                    "dict.en.txt: {words} words and the 4 that every dictionary begins with are {}, the table of \
                     model.pt has 40 rows",
                    words + 4
                );
                assert!(message.contains(&expected), "{message}");
            }
        }
    }
    let folder = copy("fairseq-old-tiny");
    std::fs::remove_file(folder.path().join("dict.de.txt")).unwrap();
    assert!(load(folder.path()).unwrap_err().contains("dict.de.txt"));
}

#[test]
fn what_a_pickle_would_run_is_not_run() {
    let folder = copy("fairseq-old-tiny");
    let marker = folder.path().join("ran");
    let command = format!("touch {}", marker.display());
    // One more entry of what was saved, made by calling os.system.
    let mut entry = b"}q\x00(X\x05\0\0\0firstcposix\nsystem\nX".to_vec();
    entry.extend((command.len() as u32).to_le_bytes());
    entry.extend(command.as_bytes());
    entry.extend(b"\x85R");
    change(folder.path(), b"}q\x00(X\x04\0\0\0args", &[&entry[..], b"X\x04\0\0\0args"].concat());
    holds(&load(folder.path()).unwrap(), "fairseq-old-tiny");
    assert!(!marker.exists());
    // In the place of the options.
    change(folder.path(), b"cargparse\nNamespace\n", b"cposix\nsystem\n");
    let message = load(folder.path()).unwrap_err();
    assert!(message.contains("what was saved has neither 'args' nor 'cfg'"), "{message}");
    assert!(!marker.exists());
}

#[test]
fn a_part_of_another_storage_is_told() {
    // The first storage of 768 numbers; what it is a part of stands where there is nothing as a rule.
    let message = refused(b"M\x00\x03Ntq:Q", b"M\x00\x03(X\x01\0\0\x000K\x10M\x00\x03ttq:Q");
    assert!(
        message.contains(
            "'encoder.layers.0.self_attn.in_proj_weight' is stored as a part of another storage"
        ),
        "{message}"
    );
}

#[test]
fn files_of_other_programs_are_told() {
    let folder = copy("fairseq-old-tiny");
    let written = |bytes: &[u8]| {
        std::fs::write(folder.path().join("model.pt"), bytes).unwrap();
        let message = load(folder.path()).unwrap_err();
        assert!(message.contains("model.pt"), "{message}");
        message
    };
    assert!(written(b"").contains("no file of torch.save"));
    assert!(written(b"PK\x03\x04").contains("no file of torch.save"));
    let state = std::fs::read(crate::goldens::folder("bert-tiny-bin/pytorch_model.bin")).unwrap();
    let message = written(&state);
    assert!(
        message.contains("no checkpoint of fairseq: what was saved has no 'model'"),
        "{message}"
    );
}
