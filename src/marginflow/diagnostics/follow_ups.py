"""What a reader of a trapped run asks next, as commands to paste."""

import shlex

from marginflow.trajectory.trajectory import Trajectory


def follow_ups(path: Trajectory) -> tuple[tuple[str, str], ...]:
    """(question, command) of a trapped run: which SVM it approaches, from which starts it is caught, how often."""
    data = shlex.quote(path.problem.name or "DATA.npz")
    word = path.parameterization.word
    width = getattr(path.parameterization, "width", None)
    wide = f" --width {width}" if width not in (None, min(path.problem.d, path.problem.d_z)) else ""
    tokens = ",".join(map(str, path.selected(-1)))
    return (
        ("the SVM that it approaches", f"marginflow svm {data} --norm {path.norm} --select {tokens}"),
        ("from which other starts", f"marginflow flow {data} -p {word}{wide} --seeds 0-19 --until verdict"),
        ("every end there is, and how often", f"marginflow attractors {data} -p {word}{wide} --sample 40"),
    )
