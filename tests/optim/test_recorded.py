"""Iterates of another program as a run: the numbers are those of a run that made them itself."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.report.build import build_report


@pytest.fixture(scope="module")
def made():
    return mf.descend("sign-orbit", "kq", "gd", rate=0.1, iterations=400)


def test_it_has_the_numbers_of_the_run_that_made_the_weights(made):
    states = [made.parameters(i) for i in range(len(made))]
    again = mf.Trajectory.from_weights("sign-orbit", states, iteration=made.iteration, parameterization="kq")
    assert np.allclose(again.margin, made.margin, rtol=1e-12) and np.allclose(again.log_excess, made.log_excess)
    assert np.array_equal(again.iteration, made.iteration) and again.status is made.status
    assert np.isnan(again.log_time).all() and again.method.norm is None


def test_plain_matrices_with_times_are_saved_shown_and_compared(made, tmp_path):
    weights = [made.W(i) for i in (0, 5, -1)]
    path = mf.Trajectory.from_weights(
        "sign-orbit", weights, log_time=[0.0, 1.0, 2.0], norm="nuclear", label="my optimiser, rate 3"
    )
    path.save(tmp_path / "a.npz")
    loaded = mf.Trajectory.load(tmp_path / "a.npz")
    assert loaded.method == path.method and loaded.ended.name == "recorded" and "my optimiser" in repr(loaded)
    assert mf.compare(loaded).sentence.startswith("One W by my optimiser stood ")
    assert list(loaded.to_dataframe()["log_time"]) == [0.0, 1.0, 2.0]
    build_report([loaded], tmp_path / "r.html")
    assert "my optimiser, rate 3" in (tmp_path / "r.html").read_text()


def test_it_may_begin_at_a_saddle():
    path = mf.Trajectory.from_weights("sign-orbit", [(np.zeros((2, 2)),) * 2, (np.eye(2),) * 2], parameterization="kq")
    assert path.margin[0] == 0.0 and path.margin[1] > 0


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        ([], {}, "no states"),
        ([np.eye(3)], {}, "state 0"),
        ([np.eye(2), np.eye(2) * np.nan], {}, "state 1"),
        ([np.eye(2)] * 2, {"log_time": [1.0, 0.0]}, "log_time"),
        ([np.eye(2)] * 2, {"iteration": [1]}, "iteration"),
    ],
)
def test_what_does_not_fit_is_refused(weights, options, said):
    with pytest.raises(mf.InputError, match=said):
        mf.Trajectory.from_weights("sign-orbit", weights, **options)
