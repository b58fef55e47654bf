"""A search in parts: the same list and the same count on every engine, and after an interruption."""

import json
import subprocess
import sys

import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors import attractors, one_head, parts
from marginflow.npz import read_npz, write_npz
from marginflow.problem import named
from marginflow.study.engines.choose import make_engine
from marginflow.study.engines.engine import Lost
from marginflow.study.engines.serial import Serial


SPEC = "sphere:n=4,T=3,d=6,seed=4"


@pytest.fixture(autouse=True)
def few_parts(monkeypatch):
    monkeypatch.setattr(one_head, "_PARTS", 8)


def said(found):
    """Everything of a list but how it came about."""
    return [(a.selected.tolist(), a.value, a.stability) for a in found.attractors], found.visited, found.complete


@pytest.mark.parametrize("word", ["kq", "w", "diag-kq", "diag"])
def test_parts_are_the_whole(word):
    whole = attractors(SPEC, word)
    assert len(whole) > 0 and whole.visited > 20
    assert said(attractors(SPEC, word, engine=Serial())) == said(whole)


def test_few_tokens_and_one_sample():
    for spec in ("sphere:n=7,T=2,d=3,seed=1", "sphere:n=1,T=4,d=3,seed=1", "sphere:n=2,T=3,d=4,seed=0"):
        assert said(attractors(spec, "kq", engine=Serial())) == said(attractors(spec, "kq"))


def test_processes_find_the_same(tmp_path):
    expected = said(attractors(SPEC, "kq"))
    assert said(attractors(SPEC, "kq", engine=make_engine("processes", workers=2))) == expected


def test_dask_finds_the_same():
    # In a process of its own: Dask leaves threads behind.
    command = [sys.executable, "-m", "marginflow", "attractors", SPEC, "--engine", "dask", "--workers", "1", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    whole = attractors(SPEC, "kq")
    assert found["visited"] == whole.visited and found["complete"]
    assert [end["selected"] for end in found["attractors"]] == [a.selected.tolist() for a in whole.attractors]


class Stopped(Serial):
    """An engine that is interrupted after some parts."""

    def run(self, work, units):
        for count, end in enumerate(super().run(work, units)):
            if count == 3:
                raise KeyboardInterrupt
            yield end


class Counted(Serial):
    """An engine that says how much it was given."""

    given = 0

    def run(self, work, units):
        Counted.given += len(units)
        return super().run(work, units)


def asked(*question, **options):
    """How many parts an engine was given."""
    before = Counted.given
    attractors(*question, engine=Counted(), **options)
    return Counted.given - before


def test_a_search_goes_on_where_it_was_interrupted(tmp_path):
    file = tmp_path / "parts.npz"
    with pytest.raises(KeyboardInterrupt):
        attractors(SPEC, "kq", engine=Stopped(), keep=file)
    assert asked(SPEC, "kq", keep=file) == 5
    assert said(attractors(SPEC, "kq", keep=file)) == said(attractors(SPEC, "kq"))
    assert asked(SPEC, "kq", keep=file) == 0
    # Another question, or another limit, has parts of its own in the same file.
    assert asked(SPEC, "w", keep=file) == asked(SPEC, "kq", limit=10**6, keep=file) == 8
    assert asked(SPEC, "kq", keep=file) == 0


def test_several_heads_keep_their_parts_in_one_file(tmp_path):
    problem = named.load("heads:n=4,T=3,d=4")
    whole = attractors(problem, "kq")
    for _ in range(2):
        found = attractors(problem, "kq", keep=tmp_path / "parts.npz")
        assert (found.visited, found.count) == (whole.visited, whole.count)
    assert asked(problem, "kq", keep=tmp_path / "parts.npz") == 0


def test_a_part_that_no_worker_lives_through_leaves_the_list_incomplete():
    class Deadly(Serial):
        def run(self, work, units):
            yield Lost(units[0], "killed")
            yield from super().run(work, units[1:])

    found = attractors(SPEC, "kq", engine=Deadly())
    assert not found.complete and found.incomplete_because == ("no worker lived through some parts of the search",)


def test_a_limit_stops_every_engine(tmp_path):
    found = attractors(SPEC, "kq", engine=Serial(), limit=20)
    assert not found.complete and "stopped after 20" in found.incomplete_because[0]


def test_other_files_versions_and_words_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "parts.npz"
    attractors(SPEC, "kq", keep=file)
    arrays = read_npz(file)
    for name, wrong in (("tokens", arrays["tokens"][:-1]), ("kind", "flow"), ("count", arrays["count"].astype(float))):
        write_npz(tmp_path / "wrong.npz", **{**arrays, name: np.asarray(wrong)})
        with pytest.raises(mf.InputError, match="holds no parts"):
            attractors(SPEC, "kq", keep=tmp_path / "wrong.npz")
    problem = named.load(SPEC)
    with pytest.raises(mf.InputError, match="install the same everywhere"):
        parts.run_part(parts.Part(problem, False, False, 100, 0, 8, "0.0.0"))
    from marginflow.cli.main import main

    assert main(["attractors", SPEC, "--workers", "2"]) == 2
    assert main(["attractors", SPEC, "--engine", "abacus"]) == 2
