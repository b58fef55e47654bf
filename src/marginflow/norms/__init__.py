"""Norms of the weights: value, dual value, bounds of both that hold in exact arithmetic, and their faces."""

from marginflow.norms.abstract import AbstractNorm as AbstractNorm
from marginflow.norms.cut import Cut as Cut
from marginflow.norms.matrices import Frobenius as Frobenius, Nuclear as Nuclear, Operator as Operator
from marginflow.norms.powers import (
    AbstractPowers as AbstractPowers,
    EntryLp as EntryLp,
    Lp as Lp,
    combined_down as combined_down,
    combined_up as combined_up,
)
from marginflow.norms.registry import parse_norm as parse_norm, register_norm as register_norm
