"""Losses of an output, one a file; `mf.losses` (theory 3.2, 3.3 and 10)."""

from marginflow.losses.abstract import AbstractLoss as AbstractLoss, AbstractOutputLoss as AbstractOutputLoss
from marginflow.losses.cross_entropy import CrossEntropy as CrossEntropy
from marginflow.losses.exponential import Exponential as Exponential
from marginflow.losses.least import log_minimal_loss as log_minimal_loss
from marginflow.losses.linear import Linear as Linear
from marginflow.losses.log import Log as Log
from marginflow.losses.logistic import Logistic as Logistic
from marginflow.losses.registry import (
    EXPONENTIAL as EXPONENTIAL,
    LOSSES as LOSSES,
    parse_loss as parse_loss,
    parse_output_loss as parse_output_loss,
    register_loss as register_loss,
    scalar_words as scalar_words,
)
from marginflow.losses.squared import Squared as Squared
