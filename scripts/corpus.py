"""What the scripts that make a bundled corpus share: draws that never change, and the command line."""

import argparse
import random
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"


class Draw:
    """Choices built on `random.random` alone, whose sequence is the same in every version of Python."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def chance(self, share):
        return self.random() < share

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def shuffled(self, items):
        return [item for _, item in sorted((self.random(), item) for item in items)]

    def some(self, items, count):
        return self.shuffled(items)[:count]


def check(folder, files):
    wrong = [name for name, text in files.items() if not (folder / name).is_file() or (folder / name).read_text() != text]
    for name in wrong:
        print(f"{folder / name}: is not what {Path(sys.argv[0]).name} makes", file=sys.stderr)
    print(f"{len(files) - len(wrong)} of {len(files)} files are as they should be")
    return 1 if wrong else 0


def print_shares(title, of, right, rows, kinds):
    """The share that is right, of all and of each kind; `rows` are the kinds."""
    print(f"{title}: {sum(right) / len(right):.3f} of {of} right")
    for kind in kinds:
        of_kind = [hit for hit, found in zip(right, rows) if found == kind]
        print(f"  {kind:<9} {sum(of_kind) / len(of_kind):.3f} of {len(of_kind)}")


def main(name, documentation, make_files, baseline):
    """Writes the files below data/NAME, compares them, or scores a baseline."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--baseline", action="store_true", help="score a simple model, write nothing")
    arguments = parser.parse_args()
    if arguments.baseline:
        baseline()
        return 0
    folder, files = DATA / name, make_files()
    if arguments.check:
        return check(folder, files)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        print(f"{folder / name}: {len(text.encode())} bytes")
    return 0
