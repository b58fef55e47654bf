"""An optimiser and a loss from outside the package go everywhere that ours go."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.registry import OPTIMISERS, command_of, parse_optimiser
from marginflow.optim.scaled import Scaled


PROBLEM = "sphere:n=3,T=4,d=5,seed=2"


@pytest.fixture
def known():
    before = dict(OPTIMISERS)
    yield
    OPTIMISERS.clear()
    OPTIMISERS.update(before)


@dataclass(frozen=True)
class Cube(AbstractOptimiser):
    """Steps along the cube root of every entry of the gradient."""

    strength: float = 1.0
    word: str = field(default="cube", init=False)

    def init(self, arrays):
        return None

    def update(self, state, pull, arrays):
        return Scaled({n: self.strength * np.cbrt(x) for n, x in pull.arrays.items()}, pull.log / 3), None

    def norm(self, setting):
        return Prediction("frobenius", "as a test")


def test_an_own_optimiser_goes_everywhere(known, tmp_path, capsys):
    with pytest.raises(InputError, match=r"Cube is not registered.*register\(Cube\)"):
        mf.descend(PROBLEM, "w", Cube(), iterations=2)
    assert mf.register(Cube) is Cube
    path = mf.descend(PROBLEM, "w", Cube(2.0), iterations=1500, rate=mf.optim.Speed(0.05))
    assert path.method.norm == "frobenius" and "cube:strength=2.0" in path.method.command
    assert path.margin[-1] > 20 and path.status.name == "minimal_loss"
    assert mf.diagnose(path)["R_frobenius"][-1] >= 1
    path.save(tmp_path / "cube.npz")
    again = mf.Trajectory.load(tmp_path / "cube.npz")
    assert again.method == path.method and np.array_equal(again.snapshots.theta, path.snapshots.theta)
    assert main(["report", str(tmp_path / "cube.npz"), "-o", str(tmp_path / "page.html")]) == 0
    assert "cube" in (tmp_path / "page.html").read_text()
    assert main(["descend", PROBLEM, "-p", "w", "--optimizer", "cube:strength=2.0", "--iterations", "9"]) in (0, 1)
    assert "predicted norm   frobenius" in capsys.readouterr().out


def test_an_own_optimiser_by_its_address(known, tmp_path, monkeypatch, capsys):
    (tmp_path / "rules_of_mine.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from marginflow.optim.optimiser import AbstractOptimiser\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Plain(AbstractOptimiser):\n"
        '    word: str = field(default="plain", init=False)\n\n'
        "    def init(self, arrays):\n        return None\n\n"
        "    def update(self, state, pull, arrays):\n        return pull, None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = mf.descend(PROBLEM, "w", "rules_of_mine:Plain", rate=0.5, iterations=50)
    assert np.array_equal(path.W(), mf.descend(PROBLEM, "w", "gd", rate=0.5, iterations=50).W())
    assert path.method.norm is None and "nothing is derived" in path.method.why
    with pytest.raises(InputError, match="module:Class"):
        mf.descend(PROBLEM, "w", "rules_of_mine:Missing")


def test_what_cannot_be_registered(known):
    @dataclass(frozen=True)
    class Taken(Cube):
        word: str = field(default="adam", init=False)

    @dataclass(frozen=True)
    class Spaced(Cube):
        word: str = field(default="my rule", init=False)

    for kind, words in [(Taken, "optimiser of the library"), (Spaced, "blanks"), (AbstractOptimiser, "every method")]:
        with pytest.raises(InputError, match=words):
            mf.register(kind)


@pytest.mark.parametrize("word", sorted(OPTIMISERS))
def test_words_and_objects_are_one(word):
    assert command_of(parse_optimiser(word)) == word
    assert parse_optimiser(command_of(parse_optimiser(word))) == parse_optimiser(word)


def test_options_go_round():
    for text in (
        "adam:b1=0.8,b2=0.95,eps=0.0",
        "gd:momentum=0.9,nesterov=true",
        "muon:momentum=0.9,eps=0.0",
        "mirror:p=3.0",
    ):
        assert command_of(parse_optimiser(text)) == text
    assert command_of(mf.optim.Steepest("sign", momentum=0.5)) == "sign:momentum=0.5"
    assert command_of(mf.optim.Adam(betas=(0.9, 0.95))) == "adam:b2=0.95"
