#!/usr/bin/env python3
"""Kill traces and comparisons with SIGKILL at every moment, run them again, compare what they end with.

    cargo build --release -p ee-train -p ee-eval
    python scripts/kill_traces.py [--kills 100] [--seed 0] [--only labels|texts|compare-labels|compare-texts]

Trains two small models on the corpora that ship with the project (a few steps each) and makes, undisturbed, a
trace of labels, a trace of generated text and a comparison of each kind. Then each of them is run again and
again into fresh places, killed after a random part of its time; every second kill falls into the last moments,
from the first sign of the finished trace on, where batches are taken away. After one to three kills the command
is left alone. What it ends with must be what the undisturbed one wrote: every column of every trace and every
byte of its texts, and of a comparison every file and every number but times; no part and no unfinished file may
stay. Needs pyarrow. Prints a line per kind and exits with 1 where anything differs.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "target/release"
# What depends on the clock, and what follows from it.
TIMED = re.compile(r"second|speed|time|share|ratio|bound|rest|finding|plan|tally|page|pace|interval_of|load|log_error|drafted")
# A notice on the machine, not on the texts.
BUSY = "the machine was busy while"


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--only", action="append", help="one kind; repeatable")
    return parser.parse_args()


def train(name, folder):
    words = ["--config", ROOT / f"configs/train/{name}.toml", "--output", folder, "--joint"]
    words += ["--set", "training.max_steps=20"]
    subprocess.run([BIN / "ee-train", *words], check=True, cwd=ROOT, capture_output=True)
    return folder / "best"


def kinds(encoder, decoder):
    """By kind: the command without its output, and whether the output is a folder."""
    labels = ["--task", ROOT / "configs/tasks/reviews.toml", "--limit", 48, "--max-length", 32]
    texts = ["--task", ROOT / "configs/tasks/numbers.toml", "--limit", 48, "--max-new-tokens", 8]
    few = [*texts[:2], "--limit", 12, "--max-new-tokens", 6, "--speed-rows", 4]
    return {
        "labels": (["trace", "--model", encoder, *labels], False),
        "texts": (["trace", "--model", decoder, *texts, "--batch", 1], False),
        "compare-labels": (["compare", "--model", f"a={encoder}", *labels, "--rounds", 1, "--speed-rows", 8], True),
        "compare-texts": (["compare", "--model", f"a={decoder}", *few, "--batch", 1], True),
    }


def start(words, output):
    command = [BIN / "ee-eval", *map(str, words), "--output", output]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trace(path):
    table = pyarrow.parquet.read_table(path)
    facts = json.loads(table.schema.metadata[b"ee.trace"])
    return {key: value for key, value in facts.items() if key != "seconds"}, table.to_pydict()


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if not TIMED.search(key)}
    if isinstance(value, list):
        return [timeless(inner) for inner in value if not str(inner).startswith(BUSY)]
    return value


def content(place):
    """What lies in a folder, as far as it does not depend on the clock, by name."""
    found = {}
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        name = str(path.relative_to(place))
        if path.suffix == ".parquet":
            found[name] = trace(path)
        elif path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_text()))
        else:
            found[name] = path.read_bytes() if path.suffix == ".jsonl" else None
    return found


def signs(place, is_folder):
    """Whether the last work is about to begin: the trace is there, or the results of a comparison's trace."""
    return any(place.rglob("*.texts.jsonl" if not is_folder else "report.md")) or any(place.glob("*.parquet"))


def kill(words, output, place, is_folder, moments, duration, late):
    process = start(words, output)
    if late:
        # Not a batch's texts in the folder of parts: those of the whole.
        done = lambda: any(path.parent.suffix != ".parts" for path in place.rglob("*.texts.jsonl")) or signs(place, is_folder)
        while process.poll() is None and not done():
            time.sleep(0.0005)
        time.sleep(moments.uniform(0, 0.02))
    else:
        time.sleep(moments.uniform(0, 1.05) * duration)
    was_running = process.poll() is None
    process.kill()
    process.wait()
    return was_running


def disturb(kind, words, is_folder, flags, folder):
    place = folder / "undisturbed"
    place.mkdir(parents=True)
    output = lambda place: place / ("report" if is_folder else "t.parquet")
    started = time.monotonic()
    if start(words, output(place)).wait() != 0:
        sys.exit(f"{kind}: the undisturbed run failed")
    duration = time.monotonic() - started
    expected = content(place)
    moments = random.Random(f"{flags.seed} {kind}")
    kills = late_kills = runs = failed = different = left = 0
    while kills < flags.kills:
        place = folder / f"killed-{runs}"
        place.mkdir()
        runs += 1
        for _ in range(moments.randint(1, 3)):
            late = moments.random() < 0.5
            if kill(words, output(place), place, is_folder, moments, duration, late):
                kills += 1
                late_kills += late
        if start(words, output(place)).wait() != 0:
            failed += 1
            continue
        found = content(place)
        different += found != expected
        left += any(path.suffix in (".parts", ".partial") for path in place.rglob("*"))
        shutil.rmtree(place)
    print(
        f"{kind}: undisturbed {duration:.2f} s; {kills} kills ({late_kills} at the end) in {runs} runs: "
        f"{failed} could not go on, {different} ended otherwise, {left} left something behind",
        flush=True,
    )
    return failed + different + left


def main():
    flags = parse_flags()
    folder = Path(tempfile.mkdtemp(prefix="kill-traces-"))
    try:
        models = train("reviews", folder / "encoder"), train("numbers", folder / "decoder")
        wrong = 0
        for kind, (words, is_folder) in kinds(*models).items():
            if not flags.only or kind in flags.only:
                wrong += disturb(kind, words, is_folder, flags, folder / kind)
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
