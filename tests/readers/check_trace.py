#!/usr/bin/env python3
"""Read a trace with pyarrow, pandas and DuckDB and check that it says what it should.

    python tests/readers/check_trace.py trace.parquet [more.parquet …]

The three readers must give the same rows; columns, lengths, ranges and the relations between signals
are checked; the ideal exits are recomputed from the file. Ends with 1 and every complaint when a
check fails.
"""

import argparse
import json
import math
import sys

import duckdb
import numpy
import pandas
import pyarrow.parquet

PLAIN = ["example", "position", "gold"]
LISTS = ["prediction", "confidence", "margin", "entropy", "final_rank", "final_probability"]
# Signals are f32: a probability may pass 1, and an entropy its maximum, by rounding alone.
TOLERANCE = 1e-6


def read_pyarrow(path):
    table = pyarrow.parquet.read_table(path)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def read_pandas(path):
    frame = pandas.read_parquet(path)
    return {name: [as_python(value) for value in frame[name]] for name in frame.columns}


def read_duckdb(path):
    result = duckdb.execute("select * from read_parquet(?)", [str(path)])
    names = [column[0] for column in result.description]
    rows = result.fetchall()
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def as_python(value):
    return value.tolist() if isinstance(value, (numpy.ndarray, numpy.generic)) else value


def facts_of(path):
    """The run's facts: JSON under the key `ee.trace`."""
    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    return json.loads(metadata.get(b"ee.trace", b"{}"))


def check_readers(path):
    """The rows as pyarrow reads them, and what the other readers see differently."""
    expected = read_pyarrow(path)
    complaints = []
    for reader in (read_pandas, read_duckdb):
        found = reader(path)
        if list(found) != list(expected):
            complaints.append(f"{reader.__name__}: columns {list(found)}, pyarrow {list(expected)}")
            continue
        for name in expected:
            if found[name] != expected[name]:
                complaints.append(f"{reader.__name__}: column {name} differs from pyarrow's")
    return expected, complaints


def check_shape(columns, facts):
    """Columns, row counts and one value per exit."""
    missing = [name for name in PLAIN + LISTS if name not in columns]
    if missing:
        return [f"missing columns {missing}"]
    rows = len(columns["example"])
    if rows == 0:
        return ["no rows"]
    layers = len(columns["prediction"][0])
    complaints = []
    for name in LISTS:
        lengths = {len(values) for values in columns[name]}
        if lengths != {layers}:
            complaints.append(f"{name}: lists of {sorted(lengths)} values, expected {layers}")
    for key, found in (("layers", layers), ("rows", rows)):
        if facts.get(key) != found:
            complaints.append(f"metadata: {key} is {facts.get(key)}, the file has {found}")
    return complaints


def check_ranges(arrays, labels):
    """Every value within what it can be, given the number of labels."""
    limits = {
        "gold": (0, labels - 1),
        "prediction": (0, labels - 1),
        "confidence": (1 / labels - TOLERANCE, 1 + TOLERANCE),
        "margin": (-TOLERANCE, 1 + TOLERANCE),
        "entropy": (-TOLERANCE, math.log(labels) + TOLERANCE),
        "final_rank": (1, labels),
        "final_probability": (-TOLERANCE, 1 + TOLERANCE),
    }
    for name, (low, high) in limits.items():
        values = arrays[name]
        if not numpy.isfinite(values).all():
            yield f"{name}: not finite in {(~numpy.isfinite(values)).sum()} places"
        elif values.min() < low or values.max() > high:
            yield f"{name}: {values.min()} to {values.max()}, expected {low} to {high}"


def check_relations(arrays, labels):
    """What one signal says about another; exits are the second axis."""
    prediction, confidence = arrays["prediction"], arrays["confidence"]
    final_rank, final_probability = arrays["final_rank"], arrays["final_probability"]
    agrees = prediction == prediction[:, -1:]

    def holds(condition, what):
        if not condition.all():
            yield f"{what}: broken {(~condition).sum()} times, first at row {numpy.argwhere(~condition)[0][0]}"

    yield from holds(final_rank[:, -1] == 1, "final_rank of the last exit is 1")
    yield from holds(
        final_probability[:, -1] == confidence[:, -1],
        "final_probability of the last exit is its confidence",
    )
    yield from holds((final_rank == 1) == agrees, "final_rank is 1 exactly where the exits agree")
    close = numpy.abs(final_probability - confidence) <= TOLERANCE
    yield from holds(close | ~agrees, "final_probability is the confidence where the exits agree")
    yield from holds(
        final_probability <= confidence + TOLERANCE, "final_probability is at most the confidence"
    )
    if labels == 2:
        two_way = numpy.abs(arrays["margin"] - (2 * confidence - 1)) <= 2 * TOLERANCE
        yield from holds(two_way, "margin of two labels is 2·confidence − 1")


def check_rows(arrays):
    pairs = list(zip(arrays["example"].tolist(), arrays["position"].tolist()))
    if len(set(pairs)) != len(pairs):
        yield "an example and position occur twice"


def ideal_exits(prediction):
    """The shallowest exit whose prediction equals the last one's, per row, from 1."""
    return (prediction == prediction[:, -1:]).argmax(axis=1) + 1


def check(path):
    """Complaints about one file; prints what was found."""
    facts = facts_of(path)
    columns, complaints = check_readers(path)
    complaints += check_shape(columns, facts)
    if complaints:
        return complaints
    # The readers give float64 of what was stored as f32, so the values compare exactly.
    arrays = {name: numpy.asarray(columns[name]) for name in PLAIN + LISTS}
    labels = len(facts.get("labels", []))
    if labels < 2:
        return [f"metadata: labels is {facts.get('labels')}, expected two names or more"]
    complaints += check_ranges(arrays, labels)
    complaints += check_relations(arrays, labels)
    complaints += check_rows(arrays)
    ideal = ideal_exits(arrays["prediction"])
    rows, layers = arrays["prediction"].shape
    accuracy = (arrays["prediction"][:, -1] == arrays["gold"]).mean()
    print(
        f"{path}: {rows} rows, {layers} exits, {labels} labels; "
        f"ideal exit average {ideal.mean():.6f}, max {ideal.max()}, "
        f"{(ideal < layers).mean():.6f} before the last; accuracy of the last exit {accuracy:.6f}"
    )
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+", help="Parquet files of ee-eval trace")
    failed = False
    for path in parser.parse_args().traces:
        for complaint in check(path):
            failed = True
            print(f"{path}: {complaint}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
