"""Passes over long arrays in threads: the order, the bits, the errors and the settings of one part after the other."""

import threading
import time

import numpy as np
import pytest

import marginflow as mf
from marginflow import threads
from marginflow.norms import Nuclear
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify
from marginflow.svm.scaling.unit_rows import unit_vectors


@pytest.fixture(params=[1, 3])
def cores(request, monkeypatch):
    monkeypatch.setattr(threads, "_cores", lambda: request.param)
    monkeypatch.setattr(threads, "WORTH", 1)
    return request.param


def test_results_are_in_order_however_long_the_parts_take(cores):
    def late(part):
        time.sleep(0.002 * (5 - part))
        return part

    assert threads.each(late, range(5), 10) == [0, 1, 2, 3, 4]


def test_parts_run_beside_each_other_where_there_are_cores_and_numbers(cores):
    seen = threads.each(lambda _: threading.get_ident(), range(20), 10)
    alone = set(seen) == {threading.get_ident()}
    assert alone == (cores == 1)
    few = set(threads.each(lambda _: threading.get_ident(), range(20), 0))
    assert few == {threading.get_ident()}


def test_a_pass_within_a_part_stays_in_its_thread(cores):
    def outer(_):
        return {threading.get_ident(), *threads.each(lambda _: threading.get_ident(), range(8), 10)}

    assert all(len(found) == 1 for found in threads.each(outer, range(4), 10))


def test_an_error_of_a_part_is_raised_and_the_rest_is_not_begun(cores):
    begun = []

    def breaks(part):
        begun.append(part)
        time.sleep(0.002)
        if part == 1:
            raise ZeroDivisionError("part 1")
        return part

    with pytest.raises(ZeroDivisionError, match="part 1"):
        threads.each(breaks, range(400), 10)
    assert len(begun) < 400


def test_what_numpy_was_told_about_overflow_holds_in_every_part(cores):
    big = np.full(3, 1e300)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.each(lambda _: big * big, range(4), 10)
    with np.errstate(over="ignore"):
        assert np.isinf(threads.each(lambda _: big * big, range(4), 10)).all()


def test_blocks_hold_every_row_once():
    rows = np.zeros((1000, threads.BLOCK // 7))
    found = threads.row_blocks(rows)
    assert np.array_equal(np.concatenate([np.arange(1000)[part] for part in found]), np.arange(1000))
    assert len(found) == -(-1000 // 7)
    assert threads.row_blocks(np.zeros((3, 2 * threads.BLOCK))) == [slice(i, i + 1) for i in range(3)]
    assert threads.row_blocks(np.zeros((0, 5))) == [] and len(threads.row_blocks(np.zeros((4, 0)))) == 1


def certified(seed=0):
    rng = np.random.default_rng(seed)
    X, z, scores = rng.standard_normal((40, 6, 50)), rng.standard_normal((40, 30)), rng.standard_normal((40, 6))
    svm = Svm(mf.Problem(X, z, scores).constraints(), Nuclear())
    dual = rng.random(len(svm))
    found = certify(svm, svm.adjoint(dual), dual)
    return svm.constraints.a, found.W, found.dual, found.certificate, unit_vectors(svm.constraints.a)


def test_certificates_keep_their_bits_whatever_runs_beside_what(monkeypatch):
    """Blocks of a few rows, so that there are many."""
    monkeypatch.setattr("marginflow.threads.BLOCK", 400)
    monkeypatch.setattr("marginflow.problem.constraints.BLOCK", 16)
    monkeypatch.setattr("marginflow.problem.constraints.SAMPLES", 3)
    monkeypatch.setattr("marginflow.svm.proof.sums.ROWS", 8)
    monkeypatch.setattr("marginflow.svm.proof.sums.RUNS", 8)
    alone = certified()
    monkeypatch.setattr(threads, "WORTH", 1)
    monkeypatch.setattr(threads, "_cores", lambda: 4)
    beside = certified()
    assert alone[3] == beside[3] and alone[3].margin != 0.0
    for one, other in zip((*alone[:3], *alone[4]), (*beside[:3], *beside[4]), strict=True):
        assert np.array_equal(one, other)
