#!/usr/bin/env python3
"""The work of `ee-eval bench translate` in CTranslate2, the engine that people pick on a CPU.

    python scripts/bench_ctranslate2.py --layers 6 --dim 512 --inner 2048 --batch 16 [--beam 5]

A Marian model of transformers with random weights, converted by CTranslate2's own converter and run in
float32. Sources are random and all of one length; every text gets exactly `--new` tokens. The conversion
is a process of its own, so that peak_mib is CTranslate2's. Prints one JSON line; a step is a whole
translation, the encoder's part included. `--check` compares the tokens with those of transformers instead.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

SEED = 0
# The end token is the first one, padding the last, as in Marian's own models.
END = 0


class Vocabulary:
    """The parts of a tokenizer that the converter asks for: tokens are their numbers."""

    eos_token, unk_token = "</s>", "<unk>"

    def __init__(self, size):
        middle = {f"t{number}": number for number in range(2, size - 1)}
        self.ids = {self.eos_token: END, self.unk_token: 1, **middle, "<pad>": size - 1}
        self.tokens = [token for token, _ in sorted(self.ids.items(), key=lambda item: item[1])]

    def get_vocab(self):
        return self.ids


def random_model(flags):
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(SEED)
    config = MarianConfig(
        vocab_size=flags.vocab,
        decoder_vocab_size=flags.vocab,
        d_model=flags.dim,
        encoder_layers=flags.layers,
        decoder_layers=flags.layers,
        encoder_attention_heads=flags.dim // 64,
        decoder_attention_heads=flags.dim // 64,
        encoder_ffn_dim=flags.inner,
        decoder_ffn_dim=flags.inner,
        activation_function="relu",
        max_position_embeddings=512,
        scale_embedding=True,
        eos_token_id=END,
        forced_eos_token_id=None,
        pad_token_id=flags.vocab - 1,
        decoder_start_token_id=flags.vocab - 1,
    )
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        # Layers count for more than with small weights, where a text is one token over and over.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embed" not in name:
                torch.nn.init.xavier_uniform_(parameter, gain=2.0)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=flags.dim**-0.5)
        model.final_logits_bias.normal_()
        # What the decoder starts with is a zero embedding.
        model.get_input_embeddings().weight[flags.vocab - 1] = 0
    return model


def convert(flags, folder):
    from ctranslate2.converters.transformers import _MODEL_LOADERS

    loader = _MODEL_LOADERS["MarianConfig"]
    spec = loader(random_model(flags), Vocabulary(flags.vocab))
    spec.validate()
    spec.optimize(quantization=None)
    spec.save(folder)


def sources(flags):
    """Token ids, the end token last."""
    import random

    draw = random.Random(SEED)
    ids = lambda: [draw.randrange(2, flags.vocab - 1) for _ in range(flags.source - 1)]
    return [[*ids(), END] for _ in range(flags.batch)]


def translate_step(flags, folder):
    """A function that translates the batch and gives the tokens of each text's best hypothesis."""
    import ctranslate2

    translator = ctranslate2.Translator(
        folder, device="cpu", compute_type="float32", intra_threads=flags.threads, inter_threads=1
    )
    vocabulary = Vocabulary(flags.vocab)
    texts = [[vocabulary.tokens[number] for number in ids] for ids in sources(flags)]

    def step():
        found = translator.translate_batch(
            texts,
            beam_size=flags.beam,
            min_decoding_length=flags.new,
            max_decoding_length=flags.new,
        )
        return [[vocabulary.ids[token] for token in one.hypotheses[0]] for one in found]

    return step


def reference(flags):
    """The same by transformers: neither the end token nor padding is generated."""
    import torch

    with torch.inference_mode():
        found = random_model(flags).generate(
            torch.tensor(sources(flags)),
            num_beams=flags.beam,
            do_sample=False,
            min_new_tokens=flags.new,
            max_new_tokens=flags.new,
            suppress_tokens=[flags.vocab - 1],
        )
    return found[:, 1:].tolist()


def measure(flags, folder):
    step = translate_step(flags, folder)
    if flags.check:
        ours, theirs = step(), reference(flags)
        same = sum(a == b for a, b in zip(ours, theirs))
        return {"same_texts": same, "of": len(ours), "different_tokens": len({t for o in ours for t in o})}
    step()
    taken = []
    for _ in range(flags.steps):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return {"seconds": statistics.median(taken), "seconds_min": min(taken), "seconds_max": max(taken)}


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("layers", 6),
        ("dim", 512),
        ("inner", 2048),
        ("vocab", 32000),
        ("source", 30),
        ("new", 32),
        ("batch", 1),
        ("beam", 1),
        ("steps", 5),
        ("threads", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--check", action="store_true", help="compare tokens with transformers'")
    parser.add_argument("--folder", help="the converted model, kept for further calls")
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    flags = parse_flags()
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or os.path.join(scratch, "model")
        if flags.convert:
            return convert(flags, folder)
        if not os.path.exists(os.path.join(folder, "model.bin")):
            os.makedirs(folder, exist_ok=True)
            subprocess.run([sys.executable, *sys.argv, "--convert", "--folder", folder], check=True)
        result = {"verb": "translate", **measure(flags, folder)}
    import ctranslate2

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result |= {"peak_mib": peak, **vars(flags), "ctranslate2": ctranslate2.__version__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
