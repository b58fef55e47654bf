"""Saved solutions whose tokens stay on disk: no copy, found again, and nothing believed."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.npz import read_npz, write_npz
from marginflow.svm.referee import stored
from marginflow.svm.referee.verify import digest, verify_saved
from stored_problems import few_at_a_time, folder, mapped, tokens


@pytest.fixture(scope="module", params=["nuclear", "l2"])
def saved(request, tmp_path_factory):
    """A folder with tokens, and s.npz in it."""
    path = tmp_path_factory.mktemp("saved")
    X, z, scores = tokens(d_z=6)
    if request.param == "l2":
        scores = np.einsum("ntd,d,nd->nt", X.astype(float), np.arange(6) - 2.5, z)
    problem = mf.load(folder(path, X, z, scores))
    found = mf.solve(problem, request.param)
    assert found.status is mf.SvmStatus.optimal
    found.save(path / "s.npz")
    return path, found


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    few_at_a_time(monkeypatch, 7, tokens()[0])


def forged(path, to, **changes):
    """A solution with `changes` and a digest that fits them, where `to` is."""
    arrays = read_npz(path / "s.npz")
    arrays.update({name: np.asarray(change(arrays[name])) for name, change in changes.items()})
    arrays.pop("digest")
    write_npz(to / "forged.npz", **arrays, digest=digest(arrays))
    return to / "forged.npz"


def failed(path):
    return {check.name for check in verify_saved(path).checks if not check.holds}


def test_a_file_names_its_tokens_and_is_confirmed(saved):
    path, found = saved
    arrays = read_npz(path / "s.npz")
    assert "X" not in arrays and "a" not in arrays and len(arrays["dual"]) == (found.dual > 0).sum() < len(found.dual)
    again = mf.Solution.load(path / "s.npz")
    assert again.certificate == found.certificate and np.array_equal(again.dual, found.dual)
    assert again.problem.stored is not None
    assert mf.load(path / "s.npz").stored.path == path / "X.npy"
    verification = verify_saved(path / "s.npz")
    assert verification.holds, str(verification)
    assert verification.gap <= 1.1e-9


def test_tokens_are_found_beside_the_file_and_nowhere_else(saved, tmp_path):
    path, found = saved
    forged(path, tmp_path, tokens_path=lambda old: "/nowhere/X.npy")
    for read in (mf.Solution.load, verify_saved, mf.load):
        with pytest.raises(mf.InputError, match=r"/nowhere/X[.]npy, which is not there"):
            read(tmp_path / "forged.npz")
    shutil.copy(path / "X.npy", tmp_path / "X.npy")
    assert mf.Solution.load(tmp_path / "forged.npz").certificate == found.certificate
    assert verify_saved(tmp_path / "forged.npz").holds


def test_other_tokens_are_refused(saved, tmp_path):
    path, _ = saved
    X = np.load(path / "X.npy")
    X[39, 8, 5] = np.nextafter(X[39, 8, 5], np.float32(9))
    np.save(tmp_path / "X.npy", X)
    forged(path, tmp_path, tokens_path=lambda old: str(tmp_path / "X.npy"))
    with pytest.raises(mf.InputError, match="holds other tokens"):
        mf.Solution.load(tmp_path / "forged.npz")
    assert "tokens" in failed(tmp_path / "forged.npz")


@pytest.mark.parametrize(
    "name, change, check",
    [
        ("W", lambda W: W * (1 + 1e-6 * (W > 0)), "upper bound"),
        ("W", lambda W: -W, "upper bound"),
        ("dual", lambda dual: dual * np.linspace(0.9, 1.1, len(dual)), "lower bound"),
        ("lower", lambda lower: lower * (1 + 1e-7), "lower bound"),
        ("upper", lambda upper: upper * (1 - 1e-7), "upper bound"),
        ("gap", lambda gap: gap / 2, "gap"),
        ("status", lambda status: "inaccurate", "inaccurate"),
        ("reason", lambda reason: "because", "reason"),
        ("dual", lambda dual: -dual, "multipliers"),
    ],
)
def test_what_is_not_so_is_caught(saved, tmp_path, name, change, check):
    path, _ = saved
    forgery = forged(path, tmp_path, **{name: change})
    assert check in failed(forgery)
    with pytest.raises(mf.InputError):
        mf.Solution.load(forgery)


def test_multipliers_of_what_is_no_constraint_are_caught(saved, tmp_path):
    path, found = saved
    own = found.selection[read_npz(path / "s.npz")["sample"][0]]
    forgery = forged(path, tmp_path, token=lambda token: np.r_[own, token[1:]])
    assert "constraints" in failed(forgery)
    with pytest.raises(mf.InputError, match="no constraint"):
        mf.Solution.load(forgery)
    for broken in ({"sample": lambda s: s + 100}, {"mask": lambda m: m[:-1]}, {"format": lambda f: 2}):
        forgery = forged(path, tmp_path, **broken)
        for read in (mf.Solution.load, verify_saved):
            with pytest.raises(mf.InputError):
                read(forgery)


def test_margins_of_the_recheck_are_below_the_exact_ones():
    rng = np.random.default_rng(5)
    for _ in range(30):
        X, z, W = (
            rng.standard_normal((2, 3, 7)) * 1e-3 + 1e3,
            rng.standard_normal((2, 4)),
            rng.standard_normal((1, 7, 4)),
        )
        arrays = {"mask": np.ones((2, 3), dtype=bool), "selection": np.zeros(2, dtype=int), "z": z}
        arrays |= {"scores": np.arange(6.0).reshape(2, 3), "against": np.array("all")}
        arrays |= {"sample": np.zeros(0, dtype=int), "token": np.zeros(0, dtype=int)}
        seen = stored.look(arrays, X, W, False)
        exact = min(
            sum(
                (Fraction(x) - Fraction(y)) * Fraction(w) * Fraction(q)
                for x, y, row in zip(X[i, 0], X[i, t], W[0])
                for w, q in zip(row, z[i])
            )
            for i in (0, 1)
            for t in (1, 2)
        )
        assert Fraction(seen.least[0]) <= exact <= Fraction(seen.least[0]) + 3 * Fraction(seen.doubt[0])


def test_half_a_file_is_not_saved(tmp_path):
    X, z, scores = tokens()
    np.save(tmp_path / "X.npy", np.concatenate([X, X]))
    half = mf.Problem(np.load(tmp_path / "X.npy", mmap_mode="r")[:40], z, scores)
    with pytest.raises(mf.InputError, match=r"not all that .*X[.]npy holds"):
        mf.solve(half, "frobenius").save(tmp_path / "s.npz")
    bare = mf.solve(mapped(tmp_path, X, z, scores).constraints(), "frobenius")
    with pytest.raises(mf.InputError, match="bare constraints"):
        bare.save(tmp_path / "s.npz")
    assert not (tmp_path / "s.npz").exists()


def test_the_command_line_takes_a_folder(saved, tmp_path, capsys):
    path, found = saved
    out = tmp_path / "out.npz"
    assert main(["svm", str(path), "--norm", found.norm.name, "--save", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "optimal" and answer["iterations"]["passes"] >= 3
    assert main(["svm", "--verify", str(out)]) == 0
    assert main(["describe", str(path)]) == 0
