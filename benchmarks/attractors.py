"""All selections of n samples of T tokens, rejected by bounds: counts, seconds, and what brute force costs.

Usage: python benchmarks/attractors.py [SPEC] [PROCESSES]
"""

import os
import resource
import sys
import time


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from marginflow.attractors import attractors
from marginflow.attractors.candidates import Candidates
from marginflow.problem import named
from marginflow.svm.stability import decide


def main(spec: str = "sphere:n=6,T=8,d=10,seed=0", processes: int = 2) -> None:
    problem = named.load(spec)
    draw = np.random.default_rng(0)
    tokens = [draw.integers(problem.T, size=problem.n) for _ in range(50)]
    start = time.process_time()
    for selected in tokens:
        decide(problem, "frobenius", selected)
    each = (time.process_time() - start) / len(tokens)
    total = Candidates.of(problem, False).count
    wall, cpu = time.perf_counter(), time.process_time()
    found = attractors(problem, "w", processes=processes)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spec}: {total} selections, {found.visited} partial or whole ones looked at")
    print(f"{len(found)} attractors, {len(found.undecided)} undecided, complete: {found.complete}")
    print(f"wall {wall:.1f} s, CPU {cpu + children.ru_utime + children.ru_stime:.1f} s, {processes} processes")
    print(f"brute force, one certified solve each: {each * 1e3:.2f} ms x {total} = {each * total:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
