"""The mutation run: its list covers the core, its places are found once, and its answers mean what they say."""

import importlib.util
import sys
from pathlib import Path

import pytest


FILE = Path(__file__).parents[2] / "benchmarks" / "mutants.py"
CORE = {
    "problem",
    "svm",
    "model",
    "flow",
    "selection",
    "trajectory",
    "diagnostics",
    "attractors",
    "claims",
    "study",
    "pages",
}


@pytest.fixture(scope="module")
def mutants():
    spec = importlib.util.spec_from_file_location("mutants", FILE)
    module = sys.modules["mutants"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_covers_the_core(mutants):
    found = mutants.listing()
    assert len(found) >= 60 and {m.room for m in found} >= CORE
    for letter in "R1 R2 K2 D1 D3 D4 D5 D6 D7 C2 C4 C8 V2 V3 Q3 Q4 Q6 A2 U1 P1".split():
        assert any(m.name.startswith(f"{letter} ") for m in found), f"{letter} of the first list is gone"


def test_survivors_are_named_on_the_page_of_honesty(mutants):
    page = (FILE.parents[1] / "docs" / "honesty.md").read_text()
    for mutant in mutants.listing():
        assert not mutant.survives or mutant.name in page


def test_a_place_must_be_there_once(mutants):
    mutant = mutants.Mutant("m", "a.py", "x = 1", "x = 2", ("t",))
    assert mutant.applied("y\nx = 1\n") == "y\nx = 2\n"
    for text in ("y", "x = 1\nx = 1"):
        with pytest.raises(ValueError, match="expected once"):
            mutant.applied(text)


@pytest.fixture
def tree(mutants, tmp_path):
    code, tests = tmp_path / "src" / "marginflow", tmp_path / "tests"
    code.mkdir(parents=True)
    tests.mkdir()
    (code / "a.py").write_text("def double(x):\n    return 2 * x\n\n\ndef unused(x):\n    return x\n")
    (tests / "test_a.py").write_text(
        "import pathlib, sys\n"
        "sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'src' / 'marginflow'))\n"
        "import a\n\n\ndef test_double():\n    assert a.double(3) == 6\n"
    )
    (tests / "test_broken.py").write_text("def test_broken():\n    assert False\n")
    return mutants.Tree(tmp_path)


@pytest.mark.parametrize(
    ("find", "replace", "tests", "word"),
    [
        ("2 * x", "3 * x", "tests/test_a.py", "caught"),
        ("return x\n", "return -x\n", "tests/test_a.py", "survived"),
        ("2 * x", "2 *", "tests/test_a.py", "caught"),
        ("2 * x", "3 * x", "tests/test_broken.py", "fails by itself"),
    ],
)
def test_what_the_words_mean(mutants, tree, find, replace, tests, word):
    file = tree.folder / "src" / "marginflow" / "a.py"
    before = file.read_text()
    found = mutants.judge(mutants.Mutant("m", "a.py", find, replace, (tests,)), tree)
    assert found.word == word and file.read_text() == before
    assert ("test_double" in found.by) is (word == "caught" and replace == "3 * x")


@pytest.mark.parametrize(
    "test, there",
    [
        ("tests/benchmarks/test_mutants.py::test_a_place_must_be_there_once", True),
        ("tests/benchmarks/test_mutants.py::test_what_the_words_mean[return x-caught]", True),
        ("tests/benchmarks/test_mutants.py::test_a_place", False),
        ("tests/benchmarks/test_no_such.py::test_a", False),
        ("tests/benchmarks", True),
    ],
)
def test_tests_of_a_mutant_exist(mutants, test, there):
    mutant = mutants.Mutant("m", "errors.py", "class InputError", "class InputError", (test,))
    assert (mutants.problems([mutant]) == []) is there
