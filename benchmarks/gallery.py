"""The papers' own rules beside the gallery's rows: CPU seconds, and how near each comes to its certified SVM.

    python benchmarks/gallery.py [NAME ...] [--write]

One BLAS thread, CPU seconds of this process. The rules are written anew in NumPy from the papers: descent along
gradients divided by their norm, K and Q each by its own, with 2.2e-16 (|K|^2 + |Q|^2) added to the loss (TF-as-SVM);
the same of p in float32 (max_margin_attention); mirror descent with normalised gradients (superurop). Starts that a
paper does not seed are drawn by NumPy, from seed 0 on. Least norms "of the paper" are CVXPY's by the solver that it
chooses itself. --write puts what is found into src/marginflow/gallery/data/peers.json, from which the gallery reads
it; needs the extra [bench].
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cvxpy as cp
import numpy as np
from scipy.special import softmax

import marginflow as mf
from marginflow.diagnostics.ratio import over_margin
from marginflow.gallery import multi_token as multi_token_row, registry
from marginflow.gallery.bundled import random_heads, stored
from marginflow.gallery.ending import cosine
from marginflow.gallery.peers import FILE
from marginflow.gallery.relu_flow import Runs
from marginflow.gallery.relu_head import ReluHeads, Sets
from marginflow.gallery.svm_rank import SEEDS, SIZES
from marginflow.norms import parse_norm


EPS = float(np.finfo(float).eps)
LOSSES = {"logistic": lambda u: 1.0 / (1.0 + np.exp(u)), "linear": lambda u: np.ones_like(u)}
"""-l'(u): how hard an output is pulled."""


def gradient(problem: mf.Problem, W: np.ndarray, loss: str, kind: type = np.float64) -> np.ndarray:
    """Of the mean loss, in plain floating point as a training loop has it."""
    X, z, scores = (a.astype(kind) for a in (problem.X, problem.z, problem.scores))
    s = np.einsum("ntd,nd->nt", X, z @ W.T)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    u = (p * scores).sum(axis=1)
    pull = p * (scores - u[:, None]) * LOSSES[loss](u)[:, None] / problem.n
    return -np.einsum("nt,ntd->nd", pull, X).T @ z


def descend_w(problem: mf.Problem, W: np.ndarray, iterations: int, loss: str = "logistic") -> np.ndarray:
    """W, by steps of length .1, in the precision of W."""
    for _ in range(iterations):
        G = gradient(problem, W, loss, W.dtype.type)
        W = W - W.dtype.type(0.1) * G / (np.linalg.norm(G) + W.dtype.type(1e-12 if W.dtype == np.float32 else EPS))
    return W


def descend_kq(problem: mf.Problem, K: np.ndarray, Q: np.ndarray, iterations: int) -> np.ndarray:
    """K Q', each by steps of length .1."""
    for _ in range(iterations):
        G = gradient(problem, K @ Q.T, "logistic")
        dK, dQ = G @ Q + 2 * EPS * K, G.T @ K + 2 * EPS * Q
        K = K - 0.1 * dK / (np.linalg.norm(dK) + EPS)
        Q = Q - 0.1 * dQ / (np.linalg.norm(dQ) + EPS)
    return K @ Q.T


def descend_mirror(problem: mf.Problem, p: float, iterations: int) -> np.ndarray:
    """W from 0 by mirror descent, the gradient over its dual norm."""
    W = np.zeros((problem.d, problem.d_z))
    for _ in range(iterations):
        G = gradient(problem, W, "logistic")
        moved = np.sign(W) * np.abs(W) ** (p - 1) - 0.1 * G / ((np.abs(G) ** (p / (p - 1))).sum() ** (1 - 1 / p) + EPS)
        W = np.sign(moved) * np.abs(moved) ** (1 / (p - 1))
    return W


def selected_by(problem: mf.Problem, W: np.ndarray) -> np.ndarray:
    return np.einsum("ntd,nd->nt", problem.X, problem.z @ W.astype(float).T).argmax(axis=1)


@dataclass(frozen=True)
class Reached:
    """Where a rule came to, beside the SVM of the tokens that it selects; nan where those are not separable."""

    cosine: float
    excess: float

    @classmethod
    def of(cls, problem: mf.Problem, W: np.ndarray, norm: str) -> "Reached":
        W = W.astype(float)
        svm = mf.solve(problem, norm, selection=selected_by(problem, W))
        if not np.isfinite(svm.value):
            return cls(np.nan, np.nan)
        margin = float(svm.constraints.margins(W).min())
        return cls(cosine(W, svm.W), over_margin(parse_norm(norm), W, margin) / svm.certificate.lower - 1)


def least(problem: mf.Problem, norm: str, **options: Any) -> np.ndarray:
    """CVXPY's W, by the solver that it chooses unless `options` says another."""
    c, W = problem.constraints(), cp.Variable((problem.d, problem.d_z))
    rows = cp.sum(cp.multiply(c.a @ W, c.z[c.sample]), axis=1)
    p = {"nuclear": "nuc", "frobenius": "fro"}.get(norm)
    size = cp.norm(W, p) if p else cp.pnorm(cp.vec(W, order="C"), float(norm.partition(":")[2]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cp.Problem(cp.Minimize(size), [rows >= 1]).solve(**options)
    return np.asarray(W.value)


def size(W: np.ndarray, norm: str) -> float:
    return float(parse_norm(norm).value(W))


def visualization(name: str) -> dict[str, Any]:
    problem = stored(name)
    fro, nuc = least(problem, "frobenius"), least(problem, "nuclear")
    start = 0.1 * np.random.default_rng(0).standard_normal((2, 2)), np.zeros((2, 2))
    w = Reached.of(problem, descend_w(problem, np.zeros((2, 2)), 2000), "frobenius")
    long = descend_kq(problem, *start, 6000)
    W = descend_kq(problem, *start, 2000)
    kq = Reached.of(problem, W, "nuclear")
    return {
        "least Frobenius norm": size(fro, "frobenius"),
        "least nuclear norm": size(nuc, "nuclear"),
        "rank of the nuclear solution": int(np.linalg.matrix_rank(nuc, tol=1e-7)),
        "cosine of W and its SVM": w.cosine,
        "cosine of K Q' and its SVM": kq.cosine,
        "norm / (margin x least) - 1 of W": w.excess,
        "norm / (margin x least) - 1 of K Q'": kq.excess,
        "Frobenius norm of K Q' after 2,000 and 6,000 steps": [size(W, "frobenius"), size(long, "frobenius")],
    }


def local_converge() -> dict[str, Any]:
    problems = [random_heads(6, 8, 10, seed) for seed in range(100)]
    found: dict[str, Any] = {}
    for norm, word in (("frobenius", "Frobenius"), ("nuclear", "nuclear")):
        norms = [size(least(p, norm), norm) for p in problems]
        found[f"mean least {word} norm of the optimal tokens"] = float(np.mean(norms))
    bound = 1 / np.sqrt(10)
    for norm, label in (("frobenius", "W"), ("nuclear", "K Q'")):
        ends = []
        for seed, problem in enumerate(problems):
            draw = np.random.default_rng(seed)
            start = [draw.uniform(-bound, bound, (10, 10)) for _ in range(1 if label == "W" else 2)]
            W = descend_w(problem, *start, 2000) if label == "W" else descend_kq(problem, *start, 2000)
            ends.append(Reached.of(problem, W, norm))
        found[f"mean cosine of {label} and its SVM"] = float(np.nanmean([e.cosine for e in ends]))
        found[f"median norm / (margin x least) - 1 of {label}"] = float(np.nanmedian([e.excess for e in ends]))
        found[f"largest norm / (margin x least) - 1 of {label}"] = float(np.nanmax([e.excess for e in ends]))
    return found


def svm_rank() -> dict[str, Any]:
    """Ranks as the notebook counts them, and the same counted on a solution of a tighter tolerance."""
    plain, tight = [], []
    for n, T, d in SIZES:
        problems = [random_heads(n, T, d, seed) for seed in range(SEEDS)]
        plain.append(float(np.mean([np.linalg.matrix_rank(least(p, "nuclear"), tol=1e-7) for p in problems])))
        exact = [least(p, "nuclear", solver=cp.SCS, eps_abs=1e-10, eps_rel=1e-10, max_iters=200_000) for p in problems]
        tight.append(float(np.mean([np.linalg.matrix_rank(W, tol=1e-7) for W in exact])))
    return {"mean rank, nuclear": plain, "mean rank, nuclear, the same solver at 1e-10": tight}


def single_input(name: str) -> dict[str, Any]:
    # Printed in the notebook: the last lines of its solver's log.
    return {"half of least |p|^2, token 0": 0.49505, "half of least |p|^2, token 1": 0.5}


def multi_input() -> dict[str, Any]:
    problem = stored("multi_input")
    starts = [np.array([[x], [0.0]], dtype=np.float32) for x in (1.0, 0.5, 0.0, -0.5, -1.0, -1.5)]
    ends = [Reached.of(problem, descend_w(problem, p, 1000), "frobenius") for p in starts]
    return {
        "half of least |p|^2, the score as a third coordinate": 0.31319,
        "least cosine of p and its SVM": min(e.cosine for e in ends),
        "largest norm / (margin x least) - 1": max(e.excess for e in ends),
    }


def diff_loss_function() -> dict[str, Any]:
    tokens = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, -1.0]]])
    found = {}
    for loss in ("linear", "logistic"):
        ends = []
        for C in (*range(1, 11), 100):
            problem = mf.Problem(tokens, np.ones((2, 1)), np.array([[0.0, C], [0.0, 1.0]]))
            ends.append(Reached.of(problem, descend_w(problem, np.zeros((2, 1), np.float32), 1000, loss), "frobenius"))
        found[f"largest norm / (margin x least) - 1, {loss}"] = max(e.excess for e in ends)
    return found


def mirror(p: float) -> dict[str, Any]:
    """From 0, as the paper's single run; its iterations."""
    norm, iterations = f"entry-lp:{p:g}", {1.75: 1500, 2.0: 2000, 3.0: 20_000}[p]
    problems = [random_heads(6, 8, 10, seed) for seed in (1, 2, 3)]
    ends = [Reached.of(problem, descend_mirror(problem, p, iterations), norm) for problem in problems]
    return {
        "least norm": [size(least(problem, norm), norm) for problem in problems],
        "cosine of W and its SVM": [e.cosine for e in ends],
        "norm / (margin x least) - 1": [e.excess for e in ends],
    }


def next_token() -> dict[str, Any]:
    # Stored output of the notebook mc_next_single_layer_global_converge.ipynb; running it took 159 s here.
    cosines = "98744 98758 98402 98775 98768 99124 97860 97615 98601 99280"
    distances = "493 993 493 1198 487 491 519 501 590 438"
    return {
        "cosine of W and its SVM, Frobenius": [int(digits) / 1e5 for digits in cosines.split()],
        "distance of the finite part": [int(digits) / 1e5 for digits in distances.split()],
        "CPU s": 159.0,
        "least loss": [0.2310, 0.4621, 0.2310, 0.6932, 0.2310, 0.2310, 0.4621, 0.2310, 0.2310, 0.2310],
    }


def descend_relu(heads: ReluHeads, W: np.ndarray, iterations: int) -> Runs:
    """W of many problems before a ReLU head, by steps of length .1; the shares are those before the last step."""
    for _ in range(iterations):
        p = softmax((heads.X @ (W @ heads.z.swapaxes(1, 2)).swapaxes(1, 2)[..., None])[..., 0], axis=-1)
        u = (p[..., None, :] @ heads.values)[..., 0, :]
        pull = -heads.labels * LOSSES["logistic"](heads.labels * np.maximum(u, 0.0).sum(axis=2)) / heads.X.shape[1]
        gain = (heads.values @ (u > 0.0).astype(float)[..., None])[..., 0]
        force = pull[..., None] * p * (gain - (p * gain).sum(axis=2, keepdims=True))
        G = (force[..., None, :] @ heads.X)[..., 0, :].swapaxes(1, 2) @ heads.z
        W = W - 0.1 * G / (np.linalg.norm(G, axis=(1, 2), keepdims=True) + EPS)
    return Runs(W, p, np.full(len(W), np.nan))


def multi_token() -> dict[str, Any]:
    """The rule on every seed of the row, and what the notebook's filter keeps: no share in (1e-6, 1e-3]."""
    kept, several, dead, excess, ended = [], [], [], [], []
    for d in multi_token_row.WIDTHS:
        heads = ReluHeads.draw(d, multi_token_row.SEEDS)
        runs = descend_relu(heads, multi_token_row.starts(heads), 2001)
        sets = Sets.of(heads)
        ended.append(int(multi_token_row.on_sets(runs, sets)[sets.several].sum()))
        left, members = runs.shares <= 1e-6, runs.shares > 1e-3
        mine = (left | members).all(axis=(1, 2)) & left.any(axis=(1, 2))
        more = (members.sum(axis=2) > 1) & mine[:, None]
        force = ((runs.shares[..., None, :] @ heads.values)[..., 0, :] > 0.0).any(axis=2)
        kept.append(int(mine.sum()))
        several.append(int(more.sum()))
        dead.append(int((more & ~force).sum()))
        excess.append(_kept_cosines(heads, runs, members, np.flatnonzero(mine)))
    return {
        multi_token_row.ON_SETS: ended,
        "seeds that its filter keeps": kept,
        "samples with several tokens there": several,
        "of these on a dead zone, without force": dead,
        "mean 1 - cosine of W and its SVM, of the kept": [float(np.mean(found)) for found in excess],
        # Read off the figure, at 2,000 steps, of 500 seeds of each width.
        "mean 1 - cosine of W and its SVM, of the kept, read off the figure": [0.034, 0.016, 0.011, 0.0056],
    }


def _kept_cosines(heads: ReluHeads, runs: Runs, members: np.ndarray, kept: np.ndarray) -> list[float]:
    rows = [(k, heads.constraints(k, members[k], runs.shares[k].argmax(axis=1))) for k in kept]
    found = [(k, mf.solve(constraints, "frobenius")) for k, constraints in rows]
    return [1.0 - cosine(runs.W[k], svm.W) for k, svm in found if np.isfinite(svm.value)]


PEERS: dict[str, Callable[[], dict[str, Any]]] = {
    "visualization1": lambda: visualization("visualization1"),
    "visualization2": lambda: visualization("visualization2"),
    "local_converge": local_converge,
    "svm_rank": svm_rank,
    "single_input_global": lambda: single_input("single_input_global"),
    "single_input_local": lambda: single_input("single_input_local"),
    "multi_input": multi_input,
    "diff_loss_function": diff_loss_function,
    "mirror-1.75": lambda: mirror(1.75),
    "mirror-2": lambda: mirror(2.0),
    "mirror-3": lambda: mirror(3.0),
    "next-token-global": next_token,
    "multi_token": multi_token,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--write", action="store_true", help=f"put the numbers into {FILE.name}")
    given = parser.parse_args()
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    print("| row | CPU s, the paper's rule and solver | CPU s, marginflow | ratio | holds |\n|---|---|---|---|---|")
    for name in given.names or PEERS:
        start = time.process_time()
        found = PEERS[name]()
        cpu = time.process_time() - start
        if given.write:
            known[name] = ({"CPU s": round(cpu, 2)} if cpu > 0.05 else {}) | found
            FILE.write_text(json.dumps(known, indent=1) + "\n")
            print(f"| {name} | {cpu:.2f} | | | |", flush=True)
            continue
        (result,) = registry.run([name])
        print(f"| {name} | {cpu:.2f} | {result.cpu:.2f} | {cpu / result.cpu:.2g} | {result.holds} |", flush=True)


if __name__ == "__main__":
    main()
