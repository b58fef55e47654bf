"""The curves are `diagnose`'s numbers and the trajectory's, and the laws are those of theory 5."""

import dataclasses

import numpy as np
import pytest

import marginflow as mf
from marginflow.diagnostics.late_law import late_law
from marginflow.diagnostics.subject import gather
from marginflow.diagnostics.table import diagnose
from marginflow.report.columns import columns_of, leads
from marginflow.report.detail import Budget, detail_of
from marginflow.report.images import images_of
from marginflow.report.packing import pack, packed_bytes
from marginflow.report.payload import snapshots_of


@pytest.mark.parametrize("which", range(4))
def test_columns_are_the_numbers_of_diagnose(orbit, which):
    path = orbit[which]
    (subject,) = gather([path], lambda text: None)
    at = np.arange(len(path.log_time))
    found = columns_of(path, subject, late_law(path, subject.solution(path.norm)), at)
    table = diagnose(path)
    for norm in subject.solutions:
        np.testing.assert_allclose(found[f"gap_{norm}"], table[f"R_{norm}"] - 1, rtol=1e-6, atol=1e-14)
        np.testing.assert_allclose(found[f"norm_{norm}"], table[norm], rtol=1e-12)
    np.testing.assert_allclose(found["epsilon"], table["epsilon"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found["delta"], table["delta"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found["drift"], table["conserved_drift"], rtol=1e-9, atol=1e-18)
    if not path.parameterization.diagonal:
        np.testing.assert_allclose(found["alignment"], table["alignment_force"], rtol=1e-9)


def test_the_law_is_approached(orbit):
    for path in orbit:
        (subject,) = gather([path], lambda text: None)
        law = late_law(path, subject.solution(path.norm))
        found = columns_of(path, subject, law, np.arange(len(path.log_time)))
        assert found["law_ratio"][-1] == pytest.approx(1, abs=0.01)
        middle = np.flatnonzero(found["log10_time"] > 2)[0]
        assert abs(found["law_ratio"][-1] - 1) < max(abs(found["law_ratio"][middle] - 1), 1e-6)


def test_no_law_for_a_run_that_is_trapped(trapped):
    (subject,) = gather([trapped], lambda text: None)
    assert late_law(trapped, subject.solution("frobenius")) is None
    found = columns_of(trapped, subject, None, np.arange(len(trapped.log_time)))
    assert np.isnan(found["gap_frobenius"]).all() and np.isnan(found["norm_nuclear"]).all()
    assert "law" not in found


def test_no_power_is_predicted_where_its_term_vanishes(orbit, digits):
    """On the sign orbit every supported margin is equal by symmetry: R - 1 of W has no term 1/margin."""
    for path, power in ((orbit[1], None), (digits[1], 1.0)):
        (subject,) = gather([path], lambda text: None)
        law = late_law(path, subject.solution("frobenius"))
        assert law is not None and law.power == power


def test_leads_are_the_margins(digits):
    path = digits[0]
    c = path.problem.constraints()
    assert leads(path, -1)[c.sample, c.token].min() == path.margin[-1]
    np.testing.assert_allclose(leads(path, 5)[c.sample, c.token], c.margins(path.W(5)), rtol=1e-6, atol=1e-6)


def test_the_budget_is_shared_and_kept(digits):
    (subject,) = gather(digits, lambda text: None)
    at = snapshots_of(digits[0], 2)
    assert at[0] == 0 and at[-1] == len(digits[0].log_time) - 1 and len(at) <= 60
    generous, tight = Budget(1), Budget(1, total=5000)
    assert len(detail_of(digits[0], subject, at, generous)["snapshots"]) == len(at)
    some = detail_of(digits[0], subject, at, tight)
    assert 2 <= len(some["snapshots"]) < len(at) and some["snapshots"][-1] == len(at) - 1
    assert len(some["margins"]["b"]) + len(some["dual"]["b"]) <= 5000 + 8
    assert detail_of(digits[0], subject, at, Budget(1000, total=5000)) is None


def test_packed_sizes_are_known_beforehand():
    for shape in ((3,), (2, 5), (7, 11)):
        assert len(pack(np.zeros(shape))["b"]) == packed_bytes(shape)


def test_images_only_where_they_are_the_data(digits):
    problem = digits[0].problem
    found = images_of(problem)
    assert found is not None and found.images.shape == (10, 8, 8) and set(found.digits) <= {3, 8}
    liar = type(problem)(problem.X + 1, problem.z, problem.scores, name=problem.name)
    assert images_of(liar) is None
    for name in ("digits:n=10,seed=99999999999", "digits:n=-1", "digits:a=3,b=3,n=10", "other"):
        assert images_of(type(problem)(problem.X, problem.z, problem.scores, name=name)) is None


@pytest.mark.parametrize(("data", "rank"), [("sentences", 2), ("sign-orbit", 1)])
def test_r_falls_like_the_power_that_the_page_predicts(trained, data, rank):
    """Theory 5.7 (rank 2) and 5.2 (rank 1): nothing of the run enters the prediction."""
    path = trained(data, "kq", until=1e9)
    (subject,) = gather([path], lambda text: None)
    solution = subject.solution("nuclear")
    law = late_law(path, solution)
    assert solution.rank == rank and ("5.7" in law.power_source) == (rank > 1)
    late = np.flatnonzero(path.margin > 1e6)
    gap = columns_of(path, subject, law, late)["gap_nuclear"]
    fitted = -np.polyfit(np.log(path.margin[late]), np.log(gap), 1)[0]
    assert fitted == pytest.approx(law.power, abs=0.01)
    assert abs(fitted - law.off_support) > 0.3 or rank == 1


def test_no_law_where_k_and_q_are_narrower_than_the_solution(digits):
    path = digits[0]
    (subject,) = gather([path], lambda text: None)
    solution = subject.solution("nuclear")
    assert solution.rank > 2 and late_law(path, solution) is not None
    narrow = dataclasses.replace(path, parameterization=mf.KeyQuery(width=2))
    assert late_law(narrow, solution) is None
