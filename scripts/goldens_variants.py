#!/usr/bin/env python3
"""Write tests/golden/variants.json: the models of tests/golden under other configurations.

    python scripts/goldens_variants.py            # write tests/golden
    python scripts/goldens_variants.py --check    # recompute and compare, write nothing

A variant has the weights of a folder of tests/golden and a configuration with other keys: scalings of
rotary positions, windows of some layers, keys that a family does not heed, names of activation functions,
a padding id in the text. See tests/golden/README.md.
"""

import json
import sys

import torch
from goldens_check import run
from goldens_decoders import GOLDEN, build, complain_of_weak, decode, logits_of_exits, numbers
from goldens_encoders import draw_batch, exit_logits
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification

PROMPT_LENGTH = 19
# A prompt that is itself longer than the original positions of all scalings.
LONG_PROMPT_LENGTH = 45

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.7],
    "long_factor": [1.5, 2.0, 4.0, 9.0],
}

# name: (folder, changed keys, seed of the prompts, whether angles depend on how far a text reaches)
DECODERS = {
    # As Qwen2's model cards say to write it, `type` included.
    "yarn": (
        "qwen2-tiny",
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
        1,
        False,
    ),
    "yarn, all its keys": (
        "llama-tiny",
        {
            "rope_theta": 500.0,
            "rope_scaling": YARN
            | {"beta_fast": 4, "beta_slow": 0.5, "mscale": 0.7, "mscale_all_dim": 0.3, "truncate": False},
        },
        2,
        False,
    ),
    # Without the original positions those that are stated are the original ones.
    "yarn, positions as they were": (
        "llama-tiny",
        {
            "max_position_embeddings": 32,
            "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.8},
        },
        3,
        False,
    ),
    "dynamic": (
        "llama-tiny",
        {"max_position_embeddings": 32, "rope_scaling": {"type": "dynamic", "factor": 4.0}},
        4,
        True,
    ),
    "longrope": (
        "llama-tiny",
        {"rope_scaling": LONG | {"original_max_position_embeddings": 32}},
        25,
        True,
    ),
    # As Phi-3 has it: the original positions beside the scaling.
    "longrope, original beside it": (
        "mistral-tiny",
        {"original_max_position_embeddings": 32, "rope_scaling": LONG | {"attention_factor": 1.2}},
        6,
        True,
    ),
    "windows from a layer on": (
        "qwen2-tiny",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
        27,
        False,
    ),
    "windows of listed layers": (
        "qwen2-tiny",
        {
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        8,
        False,
    ),
    "windows of no layer": (
        "qwen2-tiny",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 3},
        9,
        False,
    ),
    "keys that Qwen2 does not heed": ("qwen2-tiny", {"attention_bias": True, "mlp_bias": True}, 50, False),
    "keys that Mistral does not heed": ("mistral-tiny", {"attention_bias": True, "mlp_bias": True}, 11, False),
    "keys that Llama does not heed": (
        "llama-tiny",
        {"use_sliding_window": True, "max_window_layers": 0, "hidden_act": "swish"},
        32,
        False,
    ),
}

ACTIVATIONS = [
    "gelu",
    "gelu_python",
    "gelu_new",
    "gelu_fast",
    "gelu_accurate",
    "gelu_pytorch_tanh",
    "gelu_python_tanh",
    "quick_gelu",
    "relu",
    "silu",
    "swish",
    "tanh",
]

# name: (folder, changed keys; None removes one)
ENCODERS = {
    **{f"hidden_act {name}": ("bert-tiny", {"hidden_act": name}) for name in ACTIVATIONS},
    "silu of RoBERTa": ("roberta-tiny", {"hidden_act": "silu"}),
    # The batch has the padding id in its texts.
    "padding id in the text": ("roberta-tiny", {"pad_token_id": 7}),
    "padding id not stated": ("roberta-tiny", {"pad_token_id": None}),
}


def read_config(folder):
    return json.loads((GOLDEN / folder / "config.json").read_text())


def draw_prompt(config, length, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, config["vocab_size"], (length,), generator=generator).tolist()


def decoder_case(config, weights, prompt, grows, name):
    """Whole and greedy. A model that remembers how far texts reached is made anew for each."""

    def fresh():
        model = build(config)
        model.load_state_dict(weights, strict=False)
        return model

    tokens, stepwise = decode(fresh(), prompt, [])
    whole = logits_of_exits(fresh(), prompt + tokens[:-1])
    predicting = whole[:, len(prompt) - 1 :]
    moved = (predicting - stepwise).abs().max().item()
    assert (moved > 1e-2) == grows, f"{name}: decoding differs from reading whole by {moved:.1e}"
    top = stepwise.topk(2).values
    gaps = (top[..., 0] - top[..., 1]).amin(dim=-1)
    complain_of_weak(tokens, gaps[-1:], name)
    last = len(prompt) + len(tokens) - 2
    positions = [len(prompt) - 1, last]
    print(f"{name}: {len(prompt)} + {len(tokens)} tokens, smallest gap {gaps[-1]:.1e}, cached by {moved:.1e}")
    return {
        "prompt": prompt,
        "continuation": tokens,
        "positions": positions,
        "logits": numbers(whole[:, positions]),
        "last_step": numbers(stepwise[:, -1]),
    }


def decoder(name):
    folder, changes, seed, grows = DECODERS[name]
    config = read_config(folder) | changes
    weights = load_file(GOLDEN / folder / "model.safetensors")
    usual = build(read_config(folder))
    usual.load_state_dict(weights, strict=False)
    prompts = [draw_prompt(config, PROMPT_LENGTH, seed)]
    if grows:
        prompts.append(draw_prompt(config, LONG_PROMPT_LENGTH, seed))
    # A long prompt has the long factors from its first token on.
    is_long = "rope_scaling" in changes and "long_factor" in changes["rope_scaling"]
    cases = [
        decoder_case(config, weights, prompt, grows and not (is_long and number), name)
        for number, prompt in enumerate(prompts)
    ]
    text = cases[0]["prompt"] + cases[0]["continuation"][:-1]
    plain = logits_of_exits(usual, text)[:, cases[0]["positions"]]
    moved = (plain - torch.tensor(cases[0]["logits"])).abs().max().item()
    is_ignored = name.startswith("keys that") or name == "windows of no layer"
    assert (moved > 0.1) != is_ignored, f"{name}: its keys move logits by {moved:.2g}"
    newer = build(config).config.to_dict()
    keep = set(config) | {"rope_parameters"}
    newer = {key: newer[key] for key in sorted(keep) if key in newer}
    return {"name": name, "folder": folder, "grows": grows, "config": config, "newer": newer, "cases": cases}


def encoder(name):
    folder, changes = ENCODERS[name]
    config = read_config(folder) | changes
    config = {key: value for key, value in config.items() if value is not None}
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(**config), attn_implementation="eager"
    )
    model.load_state_dict(load_file(GOLDEN / folder / "model.safetensors"))
    model.eval()
    generator = torch.Generator().manual_seed(len(name))
    batch = draw_batch(model, [9, 4], generator)
    if name.startswith("padding id"):
        for row, places in [(0, [2, 3, 7]), (1, [1])]:
            batch["input_ids"][row, places] = model.config.pad_token_id
    logits = [numbers(each) for each in exit_logits(model, batch)]
    batch = {key: value.tolist() for key, value in batch.items() if key != "labels"}
    return {"name": name, "folder": folder, "config": config, "batch": batch, "logits": logits}


@torch.no_grad()
def write_all(root):
    variants = {
        "decoders": [decoder(name) for name in DECODERS],
        "encoders": [encoder(name) for name in ENCODERS],
    }
    path = root / "variants.json"
    path.write_text(json.dumps(variants, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
