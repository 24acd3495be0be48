#!/usr/bin/env python3
"""Write tests/golden/config_defaults.json: what transformers' configuration classes say about absent keys.

    python scripts/goldens_config_defaults.py            # write tests/golden
    python scripts/goldens_config_defaults.py --check    # compare, with transformers 4 or 5, write nothing

Needs no PyTorch. Per model_type the values of the keys that this project reads, of a configuration that has
none of them; `null` names those that a null changes, and to what.
"""

import argparse
import json
import sys
from pathlib import Path

from transformers import AutoConfig

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "config_defaults.json"
SIZES = {
    "vocab_size": 200,
    "hidden_size": 256,
    "num_hidden_layers": 30,
    "num_attention_heads": 64,
    "intermediate_size": 128,
}
DECODER = [
    "num_key_value_heads",
    "rms_norm_eps",
    "max_position_embeddings",
    "tie_word_embeddings",
    "initializer_range",
    "hidden_act",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
]
KEYS = {
    "llama": [*DECODER, "head_dim", "attention_bias", "mlp_bias"],
    "mistral": [*DECODER, "sliding_window"],
    "qwen2": [*DECODER, "use_sliding_window", "max_window_layers"],
    "qwen3": [*DECODER, "head_dim", "attention_bias", "use_sliding_window", "max_window_layers"],
} | dict.fromkeys(
    ["bert", "roberta", "xlm-roberta"],
    [
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "pad_token_id",
        "num_labels",
    ],
)
# Encoder-decoders call their sizes otherwise; the vocabulary is large enough for Marian's tokens.
SIZES_OF_BOTH = {
    "vocab_size": 60_000,
    "src_vocab_size": 60_000,
    "tgt_vocab_size": 60_000,
    "d_model": 64,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 128,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 128,
}
TOKENS = ["pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_eos_token_id"]
BOTH = [
    "max_position_embeddings",
    "activation_function",
    "scale_embedding",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "tie_word_embeddings",
    *TOKENS,
]
KEYS_OF_BOTH = {
    "marian": [*BOTH, "decoder_vocab_size", "share_encoder_decoder_embeddings"],
    "bart": BOTH,
    "mbart": BOTH,
    "m2m_100": BOTH,
    "fsmt": BOTH,
    "t5": [
        "d_kv",
        "num_decoder_layers",
        "relative_attention_num_buckets",
        "relative_attention_max_distance",
        "dropout_rate",
        "layer_norm_epsilon",
        "feed_forward_proj",
        "tie_word_embeddings",
        *TOKENS,
    ],
}
# Keys that may be null where the family has them.
NULLABLE = ["num_key_value_heads", "head_dim", "sliding_window", "bos_token_id", "eos_token_id"]

# Version 5 refuses null where a family always states the key.
NEVER_NULL = [("mistral", "num_key_value_heads"), ("qwen3", "head_dim")]


def rope_theta(config):
    return getattr(config, "rope_parameters", None) and config.rope_parameters["rope_theta"] or config.rope_theta


def defaults(model_type):
    def make(**more):
        return AutoConfig.for_model(model_type, **SIZES, **more)

    config = make()
    found = {key: getattr(config, key) for key in KEYS[model_type]}
    if "rms_norm_eps" in found:
        found["rope_theta"] = rope_theta(config)
    if model_type in ("qwen2", "qwen3"):
        # The size of a window that is asked for without one, and the layers that have it.
        windowed = make(use_sliding_window=True)
        found["sliding_window"] = windowed.sliding_window
        found["layer_types"] = windowed.layer_types
    null = {}
    for key in NULLABLE:
        if key in found and (model_type, key) not in NEVER_NULL:
            null[key] = getattr(make(**{key: None}), key)
    return {"absent": found, "null": null}


def defaults_of_both(model_type):
    own = {"t5": ["num_layers", "num_heads", "d_ff"]}.get(model_type, [])
    sizes = {key: value for key, value in SIZES_OF_BOTH.items() if key in own or key not in ("num_layers", "num_heads", "d_ff")}
    config = AutoConfig.for_model(model_type, **sizes)
    return {"absent": {key: getattr(config, key, None) for key in KEYS_OF_BOTH[model_type]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    found = {"sizes": SIZES, "sizes_of_both": SIZES_OF_BOTH}
    found |= {name: defaults(name) for name in KEYS} | {name: defaults_of_both(name) for name in KEYS_OF_BOTH}
    text = json.dumps(found, indent=1) + "\n"
    if not arguments.check:
        GOLDEN.write_text(text)
        return 0
    if json.loads(text) == json.loads(GOLDEN.read_text()):
        return 0
    print("the defaults are others", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
