#!/usr/bin/env python3
"""Kill training runs with SIGKILL at random moments, resume them each time, compare bits and folders.

    cargo build --release -p ee-train
    python scripts/kill_and_resume.py [--kills 100] [--seed 0] [--config FILE.toml ...] [-- flags of ee-train]

Without --config it trains a tiny classifier, decoder and encoder-decoder on the corpora that ship with the project.
Each run is trained once undisturbed, then repeatedly with every attempt killed after a random part
of an attempt's time, until the last step is reached. Checkpoints are saved after every few steps, so
that kills fall into the writing and the clearing of them too. Between attempts the links `last` and
`best` are now and then removed, turned into copies or into small files, as copying a folder does.

Checked: final weights and logged steps are those of the undisturbed run; the newest whole checkpoint
never gets older; the best one is there whenever one is known; foreign files among the
checkpoints stay; nothing is left over in the end. Prints one line per run and a summary; exits with 1
where anything differs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = ["model.d_model=16", "model.heads=2"]
DECODER = ["training.sample_tokens=4", "model.inner=32"]
TINY = {
    "reviews": ["model.layers=2", "training.batch=8"],
    "numbers": [*DECODER, "model.layers=2", "training.batch=8"],
    "numbers-pairs": [*DECODER, "model.encoder_layers=2", "model.decoder_layers=2", "training.batch_tokens=256",
                      "training.average_checkpoints=2"],
}
TINY_RUN = [*SIZES, "task.limit=96", "task.validation_limit=16", "training.epochs=1000", "training.max_steps=24",
            "training.evaluate_every_steps=4"]


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", nargs="+", type=Path, default=[])
    parser.add_argument("--kills", type=int, default=100, help="over all configurations")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--checkpoint-every", type=int, default=2, metavar="STEPS")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/ee-train")
    parser.add_argument("further", nargs="*", help="flags of ee-train, after --")
    return parser.parse_args()


def commands(flags):
    """A name and a command without --output for everything that is trained."""
    every = ["--set", f"training.checkpoint_every_steps={flags.checkpoint_every}"]
    if flags.config:
        return [(path.stem, [flags.binary, "--config", path, *every, *flags.further]) for path in flags.config]
    found = []
    for name, values in TINY.items():
        sets = [word for value in TINY_RUN + values for word in ("--set", value)]
        found.append((name, [flags.binary, "--config", ROOT / f"configs/train/{name}.toml", *sets, *every, *flags.further]))
    return found


def train(command, output, resume):
    words = [*command, "--output", output, *(["--resume"] if resume else [])]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def digest(run):
    """The hash of the last weights, and of the average where there is one."""
    weights = [run / folder / "model.safetensors" for folder in ("last", "average")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in weights if path.is_file())).hexdigest()


def logged_losses(run):
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if line["kind"] == "step"]


def states(run):
    """The states of all checkpoints that are whole by their own lists."""
    found = []
    for folder in [run / "last", run / "best", *run.glob("checkpoints/step-*")]:
        try:
            state = json.loads((folder / "training_state.json").read_text())
        except OSError:
            continue
        if all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in state["files"].items()):
            found.append(state)
    return found


def lost(run, before, has_notes):
    """What a kill lost, in words, and the newest step that is whole."""
    whole = states(run)
    newest = max(whole, key=lambda state: state["step"], default=None)
    step = newest["step"] if newest else 0
    if step < before:
        return f"step {before} was whole, now step {step} is the newest", step
    if newest and newest["best"]:
        best = run / f"checkpoints/step-{newest['best']['step']:08}/model.safetensors"
        if not best.is_file() and not (run / "best/model.safetensors").is_file():
            return f"the best checkpoint, of step {newest['best']['step']}, is gone", step
    if has_notes and not (run / "checkpoints/notes").is_file():
        return "a foreign file among the checkpoints is gone", step
    return None, step


def disturb(run, chance):
    """Does to a link what copying the folder can do to it."""
    for name in ("last", "best"):
        link = run / name
        if not link.is_symlink() or chance.random() < 0.6:
            continue
        target, way = os.readlink(link), chance.randrange(3)
        link.unlink()
        if way == 1 and (run / target).is_dir():
            shutil.copytree(run / target, link)
        elif way == 2:
            link.write_text(target)


def attempt(command, run, delay):
    """Starts or resumes, kills after `delay` seconds; whether the run had ended by itself, and what it said."""
    process = train(command, run, True)
    try:
        process.wait(timeout=delay)
        killed = False
    except subprocess.TimeoutExpired:
        process.kill()
        killed = True
    return killed, process.returncode if not killed else process.wait(), process.stderr.read()


def run_killed(command, run, duration, chance, at_most):
    """Trains with kills until the end; the number of kills and what went wrong."""
    kills, step, has_notes = 0, 0, False
    while True:
        delay = chance.uniform(0.0, 0.6) * duration if kills < at_most else 600.0
        killed, code, said = attempt(command, run, delay)
        if not killed:
            return kills, None if code == 0 else f"ended with {code}: {said.strip()[-300:]}"
        kills += 1
        wrong, step = lost(run, step, has_notes)
        if wrong:
            return kills, wrong
        disturb(run, chance)
        if not has_notes and (run / "checkpoints").is_dir():
            (run / "checkpoints/notes").write_text("mine")
            has_notes = True


def compare(run, whole):
    """What differs between a run that was killed and one that was not."""
    if digest(run) != digest(whole):
        return "weights differ"
    if logged_losses(run) != logged_losses(whole):
        return "logs differ"
    names = {os.readlink(run / link).split("/")[1] for link in ("last", "best") if (run / link).is_symlink()}
    state = json.loads((run / "last/training_state.json").read_text())
    names |= {f"step-{step:08}" for step in state.get("to_average", [])}
    left = {path.name for path in (run / "checkpoints").iterdir()} - names - {"notes"}
    left |= {path.name for path in run.iterdir() if path.name.startswith(".")}
    return f"left over: {sorted(left)}" if left else None


def main():
    flags = parse_flags()
    chance = random.Random(flags.seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    kinds = commands(flags)
    kills, runs, faults = 0, 0, 0
    try:
        for number, (name, command) in enumerate(kinds):
            whole, quota = folder / f"{name}-whole", flags.kills * (number + 1) // len(kinds)
            started = time.monotonic()
            process = train(command, whole, False)
            _, said = process.communicate()
            if process.returncode != 0:
                sys.exit(f"{name}: ended with {process.returncode}: {said}")
            duration = time.monotonic() - started
            print(f"{name} undisturbed: {duration:.2f} s, weights {digest(whole)[:16]}", flush=True)
            while kills < quota:
                run = folder / f"{name}-{runs}"
                some, wrong = run_killed(command, run, duration, chance, quota - kills)
                wrong = wrong or compare(run, whole)
                # The undisturbed run may have met a busier or an idler machine than the others do.
                duration *= 0.7 if some < 3 else 1.3 if some > 8 else 1.0
                kills, runs, faults = kills + some, runs + 1, faults + bool(wrong)
                print(f"{name}: killed {some} times: {wrong or 'same bits, nothing lost'}", flush=True)
                shutil.rmtree(run) if not wrong else print(f"  see {run}")
        print(f"{kills} kills, {runs} runs, {faults} faults")
        return 1 if faults else 0
    finally:
        if not faults:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
