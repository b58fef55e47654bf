"""marginflow's SVM solvers beside SCS, Clarabel, OSQP, HiGHS, NNLS and a plain PDHG.

Every run is a fresh process, so that memory is its own; every gap is certified by marginflow from the weights
and multipliers that the solver returned, whatever it said about them. Prints a Markdown table.

    python benchmarks/svm.py [--quick] [--cap SECONDS] [--only NORM] [--kind KIND] | --ranks [--torch]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import marginflow as mf
from history import save
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify


Pair = tuple[np.ndarray, np.ndarray]
"""Weights (d, d_z) or (d,), and multipliers (C,)."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a norm, a size, who tries it, and the kind of constraints."""

    norm: str
    size: tuple[int, int, int]
    solvers: tuple[str, ...]
    kind: str = "tokens"


QUICK = (
    Row("nuclear", (10, 6, 10), ("marginflow", "scs", "clarabel", "pdhg")),
    Row("nuclear", (20, 8, 20), ("marginflow", "scs", "clarabel", "pdhg")),
    Row("frobenius", (20, 8, 20), ("marginflow", "scs", "clarabel", "osqp", "nnls")),
    Row("operator", (10, 6, 10), ("marginflow", "scs", "clarabel", "pdhg")),
    Row("l1", (20, 8, 200), ("marginflow", "highs", "clarabel", "scs")),
    Row("linf", (20, 8, 200), ("marginflow", "highs", "clarabel")),
    Row("l2", (20, 8, 200), ("marginflow", "clarabel", "osqp", "nnls")),
    Row("lp:1.75", (20, 8, 200), ("marginflow", "clarabel")),
    Row("nuclear", (6, 8, 10), ("marginflow", "scs"), "faces"),
    Row("nuclear", (20, 10, 10), ("marginflow", "scs"), "contexts"),
)

FULL = (
    *QUICK,
    Row("nuclear", (50, 10, 40), ("marginflow", "scs", "clarabel", "pdhg")),
    Row("nuclear", (100, 10, 64), ("marginflow", "scs", "pdhg")),
    Row("nuclear", (100, 20, 100), ("marginflow", "scs", "pdhg")),
    Row("nuclear", (1000, 64, 256), ("marginflow",)),
    Row("frobenius", (50, 10, 40), ("marginflow", "scs", "clarabel", "osqp", "nnls")),
    Row("frobenius", (100, 10, 64), ("marginflow", "scs", "osqp", "nnls")),
    Row("frobenius", (100, 20, 100), ("marginflow", "osqp", "nnls")),
    Row("frobenius", (1000, 64, 256), ("marginflow",)),
    Row("operator", (50, 10, 40), ("marginflow", "scs", "pdhg")),
    Row("operator", (100, 20, 100), ("marginflow", "pdhg")),
    Row("l1", (50, 10, 600), ("marginflow", "highs", "clarabel")),
    Row("l1", (100, 10, 1200), ("marginflow", "highs", "clarabel")),
    Row("linf", (100, 10, 1200), ("marginflow", "highs")),
    Row("lp:1.75", (50, 10, 600), ("marginflow", "clarabel")),
    Row("nuclear", (60, 10, 40), ("marginflow", "scs"), "faces"),
    Row("frobenius", (60, 10, 40), ("marginflow", "scs"), "faces"),
    Row("nuclear", (150, 10, 64), ("marginflow", "scs"), "faces"),
    Row("nuclear", (20, 50, 50), ("marginflow", "scs"), "contexts"),
    Row("nuclear", (100, 50, 50), ("marginflow", "scs"), "contexts"),
    Row("nuclear", (404, 104, 104), ("marginflow",), "contexts"),
    Row("nuclear", (100, 50, 50), ("marginflow",), "pairs"),
    Row("nuclear", (404, 104, 104), ("marginflow",), "pairs"),
)


def instance(size: tuple[int, int, int]) -> mf.Constraints:
    """Unit tokens and queries, a token selected uniformly (peers.md 3)."""
    n, T, d = size
    rng = np.random.default_rng(0)
    X, z = rng.standard_normal((n, T, d)), rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    scores = np.zeros((n, T))
    scores[np.arange(n), rng.integers(0, T, n)] = 1.0
    return mf.Problem(X, z, scores).constraints()


def faces(size: tuple[int, int, int]) -> mf.Constraints:
    """The same tokens and queries; every sample has a face of two tokens, the others are at least 1 behind."""
    rows = instance(size)
    first = np.flatnonzero(np.diff(rows.sample, prepend=-1))
    equal = np.zeros(len(rows), dtype=bool)
    equal[first] = True
    return mf.Constraints(rows.a, rows.sample, rows.z, rows.token, equal=equal)


def pairs(size: tuple[int, int, int]) -> mf.Constraints:
    """Contexts with supports of 1 to 5 words, each of them 1 above all others: equalities repeat most rows."""
    m, V, _ = size
    rng, unit = np.random.default_rng(0), np.eye(V)
    a, sample, equal = [], [], []
    for j in range(m):
        support = np.sort(rng.choice(V, int(rng.integers(1, 6)), replace=False))
        others = np.setdiff1d(np.arange(V), support)
        a += [unit[support[0]] - unit[v] for v in support[1:]]
        a += [unit[v] - unit[w] for v in support for w in others]
        rows = len(support) - 1, len(support) * len(others)
        sample += [j] * sum(rows)
        equal += [True] * rows[0] + [False] * rows[1]
    return mf.Constraints(np.array(a), sample, np.eye(m), equal=equal)


def contexts(size: tuple[int, int, int]) -> mf.Constraints:
    """m contexts by a vocabulary of V, both one-hot: logits equal on the support of a context, 1 below elsewhere.

    The shape of the programme in 2408.15417; supports of 1 to V/3 words are drawn, not taken from text.
    """
    m, V, _ = size
    rng, unit = np.random.default_rng(0), np.eye(V)
    a, sample, equal = [], [], []
    for j in range(m):
        support = np.sort(rng.choice(V, int(rng.integers(1, max(2, V // 3))), replace=False))
        others = [v for v in range(V) if v != support[0]]
        a += [unit[support[0]] - unit[v] for v in others]
        sample += [j] * len(others)
        equal += [v in support for v in others]
    return mf.Constraints(a, sample, np.eye(m), equal=equal)


KINDS = {"tokens": instance, "faces": faces, "contexts": contexts, "pairs": pairs}


def written_out(constraints: mf.Constraints, norm: str) -> np.ndarray:
    """(C, D) the constraints as rows."""
    if parse_norm(norm).diagonal:
        return np.asarray(constraints.diagonal)
    return (constraints.a[:, :, None] * constraints.queries[:, None, :]).reshape(len(constraints), -1)


def run_marginflow(constraints: mf.Constraints, norm: str) -> Pair:
    solution = mf.solve(constraints, norm)
    return (solution.beta if solution.norm.diagonal else solution.W), solution.dual


def run_cvxpy(constraints: mf.Constraints, norm: str, solver: str) -> Pair:
    import cvxpy as cp

    R = written_out(constraints, norm)
    if norm == "nuclear" or norm == "operator":
        W = cp.Variable(constraints.shape)
        margins = cp.sum(cp.multiply(constraints.a @ W, constraints.queries), axis=1)
        objective = cp.normNuc(W) if norm == "nuclear" else cp.sigma_max(W)
    elif norm == "frobenius" or norm == "l2":
        W = cp.Variable(R.shape[1])
        margins, objective = R @ W, cp.sum_squares(W)
    else:
        W = cp.Variable(R.shape[1])
        p = {"l1": 1, "linf": np.inf}.get(norm) or float(norm.removeprefix("lp:"))
        margins, objective = R @ W, cp.pnorm(W, p)
    same = np.flatnonzero(constraints.equal)
    some = np.flatnonzero(~constraints.equal)
    limits = [margins[some] >= 1] + ([margins[same] == 0] if len(same) else [])
    problem = cp.Problem(cp.Minimize(objective), limits)
    options = {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 200_000} if solver == "SCS" else {}
    problem.solve(solver=solver, **options)
    weights = np.asarray(W.value)
    if norm == "frobenius":
        weights = weights.reshape(constraints.shape)
    dual = np.zeros(len(constraints))
    dual[some] = problem.constraints[0].dual_value
    if len(same):
        dual[same] = -np.asarray(problem.constraints[1].dual_value)
    return weights, dual


def run_osqp(constraints: mf.Constraints, norm: str) -> Pair:
    import osqp
    from scipy import sparse

    R = written_out(constraints, norm)
    C, D = R.shape
    solver = osqp.OSQP()
    solver.setup(
        sparse.eye(D, format="csc"),
        np.zeros(D),
        sparse.csc_matrix(R),
        np.ones(C),
        np.full(C, np.inf),
        eps_abs=1e-9,
        eps_rel=1e-9,
        max_iter=200_000,
        polishing=True,
        verbose=False,
    )
    found = solver.solve()
    weights = found.x if norm == "l2" else found.x.reshape(constraints.shape)
    return weights, -found.y


def run_nnls(constraints: mf.Constraints, norm: str) -> Pair:
    """Least-distance programming (Lawson and Hanson): E u = (R'u, 1'u) nearest to (0, 1)."""
    from scipy.optimize import nnls

    R = written_out(constraints, norm)
    E = np.vstack((R.T, np.ones(len(R))))
    f = np.append(np.zeros(R.shape[1]), 1.0)
    u, _ = nnls(E, f, maxiter=50 * len(R))
    rest = E @ u - f
    weights = -rest[:-1] / rest[-1]
    return (weights if norm == "l2" else weights.reshape(constraints.shape)), -u / rest[-1]


def run_highs(constraints: mf.Constraints, norm: str) -> Pair:
    from scipy.optimize import linprog

    R = written_out(constraints, norm)
    C, d = R.shape
    if norm == "l1":
        found = linprog(np.ones(2 * d), A_ub=np.hstack((-R, R)), b_ub=-np.ones(C), method="highs")
        return found.x[:d] - found.x[d:], -found.ineqlin.marginals
    box = np.vstack((np.eye(d), -np.eye(d)))
    A = np.vstack((np.hstack((-R, np.zeros((C, 1)))), np.hstack((box, -np.ones((2 * d, 1))))))
    b = np.append(-np.ones(C), np.zeros(2 * d))
    found = linprog(np.append(np.zeros(d), 1.0), A_ub=A, b_ub=b, bounds=(None, None), method="highs")
    return found.x[:d], -found.ineqlin.marginals[:C]


def run_pdhg(constraints: mf.Constraints, norm: str) -> Pair:
    """The plain primal-dual method a good programmer writes in an hour: fixed steps, gap checked every 50."""
    chosen = parse_norm(norm)
    v = np.random.default_rng(0).standard_normal(constraints.shape)
    for _ in range(30):
        v = constraints.adjoint(constraints.margins(v / np.linalg.norm(v)))
    step = 0.95 / np.sqrt(np.linalg.norm(v))
    W, dual = np.zeros(constraints.shape), np.zeros(len(constraints))
    best, pair = np.inf, (W, dual)
    for k in range(1, 100_001):
        U, s, Vt = np.linalg.svd(W + step * constraints.adjoint(dual), full_matrices=False)
        s = np.maximum(s - step, 0.0) if norm == "nuclear" else s - _simplex(s, step)
        new = (U * s) @ Vt
        dual = np.maximum(dual + step * (1.0 - constraints.margins(2 * new - W)), 0.0)
        W = new
        if k % 50 == 0:
            margin = constraints.margins(W).min()
            size = chosen.dual_value(constraints.adjoint(dual))
            if margin > 0 and dual.sum() > 0:
                gap = chosen.value(W) / margin / (dual.sum() / size) - 1
                if gap < best:
                    best, pair = gap, (W.copy(), dual.copy())
                if gap < 1e-9:
                    break
    return pair


def _simplex(s: np.ndarray, radius: float) -> np.ndarray:
    """Projection of s >= 0 on {x >= 0, sum x <= radius}."""
    if s.sum() <= radius:
        return s
    excess = (np.cumsum(s) - radius) / np.arange(1, len(s) + 1)
    return np.maximum(s - excess[np.flatnonzero(s > excess)[-1]], 0.0)


SOLVERS: dict[str, Callable[[mf.Constraints, str], Pair]] = {
    "marginflow": run_marginflow,
    "scs": lambda c, norm: run_cvxpy(c, norm, "SCS"),
    "clarabel": lambda c, norm: run_cvxpy(c, norm, "CLARABEL"),
    "osqp": run_osqp,
    "nnls": run_nnls,
    "highs": run_highs,
    "pdhg": run_pdhg,
}


def one(solver: str, norm: str, kind: str, size: tuple[int, int, int]) -> dict[str, float]:
    """Run one solver in this process; a tiny problem first loads its libraries outside the clock."""
    SOLVERS[solver](instance((2, 2, 3)), norm)
    constraints = KINDS[kind](size)
    start = time.process_time()
    W, dual = SOLVERS[solver](constraints, norm)
    cpu = time.process_time() - start
    certificate = certify(Svm(constraints, parse_norm(norm)), W, dual).certificate
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    rows = {"constraints": len(constraints), "equalities": int(constraints.equal.sum())}
    return {"cpu": cpu, "mb": memory, "gap": certificate.gap, "upper": certificate.upper, **rows}


def fresh(solver: str, row: Row, cap: float) -> dict[str, float] | str:
    """The same in a process of its own, one BLAS thread, stopped after `cap` seconds."""
    command = [sys.executable, __file__, "--one", solver, row.norm, row.kind, *map(str, row.size)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=cap, env=environment)
    except subprocess.TimeoutExpired:
        return f"> {cap:.0f} s"
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return f"failed: {last[:60]}"
    return json.loads(done.stdout.splitlines()[-1])


def ranks(draw: Callable[[int, int, int, int], mf.Problem]) -> None:
    """The rank table of peers.md 1.1: nuclear optima, seeds 0 to 4 each."""
    print("| n, T, d | mean rank | largest certified gap | least value kept | largest bound on the rest |")
    print("|---|---|---|---|---|")
    for n, T, d in ((5, 5, 10), (5, 5, 20), (5, 15, 20), (10, 5, 10), (10, 5, 20), (15, 5, 15), (15, 5, 20)):
        found = [mf.solve(draw(n, T, d, seed), "nuclear") for seed in range(5)]
        evidence = [solution.rank_evidence for solution in found]
        mean = np.mean([e.rank for e in evidence])
        gap = max(solution.certificate.gap for solution in found)
        kept, dropped = min(e.kept for e in evidence), max(e.dropped for e in evidence)
        print(f"| {n}, {T}, {d} | {mean:.1f} | {gap:.1e} | {kept:.1e} | {dropped:.1e} |", flush=True)


def _published_problem(n: int, T: int, d: int, seed: int) -> mf.Problem:
    """The data of the published figure, from its description: head, labels, tokens, queries drawn in single precision.

    Needs torch, whose generator nothing else repeats.
    """
    import torch

    source = torch.Generator().manual_seed(seed)

    def unit(*shape: int) -> np.ndarray:
        rows = torch.randn(shape, generator=source)
        return (rows / rows.norm(dim=-1, keepdim=True)).double().numpy()

    v = unit(d)
    y = np.where(torch.randn(n, generator=source).numpy() > 0, 1.0, -1.0)
    X = unit(n, T, d)
    return mf.Problem.from_head(X, unit(n, d), y, v)


def _head_problem(n: int, T: int, d: int, seed: int) -> mf.Problem:
    """Unit tokens, queries and head, labels of either sign (theory 2.1)."""
    rng = np.random.default_rng(seed)
    X, z, v = rng.standard_normal((n, T, d)), rng.standard_normal((n, d)), rng.standard_normal(d)
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return mf.Problem.from_head(X, z, rng.choice([-1.0, 1.0], n), v / np.linalg.norm(v))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--cap", type=float, default=200.0, help="seconds per run")
    parser.add_argument("--only", help="one norm")
    parser.add_argument("--ranks", action="store_true", help="the rank table instead of the timings")
    parser.add_argument("--torch", action="store_true", help="ranks on the very data of the published figure")
    parser.add_argument("--save", metavar="FILE", help="marginflow's rows as JSON, for history.py; no peers are run")
    parser.add_argument("--kind", help="tokens, faces, contexts or pairs alone")
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        solver, norm, kind, *size = arguments.one
        print(json.dumps(one(solver, norm, kind, tuple(map(int, size)))))
        return
    if arguments.ranks:
        ranks(_published_problem if arguments.torch else _head_problem)
        return
    if arguments.save:
        saved = []
        for row in QUICK if arguments.quick else FULL:
            found = fresh("marginflow", row, arguments.cap)
            size = ", ".join(map(str, row.size))
            entry = {"cpu": arguments.cap, "optimal": False}
            if not isinstance(found, str):
                entry = {"cpu": found["cpu"], "optimal": found["gap"] <= 1e-9}
            kind = "" if row.kind == "tokens" else f"{row.kind} "
            saved.append({"name": f"{kind}{row.norm} {size}"} | entry)
        save(arguments.save, "svm", saved)
        return
    print("| norm | n, T, d | constraints | solver | CPU s | ratio | memory MB | certified gap |")
    print("|---|---|---|---|---|---|---|---|")
    for row in QUICK if arguments.quick else FULL:
        if (arguments.only and row.norm != arguments.only) or (arguments.kind and row.kind != arguments.kind):
            continue
        n, T, d = row.size
        ours: float | None = None
        for solver in row.solvers:
            found = fresh(solver, row, arguments.cap)
            kind = "" if row.kind == "tokens" else f", {row.kind}"
            head = f"| {row.norm}{kind} | {n}, {T}, {d} | {n * (T - 1)} | {solver} |"
            if isinstance(found, str):
                print(f"{head} {found} | | | |", flush=True)
                continue
            ours = found["cpu"] if solver == "marginflow" else ours
            ratio = "1" if solver == "marginflow" or not ours else f"{found['cpu'] / ours:.1f}"
            cells = f"{found['cpu']:.3g} | {ratio} | {found['mb']:.0f} | {found['gap']:.1e}"
            print(f"{head} {cells} |", flush=True)


if __name__ == "__main__":
    main()
