//! New models and the dictionaries that they are made for.

use std::fs;

use burn::tensor::Device;
use ee_models::arch::seq2seq::load;
use ee_models::checkpoint::Precision;
use ee_models::{Backbone, Batch};
use ee_tasks::TextTokenizer;

use crate::playground::succeeded;
use crate::{pairs, tensors};

#[test]
fn a_new_model_that_counts_positions_from_its_padding_has_fairseq_s_special_tokens() {
    let playground = pairs();
    let family = ["--set", "training.epochs=1", "--set", "model.family=fsmt"];
    let apart = ["--set", "tokenizer.joined=false", "--set", "model.sharing=decoder"];
    for (name, flags) in [("one", family.to_vec()), ("two", [family, apart].concat())] {
        succeeded(&playground.train(name, &flags));
        let best = playground.path(&format!("{name}/best"));
        let config = playground.json(&format!("{name}/best/config.json"));
        assert_eq!([&config["pad_token_id"], &config["eos_token_id"]], [1, 2], "{name}");
        let tokenizer = TextTokenizer::of_pair(&best).unwrap();
        assert_eq!((tokenizer.padding_id(), tokenizer.end_id()), (Some(1), Some(2)), "{name}");
        let sizes = [tokenizer.prompt_vocabulary_size(), tokenizer.vocabulary_size()];
        assert_eq!([&config["src_vocab_size"], &config["tgt_vocab_size"]], sizes, "{name}");

        // The decoder's first vector is its token's row, scaled, and the sinusoids of position 2: sin 2, sin 2f, ..., cos 2.
        let loaded = load(&best, Precision::F32, &Device::flex()).unwrap();
        let batch = Batch::new(vec![5], vec![0], vec![1], 1).unwrap();
        let found =
            loaded.model.embed(&batch, None).hidden.into_data().try_to_vec::<f32>().unwrap();
        let width = found.len();
        let table = &tensors(&best.join("model.safetensors"))["model.decoder.embed_tokens.weight"];
        let row = &table[5 * width..6 * width];
        let positions: Vec<f32> =
            found.iter().zip(row).map(|(all, row)| all - row * (width as f32).sqrt()).collect();
        assert!((positions[0] - 2_f32.sin()).abs() < 1e-5, "{name}: {positions:?}");
        assert!((positions[width / 2] - 2_f32.cos()).abs() < 1e-5, "{name}: {positions:?}");
    }
}

#[test]
fn a_new_fsmt_finds_its_dictionaries_again() {
    let playground = pairs();
    let run = fs::read_to_string(playground.path("run.toml")).unwrap();
    let run = run.replace("[model]\n", "[model]\nfamily = 'fsmt'\nsharing = 'decoder'\n");
    let run = run.replace(
        "positions = 32\n[tokenizer]\nmerges = 8\n",
        "positions = 32\ntokenizer = 'words'\n",
    );
    playground.write("run.toml", run);
    let letters = "a 9\nb 8\nc 7\nd 6\ne 5\nf 4\ng 3\nh 2\n";
    playground.write("words/dict.de.txt", letters);
    // One dictionary is both sides'; two are told apart by a file that is not copied.
    for (name, target) in [("one", None), ("two", Some("x 1\n".to_owned() + letters))] {
        if let Some(target) = &target {
            playground.write("words/dict.en.txt", target);
            playground.write("words/config.json", r#"{"langs": ["de", "en"]}"#);
        }
        succeeded(&playground.train(name, &["--set", "training.max_steps=2"]));
        let last = playground.path(name).join("last");
        let tokenizer = TextTokenizer::of_pair(&last).unwrap();
        let ids =
            [tokenizer.encode_prompt("a x").unwrap(), tokenizer.encode_answer("a x").unwrap()];
        let expected = if target.is_some() { [5, 4, 2] } else { [4, 3, 2] };
        assert_eq!(ids, [vec![4, 3, 2], expected.to_vec()], "{name}");
    }
}

#[test]
fn texts_beyond_the_positions_are_refused_before_anything_is_read() {
    let playground = pairs();
    fs::remove_file(playground.path("train.src")).unwrap();
    let flags = ["--set", "task.max_length=33"];
    let expected = ["task.max_length is 33 tokens, the model has positions for 32"];
    playground.refused("run", &flags, 1, &expected);
}
