"""A file appears whole or not at all."""

import os
from pathlib import Path

import pytest

from marginflow.atomic_file import whole_file
from marginflow.errors import InputError


def test_a_finished_block_replaces_the_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with whole_file(tmp_path / "a") as draft:
        draft.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_block_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError if error is OSError else error), whole_file(tmp_path / "a") as draft:
        draft.write_text("half")
        raise error
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_a_read_only_file_system_is_named_by_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """There even removing the draft, which was never made, is refused."""

    def refuse(self, missing_ok=False):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    with (
        pytest.raises(InputError, match=r"a\.npz: cannot be written .Read-only") as caught,
        whole_file(tmp_path / "a.npz"),
    ):
        raise OSError(30, "Read-only file system")
    assert ".part" not in str(caught.value)
