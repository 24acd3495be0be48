#!/usr/bin/env python3
"""Write tests/golden/inverse_sqrt.json: learning rates of fairseq's `inverse_sqrt` schedule, by its published formula.

    python scripts/goldens_inverse_sqrt.py            # write tests/golden
    python scripts/goldens_inverse_sqrt.py --check    # recompute and compare, write nothing

A list of runs, each with fairseq's options and `rates`: that of update 0, which the first batch is learned with, and so
on. From fairseq/optim/lr_scheduler/inverse_square_root_schedule.py (v0.10), with decimals of 50 digits:

    warm-up (n < warmup_updates)   warmup_init_lr + n (lr - warmup_init_lr) / warmup_updates
    afterwards                     lr warmup_updates^0.5 n^-0.5
"""

import json
import sys
from decimal import Decimal, getcontext
from pathlib import Path

from goldens_check import run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
RUNS = [(5e-4, 0.0, 10), (7e-4, 1e-7, 16), (1e-3, 1e-4, 1)]
UPDATES = 30
getcontext().prec = 50


def rates(peak, start, warm_up):
    peak, start = Decimal(repr(peak)), Decimal(repr(start))
    for n in range(UPDATES):
        if n < warm_up:
            yield start + n * (peak - start) / warm_up
        else:
            yield peak * Decimal(warm_up).sqrt() / Decimal(n).sqrt()


def write(root):
    runs = [
        {
            "lr": peak,
            "warmup_init_lr": start,
            "warmup_updates": warm_up,
            "rates": [float(rate) for rate in rates(peak, start, warm_up)],
        }
        for peak, start, warm_up in RUNS
    ]
    (root / "inverse_sqrt.json").write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write))
