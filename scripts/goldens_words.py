#!/usr/bin/env python3
"""Writes tests/golden/moses.json, tokenizer-fairseq and tokenizer-fsmt: what sacremoses, subword-nmt and
transformers make of texts.

tokenizer-fairseq has BPE codes of version 0.2 learnt by subword-nmt and a dictionary a language in fairseq's form,
and `codes-0.1` in the older one; tokenizer-fsmt the same words in the files of transformers' `FSMTTokenizer`.
`--check` recomputes and compares. Run from anywhere.
"""

import io
import json
import random
import sys
from pathlib import Path

from sacremoses import MosesDetokenizer, MosesTokenizer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe
from transformers import FSMTTokenizer

from goldens_check import run

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

TEXTS = {
    "en": [
        "Mr. Smith doesn't live in the U.S. any more, does he? \"No,\" he said.",
        "It costs $5,300.50 (about 4,800 €) - or so they say... at 5 p.m. on No. 7.",
        "The Jones' house & the boys' toys: '90s rock'n'roll, i.e. well-known stuff.",
        "Visit http://example.com/a_b?c=d or write to me@example.org [soon]; 100% free!",
        "'Tis a dog-eat-dog world -- isn't it?..",
        "  tabs\tand   spaces and <b>tags</b> | pipes ",
        "He said: ``quoted'' text. And so on, etc.",
        "5's and a, b,c and 1,2 and 3,x.",
    ],
    "de": [
        "Herr Dr. Müller wohnt z.B. in der Hauptstr. 5, d.h. am 3. Mai 2020.",
        "„Das geht's nicht“, sagte er – ‚wirklich‘ nicht…",
        "Die CO2-Werte stiegen um 1.234,56 % (usw.) in Köln/Bonn.",
        "Ca. 20 Männer und/oder Frauen; so ist's halt!",
    ],
    "fr": [
        "L'homme n'a pas d'idée aujourd'hui : « Quoi ? » dit-il.",
        "C'est l'été, M. Dupont ; 50 % des gens s'en vont !",
    ],
    "xx": ["Naïve ½ × ² test's 日本語 and 한국 text, ok. \U0001f600!", "a.b. c. D. e... ''x'' `y`"],
}

# Tokens as a model may write them.
TOKENS = {
    "en": [
        "\" I do n't know , \" said the Jones ' dog .",
        "He 's in ( or near ) the $ 5 shop @-@ keeper 's house ; really ?",
        "&quot; A &amp; B &quot; &lt; C &#91; d &#93; &#124; e &apos;s",
        "' one ' and ' two ' , 日本 語 です 。 ok",
        "a `` b `` and '' c '' „ d “",
    ],
    "de": ["„ Das ist gut “ , sagte er : \" ja \" und 's war ( so ) .", "CO2 @-@ Werte stiegen um 5 % !"],
    "fr": ["L' homme dit : « Quoi ? » et s' en va ; c' est tout !", "l' 50 % d' un ¿ qu' y ?"],
}

CORPUS = [
    ("ein hund läuft im gras .", "a dog runs in the grass ."),
    ("zwei hunde laufen und ein hund schläft .", "two dogs run and a dog sleeps ."),
    ("der kleine hund schläft im gras @-@ feld .", "the small dog sleeps in the grass @-@ field ."),
    ("die hunde schlafen , die katzen laufen .", "the dogs sleep , the cats run ."),
    ("eine katze und zwei kleine katzen im feld .", "a cat and two small cats in the field ."),
]

WORDS = [
    "der kleine hund schläft .", "", "  zwei  hunde\tund x ", "katzenfeld grasfelder 日本 hundehund",
    "h unbekannt läuft @-@ laufen", "<unk> </s> <s> madeupword0000 .", "aaaaaaaa",
]


def moses():
    tokenized = [
        {"language": language, "dashes": dashes, "text": text,
         "tokens": " ".join(MosesTokenizer(language).tokenize(text, aggressive_dash_splits=dashes))}
        for language, texts in TEXTS.items() for text in texts for dashes in (False, True)
    ]
    detokenized = [
        {"language": language, "tokens": tokens, "text": MosesDetokenizer(language).detokenize(tokens.split())}
        for language, rows in TOKENS.items() for tokens in rows
    ]
    detokenized += [
        {"language": row["language"], "tokens": row["tokens"],
         "text": MosesDetokenizer(row["language"]).detokenize(row["tokens"].split())}
        for row in tokenized
    ]
    return {"tokenized": tokenized, "detokenized": detokenized}


def write_json(path, lists, head=""):
    rows = lambda name: ",\n ".join(json.dumps(row, ensure_ascii=False) for row in lists[name])
    body = ",\n".join(f'"{name}": [\n {rows(name)}\n]' for name in lists)
    path.write_text("{" + head + "\n" + body + "}\n")


def codes(version):
    learnt = io.StringIO()
    learn_bpe([f"{line}\n" for pair in CORPUS for line in pair], learnt, 60, min_frequency=2)
    text = learnt.getvalue()
    if version == "0.1":
        # The older form has the end of a word as a symbol of its own.
        merges = [line.split(" ") for line in text.splitlines()[1:]]
        ends = {right[0]: None for _, right in merges if len(right) == 5 and right.endswith("</w>")}
        older = [f"{letter} </w>" for letter in ends] + [" ".join(pair) for pair in merges]
        text = "\n".join(older) + "\n"
    return text


def dictionary(path, lines, bpe):
    counts = {}
    for line in lines:
        for word in bpe.process_line(line).split():
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))
    rows = [f"{word} {counts[word]}" for word in words]
    rows += [f"madeupword{i:04} 0" for i in range(-(len(rows) + 4) % 8)]
    rows.append(f"{words[0]} 1 #fairseq:overwrite")
    path.write_text("\n".join(rows) + "\n")
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for number, row in enumerate(rows):
        ids[row.split(" ")[0]] = number + 4
    return ids


def fairseq(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bpecodes").write_text(codes("0.2"))
    (folder / "codes-0.1").write_text(codes("0.1"))
    bpe, older = (BPE(open(folder / name)) for name in ("bpecodes", "codes-0.1"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"langs": ["de", "en"]}))
    source = dictionary(folder / "dict.de.txt", [pair[0] for pair in CORPUS], bpe)
    target = dictionary(folder / "dict.en.txt", [pair[1] for pair in CORPUS], bpe)
    ids = lambda table, text: [table.get(word, 3) for word in bpe.process_line(text).split()] + [2]
    texts = [
        {"text": text, "segmented": bpe.process_line(text).strip("\r\n "), "older": older.process_line(text).strip("\r\n "),
         "source": ids(source, text), "target": ids(target, text)}
        for text in [*WORDS, *[line for pair in CORPUS for line in pair]]
    ]
    names = {i: word for word, i in target.items()}
    rng = random.Random(5)
    drawn = []
    for _ in range(20):
        row = [rng.choice([i for i in names if i > 3]) for _ in range(rng.randint(1, 12))]
        text = (" ".join(names[i] for i in row) + " ").replace("@@ ", "").rstrip()
        drawn.append({"ids": row, "decoded": text})
    write_json(folder / "golden.json", {"texts": texts, "drawn": drawn})


def fsmt(folder):
    folder.mkdir(parents=True, exist_ok=True)
    merges = codes("0.2").splitlines()[1:]
    (folder / "merges.txt").write_text("".join(f"{merge} 1\n" for merge in merges))
    bpe = BPE(io.StringIO(codes("0.2")))
    for name, side in (("vocab-src.json", 0), ("vocab-tgt.json", 1)):
        words = {word for pair in CORPUS for word in bpe.process_line(pair[side]).split()}
        words = [word[:-2] if word.endswith("@@") else f"{word}</w>" for word in sorted(words)]
        table = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
        (folder / name).write_text(json.dumps(table, ensure_ascii=False))
    settings = {"langs": ["de", "en"], "do_lower_case": True, "tokenizer_class": "FSMTTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = FSMTTokenizer.from_pretrained(folder)
    lines = [*WORDS[:5], *[pair[0] for pair in CORPUS], *TEXTS["de"], "Die Katze - „läuft“ im Grasfeld， 5 %。"]
    texts = [{"text": text, "source": tokenizer(text)["input_ids"]} for text in lines]
    rng = random.Random(6)
    size = tokenizer.tgt_vocab_size
    drawn = [[rng.randrange(4, size) for _ in range(rng.randint(1, 12))] for _ in range(20)]
    drawn = [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)} for ids in drawn]
    write_json(folder / "golden.json", {"texts": texts, "drawn": drawn})


def build(golden):
    golden.mkdir(parents=True, exist_ok=True)
    write_json(golden / "moses.json", moses())
    fairseq(golden / "tokenizer-fairseq")
    fsmt(golden / "tokenizer-fsmt")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, build))
