//! What config.json may say: absent keys have transformers' defaults (tests/golden, made by
//! scripts/goldens_config_defaults.py), wrong ones are reported, all at once.

use std::path::Path;

use ee_models::arch::bert::EncoderConfig;
use ee_models::arch::llama::LlamaConfig;
use ee_models::arch::seq2seq::{Positions, Seq2SeqConfig};
use ee_models::kernels::Activation;
use ee_models::layers::RotaryScaling;
use serde_json::{Map, Value, json};

fn defaults() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/config_defaults.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The sizes alone, of a family, with some keys more.
fn config(model_type: &str, more: &[(&str, Value)]) -> Map<String, Value> {
    let mut config = defaults()["sizes"].as_object().unwrap().clone();
    config.insert("model_type".into(), model_type.into());
    config.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    config
}

fn decoder(model_type: &str, more: &[(&str, Value)]) -> Result<LlamaConfig, String> {
    let config = config(model_type, more);
    LlamaConfig::from_json(config, Path::new("config.json")).map_err(|error| error.to_string())
}

fn encoder(model_type: &str, more: &[(&str, Value)]) -> Result<EncoderConfig, String> {
    let config = config(model_type, more);
    EncoderConfig::from_json(config, Path::new("config.json")).map_err(|error| error.to_string())
}

/// What was read of a decoder's key, as JSON.
fn read_of_decoder(config: &LlamaConfig, key: &str) -> Value {
    match key {
        "num_key_value_heads" => json!(config.num_key_value_heads),
        "head_dim" => json!(config.head_dim),
        "rms_norm_eps" => json!(config.rms_norm_eps),
        "rope_theta" => json!(config.rope_theta),
        "max_position_embeddings" => json!(config.max_position_embeddings),
        "tie_word_embeddings" => json!(config.tie_word_embeddings),
        "initializer_range" => json!(config.initializer_range),
        "attention_dropout" => json!(config.attention_dropout),
        "attention_bias" => json!(config.biases.output),
        "mlp_bias" => json!(config.biases.feed_forward),
        "sliding_window" => json!(config.sliding_window),
        "bos_token_id" => json!(config.special.beginning),
        "eos_token_id" => json!(config.special.ends.first()),
        "layer_types" => {
            let kind = |index| match config.window_of(index) {
                Some(_) => "sliding_attention",
                None => "full_attention",
            };
            json!((0..config.num_hidden_layers).map(kind).collect::<Vec<_>>())
        }
        other => panic!("'{other}' is not compared"),
    }
}

#[test]
fn absent_keys_of_decoders_mean_what_transformers_takes_them_for() {
    // The model has one function; that a window is used is seen by its layers.
    let elsewhere = ["hidden_act", "use_sliding_window", "max_window_layers"];
    let all = defaults();
    for model_type in ["llama", "mistral", "qwen2", "qwen3"] {
        let golden = &all[model_type];
        let plain = decoder(model_type, &[]).unwrap();
        let windowed = decoder(model_type, &[("use_sliding_window", json!(true))]).unwrap();
        for (key, expected) in golden["absent"].as_object().unwrap() {
            if elsewhere.contains(&key.as_str()) {
                continue;
            }
            let config =
                if key == "layer_types" || key == "sliding_window" { &windowed } else { &plain };
            assert_eq!(&read_of_decoder(config, key), expected, "{model_type}: {key}");
        }
        assert_eq!(plain.window_of(29), if model_type == "mistral" { Some(4096) } else { None });
        for (key, expected) in golden["null"].as_object().unwrap() {
            let config = decoder(model_type, &[(key, Value::Null)]).unwrap();
            assert_eq!(&read_of_decoder(&config, key), expected, "{model_type}: {key} null");
        }
    }
}

#[test]
fn absent_keys_of_encoders_mean_what_transformers_takes_them_for() {
    let all = defaults();
    for model_type in ["bert", "roberta", "xlm-roberta"] {
        let config = encoder(model_type, &[]).unwrap();
        for (key, expected) in all[model_type]["absent"].as_object().unwrap() {
            let single = |value: f32| json!(value.to_string().parse::<f64>().unwrap());
            let found = match key.as_str() {
                "hidden_act" => json!(format!("{:?}", config.activation).to_lowercase()),
                "hidden_dropout_prob" => single(config.hidden_dropout_prob),
                "attention_probs_dropout_prob" => single(config.attention_probs_dropout_prob),
                "classifier_dropout" => json!(config.classifier_dropout),
                "max_position_embeddings" => json!(config.max_position_embeddings),
                "type_vocab_size" => json!(config.type_vocab_size),
                "initializer_range" => json!(config.initializer_range),
                "layer_norm_eps" => json!(config.layer_norm_eps),
                "pad_token_id" => json!(config.pad_token_id),
                "num_labels" => json!(config.n_labels()),
                other => panic!("'{other}' is not compared"),
            };
            assert_eq!(&found, expected, "{model_type}: {key}");
        }
    }
}

/// What was read of an encoder-decoder's key, as JSON.
fn read_of_both(config: &Seq2SeqConfig, key: &str) -> Value {
    let (options, tokens) = (&config.options, &config.tokens);
    let (buckets, distance) = match options.positions {
        Positions::Relative { buckets, distance } => (buckets, distance),
        _ => (0, 0),
    };
    let named = |key: &str| Activation::named(key) == Some(options.activation);
    match key {
        "max_position_embeddings" => json!(options.max_positions),
        "activation_function" | "feed_forward_proj" => {
            json!(["relu", "gelu"].into_iter().find(|name| named(name)))
        }
        "scale_embedding" => json!(options.scale_embedding),
        "dropout" | "dropout_rate" => json!(options.dropouts.hidden),
        "attention_dropout" => json!(options.dropouts.attention),
        "activation_dropout" => json!(options.dropouts.activation),
        "pad_token_id" => json!(options.padding),
        "bos_token_id" => json!(tokens.special.beginning),
        "eos_token_id" => json!(tokens.special.ends.first()),
        "decoder_start_token_id" => json!(tokens.start),
        "forced_eos_token_id" => json!(tokens.forced_end),
        "decoder_vocab_size" => json!(options.target_vocabulary),
        "share_encoder_decoder_embeddings" => json!(options.sharing.shares_tables()),
        "tie_word_embeddings" if config.family.facts.class.starts_with("FSMT") => {
            json!(options.sharing.shares_tables())
        }
        "tie_word_embeddings" => json!(options.sharing.ties_head()),
        "d_kv" => json!(options.decoder.head_dim),
        "num_decoder_layers" => json!(options.decoder.layers),
        "relative_attention_num_buckets" => json!(buckets),
        "relative_attention_max_distance" => json!(distance),
        "layer_norm_epsilon" => json!(options.epsilon),
        other => panic!("'{other}' is not compared"),
    }
}

#[test]
fn absent_keys_of_encoder_decoders_mean_what_transformers_takes_them_for() {
    let all = defaults();
    for family in ee_models::arch::seq2seq::FAMILIES {
        let model_type = family.facts.model_type;
        let mut sizes = all["sizes_of_both"].as_object().unwrap().clone();
        sizes.insert("model_type".into(), model_type.into());
        let config = Seq2SeqConfig::from_json(sizes, Path::new("config.json")).unwrap();
        for (key, expected) in all[model_type]["absent"].as_object().unwrap() {
            let found = read_of_both(&config, key);
            // Where transformers has no first token, its `generate` takes the beginning, and T5's model the padding.
            if key == "decoder_start_token_id" && expected.is_null() {
                assert_eq!(found, json!(0), "{model_type}");
                continue;
            }
            assert_eq!(&found, expected, "{model_type}: {key}");
        }
    }
}

#[test]
fn wrong_values_are_named_with_what_was_expected_and_found() {
    let whole = "a whole number from 1 to 2147483647";
    let sizes = [
        json!("64"),
        json!(64.0),
        json!(0),
        json!(-64),
        json!(1e30),
        json!(1_000_000_000_000_u64),
        json!(i64::MAX),
        json!(true),
        json!([64]),
        Value::Null,
    ];
    for value in sizes {
        for key in ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"] {
            let complaint = decoder("llama", &[(key, value.clone())]).unwrap_err();
            let expected = format!("config.json: '{key}' must be {whole}, found {value}");
            // And no complaint about the sizes together.
            assert_eq!(complaint, expected);
        }
        if !value.is_null() {
            let complaint =
                decoder("qwen2", &[("num_key_value_heads", value.clone())]).unwrap_err();
            assert!(complaint.contains(&format!("must be {whole}, found {value}")), "{complaint}");
        }
    }
    let others = [
        ("rms_norm_eps", json!("1e-5"), "a number of 0 or more"),
        ("rms_norm_eps", json!(-1e-5), "a number of 0 or more"),
        ("rms_norm_eps", Value::Null, "a number of 0 or more"),
        ("rope_theta", json!(0), "a number above 0"),
        ("rope_theta", json!(1e300), "a number above 0"),
        ("tie_word_embeddings", json!("true"), "true or false"),
        ("tie_word_embeddings", json!(1), "true or false"),
        ("attention_bias", Value::Null, "true or false"),
        ("hidden_act", json!(7), "a text"),
        ("hidden_act", Value::Null, "a text"),
        ("rope_scaling", json!("yarn"), "an object"),
        ("head_dim", json!("16"), whole),
        ("attention_dropout", json!(1), "a number from 0 to below 1"),
        ("eos_token_id", json!("2"), "token ids"),
        ("bos_token_id", json!([1, null]), "token ids"),
    ];
    for (key, value, expected) in others {
        let complaint = decoder("llama", &[(key, value.clone())]).unwrap_err();
        let expected = format!("'{key}' must be {expected}, found {value}");
        assert!(complaint.contains(&expected), "{expected} in {complaint}");
    }
    let windows = [
        ("sliding_window", json!("6"), whole),
        ("use_sliding_window", json!("yes"), "true or false"),
        ("max_window_layers", json!(1.5), "a whole number from 0"),
        ("layer_types", json!(["full_attention", "chunked"]), "a list of 'full_attention' and"),
    ];
    for (key, value, expected) in windows {
        let complaint = decoder("qwen2", &[(key, value)]).unwrap_err();
        assert!(complaint.contains(&format!("'{key}' must be {expected}")), "{complaint}");
    }
}

#[test]
fn wrong_values_of_encoders_are_named_with_what_was_expected_and_found() {
    let probability = "a number from 0 to below 1";
    let cases = [
        ("hidden_dropout_prob", json!(1.0), probability),
        ("hidden_dropout_prob", json!(-1), probability),
        ("hidden_dropout_prob", json!("0.1"), probability),
        ("hidden_dropout_prob", Value::Null, probability),
        ("attention_probs_dropout_prob", json!(1e30), probability),
        ("classifier_dropout", json!(2), probability),
        ("classifier_dropout", json!("0.1"), probability),
        ("layer_norm_eps", json!("1e-12"), "a number of 0 or more"),
        ("initializer_range", json!(-0.02), "a number of 0 or more"),
        ("pad_token_id", json!("0"), "a whole number from 0"),
        ("pad_token_id", json!(-1), "a whole number from 0"),
        ("pad_token_id", json!(1.0), "a whole number from 0"),
        ("hidden_act", json!(["gelu"]), "a text"),
        ("position_embedding_type", json!(1), "a text"),
        ("is_decoder", json!("false"), "true or false"),
        ("id2label", json!(["a", "b"]), "an object"),
        ("num_labels", json!("2"), "a whole number from 1"),
    ];
    for (key, value, expected) in cases {
        let complaint = encoder("roberta", &[(key, value.clone())]).unwrap_err();
        let expected = format!("'{key}' must be {expected}");
        assert!(complaint.contains(&expected), "{expected} in {complaint}");
        assert!(complaint.contains(&format!("found {value}")), "{value} in {complaint}");
    }
    // Each of several at once.
    let [first, last] = [("hidden_dropout_prob", json!(1)), ("layer_norm_eps", json!("x"))];
    let complaint = encoder("bert", &[first, ("hidden_act", json!("softplus")), last]).unwrap_err();
    for expected in ["hidden_dropout_prob", "layer_norm_eps", "'softplus' is not supported"] {
        assert!(complaint.contains(expected), "{expected} in {complaint}");
    }
    // BERT's padding row is a row like others.
    assert_eq!(encoder("bert", &[("pad_token_id", Value::Null)]).unwrap().pad_token_id, 0);
    assert!(encoder("roberta", &[("pad_token_id", Value::Null)]).is_err());
}

#[test]
fn what_contradicts_itself_is_an_error() {
    let labels = json!({ "0": "no", "1": "yes" });
    let complaint = encoder("bert", &[("id2label", labels), ("num_labels", json!(3))]).unwrap_err();
    assert!(complaint.contains("'num_labels' is 3, 'id2label' names 2 labels"), "{complaint}");
    let complaint = encoder("bert", &[("num_labels", json!(1_000_000_000))]).unwrap_err();
    assert!(complaint.contains("1048576 at most, found 1000000000"), "{complaint}");
    let complaint = encoder("roberta", &[("max_position_embeddings", json!(2))]).unwrap_err();
    assert!(complaint.contains("leave none behind pad_token_id 1"), "{complaint}");
    let complaint = encoder("bert", &[("pad_token_id", json!(200))]).unwrap_err();
    assert!(complaint.contains("outside vocab_size 200"), "{complaint}");

    for (architectures, is_other) in [
        (json!(["MistralForCausalLM"]), true),
        (json!(["Qwen2ForCausalLM"]), true),
        (json!(["BertModel"]), true),
        (json!(["LlamaModel"]), false),
        (json!(["LlamaForSequenceClassification"]), false),
        (json!(["LlavaLlamaForCausalLM"]), false),
        (Value::Null, false),
    ] {
        let found = decoder("llama", &[("architectures", architectures.clone())]);
        assert_eq!(found.is_err(), is_other, "{architectures}");
    }
    let complaint = decoder("llama", &[("architectures", json!("LlamaModel"))]).unwrap_err();
    assert!(complaint.contains("'architectures' must be a list of texts"), "{complaint}");
    let found = encoder("xlm-roberta", &[("architectures", json!(["XLMRobertaForMaskedLM"]))]);
    assert!(found.is_ok());

    let odd = decoder("llama", &[("head_dim", json!(5))]).unwrap_err();
    assert!(odd.contains("head_dim 5 is odd"), "{odd}");
    let heads = decoder("llama", &[("num_key_value_heads", json!(3))]).unwrap_err();
    assert!(heads.contains("64 is not a multiple of num_key_value_heads 3"), "{heads}");
    let sliding = json!(vec!["sliding_attention"; 30]);
    let unused = decoder("qwen2", &[("layer_types", sliding)]).unwrap_err();
    assert!(unused.contains("'use_sliding_window' is not true"), "{unused}");
    let few = decoder("qwen2", &[("layer_types", json!(["full_attention"]))]).unwrap_err();
    assert!(few.contains("names 1 layers, num_hidden_layers is 30"), "{few}");
}

#[test]
fn quantized_weights_are_named_in_one_line() {
    for (said, method) in [
        (json!({ "quant_method": "awq", "bits": 4, "group_size": 128 }), "awq, 4 bits"),
        (json!({ "quant_method": "gptq", "bits": 8 }), "gptq, 8 bits"),
        (json!({ "quant_method": "bitsandbytes", "load_in_4bit": true }), "bitsandbytes, 4 bits"),
        (json!({ "load_in_8bit": true }), "8 bits"),
        (json!({ "quant_method": "fp8", "weight_block_size": [128, 128] }), "fp8"),
        (json!({ "format": "pack-quantized" }), "pack-quantized"),
    ] {
        for model_type in ["llama", "bert"] {
            let more = [("quantization_config", said.clone()), ("hidden_size", json!("wrong"))];
            let complaint = match model_type {
                "bert" => encoder(model_type, &more).unwrap_err(),
                _ => decoder(model_type, &more).unwrap_err(),
            };
            let expected =
                format!("'quantization_config' says that the weights are quantized ({method})");
            assert!(complaint.contains(&expected), "{complaint}");
            assert_eq!(complaint.lines().count(), 1, "{complaint}");
        }
    }
    assert!(decoder("llama", &[("quantization_config", Value::Null)]).is_ok());
}

#[test]
fn scalings_without_their_keys_are_errors_that_name_them() {
    let complain = |scaling: Value| decoder("llama", &[("rope_scaling", scaling)]).unwrap_err();
    for kind in ["linear", "dynamic", "yarn", "llama3"] {
        let complaint = complain(json!({ "rope_type": kind }));
        assert!(complaint.contains("rope_scaling: missing key 'factor'"), "{kind}: {complaint}");
    }
    let keys = ["low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];
    let llama3 = complain(json!({ "rope_type": "llama3", "factor": 8 }));
    for key in keys {
        assert!(llama3.contains(&format!("missing key '{key}'")), "{key} in {llama3}");
    }
    let long = complain(json!({ "type": "longrope", "short_factor": [1, 1] }));
    assert!(long.contains("missing key 'long_factor'"), "{long}");
    let short = complain(json!({
        "type": "longrope", "short_factor": [1, 1, 1], "long_factor": ["a", 1]
    }));
    assert!(short.contains("'short_factor' has 3 numbers, expected 2"), "{short}");
    assert!(short.contains("'long_factor' must be a list of numbers"), "{short}");
    let untold = complain(json!({ "factor": 2.0 }));
    assert!(
        untold.contains("missing key 'rope_type', which says what 'factor' is for"),
        "{untold}"
    );
    let unknown = complain(json!({ "rope_type": "mrope", "factor": 2.0 }));
    assert!(unknown.contains("supported are default, linear, dynamic"), "{unknown}");
    let two = complain(json!({ "rope_type": "yarn", "type": "linear", "factor": 2.0 }));
    assert!(two.contains("rope_type 'yarn' and type 'linear' differ"), "{two}");
    let text = complain(json!({ "rope_type": "linear", "factor": "2" }));
    assert!(text.contains("'factor' must be a number above 0, found \"2\""), "{text}");
    let partial = complain(json!({ "rope_type": "default", "partial_rotary_factor": 0.5 }));
    assert!(partial.contains("'partial_rotary_factor' must be a number of 1"), "{partial}");
}

#[test]
fn scalings_are_read_in_both_forms() {
    let older =
        [("rope_theta", json!(5e5)), ("rope_scaling", json!({ "type": "linear", "factor": 2 }))];
    let newer = [(
        "rope_parameters",
        json!({ "rope_type": "linear", "factor": 2.0, "rope_theta": 500_000 }),
    )];
    for more in [&older[..], &newer[..]] {
        let config = decoder("llama", more).unwrap();
        assert_eq!(config.rope_theta, 500_000.0);
        assert_eq!(config.scaling, RotaryScaling::Linear { factor: 2.0 });
    }
    for none in [Value::Null, json!({}), json!({ "rope_type": "default" })] {
        assert_eq!(
            decoder("llama", &[("rope_scaling", none)]).unwrap().scaling,
            RotaryScaling::None
        );
    }
    let positions =
        |more: &[(&str, Value)]| decoder("qwen2", more).unwrap().max_position_embeddings;
    let dynamic = json!({ "type": "dynamic", "factor": 4.0 });
    let yarn = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768 });
    assert_eq!(positions(&[("rope_scaling", dynamic)]), 131_072);
    assert_eq!(positions(&[("rope_scaling", yarn.clone())]), 131_072);
    let stated = ("max_position_embeddings", json!(131_072));
    assert_eq!(positions(&[("rope_scaling", yarn), stated]), 131_072);
}
