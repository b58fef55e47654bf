"""Steps with several heads: plain NumPy loops over heads, what is expected of them, gaps head by head."""

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.diagnostics.gaps import gaps, gaps_by_head
from marginflow.optim.geometry import GEOMETRIES
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import Scaled
from several_heads import lifted, several_heads


def gradient(problem, theta):
    """Of the mean exponential loss over outputs, head by head: row by row, in plain float64."""
    heads = range(problem.counts[1])
    W = [theta["W"][h] if "W" in theta else theta["K"][h] @ theta["Q"][h].T for h in heads]
    shares, u = [], np.zeros(problem.counts[0])
    for i in range(problem.n):
        s = problem.X[i, problem.mask[i]] @ W[problem.head[i]] @ problem.z[i]
        p = np.exp(s - s.max())
        shares.append(p / p.sum())
        u[problem.output[i]] += shares[i] @ problem.scores[i, problem.mask[i]]
    G = [np.zeros((problem.d, problem.d_z)) for _ in heads]
    for i, p in enumerate(shares):
        x, gamma = problem.X[i, problem.mask[i]], problem.scores[i, problem.mask[i]]
        pull = -np.exp(-u[problem.output[i]]) / len(u) * p * (gamma - p @ gamma)
        G[problem.head[i]] += np.outer(x.T @ pull, problem.z[i])
    if "W" in theta:
        return {"W": np.stack(G)}
    return {
        "K": np.stack([g @ Q for g, Q in zip(G, theta["Q"])]),
        "Q": np.stack([g.T @ K for g, K in zip(G, theta["K"])]),
    }


def largest(M):
    """The entry of largest size, alone."""
    return np.where(np.abs(M) == np.abs(M).max(), np.sign(M), 0.0)


def singular_pairs(M, most):
    """The sum of u v' over the largest `most` singular values that are not 0."""
    U, s, V = np.linalg.svd(M, full_matrices=False)
    keep = min(most, int((s > 1e-10 * s[0]).sum()))
    return U[:, :keep] @ V[:keep]


RULES = {
    "sign": np.sign,
    "coordinate": largest,
    "spectral": lambda M: singular_pairs(M, 99),
    "nuclear": lambda M: singular_pairs(M, 1),
    "ngd-separate": lambda M: M / np.linalg.norm(M),
}


def loop(problem, theta, rule, rate, steps):
    """Every head's matrices each by themselves; `gd` and `ngd` all together."""
    first, second = ({n: np.zeros_like(a) for n, a in theta.items()} for _ in range(2))
    for t in range(1, steps + 1):
        g = gradient(problem, theta)
        if rule == "ngd":
            length = math.sqrt(sum((a * a).sum() for a in g.values()))
            g = {n: a / length for n, a in g.items()}
        elif rule == "adam":
            first = {n: 0.9 * first[n] + 0.1 * a for n, a in g.items()}
            second = {n: 0.95 * second[n] + 0.05 * a * a for n, a in g.items()}
            g = {n: first[n] / (1 - 0.9**t) / np.sqrt(second[n] / (1 - 0.95**t)) for n in g}
        elif rule != "gd":
            g = {n: np.stack([RULES[rule](M) for M in a]) for n, a in g.items()}
        theta = {n: a - rate * g[n] for n, a in theta.items()}
    return theta


@pytest.mark.parametrize("word", ["w", "kq"])
@pytest.mark.parametrize("rule", ["gd", "ngd", "adam", *RULES])
def test_steps_are_those_of_a_plain_loop_over_heads(rule, word):
    problem = several_heads(5, outputs=3, tokens=4, d=3, missing=1)
    optimizer = "adam:b1=0.9,b2=0.95,eps=0" if rule == "adam" else rule
    path = mf.descend(problem, word, optimizer, rate=0.05, iterations=7, seed=2, scale=0.5)
    theta = loop(problem, path.parameters(0), rule, 0.05, 7)
    for name, array in path.parameters(-1).items():
        assert array.shape[0] == 2
        np.testing.assert_allclose(array, theta[name], rtol=1e-9, atol=1e-11)


def test_a_batch_of_runs_is_the_runs():
    problem = several_heads(6, outputs=3, tokens=4, d=3)
    many = mf.descend_many(problem, "kq", "spectral:momentum=0.5", seeds=[0, 3], iterations=20)
    for seed, path in zip([0, 3], many, strict=True):
        one = mf.descend(problem, "kq", "spectral:momentum=0.5", seed=seed, iterations=20)
        np.testing.assert_allclose(path.W(-1), one.W(-1), rtol=1e-8, atol=1e-12)


def test_gradient_steps_are_those_of_the_block_diagonal_weights():
    problem = several_heads(5, outputs=3, tokens=4, d=3)
    path = mf.descend(problem, "w", "ngd", rate=0.1, iterations=30, seed=1)
    W = np.zeros((2, 3, 2, 3))
    W[[0, 1], :, [0, 1]] = path.W(0)
    whole = mf.descend(lifted(problem), "w", "ngd", rate=0.1, iterations=30, init=W.reshape(6, 6))
    expected = np.zeros((2, 3, 2, 3))
    expected[[0, 1], :, [0, 1]] = path.W(-1)
    np.testing.assert_allclose(whole.W(-1), expected.reshape(6, 6), rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def separable():
    """Both heads of different least norms, reached from small starts."""
    return mf.load("heads:n=3,T=3,d=6,H=2,seed=3")


def test_each_head_goes_to_its_own_least_norm(separable):
    """Under a sum of norms the heads together do not: each is as long as the longest must be."""
    path = mf.descend(separable, "w", "coordinate", iterations=2000, rate=0.1)
    assert path.status is mf.FlowStatus.minimal_loss and path.method.norm is None
    assert "every head goes to its own least entry-l1 norm" in path.method.why
    each = [found["entry-l1"].values[-1] for found in gaps_by_head(path)]
    least = [mf.solve(separable.of_head(h), "entry-l1").value for h in range(2)]
    together = gaps(path, norms=("entry-l1",))["entry-l1"].values[-1]
    assert max(each) < 0.035 and 2.0 * max(least) / sum(least) - 1.0 < together
    lengths = np.abs(path.W(-1)).sum(axis=(1, 2))
    assert lengths[0] == pytest.approx(lengths[1], rel=0.02) and least[0] > 1.1 * least[1]
    margins = [c.margins(W).min() for (_, c), W in zip(separable.constraints().per_head, path.W(-1))]
    for found, W, margin, value in zip(gaps_by_head(path), path.W(-1), margins, least, strict=True):
        assert found["entry-l1"].values[-1] == pytest.approx(np.abs(W).sum() / margin / value - 1.0, rel=1e-6)


def test_what_is_expected_of_the_heads_together(separable):
    def expected(optimizer, word="w", rate="speed:0.03"):
        return mf.descend(separable, word, optimizer, iterations=1, rate=rate).method

    assert expected("gd").norm == "frobenius" and expected("ngd", "kq").norm == "nuclear"
    assert expected("spectral").norm == "operator" and expected("sign").norm == "entry-linf"
    assert expected("nuclear").norm is None and "the largest of these" in expected("nuclear").why
    # The head of the larger margin grows faster, and its momentum is the one that may not forget.
    margins = [1.0 / mf.solve(separable.of_head(h), "operator").value for h in range(2)]
    faster = int(np.argmax(margins))
    limit = math.log(1.0 / 0.9)
    rate = 0.5 * (1.0 + min(margins) / max(margins)) * limit
    method = expected("spectral:momentum=0.9", rate=f"speed:{rate!r}")
    assert method.norm is None and method.why.startswith(f"head {faster}: x = ")
    assert expected("spectral:momentum=0.9", rate=f"speed:{0.9 * limit * min(margins) / max(margins)!r}").norm


def test_the_rule_for_traps_is_asked_head_by_head():
    path = mf.descend("heads:n=3,T=4,d=5,H=2,seed=5", "w", "ngd", rate="speed:0.2", iterations=400, seed=0)
    assert path.status is mf.FlowStatus.undecided and path.verdict.wrong == ((0, 3),)
    assert "head 0: attractor" in path.reason and "head 1: attractor (no token is better)" in path.reason


def test_files_and_the_verb(separable, tmp_path, capsys):
    words = ["descend", separable.name, "-p", "kq", "--optimizer", "spectral", "--iterations", "300"]
    assert main([*words, "--save", str(tmp_path / "run.npz"), "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    again = mf.Trajectory.load(tmp_path / "run.npz")
    assert again.W(-1).shape == (2, 6, 6) and again.method.norm == found["predicted"] == "operator"
    by_head = [{name: gap.values[-1] for name, gap in head.items()} for head in gaps_by_head(again)]
    for printed, computed in zip(found["gaps_by_head"], by_head, strict=True):
        assert printed["operator"] == pytest.approx(computed["operator"], nan_ok=True)
    main(words)
    assert "gap of each head to its own" in capsys.readouterr().out
    assert gaps_by_head(mf.descend("trap:infinity", "w", iterations=2)) == ()


@mf.register
@dataclass(frozen=True)
class OfItsOwn(mf.optim.AbstractOptimiser):
    """Sign steps that are said to minimise a norm that this library does not have."""

    word: str = field(default="own-of-heads", init=False)

    @property
    def ball(self):
        return GEOMETRIES["sign"]

    def init(self, arrays):
        return None

    def update(self, state, pull, arrays):
        return Scaled({n: np.sign(x) for n, x in pull.arrays.items()}, np.zeros(len(pull.log))), state

    def norm(self, setting):
        return Prediction("a norm of its own", "by definition")


def test_a_rule_whose_norm_is_not_known_here_runs_without_a_prediction(separable):
    path = mf.descend(separable, "w", OfItsOwn(), rate=0.1, iterations=2)
    assert path.method.norm is None and "nothing is known of the norm a norm of its own" in path.method.why
