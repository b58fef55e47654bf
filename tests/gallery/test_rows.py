"""Every row can fail: on data that are not the paper's, on runs that went elsewhere, on an error."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.gallery import (
    excess_figure,
    local_converge,
    mirror,
    next_token,
    svm_rank,
    token_selection,
    visualization,
)
from marginflow.gallery.peers import FILE, peer_numbers
from marginflow.gallery.registry import listing, run
from marginflow.gallery.row import Row
from marginflow.selection import holding


CHEAP = ("visualization1", "single_input_local", "multi_input")


@pytest.fixture(scope="module")
def results():
    return {result.row.name: result for result in run(CHEAP)}


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_rows_hold(results, name):
    result = results[name]
    assert result.holds, result.reasons
    assert result.cpu > 0.0


def test_visualization1_is_certified_to_its_last_digit(results):
    found = results["visualization1"].found
    assert round(found.ours["least Frobenius norm"], 6) == 8.685735
    assert round(found.ours["least nuclear norm"], 6) == 9.754810
    assert found.ours["rank of the nuclear solution"] == 1
    assert found.certificate["R - 1 of W"] < 1e-9 < found.certificate["R - 1 of K Q'"] < 1e-7


def test_starts_that_stay_on_another_token_are_trapped(results):
    found = results["single_input_local"].found
    assert found.ours["token selected from each start"] == [0, 0, 0, 0, 1, 1]
    assert found.ours["status from each start"] == ["minimal_loss"] * 4 + ["trapped"] * 2


def moved(problem, by=0.01):
    """The problem with tokens that are not the paper's."""
    noise = np.random.default_rng(0).standard_normal(problem.X.shape)
    return mf.Problem(problem.X + by * noise, problem.z, problem.scores)


@pytest.mark.parametrize(
    ("module", "name"),
    [(visualization, "visualization1"), (token_selection, "single_input_local"), (token_selection, "multi_input")],
)
def test_a_row_does_not_hold_on_other_data(module, name, monkeypatch):
    real = module.stored
    monkeypatch.setattr(module, "stored", lambda name: moved(real(name)))
    (result,) = run([name])
    assert not result.holds
    assert any("least" in reason for reason in result.reasons)


def test_a_row_does_not_hold_where_a_run_went_elsewhere(monkeypatch):
    real = token_selection.integrate_many

    def all_from_above(problem, word, *, inits, **options):
        return real(problem, word, inits=[inits[0]] * len(inits), **options)

    monkeypatch.setattr(token_selection, "integrate_many", all_from_above)
    (result,) = run(["single_input_local"])
    assert [reason.split(":")[0] for reason in result.reasons] == [
        "starts trapped on token 1",
        "starts that reach the optimal token",
    ]


def test_a_row_does_not_hold_where_a_run_stops_early(monkeypatch):
    monkeypatch.setattr(token_selection, "UNTIL", 100.0)
    real = token_selection._ratio_check
    monkeypatch.setattr(token_selection, "_ratio_check", lambda endings: replace(real(endings), tolerance=1e-5))
    (result,) = run(["multi_input"])
    assert [reason.split(":")[0] for reason in result.reasons] == ["largest R - 1 of six starts"]


def test_ranks_that_are_not_proved_are_counted(monkeypatch):
    monkeypatch.setattr(svm_rank, "SIZES", ((5, 5, 10),))
    peer = {"mean rank, nuclear": [5.2], "mean rank, nuclear, the same solver at 1e-10": [2.2]}
    monkeypatch.setattr(svm_rank, "peer_numbers", lambda name: peer)
    good = svm_rank.make()
    assert all(check.holds for check in good.checks)
    assert good.ours["mean rank, nuclear"] == [2.2]
    peer["mean rank, nuclear, the same solver at 1e-10"] = [2.4]
    assert [c.what for c in svm_rank.make().checks if not c.holds] == [
        "sum of differences to the notebook's solver at 1e-10"
    ]
    peer["mean rank, nuclear, the same solver at 1e-10"] = [2.2]
    real = svm_rank.solve

    def unproved(*arguments):
        solution = real(*arguments)
        return SimpleNamespace(
            certificate=solution.certificate, rank_evidence=replace(solution.rank_evidence, rank=None)
        )

    monkeypatch.setattr(svm_rank, "solve", unproved)
    assert [c.what for c in svm_rank.make().checks if not c.holds] == ["ranks proved"]


def test_a_row_that_cannot_be_made_does_not_hold():
    def broken():
        raise InputError("no data")

    result = Row("broken", "s", "source", "data", broken).run()
    assert not result.holds
    assert result.reasons == ["could not be made: InputError: no data"]
    assert result.to_dict()["ours"] == {}


def test_names_are_exact_or_how_they_begin():
    assert [row.name for row in listing(["visualization"])] == ["visualization1", "visualization2"]
    assert [row.name for row in listing(["visualization2", "vis"])] == ["visualization2", "visualization1"]
    for unknown in ("visualisation", ""):
        with pytest.raises(InputError, match="expected some of visualization1"):
            listing([unknown])


def test_every_row_has_numbers_of_its_paper():
    assert FILE.stat().st_size < 20_000
    for row in listing():
        assert peer_numbers(row.name), row.name
        assert row.source.startswith("arXiv ")


def test_numbers_of_the_papers_are_copies():
    peer_numbers("multi_input").clear()
    assert peer_numbers("multi_input")


def test_excess_is_the_norm_over_margin_and_least(results):
    found = results["visualization1"].found
    assert 0.0 <= found.ours["norm / (margin x least) - 1 of W"] <= found.certificate["R - 1 of W"] + 1e-12
    assert not math.isnan(found.ours["norm / (margin x least) - 1 of K Q'"])


def test_mirror_rows_fail_on_other_data_and_where_runs_stop_early(monkeypatch):
    monkeypatch.setattr(mirror, "ITERATIONS", 50)
    monkeypatch.setattr(mirror, "SEEDS", (1, 2))
    peer = peer_numbers("mirror-2")
    monkeypatch.setattr(mirror, "peer_numbers", lambda name: peer | {"least norm": peer["least norm"][:2]})
    assert _failing(mirror.make(2.0)) == ["runs at the minimal loss or trapped", "largest norm / (margin x least) - 1"]
    real = mirror.random_heads
    monkeypatch.setattr(mirror, "random_heads", lambda *size: moved(real(*size)))
    assert "largest relative difference of least norms" in _failing(mirror.make(2.0))


def test_next_token_row_fails_where_the_finite_part_or_the_loss_is_another(monkeypatch):
    monkeypatch.setattr(next_token, "SETS", 1)
    assert _failing(next_token.make()) == []
    real = next_token.next_token_set
    monkeypatch.setattr(next_token, "next_token_set", lambda number: real(number + 1))
    assert _failing(next_token.make()) == ["largest difference of least losses"]


def test_local_converge_counts_what_is_not_proved_and_knows_other_data(monkeypatch):
    monkeypatch.setattr(local_converge, "SEEDS", 2)
    monkeypatch.setattr(local_converge, "FURTHER", 1e6)
    real = local_converge.random_heads
    # Seed 22 is told by the line that W keeps to, and by what it moves along: by its norm a better token may have
    # margin .998.
    for bound in ("keeps_to_line", "stay"):
        monkeypatch.setattr(holding, bound, lambda *_: None)
    monkeypatch.setattr(local_converge, "random_heads", lambda n, T, d, seed: real(n, T, d, (0, 22)[seed]))
    found = local_converge.integrate_many
    started = {"seeds": None}

    def many(problems, word, *, seeds, **options):
        started["seeds"] = list(seeds)
        return found(problems, word, seeds=(0, 22), **options)

    monkeypatch.setattr(local_converge, "integrate_many", many)
    monkeypatch.setattr(
        local_converge,
        "integrate",
        lambda problem, word, *, seed, **options: mf.integrate(problem, word, seed=22, **options),
    )
    row = local_converge.make()
    assert started["seeds"] == [0, 1]
    assert (row.ours["runs of W at minimal loss"], row.ours["runs of W undecided"]) == (1, 1)
    assert [what for what in _failing(row) if "W" in what] == ["runs of W whose end is proved"]
    assert "mean least Frobenius norm of the optimal tokens" in _failing(row)


def _failing(found):
    return [check.what for check in found.checks if not check.holds]


def test_a_run_has_no_excess_before_it_turned_to_its_tokens():
    found = excess_figure._on_grid(
        np.array([1.0, 10.0, 100.0]), np.array([5.0, 50.0, 500.0]), np.array([3.0, 2.0, 1.0])
    )
    assert np.isnan(found[0])
    assert found[1:].tolist() == [2.0, 1.0]
