"""From a word to a parameterisation, in one place, for those of the library and for one's own."""

import json
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.model.combined import Identity
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.registry import PARAMETERIZATIONS, options_of, parse_parameterization
from marginflow.npz import read_npz, write_npz
from marginflow.study.plan.plan import check_plan


PROBLEM = mf.load("sphere:n=2,T=3,d=3,seed=1")


class _Whole(AbstractParameterization):
    """What the classes below share."""

    def shapes(self, d, d_z):
        return {"V": (d, d_z)}

    def map(self, d, d_z):
        return Identity("V", False)

    def aligned(self, U, V, k, q):
        return {"V": U @ np.diag(k * q) @ V.T}


@dataclass(frozen=True)
class Mine(_Whole):
    """W = V, under another name and with a field of its own."""

    strength: float = 1.0
    word: str = field(default="mine", init=False)
    flow_norm: str = field(default="frobenius", init=False)
    conserved: str = field(default="", init=False)
    diagonal: bool = field(default=False, init=False)
    degree: int = field(default=1, init=False)


@pytest.fixture
def known():
    before = dict(PARAMETERIZATIONS)
    yield
    PARAMETERIZATIONS.clear()
    PARAMETERIZATIONS.update(before)


def test_words_and_widths():
    assert parse_parameterization("kq", 3) == mf.KeyQuery(3)
    assert parse_parameterization("kq") == mf.KeyQuery() and mf.KeyQuery().sized(4, 3) == mf.KeyQuery(3)
    assert parse_parameterization("diag") == mf.Diagonal()
    assert parse_parameterization(mf.KeyQuery(2)) == mf.KeyQuery(2)
    for given, width, words in [
        ("mlp", None, "got 'mlp'; expected one of kq, w, diag-kq, diag"),
        ("w", 2, "width: got 2 with parameterization w"),
        (mf.KeyQuery(2), 3, "which says its own"),
        (mf.KeyQuery, None, "expected one of"),
        (None, None, "expected one of"),
        ("kq", 0, "whole number of at least 1"),
        ("no_such_module:Thing", None, "No module named"),
        ("marginflow.errors:InputError", None, "register: got"),
    ]:
        with pytest.raises(mf.InputError, match=words):
            parse_parameterization(given, width)


def test_words_work_in_python():
    by_word = mf.integrate("sphere:n=2,T=3,d=3,seed=1", "kq", until_margin=5.0)
    by_class = mf.integrate(PROBLEM, mf.KeyQuery(3), until_margin=5.0)
    assert by_word.parameterization == mf.KeyQuery(3)
    assert np.array_equal(by_word.snapshots.theta, by_class.snapshots.theta)
    assert mf.solve("sphere:n=2,T=3,d=3,seed=1", "nuclear").value == mf.solve(PROBLEM, "nuclear").value
    with pytest.raises(mf.InputError, match="expected a Problem, or what"):
        mf.integrate(3, "kq")


def test_full_width_takes_its_columns_from_the_start():
    rng = np.random.default_rng(0)
    narrow, wide = (tuple(rng.standard_normal((2, 3, m))) for m in (2, 4))
    paths = mf.integrate_many([PROBLEM, PROBLEM], mf.KeyQuery(), inits=[narrow, wide], until_margin=3.0)
    assert [path.parameterization.width for path in paths] == [2, 4]
    with pytest.raises(mf.InputError, match=r"init K: got shape \(3, 2\); expected \(3, 3\)"):
        mf.integrate(PROBLEM, mf.KeyQuery(3), init=narrow)


def test_the_command_line_takes_the_width_from_the_start(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "start.npz", K=rng.standard_normal((3, 2)), Q=rng.standard_normal((3, 2)))
    words = ["flow", PROBLEM.name, "--init", str(tmp_path / "start.npz"), "--until-margin", "3", "--json"]
    main([*words, "--save", str(tmp_path / "run.npz")])
    capsys.readouterr()
    assert mf.Trajectory.load(tmp_path / "run.npz").parameterization == mf.KeyQuery(2)


def test_a_registered_class_is_known_everywhere(known, tmp_path, capsys):
    assert mf.register(Mine) is Mine and mf.register(Mine) is Mine
    path = mf.integrate(PROBLEM, Mine(2.0), until_margin=20.0)
    path.save(tmp_path / "run.npz")
    loaded = mf.Trajectory.load(tmp_path / "run.npz")
    assert loaded.parameterization == Mine(2.0)
    assert np.array_equal(loaded.W(), path.W())
    assert main(["flow", PROBLEM.name, "-p", "mine", "--until-margin", "5", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["parameterization"] == "mine"
    assert main(["attractors", PROBLEM.name, "-p", "mine", "--json"]) == 0
    plan = check_plan(
        'name = "s"\nseeds = 1\n[[problem]]\nfamily = "angle"\n[[model]]\nparameterization = ["mine", "w"]\n', "s.toml"
    )
    assert [cell.model(PROBLEM) for cell in plan.cells] == [Mine(), mf.Combined()]


def test_what_is_not_registered_is_refused_at_save_and_load(known, tmp_path):
    path = mf.integrate(PROBLEM, Mine(2.0), until_margin=5.0)
    with pytest.raises(mf.InputError, match=r"Mine is not registered.*register\(Mine\)"):
        path.save(tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())
    mf.register(Mine)
    path.save(tmp_path / "run.npz")
    del PARAMETERIZATIONS["mine"]
    with pytest.raises(mf.InputError, match=r"'mine', which is not registered here.*parameterization="):
        mf.Trajectory.load(tmp_path / "run.npz")
    loaded = mf.Trajectory.load(tmp_path / "run.npz", parameterization=Mine(2.0))
    assert np.array_equal(loaded.W(), path.W()) and loaded.status is path.status
    with pytest.raises(mf.InputError, match="give that of the run"):
        mf.Trajectory.load(tmp_path / "run.npz", parameterization=mf.Combined())


def test_the_command_line_refuses_an_unknown_run_in_one_line(known, tmp_path, capsys):
    mf.register(Mine)
    mf.integrate(PROBLEM, Mine(), until_margin=5.0).save(tmp_path / "run.npz")
    del PARAMETERIZATIONS["mine"]
    assert main(["report", str(tmp_path / "run.npz"), "-o", str(tmp_path / "page.html")]) == 2
    err = capsys.readouterr().err
    assert "not registered" in err and err.count("\n") == 1 and "KeyError" not in err


def test_what_cannot_be_registered(known):
    @dataclass(frozen=True)
    class Double(_Whole):
        word: str = field(default="w", init=False)
        flow_norm: str = field(default="frobenius", init=False)
        conserved: str = field(default="", init=False)
        diagonal: bool = field(default=False, init=False)
        degree: int = field(default=1, init=False)

    for kind, words in [
        (Double, "another word"),
        (_Whole, "every method"),
        (int, "derived from"),
        (Mine(), "got Mine"),
    ]:
        with pytest.raises(mf.InputError, match=words):
            mf.register(kind)


def test_a_field_that_no_file_can_hold_is_refused(known):
    mf.register(Mine)
    assert options_of(Mine(np.float64(2.0))) == {"strength": 2.0}
    with pytest.raises(mf.InputError, match="field strength"):
        options_of(Mine(np.ones(3)))


MODULE = '''
from dataclasses import dataclass, field
from marginflow.model.combined import Combined, Identity
from marginflow.model.parameterization import AbstractParameterization


@dataclass(frozen=True)
class Elsewhere(AbstractParameterization):
    """W itself."""

    word: str = field(default="elsewhere", init=False)
    flow_norm: str = field(default="frobenius", init=False)
    conserved: str = field(default="", init=False)
    diagonal: bool = field(default=False, init=False)
    degree: int = field(default=1, init=False)

    def shapes(self, d, d_z):
        return {"W": (d, d_z)}

    def map(self, d, d_z):
        return Identity("W", False)

    def aligned(self, U, V, k, q):
        return Combined().aligned(U, V, k, q)
'''


def test_the_command_line_imports_a_class_by_its_address(known, tmp_path, monkeypatch, capsys):
    (tmp_path / "tied_elsewhere.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert main(["flow", "angle", "-p", "tied_elsewhere:Elsewhere", "--until-margin", "5", "--save", "run.npz"]) in (
        0,
        1,
    )
    assert "elsewhere" in capsys.readouterr().out
    assert type(mf.Trajectory.load("run.npz").parameterization).__name__ == "Elsewhere"


def test_files_of_the_first_version_still_load(tmp_path):
    """They hold no fields of the parameterisation: the width is that of the arrays."""
    mf.integrate(PROBLEM, mf.KeyQuery(2), until_margin=5.0).save(tmp_path / "run.npz")
    arrays = read_npz(tmp_path / "run.npz")
    about = json.loads(str(arrays["flow"]))
    assert about.pop("options") == {"width": 2}
    write_npz(tmp_path / "old.npz", **arrays | {"flow": np.array(json.dumps(about))})
    assert mf.Trajectory.load(tmp_path / "old.npz").parameterization == mf.KeyQuery(2)
