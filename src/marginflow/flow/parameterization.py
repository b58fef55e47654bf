"""The parameterisations there are; a new one is one class and one line here (docs/parameterization.md)."""

from marginflow.flow.abstract import AbstractParameterization as AbstractParameterization
from marginflow.flow.combined import Combined as Combined, Diagonal as Diagonal
from marginflow.flow.diagonal_key_query import DiagonalKeyQuery as DiagonalKeyQuery
from marginflow.flow.key_query import KeyQuery as KeyQuery


PARAMETERIZATIONS: dict[str, type[AbstractParameterization]] = {
    "kq": KeyQuery,
    "w": Combined,
    "diag-kq": DiagonalKeyQuery,
    "diag": Diagonal,
}
"""By the word the command line uses."""
