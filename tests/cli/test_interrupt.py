"""Ctrl-C at any moment of any verb: exit 130, one sentence, and nothing called a result that was not finished."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import marginflow as mf
from marginflow.atomic_file import whole_file
from marginflow.cli import demo, interrupt
from marginflow.cli.main import main


SRC = str(Path(mf.__file__).parent)
MOMENTS = 10

PLAN = """
name = "small"
seeds = 2
batch = 1
[flow]
until_margin = 10
margins = [10]
[[problem]]
family = "angle"
[[model]]
parameterization = ["kq", "w"]
scale = 0.1
"""

VERBS = {
    "describe": ["describe", "sphere:n=2,T=3,d=3,seed=1"],
    "svm": ["svm", "sphere:n=3,T=3,d=4,seed=1", "--norm", "nuclear", "--save", "out.npz"],
    "flow": ["flow", "sphere:n=2,T=3,d=3,seed=1", "--until-margin", "20"],
    "attractors": ["attractors", "angle", "-p", "w", "--sample", "3", "--figure", "out.svg"],
    "claims": ["claims", "dead-start"],
    "demo": ["demo", "--out", "demo"],
    "report": ["report", "run.npz", "-o", "out.html"],
    "figure": ["figure", "run.npz", "-o", "out.svg"],
    "study run": ["study", "run", "plan.toml", "--out", "new"],
    "study report": ["study", "report", "done", "-o", "out.html"],
    "study export": ["study", "export", "done", "-o", "out.csv"],
}


class At:
    """Raises KeyboardInterrupt when the package makes its call number `moment`; counts the calls."""

    def __init__(self, moment=None):
        self.moment, self.calls = moment, 0

    def __call__(self, frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(SRC):
            self.calls += 1
            if self.calls == self.moment:
                sys.settrace(None)
                raise KeyboardInterrupt

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A saved run and a finished study, for the verbs that read them."""
    folder = tmp_path_factory.mktemp("inputs")
    mf.integrate("angle", "w", until_margin=10.0).save(folder / "run.npz")
    (folder / "plan.toml").write_text(PLAN)
    assert main(["study", "run", str(folder / "plan.toml"), "--out", str(folder / "done")]) == 0
    return folder


@pytest.fixture
def here(inputs, tmp_path, monkeypatch):
    for name in ("run.npz", "plan.toml", "done"):
        (tmp_path / name).symlink_to(inputs / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "RUNS", [("angle", "kq"), ("angle", "w")])
    monkeypatch.setattr(demo, "UNTIL_MARGIN", 100.0)
    return tmp_path


def files(folder):
    return {path.name for path in folder.iterdir()} - {"run.npz", "plan.toml", "done"}


@pytest.mark.parametrize("verb", VERBS)
def test_ten_moments_of_every_verb(here, capsys, verb):
    words = VERBS[verb]
    main(words)  # imports are done, caches are filled
    for name in files(here):
        subprocess.run(["rm", "-r", name], check=True)
    forget()
    with At() as whole:
        assert main(words) in (0, 1)
    made = files(here)
    capsys.readouterr()
    assert whole.calls > MOMENTS
    for k in range(MOMENTS):
        for name in files(here):
            subprocess.run(["rm", "-r", name], check=True)
        forget()
        with At(1 + int(whole.calls * (k + 0.5) / MOMENTS)):
            code = main(words)
        out, err = capsys.readouterr()
        assert code == 130, (k, out, err)
        assert "Traceback" not in err and "marginflow: interrupted" in err.splitlines()[-1], (k, err)
        assert not list(here.rglob("*.part"))
        check(verb, k, out, err, files(here), made)


def forget():
    from marginflow.claims import runs

    runs.forget()


def check(verb, k, out, err, left, made):
    """What the verb may have printed and left behind."""
    if verb == "claims":
        assert "FAILS" not in out and " NO" not in out and "claims were finished" in err
        return
    if verb == "demo":
        done = len(list(Path("demo").glob("*.npz"))) if Path("demo").is_dir() else 0
        assert out == "" and not Path("demo/report.html").exists()
        assert f"{done} of 2 runs were finished" in err
        return
    if verb == "study run":
        assert "resume with" in err or "nothing" in err
        return
    # A file is written whole or not at all; only the words that follow it may be cut off.
    assert left in (set(), made)
    if not left:
        assert out == ""
    elif verb == "svm":
        assert mf.Solution.load("out.npz").status is mf.SvmStatus.optimal


def test_flow_keeps_the_partial_run_where_a_file_is_asked_for(tmp_path, capsys, monkeypatch):
    from marginflow.flow import loop

    inner, calls = loop.advance, []

    def advance(*given):
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return inner(*given)

    monkeypatch.setattr(loop, "advance", advance)
    words = ["flow", "sphere:n=2,T=3,d=3,seed=1", "--until-margin", "1e9"]
    assert main([*words, "--save", str(tmp_path / "run.npz")]) == 130
    out, err = capsys.readouterr()
    assert out == "" and "holds it as interrupted" in err
    path = mf.Trajectory.load(tmp_path / "run.npz")
    assert path.ended.name == "interrupted" and path.status is mf.FlowStatus.undecided and "interrupted" in path.reason
    assert main(["report", str(tmp_path / "run.npz"), "-o", str(tmp_path / "page.html")]) == 0
    assert "interrupted" in (tmp_path / "page.html").read_text()
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        mf.integrate("sphere:n=2,T=3,d=3,seed=1", "kq", until_margin=1e9)


def test_claims_that_were_finished_are_said(capsys):
    """The second of two claims is stopped in its first flow: one result, and nothing of the other."""
    from marginflow.claims import registry

    def stop(text):
        if text.startswith("2 of 2"):
            raise KeyboardInterrupt

    before = registry.run
    try:
        registry.run = lambda names, *, progress, finished: before(names, progress=stop, finished=finished)
        assert main(["claims", "trap-finite", "dead-start", "--json"]) == 130
    finally:
        registry.run = before
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [c["name"] for c in found["claims"]] == ["trap-finite"] and found["interrupted"] is True
    assert "1 of 2 claims were finished" in err


def start(*words, code=None):
    given = [sys.executable, "-c", code] if code else [sys.executable, "-m", "marginflow", *words]
    return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


ANNOUNCED = """
import sys
from marginflow.cli.main import main
from importlib import import_module

real = import_module("marginflow.{module}")
inner = getattr(real, "{name}")
def announced(*args, **options):
    print("BEGUN", flush=True)
    return inner(*args, **options)
setattr(real, "{name}", announced)
sys.exit(main(sys.argv[1:] or {words!r}))
"""


@pytest.mark.parametrize(
    "words, module, name",
    [
        (["svm", "sphere:n=300,T=30,d=120", "--norm", "nuclear", "--save", "s.npz"], "svm.solve", "_candidate"),
        (["flow", "sphere:n=60,T=30,d=60", "--until-margin", "1e12"], "flow.runner", "run"),
        (["describe", "sphere:n=300,T=30,d=120"], "svm.describe", "separability"),
    ],
    ids=["svm", "flow", "describe"],
)
def test_a_true_signal_ends_a_long_command(tmp_path, monkeypatch, words, module, name):
    monkeypatch.chdir(tmp_path)
    with start(code=ANNOUNCED.format(words=words, module=module, name=name)) as child:
        assert child.stdout.readline() == "BEGUN\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode == 130, (out, err)
    assert "Traceback" not in err and "interrupted" in err and out == ""
    assert not list(tmp_path.iterdir())


def test_a_signal_while_modules_are_imported_ends_it_at_once():
    code = """
import os, signal, sys
import marginflow.__main__ as command
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "marginflow.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.exit(command.start())
"""
    child = start(code=code)
    _, err = child.communicate()
    assert child.returncode == 130 and err == "marginflow: interrupted; nothing was begun\n"


NATIVE = """
import numpy as np
from marginflow.atomic_file import whole_file
from marginflow.cli.interrupt import stops_within

A = np.random.default_rng(0).standard_normal((4000, 4000))
with stops_within(0.2), whole_file("out.npz") as draft:
    draft.write_bytes(b"half")
    print("BEGUN", flush=True)
    np.linalg.svd(A)
"""


def test_native_code_that_goes_on_is_ended_and_leaves_no_draft(tmp_path, monkeypatch):
    """A singular value decomposition of minutes, in one call of LAPACK."""
    monkeypatch.chdir(tmp_path)
    with start(code=NATIVE) as child:
        assert child.stdout.readline() == "BEGUN\n"
        time.sleep(1.0)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
    assert child.returncode == 130
    assert "in the middle of a solver" in err and not list(tmp_path.iterdir())


def test_the_handler_is_put_back(capsys):
    before = signal.getsignal(signal.SIGINT)
    assert main(["describe", "angle"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    with interrupt.stops_within():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_drafts_are_discarded(tmp_path):
    from marginflow.atomic_file import discard_drafts

    with pytest.raises(mf.InputError), whole_file(tmp_path / "a") as draft:
        draft.write_bytes(b"half")
        discard_drafts()
        assert not list(tmp_path.iterdir())
