#!/usr/bin/env python3
"""Makes data/ages: pairs of sentences about people's ages, the second one entailed by the first or not.

What it is for: a small encoder trained from nothing on two cores learns it in a minute or two, and
some pairs need more layers than others. The rules, by `kind`:

  copy        "ann is three"                               -> "ann is three", "ann is not four"
  bound       "ann is three"                               -> "ann is over two", "ann is under nine"
  bind        "ann is three and bob is seven"              -> "bob is seven", "ann is not seven"
  compare     "ann is three and bob is seven"              -> "bob is older than ann"
  chain       "ann is older than bob and eve is younger than bob" -> "ann is older than eve"
  sum         "ann is three and bob is four"               -> "together they are seven"
  difference  "ann is three and bob is two years older"    -> "bob is five"
  mixed       "ann is three and bob is two years older"    -> "bob is over four"

Ages are whole numbers from one to twelve. Every kind has as many entailed pairs as not entailed
ones, in every split; `over`/`under`, `older`/`younger` and `not` turn the answer round equally
often on both sides, and a wrong number is near the right one or stands elsewhere in the premise,
so that no word gives the answer away (`--baseline` measures that). No pair occurs twice, within or
across splits. All is drawn from one seed with Python's `random.random` alone, whose sequence is the
same in every version.

usage: make_corpus.py             writes data/ages
       make_corpus.py --check     compares the files there with what would be written
       make_corpus.py --baseline  what a logistic regression on the words of both sentences reaches (needs scikit-learn)
"""

import argparse
import json
import random
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "data" / "ages"
SEED = 4
NAMES = ["ann", "bob", "carl", "dora", "eve", "finn", "gus", "hana", "ivo", "june"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
OLDEST = len(NUMBERS)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LABELS = ["entailed", "not_entailed"]
# Pairs of each kind in train; dev and test have a tenth of it each.
SIZES = {
    "copy": 800,
    "bound": 1000,
    "bind": 1800,
    "compare": 1800,
    "chain": 1400,
    "sum": 1000,
    "difference": 1200,
    "mixed": 1000,
}


class Draw:
    """Choices built on `random.random` alone."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def chance(self, share=0.5):
        return self.random() < share

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def age(self, low=1, high=OLDEST):
        return low + int(self.random() * (high - low + 1))

    def shuffled(self, items):
        return [item for _, item in sorted((self.random(), item) for item in items)]


def word(age):
    return NUMBERS[age - 1]


def says_exactly(draw, subject, verb, age, entailed, elsewhere=()):
    """`subject verb [not] NUMBER`, true or false of `age`; `elsewhere` are other numbers of the premise."""
    negated = draw.chance(0.3)
    if entailed != negated:
        number = age
    else:
        others = [other for other in elsewhere if other != age]
        near = [other for other in (age - 2, age - 1, age + 1, age + 2) if 1 <= other <= OLDEST]
        number = draw.pick(others) if others and draw.chance(0.6) else draw.pick(near)
    return f"{subject} {verb} {'not ' if negated else ''}{word(number)}"


def says_bound(draw, subject, age, entailed):
    """`subject is over|under NUMBER`, true or false of `age`; nothing where no number near would do."""
    over = draw.chance()
    holds = (lambda limit: age > limit) if over else (lambda limit: age < limit)
    near = range(max(1, age - 3), min(OLDEST, age + 3) + 1)
    limits = [limit for limit in near if holds(limit) == entailed]
    return f"{subject} is {'over' if over else 'under'} {word(draw.pick(limits))}" if limits else None


def says_older(draw, older, younger):
    """The same fact from either side."""
    return f"{older} is older than {younger}" if draw.chance() else f"{younger} is younger than {older}"


def copy(draw, names, entailed):
    age = draw.age()
    return f"{names[0]} is {word(age)}", says_exactly(draw, names[0], "is", age, entailed)


def bound(draw, names, entailed):
    age = draw.age()
    return f"{names[0]} is {word(age)}", says_bound(draw, names[0], age, entailed)


def two_ages(draw, names, high=OLDEST):
    """Two people of different ages and the sentence about them."""
    first, second = draw.shuffled(range(1, high + 1))[:2]
    sentence = f"{names[0]} is {word(first)} and {names[1]} is {word(second)}"
    return sentence, {names[0]: first, names[1]: second}


def bind(draw, names, entailed):
    sentence, ages = two_ages(draw, names)
    asked, other = draw.shuffled(ages)
    return sentence, says_exactly(draw, asked, "is", ages[asked], entailed, [ages[other]])


def compare(draw, names, entailed):
    sentence, ages = two_ages(draw, names)
    younger, older = sorted(ages, key=ages.get)
    return sentence, says_older(draw, older, younger) if entailed else says_older(draw, younger, older)


def chain(draw, names, entailed):
    oldest, middle, youngest = names
    facts = [says_older(draw, oldest, middle), says_older(draw, middle, youngest)]
    claim = says_older(draw, oldest, youngest) if entailed else says_older(draw, youngest, oldest)
    return " and ".join(draw.shuffled(facts)), claim


def sum_of_two(draw, names, entailed):
    sentence, ages = two_ages(draw, names, high=6)
    return sentence, says_exactly(draw, "together they", "are", sum(ages.values()), entailed)


def stepped(draw, names):
    """One age, a second one relative to it, and the sentence about both."""
    step = draw.age(1, 3)
    older = draw.chance()
    age = draw.age(1, OLDEST - step) if older else draw.age(1 + step, OLDEST)
    sentence = f"{names[0]} is {word(age)} and {names[1]} is {word(step)} {'year' if step == 1 else 'years'} {'older' if older else 'younger'}"
    return sentence, age, age + step if older else age - step


def difference(draw, names, entailed):
    sentence, first, second = stepped(draw, names)
    return sentence, says_exactly(draw, names[1], "is", second, entailed, [first])


def mixed(draw, names, entailed):
    sentence, _, second = stepped(draw, names)
    return sentence, says_bound(draw, names[1], second, entailed)


RULES = {
    "copy": copy,
    "bound": bound,
    "bind": bind,
    "compare": compare,
    "chain": chain,
    "sum": sum_of_two,
    "difference": difference,
    "mixed": mixed,
}


def make_splits():
    """Rows (premise, hypothesis, label, kind) of every split."""
    draw = Draw(SEED)
    splits = {"train": [], "dev": [], "test": []}
    seen = set()
    for kind, size in SIZES.items():
        for entailed in (True, False):
            pairs = []
            while len(pairs) < (size + 2 * (size // 10)) // 2:
                pair = RULES[kind](draw, draw.shuffled(NAMES)[:3], entailed)
                if pair[1] is not None and pair not in seen:
                    seen.add(pair)
                    pairs.append((*pair, LABELS[0 if entailed else 1], kind))
            tenth = size // 20
            splits["dev"] += pairs[:tenth]
            splits["test"] += pairs[tenth : 2 * tenth]
            splits["train"] += pairs[2 * tenth :]
    return {name: draw.shuffled(rows) for name, rows in splits.items()}


def make_files():
    """Contents by path below the folder."""
    splits = make_splits()
    files = {}
    for name, rows in splits.items():
        lines = ["premise\thypothesis\tlabel\tkind"] + ["\t".join(row) for row in rows]
        files[f"{name}.tsv"] = "\n".join(lines) + "\n"
    words = {word for row in splits["train"] for text in row[:2] for word in text.split()}
    files["tokenizer/vocab.txt"] = "\n".join(SPECIAL + sorted(words)) + "\n"
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32}
    files["tokenizer/tokenizer_config.json"] = json.dumps(settings, indent=2) + "\n"
    return files


def check(files):
    wrong = [name for name, text in files.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text]
    for name in wrong:
        print(f"{FOLDER / name}: is not what {Path(__file__).name} makes", file=sys.stderr)
    print(f"{len(files) - len(wrong)} of {len(files)} files are as they should be")
    return 1 if wrong else 0


def baseline(splits):
    """A bag of words per sentence, with and without pairs of words, under a logistic regression."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def texts(rows):
        return [" ".join(f"{side}_{word}" for side, text in zip("ph", row) for word in text.split()) for row in rows]

    for reach, name in ((1, "words"), (2, "words and neighbouring words")):
        model = make_pipeline(CountVectorizer(ngram_range=(1, reach)), LogisticRegression(max_iter=2000))
        model.fit(texts(splits["train"]), [row[2] for row in splits["train"]])
        right = [row[2] == found for row, found in zip(splits["dev"], model.predict(texts(splits["dev"])))]
        print(f"{name}: {sum(right) / len(right):.3f} of dev right")
        for kind in SIZES:
            of_kind = [hit for hit, row in zip(right, splits["dev"]) if row[3] == kind]
            print(f"  {kind:<11} {sum(of_kind) / len(of_kind):.3f} of {len(of_kind)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--baseline", action="store_true", help="score a bag of words, write nothing")
    arguments = parser.parse_args()
    if arguments.baseline:
        baseline(make_splits())
        return 0
    files = make_files()
    if arguments.check:
        return check(files)
    for name, text in files.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text)
        print(f"{FOLDER / name}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
