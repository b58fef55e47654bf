"""Problems in files: the user's own with what else they hold, other formats, and those inside runs and solutions."""

import io
import json
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.model.registry import KeyQuery
from marginflow.problem.files import read_problem, write_problem


DRAW = np.random.default_rng(0)
ARRAYS = {
    "X": DRAW.standard_normal((3, 4, 2)),
    "z": DRAW.standard_normal((3, 2)),
    "scores": DRAW.standard_normal((3, 4)),
}


def equal(a, b):
    names = ("X", "z", "scores", "mask", "optimal", "y", "v", "token_names", "sample_names")
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in names)


def test_other_arrays_are_left_alone_with_a_word(tmp_path):
    np.savez(tmp_path / "p.npz", **ARRAYS, meta=np.array("layer 3"), seed=1)
    with pytest.warns(UserWarning, match=r"p\.npz: arrays meta, seed are not read"):
        problem = read_problem(tmp_path / "p.npz")
    assert equal(problem, mf.Problem(**ARRAYS))


def test_the_command_line_says_what_it_left_alone_in_one_line(tmp_path, capsys):
    np.savez(tmp_path / "p.npz", **ARRAYS, meta=np.array("layer 3"))
    assert main(["describe", str(tmp_path / "p.npz"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n"] == 3
    assert err.startswith("marginflow: note: ") and err.count("\n") == 1 and "meta are not read" in err


@pytest.mark.parametrize(
    "name, meant",
    [
        *(("score", "scores"), ("Mask", "mask"), ("attention_mask", "mask"), ("lengths", "mask"), ("padding", "mask")),
        *(("x", "X"), ("V", "v"), ("token-names", "token_names"), ("names", "token_names"), ("seq_len", "mask")),
    ],
)
def test_a_name_that_may_be_misspelt_is_refused(tmp_path, name, meant):
    np.savez(tmp_path / "p.npz", **ARRAYS, **{name: np.ones(3)})
    with pytest.raises(mf.InputError, match=f"array {name}; did you mean {meant}\\?"):
        read_problem(tmp_path / "p.npz")


def test_lengths_in_a_file_are_a_mask(tmp_path):
    np.savez(tmp_path / "p.npz", **ARRAYS, mask=np.array([2, 4, 3]))
    assert mf.load(tmp_path / "p.npz").lengths.tolist() == [2, 4, 3]


def torch_zip():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"X": 1}))
        archive.writestr("archive/data/0", bytes(8))
    return data.getvalue()


HEADER = json.dumps({"X": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
NPY = io.BytesIO()
np.save(NPY, np.ones(3))
FOREIGN = {
    "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5", "h5py.File"),
    "a.csv": (b"x0,x1\n1,2\n", "CSV", "pd.read_csv"),
    "a.safetensors": (struct.pack("<Q", len(HEADER)) + HEADER + bytes(4), "safetensors", "load_file"),
    "a.pt": (torch_zip(), "PyTorch", "weights_only=True"),
    "a.pkl": (pickle.dumps({"X": 1}), "pickle", "np.savez"),
    "a.npy": (NPY.getvalue(), "NumPy .npy", "np.load"),
    "a.mat": (b"MATLAB 5.0 MAT-file" + bytes(200), "MATLAB", "loadmat"),
    "a.parquet": (b"PAR1" + bytes(20), "Parquet", "read_parquet"),
    "a.json": (b'{"X": []}', "JSON", "json.load"),
    # The contents count, whatever the file is called.
    "hdf.npz": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5", "new.npz"),
    "torch.npz": (torch_zip(), "PyTorch", "torch.load"),
    "pickle.npz": (pickle.dumps([1.0]), "pickle", "runs the code in it"),
    "noend": (struct.pack("<Q", len(HEADER)) + HEADER + bytes(4), "safetensors", "noend.npz"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_named_with_the_line_that_converts(tmp_path, name, capsys):
    content, kind, line = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    assert main(["describe", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert f"{name}: is a {kind} file; expected an .npz" in err and line in err


def test_an_npz_under_another_name_is_read(tmp_path):
    with open(tmp_path / "p.bin", "wb") as file:
        np.savez(file, **ARRAYS)
    assert equal(mf.load(tmp_path / "p.bin"), mf.Problem(**ARRAYS))


def test_objects_and_bfloat16_in_a_file_say_how_to_save_them(tmp_path):
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.ones((2, 2)), np.ones((4, 2)), np.ones((3, 2))]
    np.savez(tmp_path / "o.npz", **ARRAYS | {"X": ragged})
    with pytest.raises(mf.InputError, match=r"X\.npy holds pickled.*padded.*mask"):
        mf.load(tmp_path / "o.npz")
    np.savez(tmp_path / "b.npz", **ARRAYS | {"X": ARRAYS["X"].astype(ml_dtypes.bfloat16)})
    with pytest.raises(mf.InputError, match=r"X\.npy has type .V2.*bfloat16.*astype\(np\.float32\)"):
        mf.load(tmp_path / "b.npz")


@pytest.mark.parametrize("source", ["digits:n=2", "sentences:n=3", "sphere:n=3,T=3,d=4,dz=3"])
def test_the_problem_inside_a_run_or_a_solution_is_the_problem(tmp_path, source):
    problem = mf.load(source)
    mf.integrate(problem, KeyQuery(2), until_margin=2.0).save(tmp_path / "run.npz")
    mf.solve(problem, "frobenius").save(tmp_path / "svm.npz")
    run = mf.load(tmp_path / "run.npz")
    assert equal(run, problem) and run.name == problem.name
    inside = mf.load(tmp_path / "svm.npz")
    for name in ("X", "z", "scores", "mask", "optimal", "token_names"):
        assert np.array_equal(getattr(inside, name), getattr(problem, name))
    assert inside.name == problem.name


def test_a_nameless_problem_inside_a_run_is_called_by_the_file(tmp_path):
    write_problem(tmp_path / "p.npz", mf.Problem(**ARRAYS))
    mf.integrate(mf.Problem(**ARRAYS), KeyQuery(2), until_margin=2.0).save(tmp_path / "run.npz")
    assert mf.load(tmp_path / "run.npz").name == str(tmp_path / "run.npz")


def test_bare_constraints_hold_no_problem(tmp_path):
    mf.solve(mf.Problem(**ARRAYS).constraints(), "frobenius").save(tmp_path / "svm.npz")
    with pytest.raises(mf.InputError, match="bare constraints"):
        mf.load(tmp_path / "svm.npz")


@pytest.mark.parametrize(
    "words",
    [["describe"], ["svm", "--norm", "frobenius"], ["flow", "--until-margin", "3"], ["attractors", "-p", "w"]],
    ids=lambda words: words[0],
)
def test_every_verb_takes_a_run_or_a_solution_for_data(tmp_path, capsys, words):
    problem = mf.load("sphere:n=2,T=3,d=3,seed=1")
    mf.integrate(problem, KeyQuery(3), until_margin=2.0).save(tmp_path / "run.npz")
    mf.solve(problem, "frobenius").save(tmp_path / "svm.npz")
    said = []
    for data in (problem.name, str(tmp_path / "run.npz"), str(tmp_path / "svm.npz")):
        verb, *options = words
        assert main([verb, data, *options, "--json"]) in (0, 1)
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] == said[2]
