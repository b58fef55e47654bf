"""marginflow's flow beside TF-as-SVM's update and SciPy's integrators, ratios and accuracy in one run.

Data: random unit-sphere problems (n, T, d) = (6, 8, 10), start .1 randn, one seed each, one BLAS thread, CPU
seconds of this process. Prints Markdown tables.

    python benchmarks/flow.py [--seeds 20] [--quick] [--large 200,64,128] [--save FILE.json]

TF-as-SVM (Tarzanagh et al. 2023, umich-sota/TF-as-SVM) is re-implemented from its description: logistic loss,
gradients of K and Q normalised separately, rate .1, and 2.2e-16 (|K|^2 + |Q|^2) added to the loss to keep gradients
from underflowing. SciPy integrates the parameters on the clock of unit force, the only one on which it can go far;
its margin is where it has used as many evaluations as stated.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.integrate import solve_ivp

import marginflow as mf
from history import save
from marginflow.flow.point import point
from marginflow.losses import Exponential
from marginflow.model.objective import Objective
from marginflow.problem.random import equal, sphere


KINDS = (mf.KeyQuery(10), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and result."""
    start = time.process_time()
    out = work()
    return time.process_time() - start, out


def ours(problems: list[mf.Problem], margins: list[float]) -> list[dict[str, Any]]:
    """Time per seed in a batch and alone, steps, verdicts, and log(excess x time) against rtol / 1000; as rows."""
    count, rows = len(problems), []
    print(f"## marginflow, rtol 1e-6, mean over {count} seeds\n")
    print("| flow | to margin | CPU s per seed, batch | single | steps | verdicts | log(e t) to rtol 1e-9 |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for margin in margins:
            batch, paths = timed(
                lambda k=kind, m=margin: mf.integrate_many(problems, k, seeds=range(count), until_margin=m)
            )
            alone, _ = timed(
                lambda k=kind, m=margin: [mf.integrate(p, k, seed=s, until_margin=m) for s, p in enumerate(problems)]
            )
            words = [p.status.name for p in paths]
            told = ", ".join(f"{words.count(w)} {w}" for w in sorted(set(words)))
            steps = sum(p.steps for p in paths)
            for how, cpu in (("batch", batch), ("alone", alone)):
                name = f"{kind.word} to {margin:.0e}, {count} seeds, {how}"
                rows.append({"name": name, "cpu": cpu, "steps": steps, "verdicts": told})
            print(
                f"| {kind.word} | {margin:.0e} | {batch / count:.3f} | {alone / count:.3f} "
                f"| {np.mean([p.steps for p in paths]):.0f} | {told} | {spread(problems, kind, paths, margin)} |",
                flush=True,
            )
    return rows


def spread(problems: list[mf.Problem], kind: Any, paths: list[mf.Trajectory], margin: float) -> str:
    """Largest |change of log(t (L - L*))| at equal excess against rtol 1e-9, if the minimal loss is reached."""
    if margin > 1e6:
        return ""
    some = problems[:6]
    tight = mf.integrate_many(some, kind, seeds=range(len(some)), until_margin=margin, rtol=1e-9)
    found = []
    for a, b in zip(paths, tight, strict=False):
        if a.status.name == b.status.name == "minimal_loss":
            # log(e t) is nearly a straight line in log(-log e), for W and for (K, Q).
            ends = [np.searchsorted(-p.log_excess, 10.0) for p in (a, b)]
            last = np.log(min(-a.log_excess[-1], -b.log_excess[-1]))
            values = [
                np.interp(last, np.log(-p.log_excess[i:]), (p.log_time + p.log_excess)[i:])
                for p, i in zip((a, b), ends, strict=True)
            ]
            found.append(float(abs(values[0] - values[1])))
    return f"{max(found):.0e}" if found else ""


def peers(problems: list[mf.Problem], iterations: int, evaluations: int) -> None:
    """TF-as-SVM's update and SciPy, with how near each comes to the SVM solution of the tokens it selects."""
    print("\n## Peers on (K, Q), one seed each; 1 - cos and margin x value / norm - 1 against the certified SVM\n")
    print("| method | CPU s | least lead | 1 - cos | norm / (margin x least norm) - 1 |")
    print("|---|---|---|---|---|")
    problem, seed = next(
        (p, s) for s, p in enumerate(problems) if mf.integrate(p, mf.KeyQuery(10), seed=s).status.name == "minimal_loss"
    )
    solution = mf.solve(problem, "nuclear", 1e-10)
    start = mf.integrate(problem, mf.KeyQuery(10), seed=seed, until_margin=1.0, max_steps=1).parameters(0)
    base = None
    for margin in (1e3, 1e6, 1e12):
        cpu, path = timed(lambda m=margin: mf.integrate(problem, mf.KeyQuery(10), seed=seed, until_margin=m))
        base = cpu if margin == 1e3 else base
        _line(f"marginflow to {margin:.0e}", cpu, path.W(), problem, solution)
    cpu, W = timed(lambda: tf_as_svm(problem, start["K"], start["Q"], iterations))
    _line(f"TF-as-SVM update, {iterations} iterations", cpu, W, problem, solution)
    print(f"| (ratio of its time to marginflow's to 1e3: {cpu / base:.1f}) | | | | |")
    for method in ("RK45", "DOP853", "LSODA", "Radau"):
        cpu, W = timed(lambda m=method: scipy_flow(problem, start["K"], start["Q"], m, evaluations))
        _line(f"SciPy {method}, {evaluations} evaluations", cpu, W, problem, solution)


def tf_as_svm(problem: mf.Problem, K: np.ndarray, Q: np.ndarray, iterations: int) -> np.ndarray:
    """W after `iterations` of the update, in plain float64 as the peer does it."""
    X, z, gamma = problem.X, problem.z, problem.scores
    for _ in range(iterations):
        s = np.einsum("ntd,de,ne->nt", X, K @ Q.T, z)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        out = (p * gamma).sum(axis=1)
        weight = (1 / (1 + np.exp(out)) / len(X))[:, None] * p * (gamma - out[:, None])
        G = np.einsum("nt,ntd,ne->de", weight, X, z)
        dK, dQ = -G @ Q + 2 * 2.22e-16 * K, -G.T @ K + 2 * 2.22e-16 * Q
        K = K - 0.1 * dK / np.linalg.norm(dK)
        Q = Q - 0.1 * dQ / np.linalg.norm(dQ)
    return K @ Q.T


class _Enough(Exception):
    """The evaluations are used up."""


def scipy_flow(problem: mf.Problem, K: np.ndarray, Q: np.ndarray, method: str, evaluations: int) -> np.ndarray:
    """W where SciPy has used its evaluations, at rtol 1e-6, on the clock of unit force."""
    objective = Objective.of([problem], mf.KeyQuery(10), Exponential())
    theta = objective.map.pack({"K": K, "Q": Q})
    last = [theta]
    spent = [0]

    def rhs(_: float, y: np.ndarray) -> np.ndarray:
        spent[0] += 1
        if spent[0] > evaluations:
            raise _Enough
        here = y.reshape(1, *theta.shape)
        last[0] = here[0]
        return point(objective, here, objective.logits(here)).dtheta.ravel()

    try:
        solve_ivp(rhs, (0.0, 1e6), theta.ravel(), method=method, rtol=1e-6, atol=1e-9)
    except _Enough:
        pass
    return objective.map.weights(last[0][None])[0]


def large(family: str, shape: tuple[int, int, int], margin: float, rtol: float) -> None:
    """(K, Q) and W on one large problem, with the least lead as time goes by."""
    n, T, d = shape
    problem = {"sphere": sphere, "equal": equal}[family](n=n, T=T, d=d, seed=0)
    print(f"\n## {family}, n, T, d = {n}, {T}, {d}: {len(problem.constraints())} constraints, rtol {rtol:g}\n")
    print("| flow | CPU s | steps | least lead | ended | verdict |")
    print("|---|---|---|---|---|---|")
    for kind in (mf.KeyQuery(d), mf.Combined()):
        start = time.process_time()
        level = [1e2]

        def tell(now: Any, start: float = start, level: list[float] = level, word: str = kind.word) -> None:
            if now.margin >= level[0]:
                print(
                    f"| {word} | {time.process_time() - start:.0f} | {now.steps} | {now.margin:.3g} | | |", flush=True
                )
                level[0] = 10.0 ** (np.floor(2 * np.log10(now.margin)) / 2 + 0.5)

        path = mf.integrate(problem, kind, seed=0, until_margin=margin, rtol=rtol, progress=tell)
        spent = time.process_time() - start
        lead = float(np.sort(-path.snapshots.high[-1], axis=1)[:, 1].min())
        print(
            f"| {kind.word} | {spent:.0f} | {path.steps} | {lead:.3g} | {path.ended.name} | {path.status.name} |",
            flush=True,
        )


def _line(name: str, cpu: float, W: np.ndarray, problem: mf.Problem, solution: mf.Solution) -> None:
    lead = float(problem.constraints().margins(W).min())
    ratio = np.linalg.norm(W, "nuc") / lead / solution.value - 1 if lead > 0 else np.inf
    print(f"| {name} | {cpu:.2f} | {lead:.3g} | {1 - _cosine(W, solution.W):.1e} | {ratio:.1e} |", flush=True)


def _cosine(A: np.ndarray, B: np.ndarray) -> float:
    return float((A * B).sum() / np.sqrt((A * A).sum() * (B * B).sum()))


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="three seeds, fewer iterations")
    parser.add_argument("--large", metavar="N,T,D", help="only one large problem, e.g. 200,64,128")
    parser.add_argument("--data", choices=("sphere", "equal"), default="equal", help="of the large problem")
    parser.add_argument("--until-margin", type=float, default=1e6, help="of the large problem")
    parser.add_argument("--rtol", type=float, default=1e-3, help="of the large problem")
    parser.add_argument("--save", metavar="FILE", help="the first table as JSON, for history.py")
    chosen = parser.parse_args()
    if chosen.large:
        n, T, d = (int(part) for part in chosen.large.split(","))
        large(chosen.data, (n, T, d), chosen.until_margin, chosen.rtol)
        return
    count = 3 if chosen.quick else chosen.seeds
    problems = [sphere(n=6, T=8, d=10, seed=s) for s in range(count)]
    rows = ours(problems, [1e4] if chosen.quick else [1e4, 1e12])
    if chosen.save:
        save(chosen.save, "flow", rows)
        return
    peers(problems, 2000 if chosen.quick else 20_000, 1000 if chosen.quick else 10_000)


if __name__ == "__main__":
    main()
