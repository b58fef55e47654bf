"""Runs that the tests of reports and figures share: real data, a problem with an answer, a trap."""

import dataclasses

import pytest

import marginflow as mf
from marginflow.problem.named import load
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus, Verdict


MODELS = {"kq": mf.KeyQuery, "w": mf.Combined, "diag-kq": mf.DiagonalKeyQuery, "diag": mf.Diagonal}


def run(data: str, word: str, seed: int = 0, until: float = 1e4) -> Trajectory:
    problem = load(data)
    model = mf.KeyQuery(width=min(problem.d, problem.d_z)) if word == "kq" else MODELS[word]()
    return mf.integrate(problem, model, seed=seed, scale=0.1, until_margin=until)


def asked(path: Trajectory, **options: object) -> Trajectory:
    """`path` as if other options had made it; the command stays."""
    method = dataclasses.replace(path.method, options={**path.method.options, **options})
    return dataclasses.replace(path, method=method)


@pytest.fixture(scope="session")
def digits():
    return [run("digits:n=10", "kq"), run("digits:n=10", "w")]


@pytest.fixture(scope="session")
def orbit():
    return [run("sign-orbit", word) for word in ("kq", "w", "diag-kq", "diag")]


@pytest.fixture(scope="session")
def trapped():
    """A run that ends on a wrong token, with the verdict that says so."""
    path = mf.integrate(load("trap:infinity"), mf.Combined(), init=[[5.0], [0.0]], until_margin=1e4)
    assert path.margin[-1] < 0
    return dataclasses.replace(
        path, verdict=Verdict(FlowStatus.trapped, "sample 1 is on token 1 for good", proof="svm")
    )


@pytest.fixture(scope="session")
def undecided(orbit):
    verdict = Verdict(FlowStatus.undecided, "the margin asked for was not reached")
    return dataclasses.replace(asked(orbit[0], seed=7), verdict=verdict)


@pytest.fixture(scope="session")
def trained():
    """The function that trains: (data, word, seed, until) -> Trajectory."""
    return run
