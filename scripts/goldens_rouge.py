#!/usr/bin/env python3
"""Write tests/golden/rouge.json and stems.json: scores of texts and stems of words.

    python scripts/goldens_rouge.py            # write tests/golden
    python scripts/goldens_rouge.py --check    # recompute and compare to the last digit, write nothing

ROUGE is rouge-score's, stems are NLTK's (default mode). Exact match and token F1 are the formulas
of SQuAD's official evaluation v1.1; the exact match of GSM8K is that of lm-evaluation-harness
(strict-match, else flexible-extract, on texts where the two writings of a number are the same).
Every text is written here or drawn from a seed.
"""

import argparse
import collections
import json
import random
import re
import string
import sys
from pathlib import Path

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
TYPES = ["rouge1", "rouge2", "rougeL"]
SCORERS = {"": RougeScorer(TYPES, use_stemmer=False), ":stem": RougeScorer(TYPES, use_stemmer=True)}

# Hypothesis and references: what tokenizing, stemming and normalizing could get wrong.
WRITTEN = [
    ("police kill the gunman", ["police killed the gunman"]),
    ("the gunman kill police", ["police killed the gunman"]),
    ("", ["police killed the gunman"]),
    ("police killed the gunman", [""]),
    ("", [""]),
    ("...", ["!?"]),
    ("the", ["a"]),
    ("The Beatles", ["beatles", "The Rolling Stones"]),
    ("an apple a day", ["apple day.", "the apple, the day"]),
    ("one", ["one", "one two", "two"]),
    ("two one", ["one two", "one", "two two one"]),
    ("a a b a b b", ["a b a b a b", "b b b"]),
    ("the cat the cat the cat", ["the cat sat on the mat, and the cat slept"]),
    ("It's the dogs' owner's well-known U.S. e-mail", ["its the dog owner s well known us email"]),
    ("In 1984, 3.5% of 1,200 people (42) paid $7.50!", ["in 1984 3 5 of 1 200 people 42 paid 7 50"]),
    ("naïve café Zürich Straße", ["naive cafe zurich strasse", "na ve caf z rich stra e"]),
    ("300 \u212a and \u0130stanbul", ["300 k and i stanbul", "300 kelvin"]),
    ("ΟΔΟΣ ΣΟΦΟΣ", ["οδος σοφος", "οδοσ σοφοσ"]),
    ("a–b the—end an…", ["b end", "–b —end …"]),
    ("the\u00a0man\u2003walked\u200bhome", ["man walked home", "man walked\u200bhome"]),
    ("left\u001cright the\u001fend", ["left right end"]),
    ("an_the a-the theatre Anna", ["anthe athe theatre anna"]),
    ("他们 a 好", ["他们 好", "他们a好"]),
    ("line one\nline two\tthe\r\nend", ["line one line two end"]),
    ("skies dying lying tying news innings outings cannings howe", ["sky die lie tie new inning outing canning how"]),
    ("flies tries spies dies", ["fly try spy die"]),
    ("happily running runners conditionally enjoyed enjoyment", ["happy run runner conditional enjoy"]),
    ("x1y2 1st 2nd 3rds 1990s", ["x1y2 1 2 3rd 1990"]),
    ("IT WAS THE BEST OF TIMES", ["it was the worst of times", "It was the best of times."]),
]
VOCABULARY = (
    "the a an of to in and was were is for on with that by court courts judge judges ruling ruled rules player "
    "players played plays playing match matches national nationally relation relational organization organized "
    "hopeful hopefully hope hoping happy happiness happily study studies studied city cities big bigger agree agreed "
    "general generally generalization operator operate operating effective effect 12 2015 3rd Mr U.S. don't well-known"
).split()

# Replies to arithmetic and their gold answers, written as GSM8K has them.
ARITHMETIC = [
    ("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18", "#### 18"),
    ("The answer is 18.", "so 18 eggs\n#### 18"),
    ("The answer is 19.", "#### 18"),
    ("She pays $1,080 in the end", "#### 1080"),
    ("#### 1,080", "It is 1080\n#### 1080"),
    ("#### 18\n\nQuestion: How many?\nAnswer: 7\n#### 7", "#### 18"),
    ("#### 7\n\nQuestion: How many?\nAnswer: 18\n#### 18", "#### 18"),
    ("It falls by -5 degrees", "#### -5"),
    ("It falls by 5 degrees", "#### -5"),
    ("The balance is -$5.", "#### -5"),
    ("10-5", "#### -5"),
    ("10 - 5", "#### 5"),
    ("no idea", "#### 3"),
    ("", "#### 3"),
    ("Half of 7 is 3.5", "#### 3.5"),
    ("#### eighteen, which is 18", "#### 18"),
    ("5", "#### 5"),
    ("It costs $65,960.", "#### 65,960"),
    ("2 dozen, so 24 eggs. Next 3 days", "#### 24"),
]


def normalize(answer):
    """SQuAD v1.1: lower case, no punctuation, no articles, single spaces."""
    bare = "".join(letter for letter in answer.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def token_f1(hypothesis, reference):
    """SQuAD v1.1: F1 of the bags of tokens."""
    found, expected = normalize(hypothesis).split(), normalize(reference).split()
    shared = sum((collections.Counter(found) & collections.Counter(expected)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(found), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


def harness_number(text):
    """lm-evaluation-harness: strict-match, else flexible-extract, without what it ignores."""
    strict = re.findall(r"#### (\-?[0-9\.\,]+)", text)
    flexible = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)
    number = strict[0] if strict else next(filter(None, flexible[-1])) if flexible else "[invalid]"
    return re.sub(r"\.$", "", re.sub(r"[,$]", "", number.strip()))


def scores(hypothesis, references):
    """Every metric of one example; with several references the best."""
    found = {}
    for suffix, scorer in SCORERS.items():
        best = scorer.score_multi(references, hypothesis)
        found |= {kind + suffix: float(best[kind].fmeasure) for kind in TYPES}
    found["exact_match"] = float(max(normalize(hypothesis) == normalize(reference) for reference in references))
    found["token_f1"] = max(token_f1(hypothesis, reference) for reference in references)
    return found


def altered(words, generator):
    """The words with some left out, put in, and moved."""
    kept = [word for word in words if generator.random() < 0.8]
    for _ in range(generator.randrange(1 + len(words) // 4)):
        kept.insert(generator.randrange(len(kept) + 1), generator.choice(VOCABULARY))
    cut = generator.randrange(len(kept) + 1)
    return kept[cut:] + kept[:cut] if generator.random() < 0.4 else kept


def drawn(generator):
    """Hypotheses and references that share much, of 1 to 300 words."""
    for length in [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 60, 300]:
        words = generator.choices(VOCABULARY, k=length)
        references = [words] + [altered(words, generator) for _ in range(generator.randrange(3) if length < 50 else 0)]
        texts = [generator.choice([" ", " ", "  ", ", "]).join(text) + "." for text in references]
        yield " ".join(altered(words, generator)), texts


def rouge_cases():
    for hypothesis, references in [*WRITTEN, *drawn(random.Random(12))]:
        yield {"hypothesis": hypothesis, "references": references, "scores": scores(hypothesis, references)}
    for hypothesis, gold in ARITHMETIC:
        right = float(harness_number(hypothesis) == harness_number(gold))
        yield {"hypothesis": hypothesis, "references": [gold], "scores": {"exact_match:gsm8k": right}}


# Beginnings of measure 0, 1 and 2, with ends of every shape that the rules ask about.
BEGINNINGS = ["", "tr", "sky", "yy", "ow", "fil", "fizz", "hopp", "rel", "predic", "oper", "sensit"]
# One ending for every rule, before and after the earlier steps have changed it.
ENDINGS = (
    "sses ies ss s ied eed ed ing ated bled ized ating bling izing lled ssing zed pped y ys ational tional ency enci ancy "
    "izer izers bly ably ally alli ently ely ously ization ation ator alism iveness fulness ousness ality ivity bility fully "
    "ology logi icate ative alize icity ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou ism "
    "ate ity iti ous ive ize e ll"
).split()


# Rules of the lists that never change a word: `ss` stays, `alli` is handled before the list is reached.
IDLE = {"ss", "alli"}
# Rules that have no condition, so that they spare no word.
UNCONDITIONAL = {"sses", "ies", "s", "at", "bl", "iz"}


class Recorder(PorterStemmer):
    """NLTK's stemmer, with a note of every rule reached and of whether it changed the word."""

    def __init__(self):
        super().__init__()
        self.rules, self.changed, self.refused = set(), set(), set()

    def _apply_rule_list(self, word, rules):
        stem = super()._apply_rule_list(word, rules)
        self.rules |= {suffix for suffix, _, _ in rules}
        for suffix, _, _ in rules:
            if self._ends_double_consonant(word) if suffix == "*d" else word.endswith(suffix):
                (self.refused if stem == word else self.changed).add(suffix)
                break
        return stem


def stems():
    """Words and stems; fails unless every rule has changed a word and spared another."""
    stemmer = Recorder()
    words = sorted(stemmer.pool) + [beginning + ending for beginning in BEGINNINGS for ending in ENDINGS]
    found = {word: stemmer.stem(word) for word in words}
    assert stemmer.changed == stemmer.rules - IDLE, stemmer.changed ^ stemmer.rules
    assert stemmer.refused >= stemmer.rules - UNCONDITIONAL, stemmer.rules - stemmer.refused
    return found


def files():
    """What each fixture holds."""
    cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in rouge_cases())
    return {
        "rouge.json": f"[\n{cases}\n]\n",
        "stems.json": json.dumps(stems(), separators=(",", ":")) + "\n",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="recompute and compare, write nothing")
    arguments = parser.parse_args()
    differing = []
    for name, text in files().items():
        path = GOLDEN / name
        if not arguments.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            differing.append(name)
            print(f"{path}: not what the references compute now", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
