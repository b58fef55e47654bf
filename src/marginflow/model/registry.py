"""The parameterisations there are; a new one is one class and one line here (docs/parameterization.md)."""

from marginflow.model.combined import Combined as Combined, Diagonal as Diagonal
from marginflow.model.diagonal_key_query import DiagonalKeyQuery as DiagonalKeyQuery
from marginflow.model.key_query import KeyQuery as KeyQuery
from marginflow.model.parameterization import AbstractParameterization as AbstractParameterization


PARAMETERIZATIONS: dict[str, type[AbstractParameterization]] = {
    "kq": KeyQuery,
    "w": Combined,
    "diag-kq": DiagonalKeyQuery,
    "diag": Diagonal,
}
"""By the word the command line uses."""
