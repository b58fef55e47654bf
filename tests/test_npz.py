"""Arrays on disk: whole or absent, and no file, however made, does more than be refused."""

import io
import os
import zipfile

import numpy as np
import pytest

from marginflow.errors import InputError
from marginflow.npz import read_npz, write_npz


def _zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _npy(array, allow_pickle=False):
    data = io.BytesIO()
    np.lib.format.write_array(data, np.asarray(array), allow_pickle=allow_pickle)
    return data.getvalue()


def test_round_trip_keeps_values_types_and_the_exact_name(tmp_path):
    path = tmp_path / "no-suffix"
    arrays = {"W": np.arange(6.0).reshape(2, 3), "n": 3, "norm": "lp:1.75", "mask": np.array([True, False])}
    write_npz(path, **arrays)
    back = read_npz(path)
    assert back.keys() == arrays.keys()
    for name, value in arrays.items():
        assert back[name].dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(back[name], value)
    assert os.listdir(tmp_path) == ["no-suffix"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_npz(path, x=1)

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(InputError, match="No space left"):
        write_npz(path, x=2)
    assert read_npz(path)["x"] == 1
    assert os.listdir(tmp_path) == ["a.npz"]


def test_writing_through_a_link_replaces_the_file_behind_it(tmp_path):
    write_npz(tmp_path / "real.npz", x=1)
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    write_npz(tmp_path / "link.npz", x=2)
    assert (tmp_path / "link.npz").is_symlink()
    assert read_npz(tmp_path / "real.npz")["x"] == 2


def test_objects_are_not_saved(tmp_path):
    with pytest.raises(InputError, match="expected numbers"):
        write_npz(tmp_path / "a.npz", x=np.array([None]))
    assert os.listdir(tmp_path) == []


def test_missing_folder_and_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_npz(tmp_path / "no" / "a.npz", x=1)
    with pytest.raises(InputError, match="cannot be read"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(InputError, match="cannot be read"):
        read_npz(tmp_path)


class _Bomb:
    def __reduce__(self):
        return os.system, ("echo pickled code ran",)


HOSTILE = {
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("X = 1"),
    "bare npy": lambda p: p.write_bytes(_npy(np.ones(3))),
    "pickle": lambda p: _zip(p, {"x.npy": _npy(np.array([_Bomb()], dtype=object), allow_pickle=True)}),
    "not npy": lambda p: _zip(p, {"x.txt": b"hello"}),
    "garbage npy": lambda p: _zip(p, {"x.npy": b"\x93NUMPY\x01\x00garbage"}),
    "short npy": lambda p: _zip(p, {"x.npy": _npy(np.ones(100))[:-8]}),
    "long npy": lambda p: _zip(p, {"x.npy": _npy(np.ones(100)) + b"12345678"}),
    "huge header": lambda p: _zip(p, {"x.npy": _npy(np.ones(1)).replace(b"(1,)", b"(99999999999,)")}),
    "code in header": lambda p: _zip(p, {"x.npy": _npy(np.ones(1)).replace(b"(1,), ", b"f(1), ")}),
    "deep header": lambda p: _zip(p, {"x.npy": b"\x93NUMPY\x02\x00\xff\xff\x0f\x00" + b"[" * 1048575}),
    "bomb": lambda p: _zip(p, {"x.npy": bytes(6 * 2**20)}, zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_one_error(tmp_path, kind, capfd):
    path = tmp_path / "a.npz"
    HOSTILE[kind](path)
    with pytest.raises(InputError):
        read_npz(path)
    assert "pickled code ran" not in capfd.readouterr().out


def test_size_limit_is_checked_before_unpacking(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, x=np.zeros(1000))
    with pytest.raises(InputError, match="at most 1,000 in all"):
        read_npz(path, largest=1000)


def test_every_truncation_and_flipped_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, x=np.arange(4.0), name="l1")
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            read_npz(path)
    for where in range(0, len(whole), 3):
        path.write_bytes(whole[:where] + bytes([whole[where] ^ 0x41]) + whole[where + 1 :])
        try:
            read_npz(path)
        except InputError:
            pass


def _zeros(path, count):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w", force_zip64=True) as out,
    ):
        np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": (count,)})
        for _ in range(count // 2**17):
            out.write(bytes(2**20))


def test_a_small_file_of_many_zeros_is_refused_with_its_size_before_it_is_read(tmp_path, monkeypatch):
    _zeros(tmp_path / "a.npz", 2**24)
    size = (tmp_path / "a.npz").stat().st_size
    assert size < 2**20

    def unpack(*_):
        raise AssertionError("unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "read", unpack)
    with pytest.raises(InputError, match=f"{size:,} bytes that unpack to 134,217,.*MARGINFLOW_LARGEST_FILE=134217"):
        read_npz(tmp_path / "a.npz")
    monkeypatch.undo()
    monkeypatch.setenv("MARGINFLOW_LARGEST_FILE", "134217856")
    assert len(read_npz(tmp_path / "a.npz")["X"]) == 2**24
    monkeypatch.setenv("MARGINFLOW_LARGEST_FILE", "134217855")
    with pytest.raises(InputError, match="at most 134,217,855"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("said", ["much", "-1", "nan", "inf", ""])
def test_a_limit_that_is_no_number_is_refused(tmp_path, monkeypatch, said):
    write_npz(tmp_path / "a.npz", x=1)
    monkeypatch.setenv("MARGINFLOW_LARGEST_FILE", said)
    with pytest.raises(InputError, match="number of bytes"):
        read_npz(tmp_path / "a.npz")


def test_data_that_compress_well_are_read_while_they_are_small(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros(2**22))
    assert len(read_npz(tmp_path / "a.npz")["X"]) == 2**22


@pytest.mark.parametrize("descr", ["'(2,f4'", "'(2 3)f4'", "'(((('", "'>U99999999999'"])
def test_types_that_are_no_types_are_refused(tmp_path, descr):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}\n".encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)
    _zip(tmp_path / "x.npz", {"X.npy": data})
    with pytest.raises(InputError, match="damaged"):
        read_npz(tmp_path / "x.npz")
