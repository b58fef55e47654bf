"""The recorder in NumPy: figures against written-out formulas, a file whole after every record, one-line refusals."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.watch import recorder as room
from marginflow.watch.clock import Clock
from marginflow.watch.figures import HIDDEN, WATCHED, on_probe


RANDOM = np.random.default_rng(0)


def factors(m=4, D=6):
    return RANDOM.standard_normal((2, m, D))


def test_the_clock_is_evenly_spaced_on_a_logarithmic_scale():
    clock = Clock()
    due = [k for k in range(10_001) if clock.due(k)]
    assert due == sorted({0, *(round(10 ** (j / 12)) for j in range(49))})
    assert [k for k in range(11) if Clock(2).due(k)] == [0, 1, 3, 10]
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(InputError, match="per_decade"):
            Clock(wrong)


def test_figures_are_the_written_out_ones():
    K, Q = factors()
    rest = factors()[1]
    head = mf.Head(K, Q, 0.5, shared=Q @ Q.T + rest @ rest.T, group=2)
    X = RANDOM.standard_normal((3, 5, 6))
    logits = np.where(np.tri(5, dtype=bool), 0.5 * (X @ Q.T) @ np.swapaxes(X @ K.T, 1, 2), -np.inf)
    recorder = mf.Recorder()
    recorder.record(0, 2.0, [("a.0", head)], {"a.0": logits})
    recorder.record(3, 1.0, [("a.0", mf.Head(1.1 * K, Q, 0.5, shared=head.shared, group=2))], {"a.0": 2 * logits})
    recorder.record(4, 1.0, [("a.0", mf.Head(1.1 * K, Q, 0.5, shared=head.shared, group=2))])
    found = recorder.result
    W = 0.5 * K.T @ Q
    singular = np.linalg.svd(W, compute_uv=False)[:4]
    np.testing.assert_allclose(found.singular[0, 0], singular, rtol=1e-12)
    own = {name: found.figure(name)[0, 0] for name in WATCHED}
    share = singular / singular.sum()
    s_K, s_Q = (np.linalg.svd(A, compute_uv=False) for A in (K, Q))
    side = np.linalg.norm(K @ K.T), np.linalg.norm(head.shared)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    h = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(-1)
    several = np.arange(1, 6) >= 2
    leads = np.sort(logits, axis=-1)[..., -1] - np.sort(logits, axis=-1)[..., -2]
    expected = {
        "nuclear": singular.sum(),
        "frobenius": np.linalg.norm(W),
        "operator": singular[0],
        "effective_rank": np.exp(-(share * np.log(share)).sum()),
        "alignment": singular.sum() / 0.5 / (s_K * s_Q).sum(),
        "balance": np.linalg.norm(K @ K.T - head.shared) / sum(side),
        "drift": 0.0,
        "keys": np.linalg.norm(K),
        "queries": np.linalg.norm(Q),
        "max_logit": logits.max(),
        "entropy": h.mean(),
        "least_entropy": h[:, several].min(),
        "entropy_share": (h[:, several] / np.log(np.arange(2, 6))).mean(),
        "top1": p.max(-1)[:, several].mean(),
        "lead": np.median(leads[:, several]),
        "least_lead": leads[:, several].min(),
        "sink": (logits.argmax(-1) == 0)[:, several].mean(),
    }
    for name, value in expected.items():
        assert own[name] == pytest.approx(value, rel=1e-12, abs=1e-15), name
    assert found.figure("nuclear_over_lead")[0, 0] == pytest.approx(singular.sum() / leads[:, several].min())
    # From the first record, not from the one before.
    assert found.figure("drift")[1:, 0] == pytest.approx(0.21 * side[0] / sum(side))
    assert found.figure("max_logit")[1, 0] == pytest.approx(2 * logits.max())
    assert (found.law, found.step.tolist(), found.loss.tolist()) == ("gqa", [0, 3, 4], [2.0, 1.0, 1.0])


@pytest.mark.parametrize("mask", [-np.inf, -1e9, -1e4, np.finfo(np.float32).min])
def test_any_mask_is_a_mask(mask):
    logits = RANDOM.standard_normal((2, 4, 4))
    logits[1, :, :2] = mask  # padding on the left: the first token is the third
    plain = np.concatenate([on_probe("a", logits[:1]), on_probe("a", logits[1:, :, 2:])]).reshape(2, -1)
    both = dict(zip(("max_logit", "entropy", "least_entropy", "entropy_share", "top1"), on_probe("a", logits)))
    assert both["max_logit"] == plain[:, 0].max()
    assert both["entropy"] == pytest.approx(plain[:, 1].mean())
    assert both["least_entropy"] == pytest.approx(plain[:, 2].min())
    assert both["entropy_share"] == pytest.approx(plain[:, 3].mean())
    assert on_probe("a", logits[1:])[-1] == plain[1, -1]


def test_rows_that_see_one_token_or_none_and_large_logits():
    nothing = on_probe("a", np.full((1, 2, 2), -np.inf))
    assert np.isnan(nothing[0]) and nothing[1] == 0.0
    one = on_probe("a", [[[3.0]]])
    assert one[0] == 3.0 and one[1] == 0.0 and np.isnan(one[2:]).all()
    apart = on_probe("a", [[[0.0, HIDDEN - 1.0]]])
    assert apart[5] == HIDDEN - 1.0 and apart[1] == 0.0
    assert on_probe("a", np.array([[[1e6, 1e6 - 1]]]))[0] == 1e6


def test_a_saved_record_is_the_same(tmp_path):
    recorder = mf.Recorder(tmp_path / "run.npz", model="toy", note="A note.")
    for step in (0, 1, 5):
        recorder.record(step, None if step == 0 else 1.0, [("b.0", *factors()), ("b.1", *factors(3, 5))])
    loaded, own = mf.Record.load(tmp_path / "run.npz"), recorder.result
    for name in ("step", "loss", "values", "singular", "components", "cores"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(own, name))
    assert (loaded.names, loaded.laws, loaded.model, loaded.note) == (own.names, own.laws, "toy", "A note.")
    assert list(loaded.layers) == ["b"] and loaded.components.tolist() == [4, 3]
    assert np.isnan(loaded.loss[0]) and np.isnan(loaded.figure("entropy")).all()
    np.testing.assert_allclose(loaded.core("b.1", 2).singular[:3], own.singular[2, 1, :3], rtol=1e-5)
    assert any("Logits were not seen" in said for said in loaded.sentences) and loaded.sentences[-1] == "A note."
    assert len(list(loaded.rows())) == 6 and "b" in loaded._repr_html_()


def test_cores_are_left_out_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "LARGEST_CORES", 2 * 2 * 4 * 4 * 4)
    recorder = mf.Recorder(tmp_path / "run.npz")
    for step in range(3):
        recorder.record(step, 0.0, [("a", *factors())])
        assert (recorder.result.cores is None) == (step == 2)
    assert mf.Record.load(tmp_path / "run.npz").cores is None
    assert "above 64 MB" in recorder.result.note
    with pytest.raises(InputError, match="no cores"):
        recorder.result.core("a")


CODE = """
import sys, numpy as np, marginflow as mf
recorder = mf.Recorder(sys.argv[1])
draw = np.random.default_rng(0)
for step in range(10**6):
    recorder.record(step, 1.0, [(f"a.{h}", *draw.standard_normal((2, 8, 16))) for h in range(4)])
"""


def test_a_killed_run_can_be_read(tmp_path):
    file = tmp_path / "run.npz"
    for wait in (0.0, 0.13):
        process = subprocess.Popen([sys.executable, "-c", CODE, str(file)])
        end = time.monotonic() + 60
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        found = mf.Record.load(file)
        assert found.step.tolist() == list(range(len(found))) and len(found) >= 1
        file.unlink()


def test_a_record_that_fails_leaves_the_last_one(tmp_path):
    recorder = mf.Recorder(tmp_path / "run.npz")
    recorder.record(0, 1.0, [("a", *factors())])
    before = (tmp_path / "run.npz").read_bytes()
    bad = factors()
    bad[0, 0, 0] = np.nan
    good = [("a", *factors())]
    cases = [
        ((0, 1.0, good), "expected a later one"),
        ((1.5, 1.0, good), "updates"),
        ((1, 1.0, [("a", *bad)]), "expected finite"),
        ((1, 1.0, [("b", *factors())]), "the same ones"),
        ((1, 1.0, good * 2), "a name of its own"),
        ((1, 1.0, []), "at least one head"),
        ((1, 1.0, [("a", 3)]), "for each"),
        ((1, 1.0, [3]), "heads: got int"),
        ((1, 1.0, None), "heads: got NoneType"),
        ((2**63, 1.0, good), "updates"),
        ((1, "low", good), "loss: got str"),
        ((1, np.zeros(2), good), "loss: got ndarray"),
        ((1, 1.0, [("a", *factors()[:, 1:])]), "expected the same"),
        ((1, 1.0, [("a", *factors()[:, :, 1:])]), "expected the same"),
        ((1, 1.0, [("a", mf.Head(*factors(), 1.0, gains=(np.ones(len(bad[0])), np.ones(len(bad[0])))))]), "qk-norm"),
        ((1, 1.0, [("a\n", *factors())]), "a name of its own"),
        ((1, 1.0, good, {"c": np.zeros((2, 2))}), "names of heads"),
        ((1, 1.0, good, {"a": np.zeros(2)}), "queries, tokens"),
        ((1, 1.0, good, {"a": np.full((2, 2), np.nan)}), "has training failed"),
        ((1, 1.0, good, {"a": np.full((2, 2), np.inf)}), "got infinity"),
    ]
    for arguments, said in cases:
        with pytest.raises(InputError, match=said):
            recorder.record(*arguments)
        assert recorder.result.step.tolist() == [0] and (tmp_path / "run.npz").read_bytes() == before
    recorder.record(1, 0.5, good)
    assert mf.Record.load(tmp_path / "run.npz").loss.tolist() == [1.0, 0.5]
    with pytest.raises(InputError, match="loss: got str"):
        recorder.amend("low")
    for to in (tmp_path / "nowhere" / "run.npz", "", 5):
        with pytest.raises(InputError, match="expected the name of a file"):
            mf.Recorder(to)
    with pytest.raises(InputError, match="nothing was recorded"):
        _ = mf.Recorder().result
