"""The bundled data are the papers', bit for bit, and small."""

import hashlib

import numpy as np
import pytest

from marginflow.gallery import bundled
from marginflow.gallery.bundled import DATA, random_heads, stored
from marginflow.gallery.torch_normals import TorchNormals


# torch 2.13, CPU: torch.randn with torch.Generator().manual_seed(seed).
THREE = {0: (1.5409960746765137, -0.293428897857666, -2.1787893772125244)}
TWENTY_LAST = {1: 1.7163026332855225}


def digest(*arrays):
    text = hashlib.sha256()
    for array in arrays:
        text.update(np.ascontiguousarray(array, dtype=np.float32).tobytes())
    return text.hexdigest()[:16]


def test_few_numbers_are_those_of_torch_bit_for_bit():
    assert TorchNormals(0)(3).tolist() == list(THREE[0])


def test_a_number_kept_by_the_formula_serves_the_next_call():
    normal = TorchNormals(0)
    assert [*normal(1), *normal(2)] == list(THREE[0])


def test_blocks_are_those_of_torch_but_for_last_bits():
    out = TorchNormals(1)(20)
    assert abs(out[-1] - TWENTY_LAST[1]) < 4 * np.spacing(np.float32(1.0))


@pytest.mark.parametrize(("seed", "expected"), [(0, "e227778a44106eaa"), (99, "1570c9267eedb9e5")])
def test_random_problems_are_those_of_the_papers_program(seed, expected):
    problem = random_heads(6, 8, 10, seed)
    assert digest(problem.X, problem.z, problem.v) == expected


def test_last_bits_matter():
    v, _, X, z = bundled.drawn(6, 8, 10, 0)
    assert digest(X, z, v) != "e227778a44106eaa"


def test_stored_problems_have_the_papers_answers():
    assert stored("visualization1").optimal.tolist() == [0, 2]
    assert stored("single_input_local").scores.tolist() == [[1.0, float(np.float32(0.9)), 0.0]]
    assert stored("multi_input").optimal.tolist() == [0, 0, 0]


def test_arrays_take_less_than_200_kilobytes():
    assert sum(path.stat().st_size for path in DATA.glob("*.npz")) < 60_000
