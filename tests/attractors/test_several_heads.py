"""The ends of several heads are the product of the heads' lists: brute force, runs, and what a head costs."""

import itertools
import json

import numpy as np
import pytest
from brute_force import brute

import marginflow as mf
from marginflow.attractors import attractors
from marginflow.attractors.product import LISTED, EndsOfHeads
from marginflow.attractors.sentence import known_ends
from marginflow.cli.attractors import attractors as verb
from marginflow.figures.attractors import draw_basins, draw_shares
from several_heads import lifted, several_heads


def check(problem, word, norm):
    """The product against brute force over all selections of the block-diagonal problem."""
    found = attractors(problem, word)
    passed, doubtful = brute(lifted(problem), norm)
    listed = {tuple(end.selected.tolist()) for end in found.attractors}
    assert found.complete and found.listed and found.count == len(listed)
    assert listed - doubtful == passed
    return len(passed)


@pytest.mark.parametrize("word, norm", [("w", "frobenius"), ("diag", "l2"), ("diag-kq", "l1")])
def test_products_equal_brute_force_over_joint_selections(word, norm):
    """Rows in any order, outputs without some head, and one head whose outputs have two rows."""
    problems = [several_heads(s, outputs=2, tokens=3, d=3, missing=s % 2) for s in range(8)]
    one = several_heads(3, outputs=2, tokens=3, d=4)
    problems.append(mf.Problem(one.X, one.z, one.scores, mask=one.mask, output=one.output))
    assert max(check(problem, word, norm) for problem in problems) > 2


RUNS = {"scale": 3.0, "until_margin": 500.0}
"""Far starts meet several ends; below the margin from which traps are told a run costs little."""


@pytest.fixture(scope="module")
def sampled():
    return attractors("heads:n=3,T=4,d=5,H=2,seed=5", "w", sample=4, scales=(0.3, 3.0), until_margin=500.0)


def test_no_gap_is_told_of_kkt_points():
    """Under a rank cap heads end at KKT points; the certified SVM beside one is about other weights."""
    found = attractors("heads:n=3,T=3,d=4,H=2,seed=5", mf.KeyQuery(width=1))
    assert all(part.decision.point and part.decision.solution for end in found.attractors for part in end.parts)
    assert found.count == 12 and all(np.isnan(end.gap) for end in found.attractors)


def test_runs_end_in_the_product(sampled):
    assert sampled.elsewhere == 0 and len(sampled.met) > 1
    counted = [[s.count for s in end.shares] for end in sampled.attractors]
    assert np.sum(counted, axis=0).tolist() == [4, 4]
    paths = mf.integrate_many(sampled.problem, "w", seeds=range(4), **RUNS)
    ends = [sampled.find(path.selected(-1)) for path in paths]
    for place, end in enumerate(sampled.attractors):
        same = sum(np.array_equal(end.selected, met.selected) for met in ends)
        assert end.shares[1].count == same, place
    for h, own in enumerate(sampled.heads):
        one = attractors(sampled.problem.of_head(h), sampled.parameterization)
        assert [e.selected.tolist() for e in own.attractors] == [e.selected.tolist() for e in one.attractors]
        assert sum(s.count for e in own.attractors for s in e.shares) == 8
    assert 0.0 < sampled.missing < 1.0


def test_runs_that_are_in_no_end_are_counted_apart(sampled):
    early = attractors(sampled.problem, "w", sample=4, scales=(3.0,), until_margin=1e-3)
    assert early.elsewhere > 0
    assert early.elsewhere + sum(sum(met.values()) for met in early.met.values()) == 4


def test_keys_and_queries_end_in_the_product():
    found = attractors("heads:n=2,T=3,d=4,H=2,seed=2", "kq", sample=2, scales=(3.0,), until_margin=500.0)
    assert found.complete and found.count > 1 and found.elsewhere == 0
    assert sum(end.shares[0].count for end in found.attractors) == 2


def test_the_loss_of_an_end_is_that_of_attention_on_its_tokens(sampled):
    problem, rows = sampled.problem, np.arange(sampled.problem.n)
    for loss in (mf.losses.Exponential(), mf.losses.Logistic()):
        found = attractors(problem, sampled.parameterization, loss=loss)
        assert [end.optimal for end in found.attractors] == [True] + [False] * (found.count - 1)
        for end in found.attractors:
            u = np.bincount(problem.output, problem.scores[rows, end.selected])
            best = np.bincount(problem.output, problem.scores[rows, problem.optimal])
            excess = loss.value(u[:, None]).mean() - loss.value(best[:, None]).mean()
            assert end.excess == pytest.approx(excess, rel=1e-12, abs=1e-15)
        equal = np.bincount(problem.output, problem.scores.mean(axis=1))
        assert found.zero_loss == pytest.approx(loss.value(equal[:, None]).mean(), rel=1e-14)


def test_the_value_of_an_end_is_that_of_the_joint_svm(sampled):
    for end in sampled.attractors:
        joint = mf.solve(sampled.problem, end.norm, 1e-9, end.selected, against="worse")
        assert end.value == pytest.approx(joint.value, rel=2e-9) and end.gap < 2e-9
        assert end.stability == min(part.stability for part in end.parts)


def test_products_too_large_to_write_out_are_counted():
    """Fifteen heads: the number is exact, and nothing is enumerated."""
    draw = np.random.default_rng(0)
    one = mf.load("sphere:n=4,T=4,d=8,seed=3")
    own = attractors(one, "w")
    heads = 15
    X = np.concatenate([one.X] * heads)
    z, scores = np.concatenate([one.z] * heads), np.concatenate([one.scores] * heads)
    output, head = np.tile(np.arange(4), heads), np.repeat(np.arange(heads), 4)
    order = draw.permutation(4 * heads)
    problem = mf.Problem(X[order], z[order], scores[order], output=output[order], head=head[order])
    found = attractors(problem, "w")
    assert len(own) == 2 and found.count == 2**heads > LISTED and not found.listed
    assert [end.optimal for end in found.attractors] == [True]
    assert str(2**heads) in found.sentence and "near zero" not in found.sentence
    fields = found.to_dict()
    assert fields["count"] == 2**heads and fields["listed"] is False and fields["below_zero_loss"] is None
    trap = found.find(np.where(problem.head == 3, own.attractors[1].selected[problem.output], problem.optimal))
    assert not trap.optimal and [part.optimal for part in trap.parts].count(False) == 1


def test_one_incomplete_head_makes_the_product_incomplete():
    base = mf.load("sphere:n=4,T=4,d=6,seed=1")
    problem = mf.Problem(base.X, base.z, base.scores, head=[0, 1, 1, 1])
    whole, cut = attractors(problem, "w"), attractors(problem, "w", limit=5)
    assert whole.complete and not cut.complete and cut.heads[0].complete
    assert all(why.startswith("head 1: ") for why in cut.incomplete_because) and cut.incomplete_because
    assert "may be incomplete" in cut.sentence and not cut.only_minimal_loss


def test_only_minimal_loss_needs_it_of_every_head():
    found = attractors("heads:n=3,T=3,d=6,H=2,seed=3", "w")
    assert found.only_minimal_loss and "in every head" in found.sentence
    other = attractors("heads:n=3,T=4,d=5,H=2,seed=5", "w")
    assert not other.only_minimal_loss and not other.attractors[1].optimal
    assert known_ends(other.problem, "w").sentence == other.sentence


def test_ends_of_vectors_and_of_infinite_losses_are_refused():
    with pytest.raises(mf.InputError, match="not derived for values"):
        attractors("classes:n=3,T=3,d=6,k=3,seed=3", "w")
    draw = np.random.default_rng(0)
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    problem = mf.Problem(draw.standard_normal((2, 3, 4)), draw.standard_normal((2, 4)), scores)
    with pytest.raises(mf.InputError, match="loss log with scores of 0"):
        attractors(problem, "w", loss="log")
    assert known_ends(problem, "w", "log") is None and known_ends(problem, "w") is not None
    above = mf.Problem(problem.X, problem.z, scores + 0.1)
    assert attractors(above, "w", loss="log").complete


def test_the_picture_of_shares_is_of_joint_ends(sampled, tmp_path):
    draw_shares(sampled, tmp_path / "ends.svg")
    assert "8 ends listed" in (tmp_path / "ends.svg").read_text()


def test_the_verb_says_heads_and_product(capsys):
    data = "heads:n=3,T=4,d=5,H=2,seed=5"
    assert verb(data, "w") == 0
    out = capsys.readouterr().out
    assert "4 x 2: every combination" in out and "head 1:" in out and "all heads together: 8 ends" in out
    assert verb(data, "w", json=True) == 0
    found = json.loads(capsys.readouterr().out)
    lists = [[tuple(e["selected"]) for e in head["attractors"]] for head in found["heads"]]
    problem = mf.load(data)
    joint = {tuple(np.array(end["selected"])[problem.head == h]) for end in found["attractors"] for h in range(1)}
    assert joint == set(lists[0]) and found["count"] == len(list(itertools.product(*lists))) == 8
    assert found["complete"] is True and isinstance(attractors(problem, "w"), EndsOfHeads)


def test_basins_are_of_one_head(tmp_path):
    draw = np.random.default_rng(1)
    X, z, scores = draw.standard_normal((2, 3, 2)), np.ones((2, 1)), draw.standard_normal((2, 3))
    found = attractors(mf.Problem(X, z, scores, head=[0, 1]), "w")
    with pytest.raises(mf.InputError, match="several heads"):
        draw_basins(found, tmp_path / "basins.svg")
