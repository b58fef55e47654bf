"""A problem as notebooks show it: its sizes, and the words of its first samples."""

from marginflow.notebook import card, number, sentence
from marginflow.problem.problem import Problem


def card_of_problem(problem: Problem) -> str:
    """The HTML of a table of sizes; the first three samples below where tokens have names."""
    low, high = int(problem.lengths.min()), int(problem.lengths.max())
    rows = [
        ("samples n", f"{problem.n}"),
        ("tokens per sample", f"{low}" if low == high else f"{low} to {high}"),
        ("dimensions", f"tokens d = {problem.d}, queries d_z = {problem.d_z}"),
    ]
    if problem.shape_words:
        rows.append(("model", ", ".join(problem.shape_words)))
    if problem.values is None:
        rows.append(("constraints", f"{len(problem.constraints())} of rank one"))
        rows.append(("log L*", number(problem.log_minimal_loss)))
    if problem.token_names is None:
        return card(f"Problem {problem.name}".strip(), rows)
    shown = min(problem.n, 3)
    rows.append(("tokens named", f"the first {shown} samples, optimal token framed"))
    lines = [
        sentence(problem.token_names[i][problem.mask[i]].tolist(), _place_of_optimal(problem, i)) for i in range(shown)
    ]
    return card(f"Problem {problem.name}".strip(), rows, body="".join(lines))


def _place_of_optimal(problem: Problem, i: int) -> int:
    """Which of the existing tokens of row i is its optimal one; -1 where there is none."""
    return -1 if problem.optimal[i] < 0 else int(problem.mask[i][: problem.optimal[i]].sum())
