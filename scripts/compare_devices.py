#!/usr/bin/env python3
"""Compares what the same work gave on two devices.

    python scripts/compare_devices.py losses A/log.jsonl B/log.jsonl
    python scripts/compare_devices.py signals A.parquet B.parquet

`losses`: the losses of every step and exit. `signals`: predictions, confidence and entropy of every exit; a
decoder's rows are compared up to where the texts part. Prints one line; ends with 1 where the difference is more
than arithmetic in another order explains (`--tolerance`, relative for losses).
"""

import argparse
import json
import sys


def losses(first, second, tolerance):
    """The largest relative difference of the losses, and whether it is within the tolerance."""

    def steps(path):
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return [line for line in lines if line["kind"] == "step"]

    a, b = steps(first), steps(second)
    if len(a) != len(b) or not a:
        sys.exit(f"{first} has {len(a)} steps, {second} {len(b)}")
    pairs = []
    for x, y in zip(a, b):
        pairs.append((x["loss"], y["loss"]))
        pairs += [(p, q) for p, q in zip(x["exit_losses"], y["exit_losses"]) if p is not None and q is not None]
    worst = max(abs(p - q) / max(abs(p), 1e-9) for p, q in pairs)
    print(f"{len(a)} steps, {len(pairs)} losses: largest relative difference {worst:.2e}")
    return worst <= tolerance


def signals(first, second, tolerance):
    """Compares the rows of two traces, and whether all that lie before a text parts agree."""
    import pyarrow.parquet

    a, b = (pyarrow.parquet.read_table(path).to_pydict() for path in (first, second))
    rows = {}
    for side, table in enumerate((a, b)):
        for row, key in enumerate(zip(table["example"], table["position"])):
            rows.setdefault(key, [None, None])[side] = row
    parted, compared, predictions, worst = set(), 0, 0, 0.0
    for (example, _), (x, y) in sorted(rows.items()):
        if example in parted:
            continue
        if x is None or y is None:
            parted.add(example)
            continue
        compared += 1
        predictions += sum(p != q for p, q in zip(a["prediction"][x], b["prediction"][y]))
        for column in ("confidence", "entropy"):
            worst = max(worst, *(abs(p - q) for p, q in zip(a[column][x], b[column][y])))
        # The rows after another token have another context.
        if a["prediction"][x][-1] != b["prediction"][y][-1]:
            parted.add(example)
    print(
        f"{compared} rows: {predictions} predictions differ, largest difference of a signal {worst:.2e}, "
        f"{len(parted)} texts part"
    )
    return worst <= tolerance


def main():
    """Parses and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["losses", "signals"])
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("--tolerance", type=float, default=2e-3)
    arguments = parser.parse_args()
    compare = {"losses": losses, "signals": signals}[arguments.what]
    return 0 if compare(arguments.first, arguments.second, arguments.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
