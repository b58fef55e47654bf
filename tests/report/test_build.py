"""The file: whole or absent, self-contained, and nothing in the data can become markup."""

import dataclasses
import json
import math
import os
import re

import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.pages.kind import embed
from marginflow.problem.problem import Problem
from marginflow.report.build import build_report
from saved_runs import asked


HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=alert(1)>{{data}}<!--"


def renamed(path, name):
    p = path.problem
    return dataclasses.replace(path, problem=Problem(p.X, p.z, p.scores, mask=p.mask, name=name))


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def test_the_file_is_written_whole_and_its_size_returned(tmp_path, orbit):
    out = tmp_path / "r.html"
    said = []
    size = build_report(orbit, out, progress=said.append)
    assert out.stat().st_size == size
    assert os.listdir(tmp_path) == ["r.html"]
    assert any("SVM" in text for text in said)


def test_a_failed_write_leaves_the_old_file(tmp_path, orbit, monkeypatch):
    out = tmp_path / "r.html"
    out.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        build_report(orbit[:1], out)
    assert out.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.html"]


def test_no_runs_and_a_missing_folder_are_refused(tmp_path, orbit):
    with pytest.raises(InputError, match="no runs"):
        build_report([], tmp_path / "r.html")
    with pytest.raises(InputError, match="cannot be written"):
        build_report(orbit[:1], tmp_path / "none" / "r.html")


def test_nothing_points_outside_the_file(tmp_path, digits):
    out = tmp_path / "r.html"
    build_report(digits, out)
    html = out.read_text()
    without_names = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|src=|<link", without_names)
    assert "default-src 'none'" in html


def test_a_hostile_name_stays_text(tmp_path, orbit):
    out = tmp_path / "r.html"
    build_report([renamed(orbit[0], HOSTILE)], out)
    html = out.read_text()
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "&lt;/script&gt;" in html
    assert data_of(html)["problems"][0]["label"] == HOSTILE


def test_embedded_json_cannot_leave_its_element():
    text = embed({"a": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


def test_problems_are_told_apart_by_their_data_not_their_name(tmp_path, orbit, digits):
    out = tmp_path / "r.html"
    build_report([digits[0], orbit[0], renamed(orbit[1], "another name")], out)
    data = data_of(out.read_text())
    assert [run["problem"] for run in data["runs"]] == [0, 1, 1]
    assert len(data["problems"]) == 2


def test_commands_quote_what_a_shell_would_read(tmp_path, orbit):
    out = tmp_path / "r.html"
    p = orbit[0].problem
    hostile = Problem(p.X, p.z, p.scores, name="a b; rm -rf $HOME.npz")
    build_report([mf.integrate(hostile, mf.KeyQuery(2), until_margin=10)], out)
    assert "marginflow flow &#x27;a b; rm -rf $HOME.npz&#x27; --parameterization kq" in out.read_text()


def test_commands_write_one_file_per_run_and_then_this_page(tmp_path, orbit):
    out = tmp_path / "r.html"
    build_report(orbit[:3], out)
    lines = re.search(r"<pre[^>]*>(.*?)</pre>", out.read_text(), re.S)[1].splitlines()
    assert [line.split("--save ")[1] for line in lines[:-1]] == ["run-1.npz", "run-2.npz", "run-3.npz"]
    assert lines[-1] == "marginflow report run-1.npz run-2.npz run-3.npz -o report.html"


def test_what_the_commands_cannot_know_is_said(tmp_path, orbit):
    out = tmp_path / "r.html"
    build_report(orbit[:1], out)
    plain = out.read_text()
    given = asked(renamed(orbit[0], ""), seed=-1, until_margin=math.nan)
    build_report([given], out)
    for text in ("START.npz stands", "DATA.npz stands", "A run of an older version"):
        assert text in out.read_text() and text not in plain
