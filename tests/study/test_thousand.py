"""A study of the size that people run: a thousand seeds, each with its certified SVM."""

import time

import pytest
from plans import plan

from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome
from marginflow.study.results.folder import Folder


THOUSAND = """
name = "thousand"
seeds = 1000
batch = 50
[flow]
until_margin = 1e6
margins = [1e2, 1e4, 1e6]
[[problem]]
family = "sphere"
n = 6
T = 8
d = 10
seed = "run"
[[model]]
parameterization = "kq"
"""


@pytest.mark.long
def test_a_thousand_seeds_in_six_cpu_minutes_with_an_overhead_below_3_percent(tmp_path):
    p = plan(THOUSAND)
    begin = time.process_time()
    summary = run_study(p, Folder(tmp_path), Serial())
    cpu = time.process_time() - begin
    assert summary.complete and summary.failed == 0
    ledger = Folder(tmp_path).read_ledger(p, print)
    found = outcome(p, ledger)
    svms = ledger.select("SELECT status, count(*) AS n FROM svms GROUP BY status")
    ledger.close()
    assert svms == [{"status": "optimal", "n": 1000}]
    # theory 9: 145 of the first 200 by another integrator; the interval of a thousand must meet that of 200.
    share = found.cells[0].shares["minimal_loss"]
    assert share.total == 1000 and share.lower < 0.78 and share.upper > 0.66
    # CPU seconds, the one budget that a user was promised (issue 8); measured with room to spare.
    assert cpu < 360
    assert cpu - found.cpu_seconds < 0.03 * found.cpu_seconds
