"""`audit` on every layout of the table, its figures, its controls, its files."""

import json

import numpy as np
import pytest
from own_logits import write_stored
from reference import long_way
from stored_families import NAMES, stored

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.heads.figures import FIGURES, norms_and_ranks


@pytest.fixture(scope="module")
def opt(tmp_path_factory):
    return mf.audit(write_stored(stored("opt"), tmp_path_factory.mktemp("opt")), controls=20)


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_answers_in_json_with_the_figures_of_the_long_way(name, tmp_path, capsys):
    assert main(["audit", str(write_stored(stored(name), tmp_path)), "--controls", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    audit = mf.audit(tmp_path, controls=3)
    assert found["family"] == audit.family and found["law"] in ("plain", "gqa", "rope", "rope+gqa", "qk-norm")
    assert found["summary"] and all(isinstance(s, str) for s in found["summary"])
    for row in found["heads"]:
        head = audit.head(row["layer"], row["head"])
        for figure, value in long_way(head).items():
            assert row[figure] == pytest.approx(value, rel=1e-9), figure
        for control in ("rotation", "iid"):
            for low, high in row["controls"][control].values():
                assert low <= high
        assert ("pairs" in row) == (head.rotary is not None)
        assert ("largest_logit" in row) == (head.gains is not None)


def test_calling_the_room_is_calling_the_door():
    import marginflow.audit.files  # noqa: F401  after this import the name `audit` is the room

    with pytest.raises(InputError, match="no such file"):
        mf.audit("nothing-here")


def test_controls_are_what_they_say(opt):
    """Rotations keep both spectra; the iid control keeps both norms. Both are averages that can be computed."""
    for measured in opt.heads[:4]:
        head = opt.head(measured.layer, measured.head)
        m = len(head.K)
        expected = head.scale * np.linalg.norm(head.K) * np.linalg.norm(head.Q) / np.sqrt(m)
        frobenius = measured.rotation[:, FIGURES.index("frobenius")]
        # E |K'OQ|^2 = |K|^2 |Q|^2 / m for a uniform O.
        assert np.mean(frobenius**2) == pytest.approx(expected**2, rel=0.1)
        iid = measured.iid[:, FIGURES.index("frobenius")]
        # E |K'Q|^2 = |K|^2 |Q|^2 / m for independent Gaussian rows.
        assert np.mean(iid**2) == pytest.approx(expected**2, rel=0.1)


def test_a_rotated_head_looks_like_its_rotation_control_and_not_like_its_own_pairing():
    """Calibration: random weights are inside the control; paired ones are not, and on the side they should be."""
    from marginflow.audit.measured import measure
    from marginflow.audit.summary import compare

    random = np.random.default_rng(3)
    chance, paired = [], []
    for number in range(40):
        K, Q = random.standard_normal((2, 8, 30))
        chance.append(measure(mf.Head(K, Q, 0.3, head=number), controls=20, seed=0))
        paired.append(measure(mf.Head(K, K + 0.3 * Q, 0.3, head=number), controls=20, seed=0))
    by_name = {(c.figure, c.control): c for c in compare(chance, 0)}
    inside = [c.below + c.above for c in by_name.values() if c.control == "rotation"]
    assert max(inside) <= 10  # 5 % of 40 by definition, a little more for quantiles of 20 draws
    found = {(c.figure, c.control): c for c in compare(paired, 0)}
    assert found["alignment", "rotation"].low > 1.0 and found["commutator", "rotation"].high < 1.0
    assert found["balance", "rotation"].high < 1.0 and found["balance", "rotation"].share == 1.0


def test_draws_belong_to_a_head_whatever_else_is_measured(opt, tmp_path):
    alone = mf.audit(opt.source, layers=[1], heads=[2], controls=20)
    same = next(h for h in opt.heads if (h.layer, h.head) == (1, 2))
    assert len(alone) == 1 and np.array_equal(alone.heads[0].rotation, same.rotation)
    other = mf.audit(opt.source, layers=[1], heads=[2], controls=20, seed=1)
    assert not np.array_equal(other.heads[0].rotation, same.rotation)


def test_saved_and_loaded_is_the_same(opt, tmp_path):
    opt.save(tmp_path / "a.npz")
    again = mf.Audit.load(tmp_path / "a.npz")
    assert again.to_dict() == opt.to_dict()


@pytest.mark.parametrize("change", ["values", "rotation", "pairs", "kind", "figures", "missing", "format"])
def test_a_damaged_audit_is_refused(opt, tmp_path, change):
    opt.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    if change == "missing":
        del arrays["iid"]
    elif change in ("kind", "figures"):
        arrays[change] = np.array("run") if change == "kind" else arrays[change][:-1]
    elif change == "format":
        arrays["format"] = np.array(99)
    else:
        arrays[change] = arrays[change][..., :1]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError):
        mf.Audit.load(tmp_path / "b.npz")


def test_equal_values_have_whole_ranks():
    assert norms_and_ranks(np.ones(5))[3:] == pytest.approx([5.0, 5.0])
    assert norms_and_ranks(np.ones(10))[4] == 9.0
    assert norms_and_ranks(np.array([1.0, 0.0, 0.0]))[3:] == pytest.approx([1.0, 1.0])
    assert not norms_and_ranks(np.zeros(4)).any()
    assert norms_and_ranks(np.full(3, 1e-200))[1] == pytest.approx(np.sqrt(3) * 1e-200)


def test_notebooks_show_figures_and_sentences(opt):
    html = opt._repr_html_()
    assert "effective rank" in html and html.count("<tr") == 1 + len(opt.heads)
    assert next(opt.rows())["alignment_rotation"] == pytest.approx(opt.heads[0].rotation[:, 6].mean())


def test_an_interrupted_audit_keeps_what_was_measured(opt, capsys, monkeypatch):
    import marginflow.audit.run as run

    seen = []
    real = run.measure

    def once(*args, **kwargs):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(run, "measure", once)
    assert main(["audit", opt.source]) == 130
    assert "3 heads" in capsys.readouterr().out
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        mf.audit(opt.source)
    seen.clear()
    kept = mf.audit(opt.source, keep_partial=True)
    assert kept.interrupted and len(kept.heads) == 3
