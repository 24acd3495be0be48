#!/usr/bin/env python3
"""Write the decoder fixtures of tests/golden: what transformers computes at every exit, and greedily.

    python scripts/goldens_decoders.py            # write tests/golden
    python scripts/goldens_decoders.py --check    # recompute and compare, write nothing

Per model (llama-tiny, llama3-tiny, qwen2-tiny, mistral-tiny, llama-linear-tiny; see
tests/golden/README.md): a tiny random fp32 decoder as a checkpoint folder, its configuration in the
keys of transformers 4 and in those of transformers 5, and golden.json with prompts, the logits of
every exit at some positions, and greedy continuations. llama-tiny-f16 and llama-tiny-bf16 hold the
weights of llama-tiny in 16 bits. Eager attention, one thread, weights from a seeded generator.

What would make a fixture weak stops the script: a continuation that repeats itself, two logits too
close for the greedy token to be sure, a setting of the configuration that changes no logit.
"""

import copy
import json
import sys
from pathlib import Path

import numpy
import torch
from goldens_check import run
from goldens_decoders_configs import MODELS
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
PROMPT_LENGTHS = (1, 5, 19)
NEW_TOKENS = 64
# Standard deviation of the weights: wide enough that every layer changes its mind, narrow enough that
# rounding stays far below the gaps between logits.
SPREAD = 0.3
# The two highest logits of an exit are at least this far apart wherever a token is predicted.
SMALLEST_GAP = 1e-3
# A setting that matters moves some stored logit by at least this much.
MATTERS = 0.1
# Of the second case of mistral-tiny: shorter than its prompt and its continuation.
SLIDING_WINDOW = 7


class Float64(TorchFunctionMode):
    """Where transformers asks for float32 (norms, softmax, rotary angles), it gets float64."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        def widen(value):
            return torch.float64 if value is torch.float32 else value

        if function is torch.Tensor.float:
            function = torch.Tensor.double
        keywords = {name: widen(value) for name, value in (keywords or {}).items()}
        return function(*map(widen, arguments), **keywords)


def build(config):
    """A model in float32 from the keys of config.json, older or newer."""
    # A copy, because transformers writes its own keys into nested dictionaries.
    config = AutoConfig.for_model(**copy.deepcopy(config))
    return AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    ).eval()


def draw_weights(model, seed):
    """Replace every parameter by seeded normal draws, in the order of their names."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            drawn = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1.0 + 0.1 * drawn)
            else:
                parameter.copy_(SPREAD * drawn)
    return model


def changed(model, **settings):
    """The same weights under another configuration."""
    other = build(model.config.to_dict() | settings)
    other.load_state_dict(model.state_dict())
    return other


def logits_of_exits(model, token_ids, cache=None):
    """Logits [exit, position, token]: final norm and lm_head on the state after every layer."""
    states = []
    # `hidden_states[-1]` of transformers is normed already, so the states are taken from the layers.
    hooks = [
        layer.register_forward_hook(lambda layer, given, state: states.append(state))
        for layer in model.model.layers
    ]
    output = model(torch.tensor([token_ids]), past_key_values=cache, use_cache=cache is not None)
    for hook in hooks:
        hook.remove()
    logits = torch.stack([model.lm_head(model.model.norm(state[0])) for state in states])
    assert torch.equal(logits[-1], output.logits[0]), "the last exit is the model's own answer"
    return logits


def decode(model, prompt, eos):
    """Greedy tokens up to an end token or NEW_TOKENS, and the logits [exit, step, token] of each."""
    cache = DynamicCache(config=model.config)
    tokens, logits, given = [], [], prompt
    while len(tokens) < NEW_TOKENS and not (tokens and tokens[-1] in eos):
        logits.append(logits_of_exits(model, given, cache)[:, -1])
        tokens.append(int(logits[-1][-1].argmax()))
        given = tokens[-1:]
    return tokens, torch.stack(logits, dim=1)


def stored_positions(prompt, tokens):
    """All positions of a short prompt, two of a long one, and the last that predicts a token."""
    last = len(prompt) - 1
    first = range(last + 1) if last < 8 else (last // 2, last)
    return [*first, last + len(tokens) - 1]


def numbers(tensor):
    """Nested lists of the shortest decimals that give the float32 values back."""
    return [
        numbers(each) if each.dim() else float(str(numpy.float32(each.item()))) for each in tensor
    ]


def complain_of_weak(tokens, gaps, name):
    """A continuation says little when it repeats itself or hangs on rounding."""
    if len(tokens) == NEW_TOKENS and len(set(tokens)) < NEW_TOKENS // 4:
        sys.exit(f"{name}: a continuation of {len(set(tokens))} different tokens; take another seed")
    tail = tokens[len(tokens) // 2 :]
    for period in range(1, len(tail) // 2 + 1):
        if tail[period:] == tail[:-period]:
            sys.exit(f"{name}: the continuation repeats itself every {period} tokens; take another seed")
    if gaps.min() < SMALLEST_GAP:
        sys.exit(f"{name}: two highest logits {gaps.min():.1e} apart; take another seed")


def case(model, prompt, eos, name):
    """One prompt: its continuation, and the logits of every exit at the stored positions."""
    tokens, stepwise = decode(model, prompt, eos)
    sequence = prompt + tokens[:-1]
    whole = logits_of_exits(model, sequence)
    predicting = whole[:, len(prompt) - 1 :]
    assert torch.equal(predicting.argmax(-1), stepwise.argmax(-1)), f"{name}: the cache changes tokens"
    top = predicting.topk(2).values
    gaps = (top[..., 0] - top[..., 1]).amin(dim=-1)
    complain_of_weak(tokens, gaps, name)
    positions = stored_positions(prompt, tokens)
    wide = in_float64(model, sequence)
    assert torch.equal(wide.argmax(-1)[:, len(prompt) - 1 :], predicting.argmax(-1)), name
    rounding = (wide - whole).abs().max().item()
    print(
        f"{name}: {len(prompt)} + {len(tokens)} tokens, {len(set(tokens))} different, "
        f"smallest gap {gaps[-1]:.1e} at the last exit, {gaps.min():.1e} at any, logits up to "
        f"{whole.abs().max():.1f}, float64 differs by {rounding:.1e}, "
        f"cached by {(stepwise - predicting).abs().max():.1e}"
    )
    return {
        "prompt": prompt,
        "continuation": tokens,
        "exit_predictions": predicting.argmax(-1).tolist(),
        "smallest_gap": numbers(gaps),
        "positions": positions,
        "logits": numbers(whole[:, positions]),
        "float64_difference": float(f"{rounding:.1e}"),
    }


def in_float64(model, token_ids):
    """Logits of every exit with everything in float64, the frequencies of the rotation included."""
    with Float64():
        return logits_of_exits(changed(model).double(), token_ids)


def check_settings(model, decoder, sequence, name):
    """Stop unless every setting that matters moves the logits, and no ignored one does."""
    known = logits_of_exits(model, sequence)
    for settings in decoder.matters + decoder.ignored:
        other = build(decoder.config | settings)
        other.load_state_dict(model.state_dict())
        moved = (logits_of_exits(other, sequence) - known).abs().max().item()
        print(f"{name}: {settings} moves logits by {moved:.2g}")
        if (moved > MATTERS) != (settings in decoder.matters):
            sys.exit(f"{name}: {settings} moves logits by {moved:.2g}")


def end_tokens(decoder):
    """The end tokens that generation heeds: generation_config.json goes before config.json."""
    eos = (decoder.generation or decoder.config)["eos_token_id"]
    return eos if isinstance(eos, list) else [eos]


def write_json(path, value, **style):
    path.write_text(json.dumps(value, **style) + "\n")


def write_configs(folder, model, decoder):
    """Both forms of the configuration; config.json is the one that the checkpoint is said to have."""
    model.config.save_pretrained(folder)
    newer = json.loads((folder / "config.json").read_text())
    # Kept from the older form; a model made with transformers 5 says `rope_type` alone.
    newer["rope_parameters"].pop("type", None)
    older = {key: decoder.config[key] for key in sorted(decoder.config)}
    forms = {"config.json": newer, "config-4.json": older}
    if not decoder.newer:
        forms = {"config.json": older, "config-5.json": newer}
    for name, form in forms.items():
        write_json(folder / name, form, indent=2)
    if decoder.generation:
        generation = decoder.generation | {"transformers_version": decoder.config["transformers_version"]}
        write_json(folder / "generation_config.json", generation, indent=2)
    readings = [build(form).config.to_dict() for form in (older, newer)]
    for reading in readings:
        reading["rope_parameters"].pop("type", None)
        # The one says how the weights were published, the other how they are stored here.
        reading.pop("dtype")
    assert readings[0] == readings[1], "both forms mean the same"


def draw_prompts(decoder):
    generator = torch.Generator().manual_seed(decoder.seed + 100)
    return [
        torch.randint(3, decoder.config["vocab_size"], (length,), generator=generator).tolist()
        for length in PROMPT_LENGTHS
    ]


def write_decoder(root, name):
    """One model's folder; returns the model."""
    folder, decoder = root / name, MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    model = draw_weights(build(decoder.config), decoder.seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    write_configs(folder, model, decoder)
    prompts, eos = draw_prompts(decoder), end_tokens(decoder)
    golden = {"cases": [case(model, prompt, eos, name) for prompt in prompts]}
    ended = [each["continuation"][-1] for each in golden["cases"] if len(each["continuation"]) < NEW_TOKENS]
    print(f"{name}: {len(ended)} continuations end early, on {ended} of {eos}")
    if len(ended) != decoder.n_ended:
        sys.exit(f"{name}: {decoder.n_ended} continuations should end early; take another seed")
    longest = golden["cases"][-1]
    check_settings(model, decoder, longest["prompt"] + longest["continuation"][:-1], name)
    if model.config.model_type == "mistral":
        window = changed(model, sliding_window=SLIDING_WINDOW)
        golden["sliding_window"] = SLIDING_WINDOW
        golden["sliding_cases"] = [case(window, prompts[-1], eos, f"{name}, window")]
    write_json(folder / "golden.json", golden, separators=(",", ":"))
    return model


def write_narrow(folder, model, dtype, shard_size):
    """The weights in 16 bits, and what they give when they are widened again and used in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    narrow = changed(model).to(dtype)
    narrow.save_pretrained(folder, max_shard_size=shard_size)
    (folder / "generation_config.json").unlink()
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    prompt = draw_prompts(MODELS["llama-tiny"])[1]
    cases = [case(model.eval(), prompt, [model.config.eos_token_id], folder.name)]
    write_json(folder / "golden.json", {"cases": cases}, separators=(",", ":"))


@torch.no_grad()
def write_all(root):
    models = {name: write_decoder(root, name) for name in MODELS}
    llama = models["llama-tiny"]
    write_narrow(root / "llama-tiny-f16", llama, torch.float16, "45KB")
    write_narrow(root / "llama-tiny-bf16", llama, torch.bfloat16, "5GB")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
