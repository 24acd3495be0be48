#!/usr/bin/env python3
"""Learn a small byte-level BPE tokenizer from text, for models that are trained from scratch.

    python scripts/make_tokenizer.py --output FOLDER [--size 4096] FILE…

Plain text is read as it is; of JSONL every string value is. Writes tokenizer.json and
tokenizer_config.json as transformers reads them: <s> before each text, </s> at its end, <pad>.
The same files and size give the same tokenizer.
"""

import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SPECIAL = ["<pad>", "<s>", "</s>"]


def strings(value):
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def lines(paths):
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield from strings(json.loads(line)) if path.suffix == ".jsonl" else [line]


def learn(paths, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines(paths), trainer)
    beginning = ("<s>", tokenizer.token_to_id("<s>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[beginning]
    )
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=4096, help="entries of the vocabulary")
    flags = parser.parse_args()
    tokenizer = learn(flags.files, flags.size)
    flags.output.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(flags.output / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": 1000000000,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(config, indent=2) + "\n"
    (flags.output / "tokenizer_config.json").write_text(text, encoding="utf-8")
    print(f"{flags.output}: {tokenizer.get_vocab_size()} entries")


if __name__ == "__main__":
    main()
