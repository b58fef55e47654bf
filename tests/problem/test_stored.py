"""Tokens that stay on disk give the problem that the same tokens in memory give."""

import importlib
import tracemalloc

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import stored, stored_differences
from marginflow.problem.fingerprint import fingerprint
from stored_problems import few_at_a_time, folder, mapped, tokens


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    few_at_a_time(monkeypatch, 7, tokens()[0])


def dask_array(X):
    return importlib.import_module("dask.array").from_array(X, chunks=(11, 4, 6))


def masked(X, seed=1):
    lengths = np.random.default_rng(seed).integers(2, X.shape[1] + 1, len(X))
    mask = np.arange(X.shape[1]) < lengths[:, None]
    return np.where(mask[:, :, None], X, np.nan).astype(X.dtype), mask


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("where", ["file", "dask"])
def test_constraints_are_those_of_the_tokens_in_memory(tmp_path, dtype, where):
    X, z, scores = tokens()
    X = (X * 100).astype(dtype)
    mask = None
    if dtype != np.int16:
        X, mask = masked(X)
    np.save(tmp_path / "X.npy", X)
    source = np.load(tmp_path / "X.npy", mmap_mode="r") if where == "file" else dask_array(X)
    apart = mf.Problem(source, z, scores, mask=mask)
    plain = mf.Problem(X if mask is None else np.where(mask[:, :, None], X, 0), z, scores, mask=mask)
    assert apart.stored is not None and "X" not in vars(apart)
    assert (apart.n, apart.T, apart.d, apart.d_z) == (plain.n, plain.T, plain.d, plain.d_z)
    rows, wanted = apart.constraints(), plain.constraints()
    assert "a" not in vars(rows)
    for name in ("sample", "token", "level", "equal", "head"):
        assert np.array_equal(getattr(rows, name), getattr(wanted, name))
    draw = np.random.default_rng(2)
    W, dual, keep = draw.standard_normal(rows.shape), draw.random(len(rows)), draw.permutation(len(rows))[:20]
    np.testing.assert_allclose(rows.margins(W), wanted.margins(W), atol=1e-11 * np.abs(X[np.isfinite(X)]).max())
    np.testing.assert_allclose(rows.adjoint(dual), wanted.adjoint(dual), rtol=1e-12, atol=1e-10)
    assert np.array_equal(rows.differences(keep), wanted.a[keep])
    assert np.array_equal(rows.restrict(np.sort(keep)).a, wanted.a[np.sort(keep)])
    assert np.array_equal(np.concatenate([a for _, a in rows.blocks()]), wanted.a)
    assert fingerprint(apart) == fingerprint(plain)
    assert "a" not in vars(rows) and "X" not in vars(apart)
    assert np.array_equal(rows.a, wanted.a) and np.array_equal(apart.X, plain.X)


def test_no_copy_of_the_tokens_is_made(tmp_path, monkeypatch):
    X, z, scores = tokens(n=300, T=40, d=24, d_z=4)
    np.save(tmp_path / "X.npy", X.astype(np.float64))
    few_at_a_time(monkeypatch, 10, X)
    source = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    problem = mf.Problem(source, z, scores)
    problem.constraints().margins(np.ones((24, 4)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.nbytes / 2
    assert np.shares_memory(problem.X, source)


def test_a_number_that_is_none_is_refused_with_its_place(tmp_path):
    X, z, scores = tokens()
    X[37, 5, 2] = np.nan
    with pytest.raises(mf.InputError, match=r"nan at index \(37, 5, 2\)"):
        mapped(tmp_path, X, z, scores)
    with pytest.raises(mf.InputError, match=r"nan at index \(37, 5, 2\)"):
        mf.Problem(dask_array(X), z, scores)
    with pytest.raises(mf.InputError, match="at most 1e"):
        mapped(tmp_path, np.where(np.isnan(X), 1e200, X.astype(np.float64)), z, scores)
    with pytest.raises(mf.InputError, match="complex64 of shape"):
        mapped(tmp_path, X * 1j, z, scores)


def test_ties_copies_and_one_token_over_and_over_are_seen_in_late_blocks(tmp_path):
    X, z, scores = tokens()
    best = scores.argmax(axis=1)
    other = (best + 1) % X.shape[1]
    scores[33, other[33]] = scores[33, best[33]]
    with pytest.raises(mf.InputError, match="sample 33 differ but tie"):
        mapped(tmp_path, X, z, scores)
    X[33, other[33]] = X[33, best[33]]
    assert len(mapped(tmp_path, X, z, scores).constraints()) == len(mf.Problem(X, z, scores).constraints()) == 319
    X[33] = X[33, 0]
    scores[33] = 1.0
    with pytest.raises(mf.InputError, match="every token of sample 33 is the same"):
        mapped(tmp_path, X, z, scores)


def test_a_head_scores_mapped_tokens(tmp_path):
    X, z, _ = tokens()
    np.save(tmp_path / "X.npy", X)
    y, v = np.where(np.arange(40) % 3, 1.0, -1.0), np.arange(6.0) - 2.2
    apart = mf.Problem.from_head(np.load(tmp_path / "X.npy", mmap_mode="r"), z, y, v)
    assert apart.stored is not None
    assert np.array_equal(apart.scores, mf.Problem.from_head(X, z, y, v).scores)


def test_differences_too_small_to_multiply_are_refused(tmp_path):
    X, z, scores = tokens(dtype=np.float64)
    problem = mapped(tmp_path, X * 1e-140, z, scores)
    with pytest.raises(mf.InputError, match="below 1e-100"):
        list(problem.constraints().blocks())
    with pytest.raises(mf.InputError, match="below 1e-100"):
        problem.constraints().differences(np.arange(3))


def test_what_needs_all_tokens_says_so_where_they_are_too_many(tmp_path, monkeypatch):
    X, z, scores = tokens()
    problem = mapped(tmp_path, X, z, scores)
    monkeypatch.setattr(stored, "IN_MEMORY", 8 * X.size - 1)
    with pytest.raises(mf.InputError, match="17,280 bytes of tokens that stay on disk"):
        _ = problem.X
    monkeypatch.setattr(stored_differences, "IN_MEMORY", 100)
    with pytest.raises(mf.InputError, match="15,360 bytes of differences"):
        _ = problem.constraints().a


def test_pages_that_were_changed_in_memory_alone_are_kept(tmp_path):
    X, z, scores = tokens()
    np.save(tmp_path / "X.npy", X)
    source = np.load(tmp_path / "X.npy", mmap_mode="c")
    source[3, 4, 5] = 7.5
    problem = mf.Problem(source, z, scores)
    _ = problem.constraints().margins(np.ones((6, 5)))
    assert source[3, 4, 5] == problem.X[3, 4, 5] == 7.5


def test_a_folder_of_arrays_is_a_problem(tmp_path):
    X, z, scores = tokens()
    problem = mf.load(folder(tmp_path, *masked(X)[:1], z, scores, mask=masked(X)[1]))
    assert problem.stored is not None and problem.name == str(tmp_path)
    assert problem.stored.path == tmp_path / "X.npy"
    with pytest.raises(mf.InputError, match="z is missing"):
        (tmp_path / "z.npy").unlink()
        mf.load(tmp_path)
    (tmp_path / "z.npy").write_bytes(b"no array")
    with pytest.raises(mf.InputError, match=r"z.npy: cannot be mapped"):
        mf.load(tmp_path)
    np.save(tmp_path / "z.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(mf.InputError, match=r"z.npy: cannot be mapped"):
        mf.load(tmp_path)
