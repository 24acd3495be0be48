"""Comparison of freshly computed fixtures with those of tests/golden, for the `--check` of the goldens scripts."""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file
except ImportError:  # fixtures without tensors need neither
    torch = None

# Other CPUs and thread counts sum in another order; after ten AdamW steps, where the first step
# divides a gradient by its own size, 1e-4 is what this allows for.
CHECK_TOLERANCE = 1e-4


def numbers(value, at=""):
    """Every leaf of a JSON value with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{at}[{index}]")
    else:
        yield at, value


def read_leaves(path):
    """What a fixture holds, as {name: tensor or value}."""
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".bin":
        return torch.load(path, weights_only=True)
    if path.suffix == ".pt":
        return torch.load(path, weights_only=False)["model"]
    if path.suffix != ".json":
        return {"bytes": path.read_bytes()}
    leaves = dict(numbers(json.loads(path.read_text())))
    leaves.pop(".transformers_version", None)
    return leaves


def difference(ours, theirs):
    """Largest difference relative to max(1, |value|); infinite where shapes or kinds differ."""
    if torch is not None and isinstance(ours, torch.Tensor):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return math.inf
        gap = (ours.double() - theirs.double()).abs() / theirs.double().abs().clamp(min=1.0)
        return gap.max().item()
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) / max(1.0, abs(theirs))
    return 0.0 if ours == theirs else math.inf


def check(root, write_all):
    """Compare what `write_all(folder)` writes with what is in `root`; returns the complaints."""
    complaints = []
    with tempfile.TemporaryDirectory() as fresh:
        write_all(Path(fresh))
        for path in sorted(Path(fresh).rglob("*.*")):
            name = path.relative_to(fresh)
            if not (root / name).exists():
                complaints.append(f"{name}: missing")
                continue
            ours, theirs = read_leaves(path), read_leaves(root / name)
            if ours.keys() != theirs.keys():
                odd = sorted(ours.keys() ^ theirs.keys())
                complaints.append(f"{name}: only on one side: {odd[:5]}")
                continue
            worst, where = max((difference(ours[key], theirs[key]), key) for key in ours)
            print(f"{name}: largest difference {worst:.1e}" + (f" at {where}" if worst else ""))
            # A comparison with NaN is false, so a NaN fails.
            if not worst <= CHECK_TOLERANCE:
                complaints.append(f"{name}: {where} differs by {worst:.1e}")
    return complaints


def run(description, root, write_all):
    """The command line of a goldens script: writes into `root`, or compares; gives the exit status."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="recompute and compare, write nothing")
    arguments = parser.parse_args()
    if torch is not None:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    if not arguments.check:
        write_all(root)
        return 0
    complaints = check(root, write_all)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0
