"""Heads on inputs: against the long way, against the model's own logits, and what a bad inputs file says."""

from types import SimpleNamespace

import numpy as np
import pytest
from own_logits import write_stored
from stored_families import stored

import marginflow as mf
from marginflow.audit import least
from marginflow.audit.inputs import read_inputs
from marginflow.audit.least import TOL
from marginflow.audit.on_data import DATA_FIGURES, HeadOnData, data_sentences
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.svm.proof.certificate import Certificate


def given(name, folder, repeat=1, **change):
    """A checkpoint and its layers' inputs."""
    arrays = stored(name)
    found = {k.replace("inputs", "layer"): np.repeat(v, repeat, axis=0) for k, v in arrays.items() if "inputs" in k}
    np.savez(folder / "X.npz", **{k: v for k, v in (found | change).items() if v is not None})
    return write_stored(arrays, folder), folder / "X.npz", arrays


def row(found, layer, head):
    return next(d for d in found.on_data if (d.layer, d.head) == (layer, head))


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama", "qwen3", "gemma2", "bloom", "mistral"])
def test_figures_are_those_of_the_models_own_logits(name, tmp_path):
    path, inputs, arrays = given(name, tmp_path)
    found = mf.audit(path, inputs, queries=0)
    for layer in range(2):
        for head, own in enumerate(arrays[f"logits{layer}"][0]):
            rows = [r[r > -1e20].astype(float) for r in own]
            rows = [r for r in rows if len(r) > 1]
            p = [np.exp(r - r.max()) / np.exp(r - r.max()).sum() for r in rows]
            entropy = np.mean([-(q * np.log(q)).sum() for q in p])
            lead = np.median([np.sort(r)[-1] - np.sort(r)[-2] for r in rows])
            sink = np.mean([r.argmax() == 0 for r in rows]) if name not in ("mistral", "gemma2") else None
            values = dict(zip(DATA_FIGURES, row(found, layer, head).values))
            assert values["entropy"] == pytest.approx(entropy, abs=1e-4)
            assert values["top1"] == pytest.approx(np.mean([q.max() for q in p]), abs=1e-4)
            assert values["lead"] == pytest.approx(lead, abs=1e-4)
            if sink is not None:
                assert values["sink"] == pytest.approx(sink)


def test_rank_on_data_is_that_of_the_logits_between_all_pairs(tmp_path):
    path, inputs, arrays = given("bert", tmp_path)
    found = mf.audit(path, inputs, queries=0)
    for layer in range(2):
        for head, own in enumerate(arrays[f"logits{layer}"][0].astype(float)):
            s = np.linalg.svd(own - own.mean(axis=1, keepdims=True), compute_uv=False)
            held = np.cumsum(s**2) / (s**2).sum()
            assert row(found, layer, head).values[0] == int((held < 0.9).sum()) + 1


def test_padding_is_nobodys_input(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    path, inputs, arrays = given("bert", tmp_path / "a")
    padded = {
        k.replace("inputs", "layer"): np.pad(v, ((0, 0), (0, 3), (0, 0))) for k, v in arrays.items() if "inp" in k
    }
    padded["layer0"][:, -1] = np.nan
    mask = np.ones((1, 12), dtype=bool)
    mask[:, 9:] = False
    _, other, _ = given("bert", tmp_path / "b", mask=mask, **padded)
    one, two = (mf.audit(path, x, queries=0).on_data for x in (inputs, other))
    for a, b in zip(one, two):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-9)


def test_the_head_spends_at_least_the_least_norm_and_a_least_head_no_more(tmp_path):
    path, inputs, _ = given("gpt2", tmp_path, repeat=3)
    found = mf.audit(path, inputs, queries=6)
    ratios = [(d.thrift.nuclear, d.thrift.frobenius) for d in found.on_data]
    assert min(map(min, ratios)) >= 1.0
    assert all(d.thrift_rotation is not None and d.thrift.queries <= 6 for d in found.on_data)
    # A head whose W is the least one for its own margins has ratio 1 to the SVM's gap.
    from marginflow.audit.least import thrift

    random = np.random.default_rng(0)
    X = random.standard_normal((3, 4, 5))
    sees = np.ones((3, 4, 4), dtype=bool)
    u, v = random.standard_normal((2, 5))
    own = thrift(mf.Head(u[None], v[None], 1.0), X, sees, 5, np.random.default_rng(1))
    # W has rank one, so its norms are equal, and the least nuclear norm is never below the least Frobenius norm.
    assert own.frobenius * (1 + TOL) >= own.nuclear >= 1.0
    problem = mf.Problem(X[:, :, :], random.standard_normal((3, 5)), random.standard_normal((3, 4)))
    least = mf.solve(problem, "nuclear", 1e-10)
    margins = problem.constraints().margins(least.W)
    rows = problem.constraints()
    again = mf.solve(mf.Constraints(rows.a / margins[:, None], rows.sample, rows.z), "nuclear", TOL)
    assert least.value / again.certificate.lower == pytest.approx(1.0, abs=TOL)


@pytest.mark.parametrize("name", ["llama", "qwen3", "bloom"])
def test_no_svm_where_no_one_matrix_makes_the_logits(name, tmp_path):
    path, inputs, _ = given(name, tmp_path)
    assert all(d.thrift is None for d in mf.audit(path, inputs, queries=4).on_data)


def test_samples_and_positions_are_drawn_with_the_seed(tmp_path):
    _, inputs, _ = given("bert", tmp_path, repeat=10)
    one, two, other = (read_inputs(inputs, layers=2, samples=4, seed=s, positions=2) for s in (0, 0, 1))
    assert one.samples.tolist() == two.samples.tolist() and len(one.samples) == 4
    assert one.samples.tolist() != other.samples.tolist()
    assert (one.asking.sum(axis=1) == 2).all() and np.array_equal(one.asking, two.asking)
    assert read_inputs(inputs, layers=2, samples=100, seed=0).asking.all()


def test_intervals_over_samples_hold_the_figure_and_shrink_to_it(tmp_path):
    path, inputs, _ = given("bert", tmp_path, repeat=8)
    for d in mf.audit(path, inputs, queries=0).on_data:
        # Every sample is the same one, so there is nothing to be uncertain about.
        np.testing.assert_allclose(d.low, d.values, rtol=1e-9)
        np.testing.assert_allclose(d.high, d.values, rtol=1e-9)


def test_saved_with_data_and_loaded(tmp_path):
    path, inputs, _ = given("bert", tmp_path, repeat=2)
    found = mf.audit(path, inputs, queries=3)
    found.save(tmp_path / "a.npz")
    assert mf.Audit.load(tmp_path / "a.npz").to_dict() == found.to_dict()
    assert "entropy_rotation" in next(found.rows())


BAD = {
    "no layers": {"layer0": None, "layer1": None, "mask": np.ones((1, 9))},
    "a layer too many": {"layer2": np.ones((1, 9, 32))},
    "other names": {"X": np.ones((1, 9, 32))},
    "two axes": {"layer0": np.ones((9, 32))},
    "other samples": {"layer1": np.ones((2, 9, 32))},
    "another width": {"layer0": np.ones((1, 9, 31))},
    "NaN": {"layer0": np.full((1, 9, 32), np.nan)},
    "strings": {"layer0": np.full((1, 9, 32), "a")},
    "mask of another shape": {"mask": np.ones((1, 8), dtype=bool)},
    "mask of numbers": {"mask": np.full((1, 9), 7)},
    "mask hides all": {"mask": np.zeros((1, 9), dtype=bool)},
    "tokens of another shape": {"tokens": np.zeros((1, 3), dtype=int)},
    "empty": {"layer0": np.ones((0, 9, 32)), "layer1": np.ones((0, 9, 32))},
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_inputs_are_one_line(kind, tmp_path, capsys):
    path, inputs, _ = given("bert", tmp_path, **BAD[kind])
    with pytest.raises(InputError):
        mf.audit(path, inputs)
    assert main(["audit", str(path), "--inputs", str(inputs), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_thrift_is_over_what_is_least_for_certain(monkeypatch):
    """A W that is the least for its own margins, and a solver that stops within 1 % of it: still not below one."""

    def stopping(constraints, norm, tol):
        value = mf.solve(constraints, norm, 1e-10).value
        return SimpleNamespace(certificate=Certificate(lower=0.99 * value, upper=1.01 * value))

    monkeypatch.setattr(least, "solve", stopping)
    random = np.random.default_rng(0)
    X = random.standard_normal((4, 5, 8))
    sees = np.zeros((4, 5, 5), dtype=bool)
    sees[:, 0] = True
    # The SVM's W is the least for the margins that it makes, slack ones included.
    W = mf.solve(mf.Problem(X, X[:, 0], random.standard_normal((4, 5))), "frobenius", 1e-11).W
    found = least.thrift(mf.Head(np.eye(8), W, 1.0), X, sees, 4, random)
    assert found.queries == 4 and found.frobenius == pytest.approx(1.0 / 0.99, rel=1e-6)


def test_nothing_is_said_of_thrift_that_may_be_chance():
    def heads(ratios):
        flat = np.ones(len(DATA_FIGURES))
        draws = np.ones((4, len(DATA_FIGURES)))
        other = least.Thrift(2.0, 2.0, 9, 3)
        return [
            HeadOnData(0, k, flat, flat, flat, draws, draws, least.Thrift(2.0 * r, 2.0 * r, 9, 3), other)
            for k, r in enumerate(ratios)
        ]

    draw = np.random.default_rng(0)
    assert data_sentences(heads(np.exp(0.5 * draw.standard_normal(12))), 0) == []
    said = data_sentences(heads(np.full(12, 0.5)), 0)
    assert [s.split(" norm")[0].split()[-1] for s in said] == ["nuclear", "frobenius"]
