"""`marginflow flow RUN.npz --resume`: a saved run goes on."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


def resumed(
    file: str, asked: Mapping[str, tuple[Any, Any]], show: Callable[[str], None], **options: Any
) -> "Trajectory":
    """The run in `file` gone on with, to the bits that it would have had.

    Args:
        file: a run that `flow --save` wrote.
        asked: by option, what was given and its default: what a run has of its own may not be given anew.
        show: takes how far it is.
        options: as `marginflow.flow.resume.resume` takes them.

    Raises:
        InputError: no saved run, or an option that the run has of its own.
    """
    from marginflow.flow.resume import resume
    from marginflow.trajectory.trajectory import Trajectory

    path = Trajectory.load(file)
    own = {"--parameterization": path.parameterization.word, "--loss": path.loss.word, "--seed": path.seed}
    own |= {"--scale": path.scale, "--rtol": path.rtol}
    for name, (given, default) in asked.items():
        if given != default and given != own.get(name):
            has = f", which has {own[name]}" if name in own else ""
            raise InputError(f"{name}: got {given} with --resume; expected none: it is that of the run{has}")
    return resume(path, progress=lambda now: show(f"step {now.steps}, margin {now.margin:.3g}"), **options)
