"""The ten next-token data sets of the experiments behind arXiv 2403.08081, as bundled arrays.

Drawn by the authors' generator (github.com/yixiao-huang/next-token-prediction, eb66117, its notebook of global
convergence: torch seed 1, n = 6, T = 4, K = 6, d = 8), whose stored output has the same labels. They are arrays because
torch's generator cannot be had without torch. Every set has a cycle.
"""

from pathlib import Path

from marginflow.errors import InputError
from marginflow.npz import read_npz
from marginflow.problem.problem import Problem


FILE = Path(__file__).parent / "data" / "next_token.npz"
SETS = 10


def next_token_set(number: int = 0) -> Problem:
    """Six sequences of four of six tokens, and the token that follows each, with cycles; number = 0..9.

    Raises:
        InputError: no such number.
    """
    if not 0 <= number < SETS:
        raise InputError(f"next-token: got number {number}; expected 0..{SETS - 1}")
    data = read_npz(FILE)
    sequences, labels, E = (data[key][number] for key in ("sequences", "labels", "embedding"))
    return Problem(
        E[sequences],
        E[sequences[:, -1]],
        (sequences == labels[:, None]).astype(float),
        name="next-token" if number == 0 else f"next-token:number={number}",
        token_names=sequences.astype(str),
    )
