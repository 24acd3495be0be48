#!/usr/bin/env python3
"""Writes tests/golden/bleu_chrf.json: sacreBLEU's tokens, statistics and scores of small corpora.

Needs sacrebleu (made with 2.6.0). Run from anywhere; the output depends on the seed alone.
`--check` recomputes and compares instead of writing.
"""

import json
import random
import sys
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

OUTPUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "bleu_chrf.json"

TOKENIZERS = {"bleu": "13a", "bleu:zh": "zh", "bleu:intl": "intl", "bleu:char": "char", "bleu:none": "none"}

PROSE = [
    "The committee approved 1,000.5 million euros on 3-4 May 2022, didn't it?",
    "\"We can't wait,\" said the minister (who is 52); the vote is at 9:30 a.m.",
    "Prices rose by 3.5%, i.e. $12.40/kg - more than in 1999-2001.",
    "See https://example.org/a_b?c=d&amp;e=f or write to info@example.org.",
    "Tom &amp; Jerry said &quot;x &lt; y &gt; z&quot; and &amp;quot;that&amp;lt; was all&apos;.",
    "Der Ausschuß hat am 3. Mai 1.000,5 Mio. € bewilligt – „endlich“, sagte sie.",
    "Straßenbahn-Haltestelle Nr. 7: fünf Äpfel, größer als üblich; «ja», so heißt’s.",
    "L’été dernier, j’ai vu 12 000 personnes à l’aéroport ; c’était fou !",
    "A man in a blue shirt is standing on a ladder cleaning a window.",
    "Two young guys with shaggy hair look at their hands in the yard , outside .",
]

CHINESE = [
    "委员会于2022年5月3日批准了1,000.5亿欧元，对吗？",
    "“我们不能再等了，”部长（52岁）说；投票在上午9:30开始。",
    "価格は3.5％上がった。カタカナとﾊﾝｶｸ、ひらがなもある。",
    "北京—上海高铁全长1318km, 时速350 km/h。",
    "他說：「這是繁體字」…然後走了。㎏ ㍿ ⼀ 丶㇀ 豈 𠀀𪛖",
    "서울은 대한민국의 수도이다. 인구는 약 1000만 명이다!",
]

ODD = [
    "I ♥ Rust 🦀👍🏽 — 50 € → £43 ±2 ≈ ½ × 90° © ™ №5",
    "👨‍👩‍👧‍👦 family, 🇩🇪 flag, e\u0301 accent, ﬁ ligature, x² + y₁ = ٣٫٥ ⅷ",
    "мир, труд, май... «привет» — сказал он; 3,14 и 10-й день?",
    "مرحبا بالعالم، كيف الحال؟ ١٢٣٫٥",
    "नमस्ते दुनिया। १,२३४.५ रुपये",
    "well-\nknown <skipped>line\nbreaks 5-\n6 a.\nb",
    "tabs\tand\u00a0no-break\u3000wide\u2009thin\u200bzero\u0085next\u001cseparator\u2028line",
    "...---,,,., 1. 2, .3 ,4 5-6 -7 8- 9.-,a .,. ,1,a,1 1.a.1",
    "{a|b~c}[d\\e^f_g`h] !i\"j#k$l%m&n(o)p*q+r:s;t<u=v>w?x@y/z'0'",
    "in 2020.", "in 2020. ", ".5", "5.", "5-", "-", ",", "(hi)", "(hi", "hi)", "«hi»", "''", "a", "(é", "é)",
]

BLOCKS = [
    (0x21, 0x7E), (0x21, 0x7E), (0x30, 0x39), (0xA1, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x391, 0x3A1),
    (0x410, 0x44F), (0x5D0, 0x5EA), (0x660, 0x66D), (0x905, 0x939), (0x964, 0x96F), (0xE3F, 0xE5B),
    (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2150, 0x21FF), (0x2200, 0x22FF), (0x2460, 0x24FF), (0x2600, 0x27BF),
    (0x2A60, 0x2A75), (0x2E80, 0x2E99), (0x3000, 0x30FF), (0x3200, 0x33FF), (0x4DB0, 0x4E10), (0x9F90, 0x9FD0),
    (0xF900, 0xF920), (0xFE10, 0xFE6B), (0xFF01, 0xFFEE), (0x1D7CE, 0x1D7FF), (0x1F300, 0x1F64F),
    (0x20000, 0x20010),
]


def random_text(generator):
    """Words of up to five characters, of any block within the same word."""
    def word():
        return "".join(chr(generator.randint(*generator.choice(BLOCKS))) for _ in range(generator.randint(1, 5)))

    return generator.choice([" ", " ", "\u3000", "  "]).join(word() for _ in range(generator.randint(1, 9)))


def changed(text, generator, rate):
    """The text with some of its pieces dropped, doubled, moved or replaced."""
    cut = text.split(" ") if generator.random() < 0.7 and " " in text else list(text)
    glue = " " if "".join(cut) != text else ""
    pieces = []
    for piece in cut:
        draw = generator.random() / rate
        if draw < 0.3:
            continue
        pieces.append(generator.choice(cut) if draw < 0.6 else piece)
        if 0.6 <= draw < 0.8:
            pieces.append(piece)
        elif 0.8 <= draw < 1 and len(pieces) > 1:
            pieces[-2:] = pieces[:-3:-1]
    return glue.join(pieces)


def rewritten(texts, n_references, generator, rate=0.25):
    """Hypotheses and references made from the same texts; a range of numbers of references, or one."""
    numbers = [generator.choice(n_references) for _ in texts]
    return [changed(text, generator, rate) for text in texts], [
        [text] + [changed(text, generator, rate) for _ in range(n - 1)] for text, n in zip(texts, numbers)
    ]


def corpora(generator):
    """Name, hypotheses, and the references of each."""
    yield "prose, 1 reference", *rewritten(PROSE, [1], generator)
    yield "prose, 2 references", *rewritten(PROSE, [2], generator)
    yield "Chinese, 1 reference", *rewritten(CHINESE, [1], generator)
    yield "Chinese, 3 references", *rewritten(CHINESE, [3], generator)
    yield "odd characters, 2 references", *rewritten(ODD, [2], generator)
    yield "random characters, 1 reference", *rewritten([random_text(generator) for _ in range(12)], [1], generator)
    yield "1 to 3 references", *rewritten(PROSE + CHINESE, [1, 2, 3], generator, rate=0.5)
    yield "little in common", *rewritten(PROSE[:5], [1, 2], generator, rate=0.95)
    yield "identity", PROSE[:3], [[text] for text in PROSE[:3]]
    yield "nothing in common", ["aaa bbb ccc ddd", "eee"], [["www xxx yyy zzz", "www"], ["vvv", ""]]
    yield "no word in common, but characters", ["walked talked"], [["walking talking"]]
    yield "unigrams alone match", ["d c b a", "x y"], [["a b c d"], ["y x"]]
    yield "no four-gram matches", ["the big cat sat on a mat"], [["the big cat lay on the mat"]]
    yield "shorter than four tokens", ["yes", "oh no", "a b c"], [["yes"], ["oh no"], ["a b d"]]
    yield "shorter than six characters", ["ab", "c"], [["abc", "a"], ["", "cd"]]
    yield "empty hypotheses", ["", " \t\u3000", "the cat sat on the mat"], [["a b"], ["c d e", ""], ["the cat sat on the mat"]]
    yield "nothing but an empty hypothesis", [""], [["something"]]
    yield "empty references", ["some words", "the cat sat on it"], [[""], ["the cat sat on it", "", " "]]
    yield "empty on both sides", ["", " "], [["", ""], ["\u001c"]]
    # Four tokens are as near to three as to five; the shorter one counts, wherever it stands.
    yield "closest lengths", ["a b c d", "a b c d"], [["a b c d e", "a b c"], ["a b c", "a b c d e"]]
    # A count is clipped at that of the reference which has most, not at their sum.
    yield "clipped counts", ["the the the the the the"], [["the cat and the mat", "the the the dog is out"]]
    # Both references score alike and have different lengths: the first one counts.
    yield "ties between references", ["abcdef", "ab"], [["uvwxyzuvw", "uvwxyz"], ["ba", "abx"]]


def metrics():
    """Every metric by the name that task files give it."""
    bleu = {name: BLEU(tokenize=tokenizer, force=True) for name, tokenizer in TOKENIZERS.items()}
    return bleu | {"chrf": CHRF(), "chrf++": CHRF(word_order=2)}


def scored(metric, hypotheses, references):
    """The statistics of each example, the score of their sum, and the signature."""
    width = max(map(len, references))
    streams = [[of_one[index] if index < len(of_one) else None for of_one in references] for index in range(width)]
    statistics = metric._extract_corpus_statistics(hypotheses, streams)
    score = metric.corpus_score(hypotheses, streams).score
    # A score of 0 is an integer in some places of sacreBLEU.
    return {"score": float(score), "signature": str(metric.get_signature()), "statistics": statistics}


def tokens(line):
    """What each tokenizer of BLEU makes of a line."""
    return {name: BLEU(tokenize=name)._preprocess_segment(line).split() for name in TOKENIZERS.values()}


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def written():
    """The whole file, with a line for every text and for every metric of a corpus."""
    lines = ",\n".join(compact({"text": line, "tokens": tokens(line)}) for line in ODD + PROSE[4:6] + CHINESE[4:5])
    found = []
    for name, hypotheses, references in corpora(random.Random(22)):
        head = f'"name":{compact(name)},\n"hypotheses":{compact(hypotheses)},\n"references":{compact(references)}'
        scores = ",\n".join(
            f"{compact(name)}:{compact(scored(metric, hypotheses, references))}" for name, metric in metrics().items()
        )
        found.append(f'{{{head},\n"metrics":{{\n{scores}}}}}')
    corpora_text = ",\n".join(found)
    return f'{{"tokenized":[\n{lines}\n],\n"corpora":[\n{corpora_text}\n]}}\n'


def main():
    text = written()
    if "--check" in sys.argv[1:]:
        same = OUTPUT.read_bytes() == text.encode()
        sys.exit(0 if same else f"{OUTPUT} is not what sacrebleu computes here")
    OUTPUT.write_bytes(text.encode())
    print(f"{len(json.loads(text)['corpora'])} corpora -> {OUTPUT}")


if __name__ == "__main__":
    main()
