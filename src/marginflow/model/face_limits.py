"""Which losses have a `FaceLimit` on a problem, and which problems are refused for want of one."""

from functools import lru_cache

from marginflow.errors import InputError
from marginflow.losses import AbstractOutputLoss, Log
from marginflow.model.face_limit import FaceLimit
from marginflow.optimal_attention.find import faces
from marginflow.problem.problem import Problem


def face_limit(problem: Problem, loss: AbstractOutputLoss) -> FaceLimit | None:
    """The limit of a loss whose faces training goes to, where they are known to be more than a token of best score.

    Of losses of scores that is the log loss, where it keeps several tokens of some row and not all (theory 10.3); of
    losses of outputs in R^k it is each, also where every face is one token.

    Raises:
        InputError: of outputs in R^k: faces that are not one point or that no W has, and ones of all
            tokens, out of which nothing leads.
    """
    if problem.values is not None:
        try:
            hash(loss)
        except TypeError:
            raise InputError(f"loss {loss.word}: got one that cannot be hashed; expected a frozen dataclass") from None
        return _limit_of_values(problem, loss)
    return _limit(problem, loss) if isinstance(loss, Log) else None


@lru_cache(maxsize=64)
def _limit_of_values(problem: Problem, loss: AbstractOutputLoss) -> FaceLimit:
    found = faces(problem, loss)
    if not found.unique.all() or found.finite is None:
        raise InputError(f"loss {loss.word}: {found.reason}; expected faces that are one point, which some W has")
    if (found.members == problem.mask).all():
        raise InputError(
            f"loss {loss.word}: got a problem whose least loss keeps every token of every row: the weights stay finite "
            "and nothing leads; expected one that leaves a token behind"
        )
    return FaceLimit(problem, loss, found)


@lru_cache(maxsize=64)
def _limit(problem: Problem, loss: Log) -> FaceLimit | None:
    found = faces(problem, loss)
    if not found.unique.all():
        return None
    rows = problem.constraints(found)
    if not rows.equal.any() or rows.equal.all():
        return None
    return FaceLimit(problem, loss, found)
