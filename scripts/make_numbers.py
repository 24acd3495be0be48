#!/usr/bin/env python3
"""Makes data/numbers: questions about numbers in words, English and German, for a small decoder.

What it is for: a Llama of six layers trained from scratch on two cores learns most of it in a minute or
two, and some answers, and some tokens of an answer, need more layers than others. The kinds:

  german   "in German: four thousand two hundred and seven"     "viertausendzweihundertsieben"
  english  "in English: viertausendzweihundertsieben"           "four thousand two hundred and seven"
  sum      "in English: seven plus thirty-five"                 "forty-two"
  summe    "in German: seven plus thirty-five"                  "zweiundvierzig"
  choice   "in German: the second of three hundred or           "neunhundertelf"
           nine hundred and eleven"
  three    "in German: the third of three hundred or nine       "zweihundertfünf"
           hundred and eleven or two hundred and five"

Within an answer some tokens follow from the one before, some are looked up, some change places (German
says units before tens) and some are computed. In a choice a word must learn on which side of "or" it
stands before an answer can look for those that are meant, which is hard for a single layer.

English is British: "and" before the last two digits, a hyphen between tens and units. German is one word,
with "ein" before "hundert", "tausend" and "und" and "eins" at the end. Numbers go to 99,999, in choices to
999, in sums to 99, where one addend is below ten.

Numbers below a hundred are translated in train alone, so that their words are known. Every larger number
is in one split, whatever is asked of it; so is every pair of addends, in either order and language. All is
drawn from one seed with Python's `random.random` alone, whose sequence is the same in every version. The
tokenizer is byte-pair encoding trained on train: English number words mostly are one token, German numbers
several.

usage: make_numbers.py             writes data/numbers (needs tokenizers)
       make_numbers.py --check     compares the files there with what would be written
       make_numbers.py --baseline  what the answer to the most similar question of train reaches (needs
                                   scikit-learn)
"""

import json
import sys

import corpus

SEED = 7
# How many numbers of 3, 4 and 5 digits there are.
NUMBERS = {3: 600, 4: 400, 5: 400}
# Questions of each kind in dev, and in test.
HELD_OUT = {"german": 100, "english": 100, "sum": 100, "summe": 100, "choice": 100, "three": 100}
# Questions of each kind in train that are drawn; of the others there are as many as there are numbers.
DRAWN = {"choice": 1200, "three": 1000}
LARGEST_ADDEND = 99
LARGEST_CHOICE = 999
PLACES = ["first", "second", "third"]
VOCABULARY = 184
SPECIAL = ["<unk>", "<s>", "</s>"]
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
EINER = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
).split()
ZEHNER = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def english(number):
    if number < 20:
        return UNITS[number]
    if number < 100:
        units = f"-{UNITS[number % 10]}" if number % 10 else ""
        return TENS[number // 10 - 2] + units
    if number < 1000:
        rest = f" and {english(number % 100)}" if number % 100 else ""
        return f"{UNITS[number // 100]} hundred{rest}"
    rest = number % 1000
    link = " and " if rest < 100 else " "
    return f"{english(number // 1000)} thousand" + (link + english(rest) if rest else "")


def german(number, is_last=True):
    """A number in German; one that is not the last part of a word says "ein", not "eins"."""
    if number < 20:
        return EINER[number] if is_last or number != 1 else "ein"
    if number < 100:
        units = f"{german(number % 10, False)}und" if number % 10 else ""
        return units + ZEHNER[number // 10 - 2]
    size, word = (1000, "tausend") if number >= 1000 else (100, "hundert")
    rest = german(number % size, is_last) if number % size else ""
    return f"{german(number // size, False)}{word}{rest}"


def translations(number):
    """Both directions, as (kind, question, answer)."""
    yield "german", f"in German: {english(number)}", german(number)
    yield "english", f"in English: {german(number)}", english(number)


def sums(first, second):
    """A sum in both languages."""
    asked, total = f"{english(first)} plus {english(second)}", first + second
    yield "sum", f"in English: {asked}", english(total)
    yield "summe", f"in German: {asked}", german(total)


def choice(draw, numbers, kind, count):
    """One of some numbers, named by its place."""
    some, place = draw.some(numbers, count), draw.some(range(count), 1)[0]
    asked = " or ".join(english(number) for number in some)
    return kind, f"in German: the {PLACES[place]} of {asked}", german(some[place])


def parts(items, held_out):
    """Items by split; dev and test have `held_out` each."""
    return {"dev": items[:held_out], "test": items[held_out : 2 * held_out], "train": items[2 * held_out :]}


def drawn(draw, split, numbers):
    """The rows of a split that are drawn, no question twice."""
    small = [number for number in numbers if number <= LARGEST_CHOICE]
    for kind, count in (("choice", 2), ("three", 3)):
        rows = {}
        while len(rows) < (DRAWN if split == "train" else HELD_OUT)[kind]:
            row = choice(draw, small, kind, count)
            rows[row[1]] = row
        yield from rows.values()


def make_splits():
    """Rows (kind, question, answer) of every split."""
    draw = corpus.Draw(SEED)
    splits = {"train": [], "dev": [], "test": []}
    ranges = {digits: range(10 ** (digits - 1), 10**digits) for digits in NUMBERS}
    numbers = [number for digits, count in NUMBERS.items() for number in draw.some(ranges[digits], count)]
    for name, some in parts(draw.shuffled(numbers), HELD_OUT["german"]).items():
        known = list(range(100)) if name == "train" else []
        splits[name] += [row for number in known + some for row in translations(number)]
        splits[name] += drawn(draw, name, some)
    addends = [(large, small) for large in range(LARGEST_ADDEND + 1) for small in range(min(large + 1, 10))]
    for name, some in parts(draw.shuffled(addends), HELD_OUT["sum"]).items():
        for pair in some:
            order = draw.shuffled(pair)
            both = {tuple(order), tuple(reversed(order))} if name == "train" else {tuple(order)}
            splits[name] += [row for each in sorted(both) for row in sums(*each)]
    return {name: draw.shuffled(rows) for name, rows in splits.items()}


def make_tokenizer(texts):
    """The JSON of a byte-pair encoding without bytes: every character of the corpus is known."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    # A word with the space before it; whatever else is a piece of its own.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\p{L}+|[^\p{L}]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    beginning = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=beginning
    )
    return tokenizer.to_str(pretty=True)


def make_files():
    """Contents by path below the folder."""
    splits = make_splits()
    files = {}
    for name, rows in splits.items():
        lines = [
            json.dumps({"kind": kind, "question": question, "answer": answer}, ensure_ascii=False)
            for kind, question, answer in rows
        ]
        files[f"{name}.jsonl"] = "\n".join(lines) + "\n"
    texts = [f"{question}\n{answer}" for _, question, answer in splits["train"]]
    files["tokenizer/tokenizer.json"] = make_tokenizer(texts) + "\n"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 64,
    }
    files["tokenizer/tokenizer_config.json"] = json.dumps(settings, indent=2) + "\n"
    return files


def baseline():
    """The answer to the question of train with the most similar pieces of one to five letters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    splits = make_splits()
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5))
    train = vectorizer.fit_transform([question for _, question, _ in splits["train"]])
    asked = vectorizer.transform([question for _, question, _ in splits["test"]])
    nearest = (asked @ train.T).toarray().argmax(axis=1)
    right = [splits["train"][near][2] == row[2] for near, row in zip(nearest, splits["test"])]
    corpus.print_shares("nearest question of train", "test", right, [row[0] for row in splits["test"]], HELD_OUT)


if __name__ == "__main__":
    sys.exit(corpus.main("numbers", __doc__, make_files, baseline))
