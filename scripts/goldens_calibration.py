#!/usr/bin/env python3
"""Write tests/golden/hoeffding_bentkus.json: the p-values of calibration, from SciPy's distributions.

    python scripts/goldens_calibration.py            # write tests/golden
    python scripts/goldens_calibration.py --check    # recompute and compare, write nothing

Each case is `n` losses in [0, 1] with the sum `sum_of_losses`, tested against a `risk`:
    binomial_tail   P(Bin(n, risk) <= ceil(sum)), scipy.stats.binom
    hoeffding       exp(-n KL(min(mean, risk), risk)), scipy.special.rel_entr
    p_value         min(1, hoeffding, e binomial_tail)
Cases whose tail is below 1e-290, the end of the normal numbers, are left out.
"""

import json
import math
import sys
from pathlib import Path

from goldens_check import run
from scipy.special import rel_entr
from scipy.stats import binom

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
SIZES = (1, 7, 59, 500, 20_000, 100_000)
RISKS = (0.01, 0.05, 0.3)
# Means as shares of the bound, and whether the sum is a whole number.
SHARES = ((0.0, True), (0.5, False), (0.8, True), (0.95, False), (1.2, True))


def case(n, risk, sum_of_losses):
    mean = min(sum_of_losses / n, risk)
    tail = float(binom.cdf(math.ceil(sum_of_losses), n, risk))
    hoeffding = math.exp(-n * float(rel_entr(mean, risk) + rel_entr(1 - mean, 1 - risk)))
    return {
        "n": n,
        "risk": risk,
        "sum_of_losses": sum_of_losses,
        "binomial_tail": tail,
        "hoeffding": hoeffding,
        "p_value": min(1.0, hoeffding, math.e * tail),
    }


def write_all(root):
    sums = {
        (n, risk, float(math.floor(share * risk * n)) if is_whole else share * risk * n)
        for n in SIZES
        for risk in RISKS
        for share, is_whole in SHARES
    }
    cases = [case(*each) for each in sorted(sums)]
    lines = [json.dumps(each) for each in cases if each["binomial_tail"] > 1e-290]
    (root / "hoeffding_bentkus.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    sys.exit(run(__doc__, GOLDEN, write_all))
