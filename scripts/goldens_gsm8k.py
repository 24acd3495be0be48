#!/usr/bin/env python3
"""Writes tests/golden/gsm8k.json: the published rules applied to answers to GSM8K's questions.

The rules are openai/grade-school-math's `dataset.py` and the two filters of lm-evaluation-harness's
`gsm8k.yaml` with its exact match, each in a few lines of Python. `--check` recomputes and compares.
"""

import json
import re
import sys
from pathlib import Path

from goldens_check import run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"

INVALID = "[invalid]"

REFERENCES = ["5 + 6 = <<5+6=11>>11\n#### 11", "All of it.\n#### 1,080", "It falls.\n#### -5", "#### 18.5"]

HYPOTHESES = [
    "5 + 6 = 11\n#### 11", "#### 11.", "#### 11.0", "####11", "####  11", "#### $11", "#### 11 apples of 30",
    "#### 1080", "#### 1,080", "#### 1,080.00", "#### 10,80", "#### $1,080", "#### 1080.\n", "It is 1080", "It is 1,080.",
    "#### -5", "#### - 5", "#### −5", "#### -5.", "The result is -5", "10-5", "#### 18.5", "#### 18.50", "18.5", "18.5%",
    "#### 11\n\nQuestion: 7?\n#### 12", "#### 12\n#### 11", "#### eleven\n#### 11", "#### eleven of 11", "11...", "11 ...",
    "### 11", "#### 11,", "#### ,11", "#### ...", "...", "$", "", "#### ", "11\n", "#### 11\n30", "#### ١١", "11 12", "(11)",
    "#### 011", "#### +11", "1 1", "#### 11$", "#### \t11", "The answer is: 11.",
]


def published(hypothesis, reference):
    """`is_correct` of openai/grade-school-math."""
    def extract(text):
        match = re.compile(r"#### (\-?[0-9\.\,]+)").search(text)
        return match.group(1).strip().replace(",", "") if match else INVALID
    assert extract(reference) != INVALID
    return extract(hypothesis) == extract(reference)


def filtered(text, expression, group_select):
    """`RegexFilter` of lm-evaluation-harness."""
    match = re.compile(expression).findall(text)
    if not match:
        return INVALID
    match = match[group_select]
    if isinstance(match, tuple):
        match = [one for one in match if one]
        match = match[0] if match else INVALID
    return match.strip()


def exact(found, reference):
    """`exact_match` of lm-evaluation-harness with the settings of `gsm8k.yaml`."""
    for expression in [",", "\\$", "(?s).*#### ", "\\.$"]:
        found, reference = re.sub(expression, "", found), re.sub(expression, "", reference)
    return found.lower() == reference.lower()


def write_all(root):
    rows = [
        {
            "hypothesis": hypothesis, "reference": reference,
            "published": published(hypothesis, reference),
            "strict": exact(filtered(hypothesis, "#### (\\-?[0-9\\.\\,]+)", 0), reference),
            "flexible": exact(filtered(hypothesis, "(-?[$0-9.,]{2,})|(-?[0-9]+)", -1), reference),
        }
        for hypothesis in HYPOTHESES for reference in REFERENCES
    ]
    lines = ",\n".join(" " + json.dumps(row, ensure_ascii=False) for row in rows)
    (root / "gsm8k.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
