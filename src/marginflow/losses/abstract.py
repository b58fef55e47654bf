"""What a loss of one output has to say: of any output in R^k, and in logarithms of a scalar one that decreases."""

import math
from abc import ABC, abstractmethod

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


class AbstractOutputLoss(ABC):
    """A loss l(u) of an output u in R^k: u_o = sum over the rows r of output o of sum_l p_rl v_rl.

    The mean over outputs is what is trained, so that the pull on a logit is

        F_rl = -dL/ds_rl = (1/outputs) p_rl <-gradient(u)_o, v_rl - sum_l' p_rl' v_rl'>,

    and its Jacobian has one k x k block, `hessian`, per output. <-gradient, v_l> is the *effective score* of a token
    (`pull`): the sign of F_rl is that of its effective score less the row's mean of them.

    Attributes:
        word: what files and the command line call it.
        convex: whether l is convex in u. (Whether it is convex in W is another question: `log` with scores 0 and 1 is.)
        smooth: a Lipschitz constant of the gradient; inf where none is known, and then nothing is proved of faces.
        bend: |D^3 l[h, h, h]| <= bend |h| D^2 l[h, h] (generalised self-concordance); inf where none is known.
    """

    word: str
    convex: bool
    smooth: float = math.inf
    bend: float = math.inf
    of_log: bool = False

    @abstractmethod
    def value(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        """(..., outputs) the loss of each output u (..., outputs, k); `labels` as in `Problem.labels`."""

    @abstractmethod
    def gradient(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        """(..., outputs, k) dl/du at u (..., outputs, k)."""

    @abstractmethod
    def hessian(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        """(..., outputs, k, k) its second derivatives at u (..., outputs, k)."""

    def gradient_terms(self, u: Floats, labels: Ints | Floats | None) -> Floats:
        """(..., outputs, k) the sizes of what `gradient` adds up: it errs by a few roundings of these times 1 + |u|."""
        return np.abs(self.gradient(u, labels))

    @abstractmethod
    def check(self, problem: Problem) -> None:
        """Refuse a problem that does not say what this loss needs, or on which it is infinite whatever the weights.

        Raises:
            InputError: scores where values and labels are needed, or the reverse; numbers outside the loss's domain.
        """

    def pull(self, u: Floats, problem: Problem) -> Floats:
        """(..., n, T) the effective scores -<gradient(u)_o, v_rl> of all tokens at outputs u (..., outputs, k)."""
        slope = -self.gradient(u, problem.labels)[..., problem.output, :]
        return np.einsum("...nk,ntk->...nt", slope, token_values(problem))


class AbstractLoss(AbstractOutputLoss):
    """A decreasing loss l(u) of the scalar output u = sum_t p_t gamma_t times the label; everything in logarithms.

    It pulls towards larger scores whatever u is, so the least loss is that of the optimal tokens.

    Attributes:
        of_log: whether l is a function of log u. A row on a wrong plateau has u = e^-1000: whoever computes u from
            logits then computes log u from them and asks `log_slope_at` and `log_gain_at` (only such losses have them).
    """

    @abstractmethod
    def log_value(self, u: Floats) -> Floats:
        """log l(u), of the shape of `u`; nan where l(u) < 0."""

    @abstractmethod
    def log_slope(self, u: Floats) -> Floats:
        """log(-l'(u)), of the shape of `u`: how hard a sample pulls."""

    @abstractmethod
    def curvature(self, u: Floats) -> Floats:
        """-d log(-l'(u)) / du, of the shape of `u`: how the pull falls as the output grows."""

    @abstractmethod
    def log_gain(self, u: Floats, log_expm1: Floats, offset: Floats) -> Floats:
        """log(l(u - delta) - l(u)) for log_expm1 = log(e^delta - 1), delta > 0.

        `log_expm1` and the result are counted from `offset`, so that differences of 1e12 in the exponent cost no
        digits; the three arguments broadcast.
        """

    def log_slope_at(self, log_u: Floats) -> Floats:
        """log(-l'(u)) from log u, where `of_log`."""
        raise NotImplementedError(f"{self.word} is not a function of log u")

    def curvature_at(self, log_u: Floats) -> Floats:
        """-d log(-l') / d log u from log u, where `of_log`."""
        raise NotImplementedError(f"{self.word} is not a function of log u")

    def value_at(self, log_u: Floats) -> Floats:
        """l(u) from log u, where `of_log`."""
        raise NotImplementedError(f"{self.word} is not a function of log u")

    def log_gain_at(self, log_best: Floats, log_u: Floats) -> Floats:
        """log(l(u) - l(best)) from log u and log best, where `of_log`."""
        raise NotImplementedError(f"{self.word} is not a function of log u")

    def value(self, u: Floats, labels: Ints | Floats | None = None) -> Floats:
        return np.exp(self.log_value(u[..., 0]))

    def gradient(self, u: Floats, labels: Ints | Floats | None = None) -> Floats:
        return np.asarray(-np.exp(self.log_slope(u)))

    def hessian(self, u: Floats, labels: Ints | Floats | None = None) -> Floats:
        return np.asarray((np.exp(self.log_slope(u)) * self.curvature(u))[..., None])

    def check(self, problem: Problem) -> None:
        if problem.values is not None:
            raise InputError(
                f"loss {self.word}: got values in R^{problem.k}; expected scores, larger ones better; "
                "for values: cross-entropy or squared"
            )


def scalar(loss: AbstractOutputLoss) -> "AbstractLoss":
    """`loss` as that of a scalar output, which it is wherever tokens have scores."""
    assert isinstance(loss, AbstractLoss)
    return loss


def token_values(problem: Problem) -> Floats:
    """(n, T, k) what each token contributes to its output: its values, or its score as one number."""
    return problem.scores[:, :, None] if problem.values is None else problem.values
