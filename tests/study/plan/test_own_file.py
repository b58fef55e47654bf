"""Plans on data of the user's: found beside the plan, hashed into the key, kept with the results."""

import numpy as np
import pytest

from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.study.plan.plan import read_plan
from marginflow.study.results.folder import find_folder


PLAN = """
name = "mine"
seeds = 3
[flow]
until_margin = 1e3
[[problem]]
file = {file}
[[model]]
parameterization = "w"
"""


@pytest.fixture
def there(tmp_path):
    folder = tmp_path / "there"
    (folder / "deep").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name in ("mine.npz", "deep/mine.npz"):
        np.savez(folder / name, X=draw.standard_normal((3, 3, 4)), z=draw.standard_normal((3, 4)), scores=np.eye(3))
    return folder


def written(folder, file='"mine.npz"'):
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(file=file))
    return plan


def test_a_folder_of_arrays_is_no_file_of_a_study(there):
    (there / "arrays.npz").mkdir()
    np.save(there / "arrays.npz" / "X.npy", np.eye(3)[None])
    with pytest.raises(InputError, match="got a folder"):
        read_plan(written(there, '"arrays.npz"'))


def keys(path):
    return [unit.key for unit in read_plan(path).units]


def test_the_digest_of_the_numbers_is_in_the_key(there):
    plan = written(there)
    before = keys(plan)
    (there / "mine.npz").rename(there / "other.npz")
    assert keys(written(there, '"other.npz"')) == before
    (there / "deep" / "mine.npz").rename(there / "mine.npz")
    assert keys(written(there)) != before


def test_two_files_of_one_name_are_two_cells(there):
    plan = read_plan(written(there, '["mine.npz", "deep/mine.npz"]'))
    assert len(plan.cells) == 2 and len({cell.key for cell in plan.cells}) == 2
    assert len({own.kept_as for own in plan.files}) == 2


def test_results_stand_beside_the_plan_with_a_copy_of_the_data(there, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "run", "there/plan.toml" if written(there) else ""]) == 0
    out = there / "out" / "study-mine"
    assert out.is_dir() and not (tmp_path / "out").exists()
    assert main(["study", "export", str(out), "-o", "a.csv"]) == 0
    # Everything that reads the results still does where the file is gone.
    (there / "mine.npz").unlink()
    assert main(["study", "export", str(out), "-o", "b.csv"]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert ",mine.npz,w," in (tmp_path / "a.csv").read_text()
    capsys.readouterr()
    assert main(["study", "run", str(out)]) == 0
    assert "3 of 3 runs" in capsys.readouterr().out


def test_a_file_that_changes_under_the_study_is_noticed(there):
    _, plan = find_folder(written(there))
    (there / "deep" / "mine.npz").rename(there / "mine.npz")
    with pytest.raises(InputError, match="changed since the study began"):
        plan.cells[0].problem(0)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ('"gone.npz"', "gone.npz: cannot be read"),
        ('"mine.csv"', "expected a file.npz"),
        ('"mine.npz"\nfamily = "sphere"', "either file or family"),
        ('"mine.npz"\nseed = 3', "unknown key"),
    ],
)
def test_what_is_no_file_is_refused(there, file, message):
    with pytest.raises(InputError, match=message):
        read_plan(written(there, file))
