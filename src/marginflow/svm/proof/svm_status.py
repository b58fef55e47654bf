"""The answer of an SVM in a word and a sentence."""

from enum import Enum


class SvmStatus(Enum):
    """The answer in a word (`.name`) and in a sentence (`.value`)."""

    optimal = "optimal: the true value lies between the two bounds, which meet to the tolerance asked"
    infeasible = "infeasible: no weights separate the selected tokens, and the multipliers prove it"
    inaccurate = "inaccurate: the bounds hold, but they do not meet to the tolerance asked"
