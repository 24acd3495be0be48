#!/usr/bin/env python3
"""Write tests/golden/paired.json: two models on the same examples, by statsmodels and SciPy.

    python scripts/goldens_paired.py            # write tests/golden
    python scripts/goldens_paired.py --check    # recompute and compare, write nothing

    mcnemar       [b, c, p]: statsmodels' exact test of b and c discordant pairs
    comparisons   gold, first, other: labels of the same examples; difference of the metric (other less first)
                  by scikit-learn; interval: scipy.stats.bootstrap, paired, 20,000 resamples, percentiles;
                  p_value: statsmodels' exact test of right and wrong
"""

import json
import sys
from pathlib import Path

import numpy as np
from goldens_check import run
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from statsmodels.stats.contingency_tables import mcnemar

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
METRICS = {"accuracy": accuracy_score, "f1": f1_score, "matthews": matthews_corrcoef}
# Examples, how often the two models are right, and how often the other repeats the first.
CASES = [
    ("accuracy", 300, 0.80, 0.86, 0.7),
    ("accuracy", 300, 0.80, 0.80, 0.0),
    ("f1", 250, 0.75, 0.70, 0.8),
    ("matthews", 400, 0.70, 0.85, 0.5),
]
PAIRS = [(0, 0), (0, 1), (0, 5), (3, 3), (5, 9), (12, 40), (200, 260), (2000, 2100)]


def exact(only_first, only_other):
    return float(mcnemar([[0, only_first], [only_other, 0]], exact=True).pvalue)


def comparison(seed, metric, n, first_right, other_right, repeats):
    random = np.random.default_rng(seed)
    gold = (random.random(n) < 0.6).astype(int)
    first = np.where(random.random(n) < first_right, gold, 1 - gold)
    own = np.where(random.random(n) < other_right, gold, 1 - gold)
    other = np.where(random.random(n) < repeats, first, own)
    score = METRICS[metric]

    def difference(rows):
        return score(gold[rows], other[rows]) - score(gold[rows], first[rows])

    rows = np.arange(n)
    found = bootstrap(
        (rows,), difference, n_resamples=20_000, method="percentile", vectorized=False, random_state=seed
    )
    interval = found.confidence_interval
    return {
        "metric": metric,
        "gold": gold.tolist(),
        "first": first.tolist(),
        "other": other.tolist(),
        "difference": float(difference(rows)),
        "interval": [float(interval.low), float(interval.high)],
        "p_value": exact(
            int(np.sum((first == gold) & (other != gold))), int(np.sum((first != gold) & (other == gold)))
        ),
    }


def write_all(root):
    pairs = [[b, c, exact(b, c)] for b, c in PAIRS]
    comparisons = [comparison(seed, *case) for seed, case in enumerate(CASES)]
    text = (
        '{"mcnemar": [\n'
        + ",\n".join(map(json.dumps, pairs))
        + '\n], "comparisons": [\n'
        + ",\n".join(map(json.dumps, comparisons))
        + "\n]}\n"
    )
    (root / "paired.json").write_text(text)


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
