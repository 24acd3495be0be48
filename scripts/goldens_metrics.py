#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: scikit-learn's scores of random and of degenerate predictions.

Needs scikit-learn (made with 1.9.1). Run from anywhere; the output depends on the seed alone.
"""

import json
import random
import warnings
from pathlib import Path

from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

OUTPUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "metrics.json"


def scores(prediction, gold, n_labels):
    """Every metric that is defined for this number of labels."""
    found = {
        "accuracy": accuracy_score(gold, prediction),
        "f1_macro": f1_score(gold, prediction, average="macro"),
        "matthews": matthews_corrcoef(gold, prediction),
    }
    if n_labels == 2:
        found["f1"] = f1_score(gold, prediction, pos_label=1)
    return {name: float(score) for name, score in found.items()}


def cases(generator):
    """Name, number of labels, predictions and gold labels."""
    for n_labels in (2, 3, 4, 7):
        labels = range(n_labels)
        for n in (1, 2, 5, 40, 200):
            gold = [generator.choice(labels) for _ in range(n)]
            noise = [generator.choice(labels) for _ in range(n)]
            mixed = [g if generator.random() < 0.6 else p for g, p in zip(gold, noise)]
            yield f"random, {n_labels} labels, {n} rows", n_labels, noise, gold
            yield f"better than chance, {n_labels} labels, {n} rows", n_labels, mixed, gold
        gold = [index % n_labels for index in range(12)]
        yield f"one label predicted, {n_labels} labels", n_labels, [1] * 12, gold
        yield f"one label in gold, {n_labels} labels", n_labels, gold, [0] * 12
        yield f"label 0 alone in both, {n_labels} labels", n_labels, [0] * 12, [0] * 12
        yield f"label 1 alone in both, {n_labels} labels", n_labels, [1] * 12, [1] * 12
        yield f"nothing right, {n_labels} labels", n_labels, [(g + 1) % n_labels for g in gold], gold
        skewed = [0 if generator.random() < 0.95 else generator.choice(labels) for _ in range(100)]
        yield f"skewed, {n_labels} labels", n_labels, skewed, [generator.choice(skewed) for _ in skewed]


def main():
    warnings.simplefilter("ignore")
    rows = [
        {"name": name, "n_labels": n_labels, "prediction": prediction, "gold": gold, "scores": scores(prediction, gold, n_labels)}
        for name, n_labels, prediction, gold in cases(random.Random(20))
    ]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} cases -> {OUTPUT}")


if __name__ == "__main__":
    main()
