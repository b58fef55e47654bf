"""Where decay ends: AdamW at the minimum of a barrier, the ridge at a point whose R is its slack."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.optimize import minimize

from marginflow.arrays import Floats
from marginflow.claims import steps
from marginflow.claims.claim import Check, Claim, Evidence
from marginflow.claims.measure import final
from marginflow.diagnostics.rates import log_prefactors, slack_constant
from marginflow.diagnostics.ratio import certify_weights
from marginflow.optim.adam import Adam
from marginflow.optim.decay import L2, Decoupled
from marginflow.optim.descend import descend_many
from marginflow.optim.gradient_descent import GradientDescent
from marginflow.problem.named import load
from marginflow.problem.problem import Problem
from marginflow.svm.solve import solve
from marginflow.trajectory.trajectory import Trajectory


PROBLEMS = 3
ADAMWS = ((0.5, 1e-3), (0.2, 1e-2))
"""lambda, eps: one in the box, lambda |w| up to .9; one where the barrier is nearly a ridge."""
RATE = 0.02
DONE = 40.0
"""rate lambda k at the end: what the start leaves is e^-40."""

RIDGES = (1e-2, 1e-4)
RIDGE_STEPS = 4000
LATE = (1e2, 1e4)
"""-log lambda of the late path."""
LATE_ON = ("sphere:n=6,T=8,d=10,seed=3", f"{steps.FAMILY},seed=0", f"{steps.FAMILY},seed=1")


def loss_and_gradient(data: Problem, W: Floats) -> tuple[float, Floats]:
    """L and its gradient, in plain float64 (theory 3.1, 3.2): no line of it is the optimisers'."""
    s = np.where(data.mask, np.einsum("ntd,de,ne->nt", data.X, W, data.z), -np.inf)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    scores = np.where(data.mask, data.scores, 0.0)
    output = (p * scores).sum(axis=1)
    each = np.exp(-output)
    r = -each[:, None] * p * (scores - output[:, None]) / data.n
    return float(each.mean()), np.einsum("nt,ntd,ne->de", r, data.X, data.z)


def adamw_barrier() -> Evidence:
    """AdamW at rest against the minimiser of L + eps sum [-log(1 - lambda |w|)/lambda - |w|]."""
    checks, details = [], {}
    for lam, eps in ADAMWS:
        away, ridge, tolerance, box = [], [], 0.0, []
        for path in _adamw(lam, eps):
            W, data = path.W(-1), path.problem
            predicted, left = barrier_minimum(data, lam, eps, path.W(0))
            length = float(np.linalg.norm(predicted))
            away.append(float(np.linalg.norm(W - predicted)) / length)
            plain, _ = ridge_minimum(data, lam * eps, path.W(0))
            ridge.append(float(np.linalg.norm(W - plain)) / length)
            box.append(lam * float(np.abs(W).max()))
            tolerance = max(tolerance, left / (lam * eps * length))
        checks.append(
            Check(
                f"lambda {lam:g}, eps {eps:g}: largest |W - predicted|/|predicted| of {PROBLEMS} runs",
                0.0,
                max(away),
                tolerance + 100.0 * math.exp(-DONE),
                "theory 7.6: the barrier's curvature is at least lambda eps, so that the residual gradient of the "
                "prediction bounds its error; the start leaves e^-(rate lambda k)",
            )
        )
        checks.append(
            Check(
                f"lambda {lam:g}, eps {eps:g}: least |W - ridge of lambda eps|/|predicted|",
                10.0 * tolerance,
                min(ridge),
                0.0,
                "that the barrier can be told from the ridge: ten times the tolerance",
                ">=",
            )
        )
        details[f"lambda {lam:g}, eps {eps:g}"] = {
            "from the barrier": steps.spread(away),
            "from the ridge": steps.spread(ridge),
            "lambda |w| at most": steps.spread(box),
        }
    return Evidence(tuple(checks), details)


@cache
def _adamw(lam: float, eps: float) -> list[Trajectory]:
    return descend_many(
        steps.problems(PROBLEMS),
        "w",
        Adam((0.9, 0.99), eps=eps),
        seeds=range(PROBLEMS),
        rate=RATE,
        decay=Decoupled(lam),
        iterations=math.ceil(DONE / (RATE * lam)),
    )


def barrier_minimum(data: Problem, lam: float, eps: float, start: Floats) -> tuple[Floats, float]:
    """The minimiser reached from `start`, and the length of its gradient (theory 7.6)."""

    def value(w: Floats) -> tuple[float, Floats]:
        W, size = w.reshape(start.shape), np.abs(w)
        L, G = loss_and_gradient(data, W)
        extra = eps * float((-np.log1p(-lam * size) / lam - size).sum())
        return L + extra, G.ravel() + eps * np.sign(w) * lam * size / (1.0 - lam * size)

    return _minimum(value, start, (1.0 - 1e-12) / lam)


def ridge_minimum(data: Problem, lam: float, start: Floats) -> tuple[Floats, float]:
    """The same for L + lam |W|^2/2."""

    def value(w: Floats) -> tuple[float, Floats]:
        L, G = loss_and_gradient(data, w.reshape(start.shape))
        return L + lam * float(w @ w) / 2.0, G.ravel() + lam * w

    return _minimum(value, start, math.inf)


def _minimum(value: Callable[[Floats], tuple[float, Floats]], start: Floats, bound: float) -> tuple[Floats, float]:
    found = minimize(
        value,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-bound, bound)] * start.size,
        options={"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-16, "gtol": 1e-13, "maxcor": 50},
    )
    return found.x.reshape(start.shape), float(np.linalg.norm(value(found.x)[1]))


def ridge_duality() -> Evidence:
    """R at stationary points of weight decay, and along the late path of the ridge."""
    worst = {"w": 0.0, "kq": 0.0}
    rest, seen, missing = 0.0, 0, []
    for word, norm in (("w", "frobenius"), ("kq", "nuclear")):
        for lam, path in _ridge_path(word):
            G = _pull(path)
            ratio = final(path, norm)
            if math.isnan(ratio.value):
                continue
            seen += 1
            rest = max(rest, _at_rest(path, G, lam))
            expected = 1.0 if word == "w" else float(np.linalg.norm(G, 2)) / lam
            missing += [expected - 1.0] if word == "kq" else []
            worst[word] = max(worst[word], abs(ratio.duality - expected))
    late = [(name, L, *_late(name, L)) for name in LATE_ON for L in LATE]
    reason = "theory 7.6; ten times how far the run is from rest, relatively"
    checks = [
        Check("one matrix: largest |duality factor of R - 1|", 0.0, worst["w"], 10.0 * rest + 1e-14, reason),
        Check("K, Q: largest |duality factor of R - |G|_op/lambda|", 0.0, worst["kq"], 10.0 * rest + 1e-14, reason),
        Check(
            "separating runs at rest, relatively (largest |decay - pull| over pull)",
            0.0,
            rest,
            1e-4,
            f"{RIDGE_STEPS} steps from the last lambda; {seen} runs",
        ),
        Check(
            f"late path at margin 1e4: largest |(R - 1) margin - S|/S over {len(LATE_ON)} problems",
            0.0,
            max(abs(found - S) / S for _, L, _, found, S in late if L == LATE[-1]),
            1e-3,
            "ten times 1/margin",
        ),
    ]
    details = {
        "separating stationary points": seen,
        "|G|_op/lambda - 1 for K, Q": missing,
        "late path": [
            {"problem": name, "-log lambda": L, "margin": margin, "(R - 1) margin": found, "S": S}
            for name, L, margin, found, S in late
        ],
    }
    return Evidence(tuple(checks), details)


def _ridge_path(word: str) -> list[tuple[float, Trajectory]]:
    """Gradient descent with decay, each lambda from where the last one ended."""
    data, out = steps.problems(PROBLEMS), []
    given: dict[str, object] = {"seeds": range(PROBLEMS)}
    for lam in RIDGES:
        paths = descend_many(
            data,
            word,
            GradientDescent(momentum=0.9),
            rate=0.01 / lam,
            decay=L2(lam),
            iterations=RIDGE_STEPS,
            **given,  # type: ignore[arg-type]
        )
        given = {"inits": [path.parameters(-1) for path in paths]}
        out += [(lam, path) for path in paths]
    return out


def _pull(path: Trajectory) -> Floats:
    """-grad L at the end of a run, in W."""
    return -loss_and_gradient(path.problem, path.W(-1))[1]


def _at_rest(path: Trajectory, G: Floats, lam: float) -> float:
    theta = path.parameters(-1)
    pairs = [(G, theta["W"])] if "W" in theta else [(G @ theta["Q"], theta["K"]), (G.T @ theta["K"], theta["Q"])]
    return max(float(np.linalg.norm(pull - lam * x) / np.linalg.norm(lam * x)) for pull, x in pairs)


def _late(name: str, size: float) -> tuple[float, float, float]:
    """Margin, (R - 1) margin and its limit S where lambda = e^-size, by Newton from the SVM (theory 7.6)."""
    data = load(name)
    svm, rows = solve(data, "frobenius"), data.constraints()
    log_kappa = log_prefactors(data, rows)
    A = rows.vectors(diagonal=False)
    gram, wanted = A @ A.T, log_kappa + size
    first = svm.dual * svm.value * size
    on = svm.dual > 1e-9 * svm.dual.max()
    log_dual = np.where(on, np.log(np.maximum(first, 1e-300)), wanted - gram @ np.where(on, first, 0.0))
    for _ in range(100):
        dual = np.exp(log_dual)
        off = log_dual + gram @ dual - wanted
        if np.abs(off).max() < 1e-11 * size:
            break
        step = np.linalg.solve(np.eye(len(dual)) + gram * dual, -off)
        # Newton in the multipliers themselves, kept positive.
        log_dual = log_dual + np.log1p(np.maximum(step * min(1.0, 0.99 / max(1e-300, -step.min())), -0.99))
    else:
        raise ArithmeticError(f"{name}: no point of the ridge path found at lambda = e^-{size:g}")
    W = (A.T @ dual).reshape(data.d, data.d_z)
    margin = float(rows.margins(W).min())
    ratio = certify_weights(W, dual, rows, "frobenius")
    return margin, (ratio.value - 1.0) * margin, slack_constant(log_kappa, svm.dual)


CLAIMS = (
    Claim(
        "adamw-barrier",
        "At rest AdamW with eps minimises the loss plus a logarithmic barrier of the box |w| < 1/lambda, which is the "
        "ridge of lambda eps where lambda |w| is small.",
        "derived, docs/theory.md 7.6",
        f"{steps.FAMILY}, seeds 0-{PROBLEMS - 1}",
        adamw_barrier,
    ),
    Claim(
        "ridge-duality",
        "At stationary points of weight decay the duality factor of R is 1 for one matrix and |G|_op/lambda for keys "
        "and queries, so that R - 1 is slack, and (R - 1) margin tends to a number of the SVM.",
        "derived, docs/theory.md 7.6",
        f"{steps.FAMILY}, seeds 0-{PROBLEMS - 1}; late path: {', '.join(LATE_ON)}",
        ridge_duality,
    ),
)
