"""Bad files and arguments: exit 2, one line on stderr that names what was wrong, nothing half-written."""

import io
import zipfile

import numpy as np
import pytest

from marginflow.cli.main import main


def good():
    draw = np.random.default_rng(0)
    return {
        "X": draw.standard_normal((3, 4, 2)),
        "z": draw.standard_normal((3, 2)),
        "scores": draw.standard_normal((3, 4)),
    }


def npz(**change):
    """The bytes of an .npz file: the good arrays with `change` applied (None removes)."""
    arrays = {k: v for k, v in (good() | change).items() if v is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(**members: bytes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + body


G = good()
X, Z, S = G["X"], G["z"], G["scores"]
TIE = np.where(S == S[1].max(), S[1].max(), S)
TIE[1, :2] = S[1].max() + 1
PICKLED = io.BytesIO()
np.save(PICKLED, np.array([{"a": 1}], dtype=object), allow_pickle=True)

FILES = {
    "empty file": b"",
    "text": b"hello",
    "html": b"<html></html>",
    "npy, not npz": npz()[:0] + header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    "truncated": npz()[:-200],
    "bytes flipped": npz()[:300] + b"\xff" * 100 + npz()[400:],
    "zip of text": zipped(**{"X.txt": b"1 2 3"}),
    "zip without arrays": zipped(),
    "pickled object": zipped(**{"X.npy": PICKLED.getvalue()}),
    "zip bomb": zipped(**{"X.npy": bytes(50_000_000)}),
    "header claims too much": zipped(
        **{"X.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**9, 10**9), }")}
    ),
    "header shape huge": zipped(
        **{"X.npy": header("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999, 999999), }")}
    ),
    "header is code": zipped(**{"X.npy": header("__import__('os').system('touch pwned')")}),
    "path in name": zipped(**{"../X.npy": npz()}),
    "no X": npz(X=None),
    "no z": npz(z=None),
    "no scores": npz(scores=None),
    "scores and head": npz(y=np.ones(3), v=np.ones(2)),
    "y without v": npz(scores=None, y=np.ones(3)),
    "v without y": npz(scores=None, v=np.ones(2)),
    "misspelt array": npz(score=S),
    "X of two axes": npz(X=X[0]),
    "X NaN": npz(X=np.where(X == X[0, 0, 0], np.nan, X)),
    "X infinite": npz(X=np.where(X == X[0, 0, 0], np.inf, X)),
    "X complex": npz(X=X + 1j),
    "X strings": npz(X=X.astype(str)),
    "X empty": npz(X=X[:0], z=Z[:0], scores=S[:0]),
    "X no features": npz(X=X[:, :, :0]),
    "X one token": npz(X=X[:, :1], scores=S[:, :1]),
    "X huge": npz(X=X * 1e300),
    "X large integers": npz(X=np.full((3, 4, 2), 2**60 + 1)),
    "z count": npz(z=Z[:2]),
    "z zero": npz(z=Z * [[1], [1], [0]]),
    "z NaN": npz(z=Z * [[1], [1], [np.nan]]),
    "scores shape": npz(scores=S[:, :2]),
    "scores NaN": npz(scores=S * np.nan),
    "scores tie": npz(scores=TIE),
    "labels 0/1": npz(scores=None, y=np.array([0, 1, 1]), v=np.ones(2)),
    "label count": npz(scores=None, y=np.ones(2), v=np.ones(2)),
    "head shape": npz(scores=None, y=np.ones(3), v=np.ones(3)),
    "head zero": npz(scores=None, y=np.ones(3), v=np.zeros(2)),
    "mask shape": npz(mask=np.ones((2, 2), dtype=bool)),
    "mask numbers": npz(mask=np.full((3, 4), 7)),
    "mask hides all": npz(mask=np.zeros((3, 4), dtype=bool)),
}


def one_line_error(capsys, folder, before, words):
    code = main([str(w) for w in words])
    out, err = capsys.readouterr()
    assert code == 2, (words, out, err)
    assert out == ""
    assert err.startswith("marginflow: ") and err.count("\n") == 1, err
    assert "Traceback" not in err
    assert sorted(p.name for p in folder.iterdir()) == before
    return err


@pytest.mark.parametrize("verb", ["describe", "svm", "flow"])
@pytest.mark.parametrize("kind", FILES)
def test_bad_files(tmp_path, monkeypatch, capsys, kind, verb):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(FILES[kind])
    words = [verb, "bad.npz", "--json"] + ([] if verb == "describe" else ["--save", "out.npz"])
    one_line_error(capsys, tmp_path, ["bad.npz"], words)


ARGUMENTS = {
    "no such verb": ["train"],
    "no data": ["svm"],
    "no such file": ["svm", "missing.npz"],
    "a folder": ["svm", "folder.npz"],
    "no such family": ["describe", "spheres"],
    "bad parameter": ["describe", "sphere:m=3"],
    "bad value": ["describe", "angle:c=1.5"],
    "empty name": ["describe", ""],
    "name with newline": ["describe", "a\nb"],
    "no such norm": ["svm", "angle", "--norm", "spectral"],
    "lp below one": ["svm", "sign-orbit", "--norm", "lp:0.5"],
    "lp not a number": ["svm", "sign-orbit", "--norm", "lp:x"],
    "lp NaN": ["svm", "sign-orbit", "--norm", "lp:nan"],
    "tol zero": ["svm", "angle", "--tol", "0"],
    "tol negative": ["svm", "angle", "--tol=-1"],
    "tol NaN": ["svm", "angle", "--tol", "nan"],
    "tol text": ["svm", "angle", "--tol", "small"],
    "diagonal norm on d != d_z": ["svm", "trap:infinity", "--norm", "l1"],
    "selection text": ["svm", "angle", "--select", "a,b"],
    "selection length": ["svm", "angle", "--select", "0"],
    "selection range": ["svm", "angle", "--select", "0,5"],
    "save into nowhere": ["svm", "angle", "--save", "no/such/folder.npz"],
    "save onto folder": ["svm", "angle", "--save", "folder.npz"],
    "save onto input": ["svm", "input.npz", "--save", "input.npz"],
    "verify and data": ["svm", "angle", "--verify", "input.npz"],
    "verify a problem file": ["svm", "--verify", "input.npz"],
    "verify nothing": ["svm", "--verify", "missing.npz"],
    "no such parameterization": ["flow", "angle", "--parameterization", "mlp"],
    "diagonal on d != d_z": ["flow", "trap:infinity", "--parameterization", "diag"],
    "width for w": ["flow", "angle", "--parameterization", "w", "--width", "2"],
    "width zero": ["flow", "angle", "--width", "0"],
    "width negative": ["flow", "angle", "--width=-3"],
    "seed negative": ["flow", "angle", "--seed=-1"],
    "scale zero": ["flow", "angle", "--scale", "0"],
    "scale NaN": ["flow", "angle", "--scale", "nan"],
    "margin zero": ["flow", "angle", "--until-margin", "0"],
    "margin infinite": ["flow", "angle", "--until-margin", "inf"],
    "until": ["flow", "angle", "--until", "bored"],
    "loss": ["flow", "angle", "--loss", "hinge"],
    "rtol": ["flow", "angle", "--rtol", "2"],
    "init missing": ["flow", "angle", "--init", "missing.npz"],
    "init wrong arrays": ["flow", "angle", "--init", "input.npz"],
    "init wrong shape": ["flow", "angle", "--init", "start-shape.npz"],
    "init NaN": ["flow", "angle", "--init", "start-nan.npz"],
    "init zero": ["flow", "angle", "--init", "start-zero.npz"],
    "save flow onto init": ["flow", "angle", "--init", "start-nan.npz", "--save", "start-nan.npz"],
    "no such claim": ["claims", "everything"],
    "report without runs": ["report"],
    "report of a problem": ["report", "input.npz"],
    "report of nothing": ["report", "missing.npz"],
    "report onto run": ["report", "input.npz", "-o", "input.npz"],
    "unknown option": ["svm", "angle", "--fast"],
    "demo into a file": ["demo", "--out", "input.npz"],
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_bad_arguments(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "input.npz").write_bytes(npz())
    np.savez(tmp_path / "start-shape.npz", K=np.ones((3, 2)), Q=np.ones((2, 2)))
    np.savez(tmp_path / "start-nan.npz", K=np.full((2, 2), np.nan), Q=np.ones((2, 2)))
    np.savez(tmp_path / "start-zero.npz", K=np.zeros((2, 2)), Q=np.zeros((2, 2)))
    before = sorted(p.name for p in tmp_path.iterdir())
    contents = {p.name: p.read_bytes() for p in tmp_path.glob("*.npz") if p.is_file()}
    one_line_error(capsys, tmp_path, before, ARGUMENTS[kind])
    assert contents == {p.name: p.read_bytes() for p in tmp_path.glob("*.npz") if p.is_file()}


def test_read_only_folder(tmp_path, monkeypatch, capsys):
    """Root may write anywhere, so the write itself is made to fail as a full disk does."""
    import marginflow.npz

    monkeypatch.chdir(tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(marginflow.npz.np, "savez", full)
    error = one_line_error(capsys, tmp_path, [], ["svm", "angle", "--save", "out.npz"])
    assert "No space left" in error


@pytest.mark.parametrize("name", ["mine.h5", "mine.pt", "mine.csv", "mine.safetensors", "folder/mine.pkl"])
def test_a_file_of_another_format_that_is_not_there_is_called_missing(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert f"{name}: no such file" in one_line_error(capsys, tmp_path, [], ["flow", name])
