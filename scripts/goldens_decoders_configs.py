"""The decoders of scripts/goldens_decoders.py: configurations with the keys of published checkpoints.

Every `config` has the keys, all of them and no others, of a checkpoint as transformers 4 wrote it;
only the numbers are smaller. `matters` lists changes of the configuration that must move the logits,
`ignored` lists those that must not: a reader who overlooks the first or heeds the second is caught.
"""

from dataclasses import dataclass, field


@dataclass
class Decoder:
    config: dict
    seed: int
    # generation_config.json; without it the end token is the configuration's.
    generation: dict | None = None
    # How many continuations meet an end token.
    n_ended: int = 0
    # Whether config.json has the keys of transformers 5 and the older form lies beside it.
    newer: bool = False
    matters: list[dict] = field(default_factory=list)
    ignored: list[dict] = field(default_factory=list)


# Llama 2: no head_dim, no rope_theta, no attention_bias.
LLAMA = Decoder(
    config={
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 72,
        "max_position_embeddings": 256,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.31.0",
        "use_cache": True,
        "vocab_size": 96,
    },
    generation={
        "bos_token_id": 1,
        "do_sample": True,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "temperature": 0.6,
        "top_p": 0.9,
    },
    seed=1,
    matters=[{"rope_theta": 500.0}],
)

# Llama 3.2 Instruct: several end tokens in generation_config.json. The wavelengths of the head's four
# frequencies are 6, 35, 199 and 1117 positions, so with an original length of 64 one frequency keeps,
# one is blended and two are divided.
LLAMA3 = Decoder(
    config={
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 100,
        "eos_token_id": 101,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 72,
        "max_position_embeddings": 512,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 1,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64,
            "rope_type": "llama3",
        },
        "rope_theta": 1000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0",
        "use_cache": True,
        "vocab_size": 112,
    },
    generation={
        "bos_token_id": 100,
        "do_sample": True,
        "eos_token_id": [101, 8, 45],
        "temperature": 0.6,
        "top_p": 0.9,
    },
    seed=4,
    n_ended=2,
    matters=[
        {"rope_scaling": None},
        {"rope_scaling": {"type": "linear", "factor": 8.0}},
        {
            "rope_scaling": {
                "factor": 8.0,
                "high_freq_factor": 1.001,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 64,
                "rope_type": "llama3",
            }
        },
    ],
)

# Qwen2: biases on q, k and v that no key announces, and a sliding window that is switched off.
QWEN2 = Decoder(
    config={
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 98,
        "eos_token_id": 99,
        "hidden_act": "silu",
        "hidden_size": 40,
        "initializer_range": 0.02,
        "intermediate_size": 52,
        "max_position_embeddings": 256,
        "max_window_layers": 1,
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 8,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 101,
    },
    seed=10,
    matters=[{"rope_theta": 10000.0}],
    ignored=[{"sliding_window": None}, {"sliding_window": 4, "max_window_layers": 0}],
)

# Qwen3: norms of each head's queries and keys, heads of a stated width that is not the hidden size's share,
# an `attention_bias` that is heeded, and a sliding window that is switched off.
QWEN3 = Decoder(
    config={
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 32,
        "max_position_embeddings": 256,
        "max_window_layers": 1,
        "model_type": "qwen3",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 88,
    },
    seed=38,
    matters=[{"rope_theta": 100.0}, {"use_sliding_window": True, "sliding_window": 4}],
    ignored=[{"sliding_window": 4, "max_window_layers": 0}],
)

# Mistral 0.3: no window. The second case of golden.json sets one.
MISTRAL = Decoder(
    config={
        "architectures": ["MistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 36,
        "max_position_embeddings": 256,
        "model_type": "mistral",
        "num_attention_heads": 4,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.0",
        "use_cache": True,
        "vocab_size": 96,
    },
    generation={"bos_token_id": 1, "eos_token_id": 2},
    seed=3,
    matters=[{"sliding_window": 7}, {"rope_theta": 10000.0}],
)

# Long-context Llama 2 derivatives say `type`, transformers 5 says `rope_type`; heads wider than
# hidden_size / num_attention_heads, all four attention biases, and an epsilon large enough to be seen.
LLAMA_LINEAR = Decoder(
    config={
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 12,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 56,
        "max_position_embeddings": 256,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 0.01,
        "rope_scaling": {"factor": 4.0, "type": "linear"},
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.46.0",
        "use_cache": True,
        "vocab_size": 96,
    },
    generation={"bos_token_id": 1, "eos_token_id": 2},
    seed=10,
    newer=True,
    matters=[{"rope_scaling": None}, {"rms_norm_eps": 1e-05}],
)

MODELS = {
    "llama-tiny": LLAMA,
    "llama3-tiny": LLAMA3,
    "qwen2-tiny": QWEN2,
    "qwen3-tiny": QWEN3,
    "mistral-tiny": MISTRAL,
    "llama-linear-tiny": LLAMA_LINEAR,
}
