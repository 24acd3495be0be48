#!/usr/bin/env python3
"""Kill a training run with SIGKILL at random moments, resume it each time, compare the weights.

    cargo build --release -p ee-train
    python scripts/kill_and_resume.py --config configs/train/FILE.toml [--kills 20] [--seed 0]
        [-- further flags of ee-train]

Trains once undisturbed, then once more with every attempt but the last one killed after a random
part of the undisturbed run's time. Prints the SHA-256 of both final weights and whether the logged
steps agree; exits with 1 where they do not. A checkpoint is saved after every few steps, so that
kills also fall into the writing of one.
"""

import argparse
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--checkpoint-every", type=int, default=5, metavar="STEPS")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ee-train")
    parser.add_argument("further", nargs="*", help="flags of ee-train, after --")
    return parser.parse_args()


def command(flags, output, resume):
    every = f"training.checkpoint_every_steps={flags.checkpoint_every}"
    words = [flags.binary, "--config", flags.config, "--output", output, "--set", every, *flags.further]
    return words + (["--resume"] if resume else [])


def digest(run):
    return hashlib.sha256((run / "last/model.safetensors").read_bytes()).hexdigest()


def logged_losses(run):
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if line["kind"] == "step"]


def kill_once(flags, output, delay):
    """Start or resume, kill after `delay` seconds; the step reached by the last whole checkpoint."""
    process = subprocess.Popen(command(flags, output, True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    ended = process.poll()
    process.kill()
    process.wait()
    state = output / "last/training_state.json"
    step = json.loads(state.read_text())["step"] if state.exists() else 0
    return step, ended


def main():
    flags = parse_flags()
    moments = random.Random(flags.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    try:
        undisturbed, killed = folder / "undisturbed", folder / "killed"
        started = time.monotonic()
        subprocess.run(command(flags, undisturbed, False), check=True, stdout=subprocess.DEVNULL)
        duration = time.monotonic() - started
        print(f"undisturbed: {duration:.1f} s, weights {digest(undisturbed)}", flush=True)
        kills = 0
        while kills < flags.kills:
            # Shorter and longer than the average share of the run, so that the end is not reached early.
            delay = moments.uniform(0.02, 2.0) * duration / flags.kills
            step, ended = kill_once(flags, killed, delay)
            if ended is not None:
                print(f"the run ended before kill {kills + 1}: beginning it anew", flush=True)
                shutil.rmtree(killed)
                continue
            kills += 1
            print(f"kill {kills}/{flags.kills} after {delay:.2f} s: whole up to step {step}", flush=True)
        subprocess.run(command(flags, killed, True), check=True, stdout=subprocess.DEVNULL)
        print(f"killed {kills} times: weights {digest(killed)}")
        same_weights = digest(undisturbed) == digest(killed)
        same_log = logged_losses(undisturbed) == logged_losses(killed)
        print(f"weights {'identical' if same_weights else 'DIFFER'}, logs {'identical' if same_log else 'DIFFER'}")
        return 0 if same_weights and same_log else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
