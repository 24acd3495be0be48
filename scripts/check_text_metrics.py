#!/usr/bin/env python3
"""What sacrebleu and rouge-score say about generated texts, to compare our metrics with.

    python scripts/check_text_metrics.py --outputs FILE.jsonl --task translation [--tokenize zh]
    python scripts/check_text_metrics.py --outputs FILE.parquet --task summarization

A row has `prediction` and `references` (a list, or one text). translation: BLEU, chrF and chrF++ of
the corpus, 0 to 100, with sacrebleu's signatures. summarization: ROUGE-1, 2, L and Lsum with and
without stemming, the mean over the rows of the best reference's F-measure, 0 to 1.
"""

import argparse
import json
import sys
from pathlib import Path

import pyarrow.parquet
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

ROUGE = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def read_rows(path):
    """[(prediction, references)], checked."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path, columns=["prediction", "references"]).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    pairs = []
    for number, row in enumerate(rows, start=1):
        prediction, references = row.get("prediction"), row.get("references")
        references = [references] if isinstance(references, str) else references
        if not isinstance(prediction, str) or not references:
            sys.exit(f"{path}, row {number}: expected `prediction`, a text, and `references`, one or more texts")
        pairs.append((prediction, references))
    if not pairs:
        sys.exit(f"{path}: no rows")
    return pairs


def translation(pairs, tokenize):
    """{metric with signature: score} of the corpus."""
    predictions = [prediction for prediction, _ in pairs]
    # sacrebleu takes one stream a reference, with None where a row has fewer.
    n_streams = max(len(references) for _, references in pairs)
    streams = [[each[at] if at < len(each) else None for _, each in pairs] for at in range(n_streams)]
    scores = {}
    for metric in (BLEU(tokenize=tokenize), CHRF(), CHRF(word_order=2)):
        score = metric.corpus_score(predictions, streams)
        scores[f"{score.name}|{metric.get_signature()}"] = score.score
    return scores


def summarization(pairs):
    """{metric: mean over the rows}"""
    scores = {}
    for stem in (False, True):
        scorer = RougeScorer(ROUGE, use_stemmer=stem)
        rows = [scorer.score_multi(references, prediction) for prediction, references in pairs]
        for name in ROUGE:
            mean = sum(row[name].fmeasure for row in rows) / len(rows)
            scores[f"{name}:stem" if stem else name] = mean
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, required=True, help="JSONL or Parquet")
    parser.add_argument("--task", choices=["translation", "summarization"], required=True)
    parser.add_argument("--tokenize", default="13a", help="sacrebleu's tokenizer, e.g. zh, intl or none")
    flags = parser.parse_args()
    pairs = read_rows(flags.outputs)
    print(f"{len(pairs)} rows")
    scores = translation(pairs, flags.tokenize) if flags.task == "translation" else summarization(pairs)
    for name, score in scores.items():
        print(f"{name}\t{score:.6f}")


if __name__ == "__main__":
    main()
