"""Saved runs: written whole, read without trust."""

import json
import os
from typing import Any, Final

import numpy as np

from marginflow.errors import InputError
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.registry import PARAMETERIZATIONS, options_of, parse_parameterization
from marginflow.npz import read_npz, write_npz
from marginflow.problem.files import names_of, stored_problem
from marginflow.trajectory.snapshots import Snapshots
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus as FlowStatus, Verdict as Verdict


FORMAT: Final = 1


def save_trajectory(trajectory: Trajectory, path: str | os.PathLike[str]) -> None:
    """Write everything to an .npz file, atomically; `load` reads it back, to the same bits."""
    p, s, v = trajectory.problem, trajectory.snapshots, trajectory.verdict
    head = {} if p.y is None or p.v is None else {"problem_y": p.y, "problem_v": p.v}
    about = {
        "format": FORMAT,
        "parameterization": trajectory.parameterization.word,
        "options": options_of(trajectory.parameterization),
        "loss": trajectory.loss,
        "seed": trajectory.seed,
        "scale": trajectory.scale,
        "rtol": trajectory.rtol,
        "ended": trajectory.ended,
        "until_margin": trajectory.until_margin,
        "name": p.name,
        "verdict": {**vars(v), "status": v.status.name},
    }
    named = {f"final_{name}": array for name, array in trajectory.parameters(-1).items()}
    write_npz(
        path,
        flow=np.array(json.dumps(about)),
        X=p.X,
        z=p.z,
        scores=p.scores,
        mask=p.mask,
        margin=trajectory.margin,
        log_excess=trajectory.log_excess,
        **{f"snapshot_{key}": value for key, value in vars(s).items()},
        **names_of(p),
        **named,
        **head,
    )


def load_trajectory(
    path: str | os.PathLike[str], *, parameterization: AbstractParameterization | None = None
) -> Trajectory:
    """Read a saved run.

    Args:
        path: the file.
        parameterization: that of the run, where its class is not registered here.

    Raises:
        InputError: not a saved run, of a format that this version does not know, or of another parameterisation.
    """
    data = read_npz(path)
    try:
        about = json.loads(str(data["flow"]))
        if about["format"] != FORMAT:
            raise InputError(f"{path}: got a run of format {about['format']}; expected {FORMAT}; run it again")
        problem = stored_problem(data, str(about["name"]))
        # Not in files of the first version, whose runs went on as if no step had been refused.
        data.setdefault("snapshot_careful", np.zeros(len(data["snapshot_tau"]), dtype=bool))
        keep = {key: data[f"snapshot_{key}"] for key in Snapshots.__dataclass_fields__}
        model = _model(path, about, keep["theta"].shape, parameterization)
        said = about["verdict"]
        said["status"] = FlowStatus[said["status"]]
        said["wrong"] = tuple((int(i), int(t)) for i, t in said["wrong"])
        said["leaves"] = tuple(said["leaves"]) if said["leaves"] else None
        return Trajectory(
            problem,
            model,
            about["loss"],
            int(about["seed"]),
            float(about["scale"]),
            float(about["rtol"]),
            Snapshots(**keep),
            Verdict(**said),
            str(about["ended"]),
            float(about.get("until_margin", np.nan)),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a saved run ({type(error).__name__}: {error}); expected a file that "
            "`marginflow flow --save` wrote"
        ) from None


def _model(
    path: str | os.PathLike[str],
    about: dict[str, Any],
    shape: tuple[int, ...],
    given: AbstractParameterization | None,
) -> AbstractParameterization:
    """The parameterisation of a saved run, made again from its word and its fields, or as given."""
    word = str(about["parameterization"])
    if given is not None:
        if given.word != word:
            raise InputError(f"{path}: a run with {word!r}; got parameterization {given!r}; give that of the run")
        return given
    if word not in PARAMETERIZATIONS:
        raise InputError(
            f"{path}: a run with parameterization {word!r}, which is not registered here; expected one of "
            f"{', '.join(PARAMETERIZATIONS)}; call marginflow.register(its class) first, or "
            "Trajectory.load(..., parameterization=...)"
        )
    # Files of the first version hold no fields: the width is that of the arrays.
    return parse_parameterization(word, **about.get("options", {"width": shape[2]} if word == "kq" else {}))
