#!/usr/bin/env python3
"""Writes tests/golden/tokenizer-marian and tokenizer-t5: tiny SentencePiece models in the form of Marian's and
T5's folders, and what transformers' slow tokenizers make of texts and ids.

Marian's source is Unigram with two symbols of its own, its target BPE with byte fallback; T5 is Unigram. Their
normaliser is a handful of rules, as the usual table is larger than all the rest. It needs transformers 4:
release 5 has no slow T5 tokenizer any more. `--check` recomputes and compares. Run from anywhere.
"""

import io
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import sentencepiece
from transformers import MarianTokenizer, T5Tokenizer

from goldens_check import run

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

# From and to, in code points: full-width letters, a ligature, a half, spaces, é of two characters, a dropped mark.
RULES = ["FF21\t41", "FF42\t62", "FB01\t66 69", "BD\t31 2F 32", "A0\t20", "9\t20", "3000\t20", "65 301\tE9", "200B\t", "A8\t20 308"]

TEXTS = [
    "The play was good, and the actors were better.",
    "",
    " ",
    "  a  space \t in front,   and at the end  ",
    "na\u00efve caf\u00e9 cafe\u0301: 12345 \u20ac, \u00bd off, \ufb01ne \uff21\uff42",
    "\u65e5\u672c\u8a9e\u3068 mixed with \u3000English",
    "family \U0001f469\u200d\U0001f469\u200d\U0001f467, wave \U0001f44b\U0001f3fd!",
    "zero\u200bwidth and a \ufffd itself, a\u00a8b",
    "\u2581play\u2581\u2581ed",
    ">>de<< The play was good.",
    ">>xx<< unknown language",
    ">>de",
    "and >>de<< inside",
    "an end</s> inside, <pad> and <unk>  ones",
    "</s>",
    "<sep>acting<sep>ing",
    "Fill <extra_id_0> the <extra_id_1>gap",
    "<0x41> is no byte",
]


def training_text():
    reviews = (ROOT / "data" / "reviews" / "train.tsv").read_text().splitlines()[:600]
    return [line.split("\t")[-1] for line in reviews] + TEXTS[:1] * 4


def train(path, rules, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_text()),
        model_writer=model,
        normalization_rule_tsv=str(rules),
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def drawn(tokenizer, size, first=0):
    rng = random.Random(7)
    rows = [[rng.randrange(first, size) for _ in range(rng.randint(1, 12))] for _ in range(60)]
    return [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)} for ids in rows]


def marian(folder, rules):
    own = dict(user_defined_symbols=["<sep>", "ing"])
    source = train(folder / "source.spm", rules, model_type="unigram", vocab_size=400, **own)
    target = train(folder / "target.spm", rules, model_type="bpe", vocab_size=600, byte_fallback=True)
    rng = random.Random(3)
    names = {model.id_to_piece(i): None for model in (source, target) for i in range(len(model))}
    names = [name for name in names if name not in ("</s>", "<unk>") and rng.random() < 0.95]
    rng.shuffle(names)
    names = ["</s>", "<unk>", *names, ">>de<<", "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "MarianTokenizer"}))
    tokenizer = MarianTokenizer.from_pretrained(folder)
    texts = []
    for text in TEXTS:
        ids = tokenizer(text_target=text)["input_ids"]
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        texts.append({"text": text, "source": tokenizer(text)["input_ids"], "target": ids, "decoded": decoded})
    return {"size": len(names), "end": 0, "texts": texts, "drawn": drawn(tokenizer, len(names))}


def t5(folder, rules):
    ids = dict(pad_id=0, eos_id=1, unk_id=2)
    train(folder / "spiece.model", rules, model_type="unigram", vocab_size=400, byte_fallback=True, **ids)
    (folder / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 10}))
    tokenizer = T5Tokenizer.from_pretrained(folder)
    texts = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        # The slow tokenizer fails on no token at all.
        some = any(i not in tokenizer.all_special_ids for i in ids)
        decoded = tokenizer.decode(ids, skip_special_tokens=True) if some else ""
        texts.append({"text": text, "source": ids, "target": ids, "decoded": decoded})
    return {"size": len(tokenizer), "end": 1, "texts": texts, "drawn": drawn(tokenizer, len(tokenizer) - 10, 3)}


def build(golden):
    with tempfile.TemporaryDirectory() as temporary:
        # The model file names the file of rules as it was given.
        os.chdir(temporary)
        rules = Path("rules.tsv")
        rules.write_text("".join(f"{rule}\n" for rule in RULES))
        for name, make in (("tokenizer-marian", marian), ("tokenizer-t5", t5)):
            folder = golden.resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            result = make(folder, rules)
            lists = {key: "\n ".join(f"{json.dumps(row, ensure_ascii=False)}," for row in result[key])[:-1] for key in ("texts", "drawn")}
            head = f'{{"size": {result["size"]}, "end": {result["end"]},\n'
            body = f'"texts": [\n {lists["texts"]}\n],\n"drawn": [\n {lists["drawn"]}\n]}}\n'
            (folder / "golden.json").write_text(head + body)


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, build))
