"""The verifier: believes nothing, confirms what is true, and catches what was changed."""

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.npz import read_npz, write_npz
from marginflow.svm.referee.verify import digest, verify_saved


@pytest.fixture(scope="module", params=bank.NORMS)
def saved(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "solution.npz"
    solution = mf.solve(bank.sphere(3, 4, 10, 1), request.param)
    assert solution.status is mf.SvmStatus.optimal
    solution.save(path)
    return path


def _forge(path, target, **changes):
    """A file with `changes` and a digest that fits them: what an adversary would write."""
    arrays = read_npz(path)
    arrays.update({name: change(arrays[name]) for name, change in changes.items()})
    arrays.pop("digest")
    write_npz(target, **arrays, digest=digest(arrays))
    return verify_saved(target)


def _failed(verification):
    return {check.name for check in verification.checks if not check.holds}


def test_a_true_solution_is_confirmed(saved):
    verification = verify_saved(saved)
    assert verification.holds, str(verification)
    loaded = mf.Solution.load(saved)
    assert verification.lower <= loaded.certificate.upper
    assert loaded.certificate.lower <= verification.upper
    assert verification.gap <= 1e-9
    assert verification.to_dict()["holds"] is True
    assert "verified" in str(verification)


def test_a_careless_change_is_caught_by_the_digest(saved, tmp_path):
    for name in ("W", "dual", "a", "z", "X", "lower", "upper", "gap", "scores"):
        arrays = read_npz(saved)
        value = arrays[name].copy()
        value.reshape(-1)[0] = np.nextafter(value.reshape(-1)[0], 10.0)
        arrays[name] = value
        write_npz(tmp_path / "a.npz", **arrays)
        assert "unchanged" in _failed(verify_saved(tmp_path / "a.npz")), name


def test_perturbed_weights_are_caught(saved, tmp_path):
    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-4, 1e-6):

        def shake(W, size=size):
            noise = size * rng.standard_normal(W.shape)
            return W + (np.diag(noise.diagonal()) if not (W - np.diag(W.diagonal()[: len(W)])).any() else noise)

        assert "upper bound" in _failed(_forge(saved, tmp_path / "a.npz", W=shake))
    assert "upper bound" in _failed(_forge(saved, tmp_path / "a.npz", W=lambda W: -W))
    assert "upper bound" in _failed(_forge(saved, tmp_path / "a.npz", W=lambda W: 0 * W))


def test_perturbed_multipliers_are_caught(saved, tmp_path):
    rng = np.random.default_rng(0)
    for size in (1e-1, 1e-3):
        shaken = _forge(
            saved,
            tmp_path / "a.npz",
            dual=lambda x, size=size: x * np.exp(size * rng.standard_normal(len(x))),
        )
        assert "lower bound" in _failed(shaken)
    assert "lower bound" in _failed(_forge(saved, tmp_path / "a.npz", dual=lambda x: x[::-1]))
    assert "lower bound" in _failed(_forge(saved, tmp_path / "a.npz", dual=lambda x: 0 * x))


def test_a_dropped_constraint_is_caught(saved, tmp_path):
    arrays = read_npz(saved)
    drop = {name: (lambda x: x[1:]) for name in ("a", "sample", "token", "dual")}
    assert "constraints" in _failed(_forge(saved, tmp_path / "a.npz", **drop))
    # Dropping the token from the problem itself changes the question: the answer no longer fits it.
    busiest = int(arrays["dual"].argmax())
    keep = np.arange(len(arrays["dual"])) != busiest

    def hide(mask):
        mask = mask.copy()
        mask[arrays["sample"][busiest], arrays["token"][busiest]] = False
        return mask

    gone = {name: (lambda x: x[keep]) for name in ("a", "sample", "token", "dual")}
    assert _failed(_forge(saved, tmp_path / "a.npz", mask=hide, **gone))


def test_exaggerated_claims_are_caught(saved, tmp_path):
    assert "lower bound" in _failed(_forge(saved, tmp_path / "a.npz", lower=lambda x: x * (1 + 1e-8)))
    assert "upper bound" in _failed(_forge(saved, tmp_path / "a.npz", upper=lambda x: x * (1 - 1e-8)))
    assert _failed(_forge(saved, tmp_path / "a.npz", status=lambda x: np.array("infeasible")))
    assert _failed(_forge(saved, tmp_path / "a.npz", tol=lambda x: np.array(1e-30)))


def test_another_selection_or_problem_is_caught(saved, tmp_path):
    assert _failed(_forge(saved, tmp_path / "a.npz", selection=lambda s: (s + 1) % 4))
    assert _failed(_forge(saved, tmp_path / "a.npz", z=lambda z: -z))
    assert _failed(_forge(saved, tmp_path / "a.npz", X=lambda X: X[:, ::-1]))


def test_infeasible_and_inaccurate_files(tmp_path):
    rows = mf.Constraints([[1.0, 0], [-1, 0]], [0, 0], [[1.0]])
    mf.solve(rows, "nuclear").save(tmp_path / "a.npz")
    verification = verify_saved(tmp_path / "a.npz")
    assert verification.holds, str(verification)
    assert "cancel exactly" in str(verification)
    assert "as saved" in str(verification)
    forged = _forge(tmp_path / "a.npz", tmp_path / "b.npz", dual=lambda x: x * [1.0, 0.5])
    assert not forged.holds
    mf.solve(bank.sphere(6, 8, 10), "frobenius", tol=1e-17).save(tmp_path / "c.npz")
    assert verify_saved(tmp_path / "c.npz").holds


def test_no_constraints(tmp_path):
    empty = mf.Constraints(np.zeros((0, 3)), np.zeros(0, dtype=int), np.ones((2, 3)))
    mf.solve(empty, "l1").save(tmp_path / "a.npz")
    assert verify_saved(tmp_path / "a.npz").holds


def test_nearly_contradicting_data_are_confirmed(tmp_path):
    rows = mf.Constraints([[1.0, 0], [-1, 1e-9]], [0, 0], [[1.0]])
    mf.solve(rows, "nuclear").save(tmp_path / "a.npz")
    verification = verify_saved(tmp_path / "a.npz")
    assert verification.holds, str(verification)
    assert verification.gap < 1e-12


@pytest.mark.parametrize("norm", ["lp:50", "lp:1000", "lp:1.01"])
def test_extreme_exponents(tmp_path, norm):
    mf.solve(bank.sphere(3, 4, 10, 1), norm).save(tmp_path / "a.npz")
    verification = verify_saved(tmp_path / "a.npz")
    assert verification.holds, str(verification)
    assert verification.gap <= 1e-9
    shake = np.diag(1 + 1e-4 * np.random.default_rng(0).standard_normal(10))
    assert not _forge(tmp_path / "a.npz", tmp_path / "b.npz", W=lambda W: W @ shake).holds
    assert not _forge(tmp_path / "a.npz", tmp_path / "b.npz", dual=lambda x: x[::-1]).holds


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator"])
def test_a_middling_size(tmp_path, norm):
    mf.solve(bank.sphere(30, 8, 24), norm).save(tmp_path / "a.npz")
    verification = verify_saved(tmp_path / "a.npz")
    assert verification.holds, str(verification)


def test_unusable_files_are_one_error(saved, tmp_path):
    with pytest.raises(mf.InputError, match="cannot be read"):
        verify_saved(tmp_path / "none.npz")
    arrays = read_npz(saved)
    write_npz(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if k != "dual"})
    with pytest.raises(mf.InputError, match="dual"):
        verify_saved(tmp_path / "a.npz")
    for name, change in {
        "W": lambda x: x[:2],
        "dual": lambda x: np.append(x, 1.0),
        "z": lambda x: x * np.nan,
        "sample": lambda x: x.astype(float),
        "X": lambda x: x[:1],
        "selection": lambda x: x + 99,
    }.items():
        with pytest.raises(mf.InputError):
            _forge(saved, tmp_path / "a.npz", **{name: change})


def test_it_shares_words_and_no_code_with_what_it_checks():
    import ast
    import inspect

    from marginflow.svm.referee import bounds, claims, contradiction, cut, exact, full_rank, move, rows, verify

    for module in (verify, claims, contradiction, cut, exact, bounds, full_rank, move, rows):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("marginflow"):
                if node.module == "marginflow.svm":
                    assert [name.name for name in node.names] == ["sentences"]
                    continue
                assert node.module in (
                    "marginflow.arrays",
                    "marginflow.errors",
                    "marginflow.norms",
                    "marginflow.npz",
                    "marginflow.svm.referee",
                    "marginflow.svm.referee.bounds",
                    "marginflow.svm.referee.claims",
                    "marginflow.svm.referee.contradiction",
                    "marginflow.svm.referee.cut",
                    "marginflow.svm.referee.full_rank",
                    "marginflow.svm.referee.exact",
                    "marginflow.svm.referee.move",
                    "marginflow.svm.referee.rows",
                )
