"""SVMs searched on a device of PyTorch's, here its CPU: NumPy's answers with the same certificates (docs/scale.md)."""

import json

import numpy as np
import pytest
import torch
from equality_problems import faces_of
from peers import unit_sphere

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.svm.device import parse_device
from marginflow.svm.euclidean import solve_euclidean as euclidean
from marginflow.svm.euclidean.growing_dual import growing_dual
from marginflow.svm.scaling import unit_rows
from marginflow.svm.scaling.namespace import NUMPY, NumPy, namespace_of
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.scaling.query_blocks import inverse_by_query
from marginflow.svm.scaling.torch_namespace import Torch
from marginflow.svm.spectral import first_order


NAME = "sphere:n=3,T=3,d=4,seed=1"


def ragged(n=12, d=9):
    """Samples of 2 to 30 tokens: several rows of the batch for the long ones."""
    rng = np.random.default_rng(3)
    tokens = [rng.standard_normal((int(k), d)) for k in rng.choice([2, 3, 4, 30], n)]
    return mf.Problem(tokens, rng.standard_normal((n, 7)), [rng.standard_normal(len(X)) for X in tokens])


def two_heads():
    rng = np.random.default_rng(0)
    X, z = rng.standard_normal((8, 4, 10)), rng.standard_normal((8, 9))
    return mf.Problem(X, z, rng.standard_normal((8, 4)), output=np.repeat(range(4), 2), head=[0, 1] * 4)


def opposed():
    """More random rows of three times three weights than can be met."""
    rng = np.random.default_rng(0)
    return mf.Constraints(rng.standard_normal((60, 3)), np.arange(60), rng.standard_normal((60, 3)))


def repeated():
    """Equalities of which each stands twice."""
    rows = faces_of(1, n=6, d=6)
    e = np.flatnonzero(rows.equal)
    return mf.Constraints(
        np.vstack((rows.a, 2.0 * rows.a[e])),
        np.append(rows.sample, rows.sample[e]),
        rows.z,
        equal=np.append(rows.equal, rows.equal[e]),
    )


PROBLEMS = {
    "tokens": lambda: unit_sphere(12, 8, 10),
    "ragged": ragged,
    "few dimensions": lambda: unit_sphere(20, 6, 30, d_z=25),
    "equalities": lambda: faces_of(1, n=6, d=6),
    "repeated equalities": repeated,
    "levels": lambda: faces_of(2, n=6, d=6),
    "heads": two_heads,
    "infeasible": opposed,
    "a contradiction": lambda: mf.Constraints([[1.0, 0.0], [-1.0, 0.0]], [0, 0], [[1.0, 2.0]]),
}


@pytest.fixture
def only_torch(monkeypatch):
    """Products of Frobenius are structured whatever the size; those of NumPy count as wrong."""
    monkeypatch.setattr(unit_rows, "_DENSE", 0)
    calls = {"here": 0}
    sums = Torch.sums

    def counted(self, batch, weights):
        calls["here"] += 1
        return sums(self, batch, weights)

    def refused(self, batch, weights):
        raise AssertionError("products of NumPy")

    def switch():
        monkeypatch.setattr(Torch, "sums", counted)
        monkeypatch.setattr(NumPy, "sums", refused)
        monkeypatch.setattr(NumPy, "dots", refused)
        return calls

    return switch


@pytest.mark.parametrize("norm", ["nuclear", "operator", "frobenius"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_answer_is_that_of_numpy(name, norm, only_torch):
    problem = PROBLEMS[name]()
    want = mf.solve(problem, norm)
    calls = only_torch()
    got = mf.solve(problem, norm, device="cpu")
    assert got.status is want.status
    assert (got.device, want.device) == ("cpu", None) and all(part.device == "cpu" for part in got.parts)
    assert calls["here"] > 0 or name == "a contradiction" or got.iterations.get("first_order") == 0
    if got.status is mf.SvmStatus.infeasible:
        assert got.infeasibility == pytest.approx(want.infeasibility, rel=1e-6) or got.infeasibility > 1e11
    else:
        assert got.status is mf.SvmStatus.optimal
        assert got.certificate.lower <= want.certificate.upper and want.certificate.lower <= got.certificate.upper
        assert got.certificate.gap <= 1e-9 and got.value == pytest.approx(want.value, rel=2e-9)
        assert got.rank == want.rank and got.unique == want.unique


@pytest.mark.parametrize("name", ["ragged", "few dimensions", "equalities"])
def test_signs_read_off_conjugate_gradients_are_numpys(name, monkeypatch, only_torch):
    monkeypatch.setattr(euclidean, "_DIRECT", 0)
    problem = PROBLEMS[name]()
    want = mf.solve(problem, "frobenius")
    calls = only_torch()
    got = mf.solve(problem, "frobenius", device="cpu")
    assert want.iterations["conjugate"] > 0 and got.iterations["conjugate"] > 0 and calls["here"] > 0
    assert got.certificate.gap <= 1e-9 and got.value == pytest.approx(want.value, rel=1e-11)


def test_blocks_by_query_are_numpys():
    A = presolve(ragged().constraints()).operator
    there, x = A.on(Torch(torch.device("cpu"))).copy, np.random.default_rng(0).standard_normal(len(A))
    want = inverse_by_query(A)(x)
    got = there.xp.get(inverse_by_query(there)(there.xp.put(x)))
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8 * np.abs(want).max())


@pytest.mark.parametrize("norm", ["nuclear", "operator"])
def test_steps_are_single_then_double_and_as_many_as_numpys(norm, monkeypatch, only_torch):
    monkeypatch.setattr(first_order, "FOCUS_SIZE", 0)
    monkeypatch.setattr("marginflow.svm.spectral.solve_spectral._Search.direct", 0)
    problem, seen, dots = unit_sphere(30, 12, 20), [], Torch.dots

    def watched(self, batch, P):
        seen.append(batch.dtype)
        return dots(self, batch, P)

    want = mf.solve(problem, norm)
    only_torch()
    monkeypatch.setattr(Torch, "dots", watched)
    got = mf.solve(problem, norm, device="cpu")
    assert got.certificate.gap <= 1e-9 and got.value == pytest.approx(want.value, rel=2e-9)
    assert got.iterations["first_order"] <= 1.2 * want.iterations["first_order"] + 20
    assert seen.count(torch.float32) > 100 and seen[-1] == torch.float64
    assert set(seen) == {torch.float32, torch.float64}


@pytest.mark.parametrize("rows", [ragged().constraints(), faces_of(1, n=6, d=6), unit_sphere(30, 12, 20)])
def test_products_and_restrictions_are_those_of_numpy(rows):
    A, rng = presolve(rows).operator, np.random.default_rng(0)
    there = A.on(parse_device("cpu"))
    keep = np.sort(rng.choice(len(A), len(A) // 2, replace=False))
    for mine, other in ((A, there), (A.restrict(keep), there.restrict(keep))):
        W, dual = rng.standard_normal(mine.shape), rng.standard_normal(len(mine))
        assert namespace_of(other.copy.a) is not NUMPY and other.copy.batch.dtype == torch.float64
        assert np.abs(other.margins(W) - mine.margins(W)).max() <= 1e-13 * np.abs(mine.margins(W)).max()
        assert np.abs(other.adjoint(dual) - mine.adjoint(dual)).max() <= 1e-13 * np.abs(mine.adjoint(dual)).max()
        assert other.copy.bound() == pytest.approx(mine.bound(), rel=1e-12)
        assert [bool(x) for x in other.copy.leads] == mine.leads.tolist()
        assert other.copy.floor.tolist() == mine.floor.tolist() and other.copy.plain is mine.plain
        moved = other.copy.onto(other.copy.xp.put(W), other.copy.margins(other.copy.xp.put(W)))
        assert np.abs(other.copy.xp.get(moved) - mine.onto(W, mine.margins(W))).max() <= 1e-10


def test_the_dual_grows_as_in_numpy():
    rng = np.random.default_rng(1)
    A = presolve(mf.Constraints(rng.standard_normal((80, 2)), np.arange(80), rng.standard_normal((80, 2)))).operator
    here, there = growing_dual(A), growing_dual(A.on(parse_device("cpu")))
    assert here is not None and there is not None
    assert np.linalg.norm(A.adjoint(there)) <= 1e-11 * there.sum() and (there >= 0.0).all()


def test_tokens_on_disk_are_searched_on_the_device_too(tmp_path, only_torch):
    rng = np.random.default_rng(0)
    X, z, scores = rng.standard_normal((30, 5, 6)), rng.standard_normal((30, 5)), rng.standard_normal((30, 5))
    scores = np.einsum("ntd,de,ne->nt", X, rng.standard_normal((6, 5)), z)
    np.save(tmp_path / "X.npy", X)
    apart = mf.Problem(np.load(tmp_path / "X.npy", mmap_mode="r"), z, scores)
    want, calls = mf.solve(apart, "nuclear"), only_torch()
    got = mf.solve(apart, "nuclear", device="cpu")
    assert got.device == "cpu" and calls["here"] > 0 and got.iterations["passes"] > 0
    assert got.certificate.gap <= 1e-9 and got.value == pytest.approx(want.value, rel=2e-9)


def precisions():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision


def test_products_have_no_fewer_bits_than_float32_and_the_setting_comes_back(monkeypatch):
    seen, eigh = set(), Torch.eigh

    def watched(self, S):
        seen.add(precisions())
        return eigh(self, S)

    monkeypatch.setattr(Torch, "eigh", watched)
    torch.set_float32_matmul_precision("medium")
    try:
        before = precisions()
        with torch.device("meta"):
            got = mf.solve(unit_sphere(12, 8, 10), "nuclear", device="cpu")
        assert precisions() == before != ("ieee", "ieee")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == {("ieee", "ieee")} and got.certificate.gap <= 1e-9


def test_ctrl_c_ends_the_search_and_leaves_the_settings(monkeypatch):
    calls, eigh, before = [], Torch.eigh, precisions()

    def interrupted(self, S):
        calls.append(S)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return eigh(self, S)

    monkeypatch.setattr(Torch, "eigh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mf.solve(unit_sphere(12, 8, 10), "nuclear", device="cpu")
    assert len(calls) == 7 and precisions() == before


def no_memory(self, batch, weights):
    return torch.zeros(1 << 55, dtype=batch.dtype)


def no_memory_on_cuda(self, batch, weights):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore.")


@pytest.mark.parametrize("out", [no_memory, no_memory_on_cuda])
def test_memory_that_ends_is_one_sentence_and_no_result(out, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(Torch, "sums", out)
    with pytest.raises(InputError, match=r"the memory of cpu ended .*nothing was found; map the tokens") as error:
        mf.solve(NAME, "nuclear", device="cpu")
    assert "\n" not in str(error.value)
    assert main(["svm", NAME, "--device", "cpu", "--save", str(tmp_path / "out.npz")]) == 2
    assert "memory of cpu ended" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_other_errors_of_pytorch_are_not_called_memory(monkeypatch):
    def broken(self, batch, weights):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Torch, "sums", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        mf.solve(NAME, "nuclear", device="cpu")


def test_what_does_not_fit_is_refused_before_it_is_copied(monkeypatch):
    rows = unit_sphere(12, 8, 10)
    monkeypatch.setattr(Torch, "free", lambda self: 2 * 8 * 84 * 10 - 1)
    copied = []
    monkeypatch.setattr(Torch, "put", lambda self, x, dtype=None: copied.append(x))
    with pytest.raises(InputError, match=r"got 84 constraints on 12 queries in 10 dimensions, .* needs 1\.34e-05 GB"):
        mf.solve(rows, "nuclear", device="cpu")
    assert copied == []
    monkeypatch.undo()
    monkeypatch.setattr(Torch, "free", lambda self: 2 * 8 * 84 * 10)
    assert mf.solve(rows, "nuclear", device="cpu").status is mf.SvmStatus.optimal


@pytest.mark.parametrize("name", ["eigh", "eigenvalues", "singular_values", "inverse"])
def test_matrices_that_break_an_algorithm_break_it_as_in_numpy(name):
    matrix = torch.full((3, 3), torch.nan, dtype=torch.float64)
    if name == "inverse":
        matrix = torch.zeros((1, 3, 3), dtype=torch.float64)
    with pytest.raises(np.linalg.LinAlgError):
        getattr(Torch(torch.device("cpu")), name)(matrix)


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("cuda:99", ""),
        ("mps", "mps has no float64"),
        ("meta", ""),
        ("nonsense", "Expected one of"),
        ("", ""),
    ],
)
def test_a_device_that_cannot_be_used_is_named_with_those_that_can(device, why):
    with pytest.raises(InputError, match=rf"got '{device}', which cannot be used \(.*{why}.*\); expected cpu") as error:
        mf.solve(NAME, "nuclear", device=device)
    assert "\n" not in str(error.value) and "leave device out" in str(error.value)


def test_a_device_of_pytorchs_own_type_is_one_too():
    assert mf.solve(NAME, "nuclear", device=torch.device("cpu")).device == "cpu"


def test_an_old_pytorch_is_asked_to_be_newer(monkeypatch):
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    with pytest.raises(InputError, match=r"with PyTorch .*; expected 2.9 or later"):
        mf.solve(NAME, "nuclear", device="cpu")


def test_the_command_line_says_where_it_searched_and_files_are_as_before(tmp_path, capsys):
    plain, other = tmp_path / "numpy.npz", tmp_path / "torch.npz"
    assert main(["svm", NAME, "--save", str(plain)]) == 0
    capsys.readouterr()
    assert main(["svm", NAME, "--device", "cpu", "--save", str(other)]) == 0
    assert "searched on  cpu, by PyTorch; certified on the CPU" in capsys.readouterr().out
    with np.load(plain) as before, np.load(other) as now:
        assert before.files == now.files
    assert main(["svm", "--verify", str(other)]) == 0
    capsys.readouterr()
    assert mf.Solution.load(other).device is None
    assert main(["svm", NAME, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cpu"


@pytest.mark.parametrize("shape", [(9, 9), (12, 7), (7, 12)])
@pytest.mark.parametrize("falls", [1.0, 1e-3])
def test_singular_vectors_of_a_device_are_a_basis_that_makes_the_matrix(shape, falls):
    """Also where singular values lie far apart, and in whatever order they come out of Y V = Q R."""
    rng, p = np.random.default_rng(4), min(shape)
    A, B = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in shape)
    s = np.geomspace(3.0, 3.0 * falls, p) if falls < 1.0 else np.repeat([2.0, 1.0], [3, p - 3])
    Y = (A[:, :p] * s) @ B[:, :p].T
    U, found, Vt = Torch(torch.device("cpu")).svd(torch.tensor(Y))
    U, Vt = U.numpy(), Vt.numpy()
    assert (np.diff(found) <= 0.0).all() and found == pytest.approx(s, abs=1e-13 * s[0])
    for Q in (U, Vt):
        assert Q.shape == (len(Q), len(Q)) and np.abs(Q @ Q.T - np.eye(len(Q))).max() < 1e-14
    assert np.abs((U[:, :p] * found) @ Vt[:p] - Y).max() < 1e-12
