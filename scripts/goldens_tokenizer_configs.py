#!/usr/bin/env python3
"""Writes tests/golden/tokenizer_configs.json: what transformers' AutoTokenizer makes of small tokenizers under
the settings that lie beside a tokenizer.json, and how it cuts pairs that are too long.

Releases 4 and 5 differ in some: a run fills in the values of the release that is installed and keeps those of
the other, so run it once with each. `--check` recomputes and compares.
"""

import copy
import json
import sys
import tempfile
from pathlib import Path

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from goldens_check import run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
NAME = "tokenizer_configs.json"
RELEASE = transformers.__version__.split(".")[0]

TEXTS = ["The cat sat", " the cat", "café NEW 中文 the", "the<s> cat </s><x>sat [NEW] [MASK]", "<|endoftext|>the NEWcat", ""]
PAIR = ["the cat", "sat"]


def special(*names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def wordpiece(lowercase):
    names = "[PAD] [UNK] [CLS] [SEP] [MASK] the The cat sat cafe café caf ##e ##é ##s 中 文 中文 new NEW < > / s x".split()
    tokenizer = Tokenizer(models.WordPiece({name: id for id, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    return tokenizer


def byte_level(prefix_space, roberta=False, inside=False):
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"] if roberta else ["<unk>", "<s>", "</s>", "<|endoftext|>"]
    vocabulary = {name: id for id, name in enumerate([*names, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    merges = [("t", "h"), ("th", "e"), ("c", "a"), ("ca", "t"), ("Ġ", "the"), ("Ġ", "cat")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), level]) if inside else level
    tokenizer.decoder = decoders.ByteLevel()
    if roberta:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix_space)
    tokenizer.add_special_tokens(special(*names))
    return tokenizer


def pieces(frame=True, prepend=False):
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁thecasTNEW<>/x[]MAK"]
    vocabulary = {}
    for name in names:
        vocabulary.setdefault(name, len(vocabulary))
    merges = [("t", "h"), ("th", "e"), ("c", "a"), ("ca", "t"), ("▁", "the"), ("▁", "cat")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if prepend:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    if frame:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>"))
    return tokenizer


def unigram():
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁the", -2.0), ("▁cat", -2.5), ("▁", -3.0)]
    vocabulary += [(letter, -4.0 - 0.1 * place) for place, letter in enumerate("thecasTNEWfé中文<>/x[]MAK|ndo")]
    seen, unique = set(), []
    for piece in vocabulary:
        if piece[0] not in seen:
            seen.add(piece[0])
            unique.append(piece)
    tokenizer = Tokenizer(models.Unigram(unique, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(special("<s>", "<pad>", "</s>", "<unk>"))
    return tokenizer


def stored_limits(tokenizer):
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=12, pad_token="[PAD]")
    return tokenizer


BASES = {
    "wordpiece": lambda: wordpiece(True),
    "wordpiece-cased": lambda: wordpiece(False),
    "wordpiece-limits": lambda: stored_limits(wordpiece(True)),
    "bytes": lambda: byte_level(False),
    "bytes-prefix": lambda: byte_level(True),
    "bytes-prefix-inside": lambda: byte_level(True, inside=True),
    "roberta": lambda: byte_level(False, roberta=True),
    "roberta-prefix": lambda: byte_level(True, roberta=True),
    "pieces": lambda: pieces(),
    "pieces-frameless": lambda: pieces(frame=False),
    "pieces-prepend": lambda: pieces(prepend=True),
    "unigram": unigram,
}

MODELS = {"wordpiece": "bert", "roberta": "roberta", "bytes": "llama", "pieces": "llama", "unigram": "roberta"}


def token(content, **options):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False} | options


def typed(content, **options):
    return {"__type": "AddedToken"} | {key: value for key, value in token(content, **options).items() if key != "special"}


PAIRED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
END = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}

# Base, tokenizer_config.json, other files.
CASES = [
    *(("wordpiece", {"tokenizer_class": name} | options, {}) for name, options in [
        ("BertTokenizer", {}), ("BertTokenizerFast", {"do_lower_case": False}), ("BertTokenizer", {"strip_accents": False}),
        ("BertTokenizer", {"do_lower_case": False, "strip_accents": True}), ("BertTokenizer", {"tokenize_chinese_chars": False}),
        ("DistilBertTokenizer", {"do_lower_case": False}), ("ElectraTokenizerFast", {"do_lower_case": False}),
        ("PreTrainedTokenizerFast", {"do_lower_case": False, "pad_token": "[PAD]"}),
        ("BertTokenizer", {"split_special_tokens": True}), ("BertTokenizer", {"additional_special_tokens": ["<x>", "NEW"]}),
        ("BertTokenizer", {"added_tokens_decoder": {"25": token("[NEW]"), "26": token("<x>", special=True, normalized=False)}}),
        ("BertTokenizer", {"mask_token": typed("[MASK]", lstrip=True)}),
    ]),
    ("wordpiece", {"do_lower_case": False}, {}),
    ("wordpiece", {}, {}),
    ("wordpiece-cased", {}, {}),
    ("wordpiece-cased", {"tokenizer_class": "BertTokenizerFast"}, {}),
    ("wordpiece-cased", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}, {}),
    ("wordpiece-limits", {"tokenizer_class": "BertTokenizer"}, {}),
    ("wordpiece", {"tokenizer_class": "BertTokenizer"}, {"added_tokens.json": {"[NEW]": 25, "<x>": 26}}),
    ("wordpiece", {"tokenizer_class": "BertTokenizer"}, {"special_tokens_map.json": {"additional_special_tokens": ["<x>"]}}),
    ("wordpiece", {"tokenizer_class": "BertTokenizer", "unk_token": "[UNK]"}, {
        "special_tokens_map.json": {"mask_token": token("[MASK]", lstrip=True, normalized=False)}}),
    *(("roberta" + base, {"tokenizer_class": name} | options, {}) for base in ["", "-prefix"] for name, options in [
        ("RobertaTokenizer", {}), ("RobertaTokenizerFast", {"add_prefix_space": True}), ("RobertaTokenizer", {"add_prefix_space": False}),
    ]),
    ("roberta-prefix", {}, {}),
    *((base, PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast"} | options, {})
      for base in ["bytes", "bytes-prefix", "bytes-prefix-inside"]
      for options in [{}, {"add_prefix_space": True}, {"add_prefix_space": False}, {"add_prefix_space": None}]),
    *(("bytes", PAIRED | {"tokenizer_class": name} | options, {}) for name in ["LlamaTokenizerFast", "LlamaTokenizer", "PreTrainedTokenizerFast"]
      for options in [{"add_bos_token": True}, {"add_bos_token": False}, {"add_bos_token": True, "add_eos_token": True}]),
    ("bytes-prefix", PAIRED | {"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True}, {}),
    *(("bytes" + base, END | {"tokenizer_class": name} | options, {}) for base in ["", "-prefix"] for name, options in [
        ("GPT2Tokenizer", {}), ("GPT2Tokenizer", {"add_bos_token": True}), ("GPT2TokenizerFast", {"add_prefix_space": True}),
    ]),
    *(("bytes", END | {"tokenizer_class": "GPTNeoXTokenizerFast"} | options, {}) for options in [{}, {"add_bos_token": True}]),
    ("bytes", {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "add_bos_token": True}, {}),
    ("bytes", {"tokenizer_class": "TokenizersBackend", "add_bos_token": True, "backend": "tokenizers"} | PAIRED, {}),
    ("bytes-prefix", {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers"} | PAIRED, {}),
    ("bytes", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {
        "266": token("[NEW]", special=True, normalized=False), "267": token("NEW", lstrip=True), "268": token("<x>", single_word=True)}}, {}),
    ("bytes", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[NEW]"}, {}),
    ("bytes", {"tokenizer_class": "PreTrainedTokenizerFast"}, {"special_tokens_map.json": PAIRED | {"pad_token": token("[NEW]")}}),
    ("bytes", {"tokenizer_class": "LlamaTokenizerFast", "bos_token": typed("<s>"), "eos_token": typed("</s>"), "unk_token": None,
               "pad_token": typed("</s>"), "legacy": True, "add_bos_token": True, "add_eos_token": False}, {}),
    *((base, PAIRED | {"tokenizer_class": "LlamaTokenizer", "legacy": False} | options, {}) for base in ["pieces", "pieces-frameless"]
      for options in [{}, {"add_bos_token": False}, {"add_bos_token": True}, {"add_eos_token": True}]),
    ("pieces", {"tokenizer_class": "LlamaTokenizerFast", "legacy": False}, {}),
    *((base, PAIRED | {"tokenizer_class": "LlamaTokenizerFast", "legacy": False} | options, {}) for base in ["pieces", "pieces-prepend"]
      for options in [{"add_prefix_space": False}, {"add_prefix_space": True}, {"add_prefix_space": None}]),
    ("pieces", PAIRED | {"legacy": False, "add_bos_token": False}, {}),
    ("pieces", PAIRED | {"legacy": False}, {}),
    ("pieces-frameless", PAIRED | {"legacy": False}, {}),
    ("pieces", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<x>", "[NEW]"]}, {}),
    ("unigram", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}, {}),
    ("unigram", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "mask_token": typed("[MASK]", lstrip=True)}, {}),
    ("unigram", PAIRED | {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "add_bos_token": False}, {}),
]

# Words of the first and second text, the limit, the side that loses tokens.
CUTS = [
    (first, second, limit, side)
    for first, second in [(9, 9), (30, 20), (20, 30), (30, 2), (2, 30), (12, 7), (7, 12), (30, None), (3, None), (14, 14), (15, 14)]
    for limit in [15, 16, 17]
    for side in ["right", "left"]
]


def folder_of(folder, base, config, files):
    BASES[base]().save(str(folder / "tokenizer.json"))
    kind = base.split("-")[0]
    files = {"tokenizer_config.json": config, "config.json": {"model_type": MODELS[kind]}} | files
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return files


def answers(folder):
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # noqa: BLE001 - which folders a release refuses is worth knowing
        return f"refused: {type(error).__name__}"
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    decoded = [tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False) for row in ids]
    return {"ids": ids, "pair": tokenizer(*PAIR)["input_ids"], "decoded": decoded}


def cut(tokenizer, first, second, limit, side):
    tokenizer.truncation_side = side
    words = ["the", "cat", "sat"]
    text = lambda n, shift: " ".join(words[(place + shift) % 3] for place in range(n))
    texts = [text(first, 0)] if second is None else [text(first, 0), text(second, 1)]
    ids = tokenizer(*texts, truncation=True, max_length=limit)["input_ids"]
    return texts, ids


def write_all(root):
    path = GOLDEN / NAME
    before = json.loads(path.read_text()) if path.exists() else {"cases": [], "cuts": []}
    kept = {json.dumps([row["base"], row["files"]]): row["answers"] for row in before["cases"]}
    cases = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, (base, config, files) in enumerate(CASES):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            files = folder_of(folder, base, copy.deepcopy(config), copy.deepcopy(files))
            found = dict(kept.get(json.dumps([base, files]), {}))
            found[RELEASE] = answers(folder)
            cases.append({"base": base, "files": files, "answers": dict(sorted(found.items()))})
        folder = Path(scratch) / "cuts"
        folder.mkdir()
        folder_of(folder, "wordpiece", {"tokenizer_class": "BertTokenizer"}, {})
        tokenizer = AutoTokenizer.from_pretrained(folder)
        kept = {json.dumps([row["texts"], row["limit"], row["side"]]): row["ids"] for row in before["cuts"]}
        cuts = []
        for first, second, limit, side in CUTS:
            texts, ids = cut(tokenizer, first, second, limit, side)
            found = dict(kept.get(json.dumps([texts, limit, side]), {}))
            found[RELEASE] = ids
            cuts.append({"texts": texts, "limit": limit, "side": side, "ids": dict(sorted(found.items()))})
    bases = {name: json.loads(make().to_str()) for name, make in BASES.items()}
    lines = lambda rows: ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    named = ",\n".join(f"  {json.dumps(name)}: {json.dumps(base, ensure_ascii=False)}" for name, base in bases.items())
    (root / NAME).write_text(
        f' {{\n "texts": {json.dumps(TEXTS, ensure_ascii=False)},\n "pair": {json.dumps(PAIR)},\n "bases": {{\n{named}\n }},\n'
        f' "cases": [\n{lines(cases)}\n ],\n "cuts": [\n{lines(cuts)}\n ]\n}}\n'.lstrip()
    )


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
