#!/usr/bin/env python3
"""Writes tests/golden/tokenizer-bytes and tokenizer-pieces: two tiny tokenizers of decoders, and what
transformers and SentencePiece make of texts and ids.

tokenizer-bytes is byte-level BPE in the form of Llama 3, tokenizer-pieces SentencePiece BPE with byte
fallback in the form of Llama 2: trained and applied by the sentencepiece library, and converted to a
tokenizer.json here. `--check` recomputes and compares. Run from anywhere.
"""

import io
import json
import random
import sys
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from goldens_check import run

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

# Llama 3's: https://github.com/meta-llama/llama3, tokenizer.py.
LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEXTS = [
    "The play was good, and the actors were better.",
    " a space in front",
    "two  spaces,   three, and some at the end  ",
    "### Instruction:\nTranslate German to English:\n### Input:\nGrüße aus Köln\n### Response:\n",
    "naïve café: 12345 €, ½ off",
    "日本語と中文 mixed with English",
    "family 👩‍👩‍👧, flag 🇩🇪, wave 👋🏽!",
    "def f(x):\n\tif x:\r\n        return {'a': [1, 2]}\n",
    "\n\n\nlines\n \n",
    "I'll say it's DON'T",
    "combining e\u0301 and a zero\u200bwidth and a \ufffd itself",
    "x",
    "",
]

# Prompt and response; what parts them is a break, a space on either side, nothing.
PAIRS = [
    ("### Response:\n", "The play was good."),
    ("Question: was it?\nAnswer:", " yes, it was"),
    ("Question: was it? ", "no"),
    ("the act", "ors were better"),
    ("a line\n", "\nand another"),
    ("Grü", "ße 👋🏽"),
    ("prompt alone", ""),
]


def training_text():
    reviews = (ROOT / "data" / "reviews" / "train.tsv").read_text().splitlines()[:600]
    return [*reviews, *TEXTS * 4]


def bytes_tokenizer():
    """Byte-level BPE: 256 bytes, merges, and special tokens after them."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(LLAMA_3_SPLIT), behavior="isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(training_text(), trainer)
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    begin = (special[0], tokenizer.token_to_id(special[0]))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{special[0]} $A", pair=f"{special[0]} $A {special[0]} $B", special_tokens=[begin]),
    ])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1], clean_up_tokenization_spaces=False
    )


def trained_pieces():
    """A SentencePiece model with Llama 2's settings."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_text()), model_writer=model, model_type="bpe", vocab_size=460,
        byte_fallback=True, split_digits=True, add_dummy_prefix=True, remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, normalization_rule_name="identity", character_coverage=0.99,
        num_threads=1, minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def pieces_tokenizer(pieces):
    """The same as tokenizer.json: a merge for every two pieces that make a third, in the order of scores."""
    vocabulary = {pieces.id_to_piece(id): id for id in range(pieces.vocab_size())}
    merges = []
    for whole, id in vocabulary.items():
        if pieces.is_control(id) or pieces.is_unknown(id) or pieces.is_byte(id):
            continue
        parts = [(whole[:at], whole[at:]) for at in range(1, len(whole))]
        parts = [(left, right) for left, right in parts if left in vocabulary and right in vocabulary]
        merges += [(pieces.get_score(id), pair) for pair in sorted(parts, key=lambda pair: [vocabulary[p] for p in pair])]
    merges = [pair for _, pair in sorted(merges, key=lambda merge: -merge[0])]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1),
    ])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    special = ["<unk>", "<s>", "</s>"]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", clean_up_tokenization_spaces=False
    )


def decoded(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def golden(tokenizer, special_text, generator):
    """Texts with their ids, pairs with theirs, and drawn ids with their text."""
    texts = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in [*TEXTS, special_text]]
    for row in texts:
        row["decoded"] = decoded(tokenizer, row["ids"])
    pairs = [
        {"prompt": prompt, "response": response, "ids": tokenizer(prompt + response)["input_ids"], "prompt_ids": tokenizer(prompt)["input_ids"]}
        for prompt, response in PAIRS
    ]
    drawn = [[generator.randrange(len(tokenizer)) for _ in range(generator.randrange(1, 24))] for _ in range(40)]
    drawn = [{"ids": ids, "decoded": decoded(tokenizer, ids)} for ids in drawn]
    return {
        "vocabulary_size": len(tokenizer), "beginning": tokenizer.bos_token_id, "end": tokenizer.eos_token_id,
        "special": sorted(tokenizer.all_special_ids), "texts": texts, "pairs": pairs, "drawn": drawn,
    }


def agree(tokenizer, pieces):
    """SentencePiece itself must give the same ids and the same text."""
    for text in [*TEXTS, *training_text()]:
        ids = tokenizer(text)["input_ids"]
        assert ids == [pieces.bos_id(), *pieces.encode(text)], text
        assert decoded(tokenizer, ids) == pieces.decode(ids[1:]) == text, text


def write(folder, tokenizer, content):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    (folder / "tokenizer_config.json").write_text(json.dumps(names) + "\n")
    rows = {key: value if not isinstance(value, list) or key == "special" else None for key, value in content.items()}
    head = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items() if value is not None]
    lists = [
        f" {json.dumps(key)}: [\n" + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in content[key]) + "\n ]"
        for key, value in rows.items() if value is None
    ]
    (folder / "golden.json").write_text("{\n" + ",\n".join(head + lists) + "\n}\n")


def write_all(root):
    tokenizer = bytes_tokenizer()
    special = [tokenizer.convert_tokens_to_ids(name) for name in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")]
    content = golden(tokenizer, "one<|eot_id|> two<|end_of_text|>", random.Random(1))
    write(root / "tokenizer-bytes", tokenizer, content | {"special": special})
    pieces = trained_pieces()
    tokenizer = pieces_tokenizer(pieces)
    agree(tokenizer, pieces)
    write(root / "tokenizer-pieces", tokenizer, golden(tokenizer, "one</s> two<s>", random.Random(2)))


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
