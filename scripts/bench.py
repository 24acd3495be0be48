#!/usr/bin/env python3
"""Our benchmarks and PyTorch's in turn, and the ratios between them.

    cargo build --release
    python scripts/bench.py [--rounds 3] [--only encoder-trace] [--layers 12 --dim 768 …]

The sizes are those of the encoders; decoders and translation have their own defaults on both sides.

Each round runs ours, then PyTorch's or, of translating, CTranslate2's (then ONNX Runtime's plain
forward, for the trace), so that a machine that slows down slows all of them; a ratio is the median
of the rounds' ratios. Builds nothing: the binaries are those of CARGO_TARGET_DIR, or of target/.
Prints a Markdown table; `--output FILE` also writes every run's JSON line.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What is learned by a step, the same on both sides: 64 pairs of 32 tokens.
PAIRS = ["--layers", "6", "--dim", "512", "--seq", "32", "--batch", "64", "--dropout", "0.1"]
WORKS = {
    "encoder-trace": ("ee-eval", ["encoder-trace"]),
    "encoder-train": ("ee-train", ["encoder-train"]),
    "encoder-train --joint": ("ee-train", ["encoder-train", "--joint"]),
    "decoder-train": ("ee-train", ["decoder-train"]),
    "decoder-train --joint": ("ee-train", ["decoder-train", "--joint"]),
    "decoder-trace": ("ee-eval", ["decoder-trace"]),
    "decode": ("ee-eval", ["decode"]),
    "decode, F16 weights": ("ee-eval", ["decode", "--weights", "f16"]),
    "translate": ("ee-eval", ["translate"]),
    "translate, 16 texts": ("ee-eval", ["translate", "--batch", "16"]),
    "translate, beam of 5": ("ee-eval", ["translate", "--beam", "5"]),
    "translation-train": ("ee-train", ["translation-train", *PAIRS]),
    "translation-train --joint": ("ee-train", ["translation-train", "--joint", *PAIRS]),
}
# Scripts that do one verb's work alone, and whose engine it is.
SCRIPTS = {
    "translate": ("CTranslate2", "bench_ctranslate2.py"),
    "translation-train": ("PyTorch", "bench_torch_translation.py"),
}
# PyTorch's fastest format on a CPU is F32: what F16 weights are compared with, too.
THEIRS = {"decode, F16 weights": ["decode"]}
SHAPE = {
    "layers": 12,
    "dim": 768,
    "seq": 128,
    "batch": 8,
    "vocab": 30522,
    "steps": 5,
}


def binary(name):
    """Path of a release binary, or an exit that says what to build."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    path = (ROOT / target) / "release" / name
    if not path.exists():
        sys.exit(f"{path} is not there; build it first: cargo build --release -p {name}")
    return str(path)


def run(command, threads):
    """The JSON line that a benchmark prints last."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def contenders(work, flags):
    """Who does this work, as {name: command}; ours first."""
    name, verb = WORKS[work]
    sizes = []
    if work.startswith("encoder"):
        sizes = [text for key in SHAPE for text in (f"--{key}", str(getattr(flags, key)))]
    threads = ["--threads", str(flags.threads)]
    theirs = THEIRS.get(work, verb)
    engine, script = SCRIPTS.get(verb[0], ("PyTorch", "bench_torch.py"))
    if verb[0] in SCRIPTS:
        theirs = theirs[1:]
    commands = {
        # Ours takes its threads from the environment, see `run`.
        "ours": [binary(name), "bench", *verb, *sizes],
        engine: [sys.executable, str(ROOT / "scripts" / script), *theirs, *sizes, *threads],
    }
    if work in ("decoder-train --joint", "translation-train --joint"):
        commands["PyTorch, --checkpoint"] = [*commands["PyTorch"], "--checkpoint"]
    if work == "encoder-trace" and importlib.util.find_spec("onnxruntime"):
        script = str(ROOT / "scripts" / "bench_onnx.py")
        commands["ONNX Runtime, no exits"] = [sys.executable, script, *sizes, *threads]
    return commands


def measure(work, flags):
    """{contender: [one result a round]}"""
    commands = contenders(work, flags)
    results = {name: [] for name in commands}
    for number in range(1, flags.rounds + 1):
        for name, command in commands.items():
            result = run(command, flags.threads)
            results[name].append(result)
            print(
                f"{work}, round {number}/{flags.rounds}, {name}: "
                f"{result['seconds']:.3f} s, {result['peak_mib']:.0f} MiB",
                file=sys.stderr,
            )
    return results


def ratio(results, other, key):
    pairs = zip(results["ours"], results[other])
    return statistics.median(ours[key] / theirs[key] for ours, theirs in pairs)


def rows(work, results):
    """Markdown rows: one a contender, with ours ÷ theirs."""
    for name, runs in results.items():
        seconds = [result["seconds"] for result in runs]
        spread = f"{statistics.median(seconds):.3f} ({min(seconds):.3f}–{max(seconds):.3f})"
        peak = statistics.median(result["peak_mib"] for result in runs)
        ratios = "| | |"
        if name != "ours":
            time_ratio, memory_ratio = ratio(results, name, "seconds"), ratio(results, name, "peak_mib")
            ratios = f"| {time_ratio:.2f} | {memory_ratio:.2f} |"
        yield f"| {work} | {name} | {spread} | {peak:.0f} {ratios}"


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(WORKS), action="append", help="may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write every run's result as JSON")
    for name, default in SHAPE.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def main():
    flags = parse_flags()
    works = flags.only or list(WORKS)
    for work in works:
        contenders(work, flags)
    everything = {work: measure(work, flags) for work in works}
    if flags.output:
        flags.output.write_text(json.dumps(everything, indent=1) + "\n")
    print("| work | who | seconds (range) | peak MiB | ours ÷ theirs, time | memory |")
    print("|---|---|---|---|---|---|")
    for work, results in everything.items():
        print("\n".join(rows(work, results)))
    for plain, joint in ((work, f"{work} --joint") for work in works):
        if joint not in everything:
            continue
        for name in ("ours", "PyTorch"):
            pairs = zip(everything[joint][name], everything[plain][name])
            cost = statistics.median(both["seconds"] / one["seconds"] for both, one in pairs)
            print(f"\nJoint ÷ plain, {plain}, {name}: {cost:.3f}")


if __name__ == "__main__":
    main()
