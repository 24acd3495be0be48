#!/usr/bin/env python3
"""Makes data/reviews: short reviews, and whether what they say is positive or negative.

What it is for: a small encoder trained from scratch on two cores learns it in less than a minute, and
some reviews need more layers than others. The rules, by `kind`:

  plain      "the film was good"                                  its adjective decides
  negated    "the film was not good"                              "not" turns the adjective round
  contrast   "the plot was dull but the cast was not bad"         what follows "but" decides;
             "although the plot was dull the cast was good",      what "although" belongs to does not
             "the cast was good although the plot was dull"
  majority   "the plot was dull and the cast was good and …"      two of three clauses decide
  denied     "it is not true that the plot was dull but …"        the whole sentence is turned round
  trusted    "ann says the plot was dull and bob says the cast    the named speaker's clause decides,
             was good and ann is wrong"                           turned round where the speaker is wrong

Every kind has as many positive reviews as negative ones, in every split. The same words, turned
round or overruled, serve both labels, so that no word gives the answer away (`--baseline` measures
what words give). No review occurs twice, within or across splits. All is drawn from one seed with
Python's `random.random` alone, whose sequence is the same in every version.

usage: make_corpus.py             writes data/reviews
       make_corpus.py --check     compares the files there with what would be written
       make_corpus.py --baseline  what a logistic regression on words reaches (needs scikit-learn)
"""

import json
import sys

import corpus

SEED = 4
NOUNS = ["film", "plot", "cast", "music", "ending", "story", "script", "hero"]
NAMES = ["ann", "bob", "carl", "dora", "eve", "finn"]
ADJECTIVES = {
    True: ["good", "great", "fine", "lovely", "clever", "bright"],
    False: ["bad", "dull", "weak", "awful", "silly", "grim"],
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LABELS = {False: "negative", True: "positive"}
# Reviews of each kind in train; dev and test have a tenth of it each.
SIZES = {"plain": 140, "negated": 140, "contrast": 3200, "majority": 2520, "denied": 2000, "trusted": 2000}


def clause(draw, noun, positive, negated):
    """One statement about one noun that means `positive`, said directly or by a denied adjective."""
    adjective = draw.pick(ADJECTIVES[positive != negated])
    words = ["the", noun, "was"] + ["not"] * negated + ["very"] * draw.chance(0.2) + [adjective]
    return " ".join(words)


def any_clause(draw, noun, positive):
    return clause(draw, noun, positive, draw.chance(0.3))


def plain(draw, positive):
    return clause(draw, draw.pick(NOUNS), positive, False)


def negated(draw, positive):
    return clause(draw, draw.pick(NOUNS), positive, True)


def contrast(draw, positive):
    first, second = draw.shuffled(NOUNS)[:2]
    deciding = any_clause(draw, first, positive)
    # Sometimes both agree, so that the other clause does not simply say the opposite.
    other = any_clause(draw, second, positive == draw.chance(0.25))
    return draw.pick([f"{other} but {deciding}", f"although {other} {deciding}", f"{deciding} although {other}"])


def majority(draw, positive):
    odd = draw.pick([None, 0, 1, 2])
    nouns = draw.shuffled(NOUNS)[:3]
    return " and ".join(any_clause(draw, noun, positive != (place == odd)) for place, noun in enumerate(nouns))


def denied(draw, positive):
    said = any_clause(draw, draw.pick(NOUNS), not positive) if draw.chance(0.5) else contrast(draw, not positive)
    return f"{draw.pick(['nobody says', 'it is not true'])} that {said}"


def trusted(draw, positive):
    nouns, names = draw.shuffled(NOUNS)[:2], draw.shuffled(NAMES)[:2]
    right, asked = draw.chance(0.5), int(draw.chance(0.5))
    meant = [draw.chance(0.5), draw.chance(0.5)]
    meant[asked] = positive == right
    says = [f"{name} says {clause(draw, noun, one, draw.chance(0.2))}" for name, noun, one in zip(names, nouns, meant)]
    return f"{says[0]} and {says[1]} and {names[asked]} is {'right' if right else 'wrong'}"


RULES = {
    "plain": plain,
    "negated": negated,
    "contrast": contrast,
    "majority": majority,
    "denied": denied,
    "trusted": trusted,
}


def make_splits():
    """Rows (text, label, kind) of every split."""
    draw = corpus.Draw(SEED)
    splits = {"train": [], "dev": [], "test": []}
    seen = set()
    for kind, size in SIZES.items():
        for positive in (True, False):
            rows = []
            while len(rows) < (size + 2 * (size // 10)) // 2:
                text = RULES[kind](draw, positive)
                if text not in seen:
                    seen.add(text)
                    rows.append((text, LABELS[positive], kind))
            tenth = size // 20
            splits["dev"] += rows[:tenth]
            splits["test"] += rows[tenth : 2 * tenth]
            splits["train"] += rows[2 * tenth :]
    return {name: draw.shuffled(rows) for name, rows in splits.items()}


def make_files():
    """Contents by path below the folder."""
    splits = make_splits()
    files = {}
    for name, rows in splits.items():
        lines = ["text\tlabel\tkind"] + ["\t".join(row) for row in rows]
        files[f"{name}.tsv"] = "\n".join(lines) + "\n"
    words = {word for text, _, _ in splits["train"] for word in text.split()}
    files["tokenizer/vocab.txt"] = "\n".join(SPECIAL + sorted(words)) + "\n"
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32}
    files["tokenizer/tokenizer_config.json"] = json.dumps(settings, indent=2) + "\n"
    return files


def baseline():
    """A bag of words, with and without pairs of words, under a logistic regression."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    splits = make_splits()

    def texts(rows):
        return [text for text, _, _ in rows]

    for reach, name in ((1, "words"), (2, "words and neighbouring words")):
        model = make_pipeline(CountVectorizer(ngram_range=(1, reach)), LogisticRegression(max_iter=2000))
        model.fit(texts(splits["train"]), [label for _, label, _ in splits["train"]])
        found = model.predict(texts(splits["dev"]))
        right = [row[1] == label for row, label in zip(splits["dev"], found)]
        corpus.print_shares(name, "dev", right, [kind for _, _, kind in splits["dev"]], SIZES)


if __name__ == "__main__":
    sys.exit(corpus.main("reviews", __doc__, make_files, baseline))
