"""Counts behind docs/attractors.md, one part each; all print as they go.

Usage: python benchmarks/attractors.py search [SPEC [WORD [PROCESSES]]]   complete enumeration, and brute force
       python benchmarks/attractors.py small [FILE.json]                  CPU seconds of (4,4,8), by parameterisation
       python benchmarks/attractors.py caps [PROBLEMS]                    the trap rule for widths below the rank
       python benchmarks/attractors.py late                               the runs that sit on rejected tokens, followed
       python benchmarks/attractors.py scales [SPEC [WORD [STARTS]]]      minimal loss and ends met, by start scale
       python benchmarks/attractors.py hunt [PROBLEMS]                    counterexamples, by kind of data
"""

import os
import resource
import sys
import time
from collections import Counter


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import marginflow as mf
from history import save
from marginflow.attractors import attractors
from marginflow.attractors.candidates import Candidates
from marginflow.claims.run_ends import run_ends
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.problem import named
from marginflow.problem.problem import Problem
from marginflow.selection.factored_kkt import kkt_point
from marginflow.selection.stability import Verdict, decide


WORDS = ("w", "diag", "diag-kq", "kq")
SIZES = (((4, 4, 8), 10), ((3, 6, 6), 8), ((5, 3, 5), 7))


def search(spec: str = "sphere:n=6,T=8,d=10,seed=0", word: str = "w", processes: str = "2") -> None:
    problem = named.load(spec)
    draw = np.random.default_rng(0)
    norm = PARAMETERIZATIONS[word]().flow_norm if word != "kq" else "nuclear"
    tokens = [draw.integers(problem.T, size=problem.n) for _ in range(50)]
    start = time.process_time()
    for selected in tokens:
        decide(problem, norm, selected)
    each = (time.process_time() - start) / len(tokens)
    total = Candidates.of(problem, word.startswith("diag")).count
    wall, cpu = time.perf_counter(), time.process_time()
    found = attractors(problem, word, processes=int(processes), limit=10**9)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spec} {word}: {total} selections, {found.visited} partial or whole ones looked at")
    print(f"{len(found)} attractors, {len(found.undecided)} undecided, complete: {found.complete}")
    print(f"wall {wall:.1f} s, CPU {cpu + children.ru_utime + children.ru_stime:.1f} s, {processes} processes")
    print(f"brute force, one certified solve each: {each * 1e3:.2f} ms x {total} = {each * total:.0f} s")


def small(file: str = "") -> None:
    rows = []
    for word in WORDS:
        attractors(named.load("sphere:n=4,T=4,d=8,seed=0"), word)
        start, ends = time.process_time(), []
        for seed in range(10):
            ends.append(len(attractors(named.load(f"sphere:n=4,T=4,d=8,seed={seed}"), word)))
        cpu = time.process_time() - start
        rows.append({"name": f"{word}: ten lists of (4,4,8)", "cpu": cpu, "ends": ends})
        print(f"{word}: {cpu / 10:.3f} s each, ends {ends}")
    if file:
        save(file, "attractors", rows)


def caps(problems: str = "60") -> None:
    """Verdicts at margin 1e4 against the tokens at 1e12, for widths 1 and 2 below the rank of the SVM."""
    counts = Counter[str]()
    for spec in ("sphere:n=6,T=8,d=10", "sphere:n=4,T=4,d=8"):
        for seed in range(int(problems)):
            problem = named.load(f"{spec},seed={seed}")
            rank = mf.solve(problem, "nuclear").rank
            for width in (0 if rank is None else rank - 1, 0 if rank is None else rank - 2):
                if width >= 1:
                    _capped_run(problem, width, seed, counts)
    for key, count in sorted(counts.items()):
        print(f"{key}: {count}")


def _capped_run(problem: Problem, width: int, seed: int, counts: Counter[str]) -> None:
    options = {"seed": seed, "scale": 0.1}
    early = mf.integrate(problem, mf.KeyQuery(width), until_margin=1e4, **options)
    late = mf.integrate(problem, mf.KeyQuery(width), until_margin=1e12, **options)
    counts["runs"] += 1
    selected, stays = early.selected(-1), bool((early.selected(-1) == late.selected(-1)).all())
    counts["tokens change after 1e4"] += not stays
    if (selected == problem.optimal).all():
        counts["on the optimal tokens at 1e4"] += 1
        if not stays:
            print(f"WRONG optimal: {problem.name} width {width}")
        return
    counts["off the optimal tokens at 1e4"] += 1
    nuclear = decide(problem, "nuclear", selected).verdict
    at = early.parameters(-1)
    point = kkt_point(problem, selected, at["K"], at["Q"])
    own = "stays" if point is not None and point.stable else "left" if point is not None and point.left else "undecided"
    by_flow = {"trapped": "stays", "minimal_loss": "left"}.get(early.status.name, "undecided")
    rules = {
        "nuclear rule": {Verdict.attractor: "stays", Verdict.left: "left"}.get(nuclear, "undecided"),
        "KKT rule": own,
        "verdict of the flow": by_flow,
    }
    for name, said in rules.items():
        wrong = (said == "stays" and not stays) or (said == "left" and stays)
        counts[f"{name}: {'undecided' if said == 'undecided' else 'wrong' if wrong else 'right'}"] += 1
        if wrong or (said == "undecided" and name == "KKT rule"):
            numbers = "" if point is None else f"stability {point.stability:.6g} curvature {point.curvature:.3g}"
            print(f"{name} says {said}: {problem.name} width {width}, {selected} -> {late.selected(-1)} {numbers}")


def late() -> None:
    """The 2,000 runs of the tests marked long: who is not in a listed end at margin 1e6, and what becomes of it."""
    total = Counter[str]()
    for word in WORDS:
        for (n, T, d), count in SIZES:
            problems = [named.load(f"sphere:n={n},T={T},d={d},seed={s}") for s in range(count)]
            for scale in (0.1, 1.0):
                ends = run_ends(problems, word, seeds=range(10), scale=scale)
                total[f"{word} runs"] += ends.total
                total[f"{word} listed at 1e6"] += ends.listed
                for e in ends.exceptions:
                    _followed(word, e.problem, e.seed, scale, e.ratio)
    print(dict(total))


def _followed(word: str, name: str, seed: int, scale: float, ratio: float) -> None:
    problem = named.load(name)
    model = mf.KeyQuery(min(problem.d, problem.d_z)) if word == "kq" else PARAMETERIZATIONS[word]()
    story = []
    for margin in (1e6, 1e8, 1e10, 1e12):
        path = mf.integrate(problem, model, seed=seed, scale=scale, until_margin=margin)
        decision = decide(problem, model.flow_norm, path.selected(-1))
        tokens = "".join(map(str, path.selected(-1)))
        solution = decision.solution
        R = np.nan
        if solution is not None and solution.value > 0:
            W = path.W(-1)
            size = solution.norm.value(W.diagonal() if model.diagonal else W)
            R = size / float(solution.constraints.margins(W).min()) / solution.value
        story.append(f"{margin:.0e} {tokens} {decision.verdict.name} R {R:.5g}")
    print(f"{word} {name} scale {scale:g} seed {seed} (R {ratio:.5g}): " + "; ".join(story), flush=True)


def scales(spec: str = "digits", word: str = "w", starts: str = "24") -> None:
    problem = named.load(spec)
    for scale in (0.1, 1.0, 3.0, 10.0):
        found = attractors(problem, word, sample=int(starts), scales=(scale,), until_margin=1e4)
        met = [a for a in found.attractors if a.share]
        best = next((a for a in found.attractors if a.optimal), None)
        low, high = best.shares[0].interval if best else (0.0, 0.0)
        share = best.shares[0].value if best else 0.0
        print(
            f"{spec} {word} scale {scale:g}: minimal loss {share:.2f} [{low:.2f}, {high:.2f}], {len(met)} ends met of "
            f"{len(found)} listed, {len(found.elsewhere)} elsewhere, missing <= {found.missing:.2f}",
            flush=True,
        )


def hunt(problems: str = "6") -> None:
    """Runs on degenerate data against the rule; every run outside is named."""
    kinds = {
        "correlated .9": _correlated,
        "scores on a grid": _grid,
        "equal scores": lambda s: named.load(f"equal:n=4,T=4,d=8,seed={s}"),
        "duplicate of another token": _duplicate,
        "dependent (6,5,3)": lambda s: named.load(f"sphere:n=6,T=5,d=3,seed={s}"),
        "tall (3,12,6)": lambda s: named.load(f"sphere:n=3,T=12,d=6,seed={s}"),
    }
    for kind, make in kinds.items():
        for word in WORDS:
            for loss in ("exponential", "logistic"):
                ends = run_ends([make(s) for s in range(int(problems))], word, seeds=range(5), loss=loss)
                print(f"{kind}, {word}, {loss}: {ends.listed} of {ends.total}", flush=True)
                for e in ends.exceptions:
                    numbers = f"R {e.ratio:.5g} impurity {e.impurity:.2g}"
                    print(f"   {e.problem} seed {e.seed} {e.selected} {numbers}: {e.reason}")


def _correlated(seed: int) -> Problem:
    base = named.load(f"sphere:n=4,T=4,d=8,seed={seed}")
    X = np.sqrt(0.9) * base.X[:, :1] + np.sqrt(0.1) * base.X
    return Problem(X, base.z, base.scores, name=f"correlated seed {seed}")


def _grid(seed: int) -> Problem:
    base = named.load(f"sphere:n=4,T=4,d=8,seed={seed}")
    scores = np.round(2.0 * base.scores) / 2.0
    scores[np.arange(4), base.optimal] += 0.25
    return Problem(base.X, base.z, scores, name=f"grid seed {seed}")


def _duplicate(seed: int) -> Problem:
    """One token twice, with its score."""
    base = named.load(f"sphere:n=4,T=4,d=8,seed={seed}")
    X = np.concatenate([base.X, base.X[:, 1:2]], axis=1)
    return Problem(X, base.z, np.concatenate([base.scores, base.scores[:, 1:2]], axis=1), name=f"duplicate seed {seed}")


PARTS = {"search": search, "small": small, "caps": caps, "late": late, "scales": scales, "hunt": hunt}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        sys.exit(__doc__)
    PARTS[sys.argv[1]](*sys.argv[2:])
