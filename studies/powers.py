"""How the measured power of R - 1 compares with that of theory 5.2 and 5.7, by the rank of each run's own SVM.

marginflow study run studies/ratio.toml --engine processes
marginflow study export studies/ratio.toml -o ratio-runs.csv
python studies/powers.py ratio-runs.csv > studies/ratio-powers.csv
"""

import csv
import math
import sys
from collections import defaultdict

import numpy as np


NORMS = {"kq": "nuclear", "diag-kq": "l1"}
FIRST, LAST = "1e+06", "1e+08"
ROUNDING = 1e-9


def power(row: dict[str, str], norm: str) -> tuple[float, float] | None:
    """(measured power, predicted power) of one run between the two margins; None where R does not say."""
    keys = [f"{norm}_{name}_at_{at}" for at in (FIRST, LAST) for name in ("margin", "ratio")]
    if row["status"] != "minimal_loss" or any(row[key] == "" for key in [*keys, f"{norm}_power"]):
        return None
    m0, r0, m1, r1 = (float(row[key]) for key in keys)
    if min(r0, r1) - 1 < ROUNDING or m1 <= m0:
        return None
    return math.log((r0 - 1) / (r1 - 1)) / math.log(m1 / m0), float(row[f"{norm}_power"])


def main(file: str) -> None:
    groups: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    with open(file, newline="") as stream:
        for row in csv.DictReader(stream):
            norm = NORMS.get(row["parameterization"])
            found = power(row, norm) if norm else None
            if found:
                family = row["problem"].rpartition(",seed=")[0]
                groups[family, row["parameterization"], row["scale"], row[f"{norm}_rank"]].append(found)
    print("problem,parameterization,scale,rank,runs,power_median,predicted_median,", end="")
    print("difference_p10,difference_median,difference_p90,within_0.02")
    for key, pairs in sorted(groups.items()):
        measured, predicted = np.array(pairs).T
        difference = measured - predicted
        low, median, high = np.quantile(difference, [0.1, 0.5, 0.9])
        numbers = [np.median(measured), np.median(predicted), low, median, high]
        shown = ",".join(f"{number:.4f}" for number in numbers)
        near = int((np.abs(difference) <= 0.02).sum())
        print(f'"{key[0]}",{key[1]},{key[2]},{key[3]},{len(pairs)},{shown},{near}')


if __name__ == "__main__":
    main(sys.argv[1])
