"""Rows of a batch as arrays, and back."""

import fake_work
import pytest
from plans import plan

from marginflow.errors import InputError
from marginflow.npz import write_npz
from marginflow.study.results.ledger import Batch, Ledger
from marginflow.study.results.record import from_arrays, read_batch, to_arrays, write_batch


def test_arrays_hold_every_number_of_the_rows():
    unit = plan().units[5]
    rows = [fake_work.row(unit, seed) for seed in unit.seeds]
    assert from_arrays(to_arrays(unit, rows)) == rows


def test_a_batch_file_gives_back_its_rows_and_a_damaged_one_is_refused(tmp_path):
    unit = plan().units[3]
    arrays = fake_work.quick(unit).arrays
    file = tmp_path / f"{unit.key}.npz"
    write_batch(file, arrays)
    assert read_batch(file)[1] == from_arrays(arrays)
    for wrong in ({}, {name: array for name, array in arrays.items() if name != "seed"}):
        write_npz(file, **wrong)
        with pytest.raises(InputError):
            read_batch(file)


def test_a_ledger_holds_what_it_was_given_once():
    """Recorded twice, a batch is there once; forgotten, it is gone with its runs, SVMs and margins."""
    unit = plan().units[3]
    rows = from_arrays(fake_work.quick(unit).arrays)
    ledger = Ledger.in_memory()
    for digest in ("first", "second"):
        ledger.record(unit, Batch(unit.key, "done", digest=digest), rows)
    assert ledger.batches()[unit.key].digest == "second"
    seen = ledger.select("SELECT seed, status, ratio FROM runs ORDER BY seed")
    assert seen == [{"seed": r.seed, "status": r.status, "ratio": r.ratio} for r in rows]
    powers = ledger.select("SELECT power, rank FROM svms ORDER BY seed")
    assert powers == [{"power": s.power, "rank": s.rank} for r in rows for s in r.svms]
    ledger.forget(unit.key)
    assert all(ledger.select(f"SELECT * FROM {table}") == [] for table in ("runs", "svms", "marks"))
    assert ledger.batches() == {}
    ledger.close()
