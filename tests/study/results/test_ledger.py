"""A ledger that is interrupted while it is opened leaves no connection behind."""

import sqlite3

import pytest
from plans import plan

from marginflow.study.results import ledger as ledgers
from marginflow.study.results.folder import Folder
from marginflow.study.results.ledger import Ledger


@pytest.fixture
def connections(monkeypatch):
    """Every connection that is made."""
    made, connect = [], sqlite3.connect

    def kept(*args, **kwargs):
        made.append(connect(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(ledgers.sqlite3, "connect", kept)
    return made


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


def closed(connection):
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    return True


@pytest.mark.parametrize("way", ["open", "read", "in_memory"])
def test_while_its_layout_is_checked(tmp_path, connections, monkeypatch, way):
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    monkeypatch.setattr(Ledger, "_check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        getattr(Ledger, way)(*([] if way == "in_memory" else [path]))
    assert len(connections) == 2 and all(map(closed, connections))


@pytest.mark.parametrize("way", ["open_ledger", "read_ledger"])
def test_while_batch_files_are_looked_at(tmp_path, connections, monkeypatch, way):
    folder = Folder(tmp_path)
    monkeypatch.setattr(Folder, "_reconcile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        getattr(folder, way)(plan(), print)
    assert len(connections) == 1 and all(map(closed, connections))
