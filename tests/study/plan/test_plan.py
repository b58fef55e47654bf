"""Plans: what they stand for, and one error with the key's path for everything that cannot run."""

import pytest
from plans import FAKE, plan

from marginflow import code_version
from marginflow.errors import InputError
from marginflow.study.plan.plan import check_plan, read_plan


def test_grid_is_the_product_of_the_lists():
    p = plan()
    assert (len(p.cells), p.runs, len(p.units)) == (12, 192, 48)
    assert len({cell.key for cell in p.cells}) == 12 and len({unit.key for unit in p.units}) == 48
    assert p.cells[0].source(7) == "sphere:n=4,T=4,d=3,seed=7"
    assert [unit.seeds for unit in p.units[:4]] == [range(0, 4), range(4, 8), range(8, 12), range(12, 16)]
    assert {cell.width for cell in p.cells if cell.parameterization == "kq"} == {1, None}


def test_more_seeds_keep_the_full_batches():
    keys = {unit.key for unit in plan().units}
    more = plan(FAKE.replace("seeds = 16", "seeds = 18"))
    assert keys < {unit.key for unit in more.units}
    assert [u.count for u in more.units[:5]] == [4, 4, 4, 4, 2]


def test_first_seed_is_cut_at_multiples_of_the_batch():
    p = plan(FAKE.replace("seeds = 16", "seeds = 7\nfirst_seed = 2"))
    assert [u.seeds for u in p.units[:3]] == [range(2, 4), range(4, 8), range(8, 9)]


def test_keys_depend_on_everything_that_determines_a_run():
    base = plan().units[0]
    changes = [
        ("until_margin = 1e4", "until_margin = 2e4"),
        ("[flow]", '[flow]\nuntil = "verdict"'),
        ("[flow]", '[flow]\nloss = "logistic"'),
        ("[flow]", "[flow]\nrtol = 1e-7"),
        ("margins = [1e2, 1e4]", "margins = [1e2]"),
        ("[[problem]]", '[svm]\nnorms = ["own", "operator"]\n[[problem]]'),
        ("[[problem]]", "[svm]\ntol = 1e-8\n[[problem]]"),
        ("n = 4", "n = 5"),
        ('seed = "run"', "seed = 0"),
        ("scale = [0.1, 1]", "scale = [0.2, 1]"),
        ("width = [1,", "width = [2,"),
        ("batch = 4", "batch = 5"),
    ]
    keys = {plan(FAKE.replace(old, new, 1)).units[0].key for old, new in changes}
    assert len(keys) == len(changes) and base.key not in keys
    assert plan(FAKE.replace('"fake"', '"other"')).units[0].key == base.key


@pytest.mark.parametrize(
    "spec, command",
    [
        (
            FAKE,
            "marginflow flow sphere:n=4,T=4,d=3,seed=5 --parameterization kq --width 1 --seed 5 --scale 0.1",
        ),
        (
            'name = "a"\nseeds = 9\n[[problem]]\nfamily = "trap:finite"\n[[model]]\nparameterization = "w"\n',
            "marginflow flow trap:finite --parameterization w --seed 5 --scale 0.1 --until-margin 1000000.0",
        ),
        (
            'name = "a"\nseeds = 9\n[[problem]]\nfamily = "angle"\nc = 0.1\n[[model]]\nparameterization = "w"\n',
            "marginflow flow angle:c=0.1 --parameterization w --seed 5",
        ),
    ],
)
def test_every_seed_has_its_command(spec, command):
    assert plan(spec).cells[0].command(5).startswith(command)


HEAD = 'name = "a"\nseeds = 2\n'
PROBLEM = '[[problem]]\nfamily = "sphere"\nseed = 0\n'
MODEL = '[[model]]\nparameterization = "w"\n'

BAD = {
    "not toml": ("name = ", "not a TOML file"),
    "deep": ("x = " + "[" * 100_000, "TOML"),
    "no name": ("seeds = 2\n" + PROBLEM + MODEL, "name: is missing"),
    "name is a path": (HEAD.replace('"a"', '"../a"') + PROBLEM + MODEL, "name: got"),
    "no seeds": ('name = "a"\n' + PROBLEM + MODEL, "seeds: is missing"),
    "no problem": (HEAD + MODEL, "problem: got None; expected at least one table"),
    "no model": (HEAD + PROBLEM, "model: got None; expected at least one table"),
    "problem no table": (HEAD + "problem = 3\n" + MODEL, "problem: got 3"),
    "unknown key": (HEAD + "sedes = 2\n" + PROBLEM + MODEL, "sedes: unknown key; expected one of: batch, "),
    "unknown flow key": (HEAD + "[flow]\nmargin = 3\n" + PROBLEM + MODEL, "flow.margin: unknown key"),
    "unknown model key": (HEAD + PROBLEM + MODEL + "scales = 1\n", "model[0].scales: unknown key"),
    "unknown family": (HEAD + '[[problem]]\nfamily = "spere"\n' + MODEL, "problem[0].family: got 'spere'"),
    "unknown parameter": (HEAD + PROBLEM + "m = 3\n" + MODEL, "problem[0].m: unknown key"),
    "no problem seed": (HEAD + PROBLEM.replace("seed = 0\n", "") + MODEL, "problem[0].seed: is missing"),
    "parameter of other type": (HEAD + PROBLEM + "n = 2.5\n" + MODEL, "problem[0].n: got 2.5"),
    "parameter true": (HEAD + PROBLEM + "n = true\n" + MODEL, "problem[0].n: got True"),
    "parameter text": (HEAD + PROBLEM + 'n = "6"\n' + MODEL, "problem[0].n: got '6'"),
    "impossible parameter": (HEAD + PROBLEM + "T = [4, 1]\n" + MODEL, "sphere T=1,seed=0 | w scale=0.1 is"),
    "impossible angle": (HEAD + '[[problem]]\nfamily = "angle"\nc = 2.0\n' + MODEL, "cosine"),
    "empty list": (HEAD + PROBLEM + MODEL + "scale = []\n", "model[0].scale: got []"),
    "nested list": (HEAD + PROBLEM + MODEL + "scale = [[1.0]]\n", "model[0].scale: got [1.0]"),
    "twice in a list": (HEAD + PROBLEM + MODEL + "scale = [1, 1.0]\n", "each value once"),
    "scale nan": (HEAD + PROBLEM + MODEL + "scale = nan\n", "model[0].scale: got nan"),
    "scale 0": (HEAD + PROBLEM + MODEL + "scale = 0.0\n", "model[0].scale: got 0.0"),
    "seeds 0": (HEAD.replace("2", "0") + PROBLEM + MODEL, "seeds: got 0"),
    "seeds -1": (HEAD.replace("2", "-1") + PROBLEM + MODEL, "seeds: got -1"),
    "batch 0": (HEAD + "batch = 0\n" + PROBLEM + MODEL, "batch: got 0"),
    "unknown model": (HEAD + PROBLEM + MODEL.replace('"w"', '"wq"'), "model[0].parameterization: got 'wq'"),
    "width of w": (HEAD + PROBLEM + MODEL + "width = 2\n", "model[0].width: got 2; expected no width here"),
    "width 0": (HEAD + PROBLEM + MODEL.replace('"w"', '"kq"') + "width = 0\n", "model[0].width: got 0"),
    "diagonal not square": (
        HEAD + PROBLEM + "dz = 3\n" + MODEL.replace('"w"', '"diag"'),
        "is impossible: diagonal weights",
    ),
    "more samples than there are": (
        HEAD + PROBLEM + "n = [7, 3]\n" + MODEL + 'optimizer = "gd"\nsamples = ["all", 3, 4]\n',
        "is impossible: samples: got 4; expected at most the 3 that there are",
    ),
    "unknown norm": (HEAD + '[svm]\nnorms = ["nuklear"]\n' + PROBLEM + MODEL, "svm.norms: got 'nuklear'"),
    "diagonal norm of a matrix": (HEAD + '[svm]\nnorms = ["l1"]\n' + PROBLEM + MODEL, "svm.norms: got 'l1'"),
    "margin beyond the end": (
        HEAD + "[flow]\nuntil_margin = 100\nmargins = [1e3]\n" + PROBLEM + MODEL,
        "flow.margins: got 1000.0; expected a number in 0.001..100",
    ),
    "until": (HEAD + '[flow]\nuntil = "end"\n' + PROBLEM + MODEL, "flow.until: got 'end'"),
    "rtol": (HEAD + "[flow]\nrtol = 1\n" + PROBLEM + MODEL, "flow.rtol: got 1"),
    "flow no table": (HEAD + "flow = 3\n" + PROBLEM + MODEL, "flow: got 3; expected a table"),
    "same cell twice": (HEAD + PROBLEM + MODEL + MODEL, "twice"),
    "a thousand million": (HEAD.replace("2", "1_000_000_000") + PROBLEM + MODEL, "seeds: got 1,000,000,000"),
    "a thousand million cells": (
        HEAD + PROBLEM + f"n = {list(range(1, 1001))}\nd = {list(range(1, 1001))}\n"
        + MODEL + f"scale = {[0.001 * k for k in range(1, 1002)]}\n",
        "model[0].scale: got 1,001 of 1,001,000,000 cells x 2 seeds = 2,002,000,000 runs",
    ),
    "far too long": ("#" * 2_000_000, "at most 1,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD.keys())
def test_one_error_with_the_path_of_the_key(text, message):
    with pytest.raises(InputError) as caught:
        check_plan(text, "p.toml")
    said = str(caught.value)
    assert said.startswith("p.toml: ") and message in said and "\n" not in said and len(said) < 600


def test_files_that_are_no_plan(tmp_path):
    for path, content in ((tmp_path / "latin.toml", b"name = '\xe9'"), (tmp_path / "none.toml", None)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_plan(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path)


def test_the_example_is_a_plan():
    from importlib.resources import files

    p = check_plan((files("marginflow.study") / "example.toml").read_text(encoding="utf-8"))
    assert p.runs == 96


def test_the_version_follows_what_the_sources_say(tmp_path):
    """Any change of a file that a run can pass through is other code; what only shows results is not."""

    def digest():
        return code_version._digest(sorted(code_version._sources(tmp_path, "")))

    for name in ("flow/step.py", "norms.py", "report/page.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    seen = {digest()}
    for name, told in (("flow/step.py", True), ("norms.py", True), ("report/page.py", False)):
        (tmp_path / name).write_text("x = 2\n")
        assert (digest() not in seen) is told, name
        seen.add(digest())
