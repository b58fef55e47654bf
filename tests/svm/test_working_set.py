"""SVMs of tokens that stay on disk: the answer of the same tokens in memory, in counted passes."""

import importlib
import tracemalloc

import numpy as np
import pytest

import marginflow as mf
from marginflow.norms import Frobenius
from marginflow.problem import stored
from marginflow.svm import working_set
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational
from marginflow.svm.referee.verify import verify_saved
from stored_problems import few_at_a_time, mapped, tokens


@pytest.fixture
def few(monkeypatch):
    few_at_a_time(monkeypatch, 7, tokens()[0])
    monkeypatch.setattr(working_set, "_JOIN", 20)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator", "entry-l1", "entry-lp:3"])
def test_the_answer_is_that_of_the_tokens_in_memory(tmp_path, few, norm):
    X, z, scores = tokens()
    apart, plain = mf.solve(mapped(tmp_path, X, z, scores), norm), mf.solve(mf.Problem(X, z, scores), norm)
    assert apart.status is plain.status is mf.SvmStatus.optimal
    assert apart.certificate.gap <= 1e-9 and apart.value == pytest.approx(plain.value, rel=2e-9)
    assert len(apart.constraints) == len(apart.dual) == len(plain.dual)
    assert apart.iterations["working_set"] < len(apart.dual)
    # The certificate is of what is returned, over everything.
    again = mf.solve(mf.Problem(X, z, scores), norm, start=plain)
    assert apart.certificate.lower <= again.certificate.upper and again.certificate.lower <= apart.certificate.upper
    assert plain.constraints.margins(apart.W).min() == pytest.approx(1.0, abs=1e-12)


def test_passes_are_counted_as_they_are_made(tmp_path, few, monkeypatch):
    X, z, scores = tokens()
    problem = mapped(tmp_path, X, z, scores)
    read = []
    blocks = stored.StoredTokens.blocks

    def counted(self, wanted=None, *, check=False):
        for rows, block in blocks(self, wanted, check=check):
            read.append(len(block))
            yield rows, block

    monkeypatch.setattr(stored.StoredTokens, "blocks", counted)
    found = mf.solve(problem, "frobenius")
    assert sum(read) == 40 * found.iterations["passes"]
    # One to begin with, one a round, one certificate.
    assert found.iterations["passes"] == found.iterations["rounds"] + 2 >= 4


def test_memory_is_that_of_the_working_set(tmp_path, monkeypatch):
    X, z, scores = tokens(n=150, T=64, d=12, d_z=3)
    few_at_a_time(monkeypatch, 10, X)
    monkeypatch.setattr(working_set, "_JOIN", 40)
    mf.solve(mapped(tmp_path, *tokens(n=5)), "frobenius")  # what is imported first
    problem = mapped(tmp_path, X.astype(np.float64), z, scores)
    tracemalloc.start()
    found = mf.solve(problem, "frobenius")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.status is mf.SvmStatus.optimal and "X" not in vars(problem)
    assert peak < 8 * X.size


def test_masks_selections_and_better_tokens(tmp_path, few):
    X, z, scores = tokens()
    mask = np.arange(9) < np.random.default_rng(3).integers(3, 10, 40)[:, None]
    X = np.where(mask[:, :, None], X, np.nan)
    apart, plain = mapped(tmp_path, X, z, scores, mask), mf.Problem(np.nan_to_num(X), z, scores, mask=mask)
    assert mf.solve(apart, "frobenius").value == pytest.approx(mf.solve(plain, "frobenius").value, rel=2e-9)
    second = np.where(mask, scores, -np.inf).argsort(axis=1)[:, -2]
    for against in ("better", "worse"):
        ends = [mf.solve(p, "frobenius", selection=second, against=against) for p in (apart, plain)]
        assert len(ends[0].dual) == len(ends[1].dual)
        assert ends[0].value == pytest.approx(ends[1].value, rel=2e-9)
    assert mf.solve(apart, "frobenius", against="better").value == 0.0


def test_what_contradicts_itself_is_proved_from_the_working_set(tmp_path, few):
    X, z, scores = tokens(d_z=1)
    z[:] = 1.0
    X[30], X[31] = X[3], X[3]
    scores[30] = -scores[3]
    found = mf.solve(mapped(tmp_path, X, z, scores), "nuclear")
    assert found.status is mf.SvmStatus.infeasible and "contradict" in found.reason
    found.save(tmp_path / "s.npz")
    assert mf.Solution.load(tmp_path / "s.npz").status is mf.SvmStatus.infeasible
    assert verify_saved(tmp_path / "s.npz").holds


def test_several_heads_and_a_start(tmp_path, few):
    X, z, scores = tokens(n=60)
    np.save(tmp_path / "X.npy", X)
    head = np.arange(60) % 2
    apart = mf.Problem(np.load(tmp_path / "X.npy", mmap_mode="r"), z, scores, head=head)
    found, plain = mf.solve(apart, "frobenius"), mf.solve(mf.Problem(X, z, scores, head=head), "frobenius")
    assert found.W.shape == (2, 6, 5) and found.value == pytest.approx(plain.value, rel=2e-9)
    one = mapped(tmp_path, X, z, scores)
    first = mf.solve(one, "frobenius")
    second = mf.solve(one, "frobenius", start=first)
    assert second.iterations["passes"] < first.iterations["passes"]
    assert second.value == pytest.approx(first.value, rel=2e-9)


def test_rank_and_uniqueness_are_left_undecided_where_they_would_read_everything(tmp_path, few, monkeypatch):
    X, z, scores = tokens()
    found = mf.solve(mapped(tmp_path, X, z, scores), "nuclear")
    assert found.rank == mf.solve(mf.Problem(X, z, scores), "nuclear").rank
    from marginflow.svm import solution

    monkeypatch.setattr(solution, "_IN_MEMORY", 100)
    again = mf.solve(mapped(tmp_path, X, z, scores), "nuclear")
    assert again.rank is None and again.unique is None and "more than are read" in again.uniqueness.sentence
    assert mf.solve(mapped(tmp_path, X, z, scores), "frobenius").unique is True


def test_a_dask_array_is_solved(few):
    dask = importlib.import_module("dask.array")
    X, z, scores = tokens()
    apart = mf.Problem(dask.from_array(X, chunks=(13, 9, 6)), z, scores)
    found = mf.solve(apart, "frobenius")
    assert found.value == pytest.approx(mf.solve(mf.Problem(X, z, scores), "frobenius").value, rel=2e-9)
    with pytest.raises(mf.InputError, match=r"expected those of a [.]npy file"):
        found.save("never.npz")


def test_a_working_set_knows_its_differences_exactly(tmp_path, few):
    X, z, scores = tokens(dtype=np.float64)
    rows = np.arange(3, 50)
    apart = Svm(mapped(tmp_path, X, z, scores).constraints(), Frobenius()).restrict(rows)
    plain = mf.Problem(X, z, scores)
    exact = Svm(plain.constraints(), Frobenius(), rational.tokens_of(plain, plain.optimal)).slip
    assert exact[rows].any() and np.array_equal(apart.slip, exact[rows])
