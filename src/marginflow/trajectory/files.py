"""Saved runs: written whole, read without trust."""

import json
import os
from dataclasses import MISSING, fields, replace
from typing import Any, Final

import numpy as np

from marginflow.errors import InputError
from marginflow.losses import AbstractOutputLoss, parse_output_loss
from marginflow.model.parameterization import AbstractParameterization
from marginflow.model.registry import PARAMETERIZATIONS, options_of, parse_parameterization
from marginflow.npz import held, read_npz, write_npz
from marginflow.problem.files import inside_arrays, stored_problem
from marginflow.problem.problem import Problem
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.method import Method, flow_method
from marginflow.trajectory.restart import Restart
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
        "loss": trajectory.loss.word,
        "method": {**vars(trajectory.method), "options": dict(trajectory.method.options)},
        "ended": trajectory.ended.name,
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
        **({} if trajectory.restart is None else {f"restart_{k}": v for k, v in trajectory.restart.arrays.items()}),
        **inside_arrays(p),
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
    if "flow" not in data:
        raise InputError(f"{path}: holds {held(data)}, not a run; expected a file that `marginflow flow --save` wrote")
    try:
        about = json.loads(str(data["flow"]))
        if about["format"] != FORMAT:
            raise InputError(f"{path}: got a run of format {about['format']}; expected {FORMAT}; run it again")
        problem = stored_problem(data, str(about["name"]))
        snapshots = Snapshots(**{key: data[f"snapshot_{key}"] for key in Snapshots.__dataclass_fields__})
        model = _model(path, about, snapshots.theta.shape, parameterization)
        loss = parse_output_loss(about["loss"])
        first = "seed" in about
        method = _method_of_first_format(data, about, problem, model, loss) if first else Method(**about["method"])
        return Trajectory(
            problem, model, loss, method, snapshots, _verdict(about["verdict"]), Ended[about["ended"]], _restart(data)
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a saved run ({type(error).__name__}: {error}); expected a file that "
            "`marginflow flow --save` wrote"
        ) from None


def _verdict(said: dict[str, Any]) -> Verdict:
    said["status"] = FlowStatus[said["status"]]
    said["wrong"] = tuple((int(i), int(t)) for i, t in said["wrong"])
    said["leaves"] = tuple(said["leaves"]) if said["leaves"] else None
    return Verdict(**said)


def _restart(data: dict[str, Any]) -> Restart | None:
    prefix = "restart_" if "restart_tau" in data else "snapshot_"
    if f"{prefix}tau" not in data:
        return None
    # Called so in files of version 0.1; not in its earliest, whose runs went on as if no step had been rejected.
    rejected = data.pop(f"{prefix}careful", np.zeros(len(data[f"{prefix}tau"]), dtype=bool))
    data.setdefault(f"{prefix}after_rejection", rejected)
    if prefix == "restart_":
        return Restart(**{key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)})
    return Restart(**{f.name: data[f"{prefix}{f.name}"] for f in fields(Restart) if f.default is MISSING})


def _method_of_first_format(
    data: dict[str, Any],
    about: dict[str, Any],
    problem: Problem,
    parameterization: AbstractParameterization,
    loss: AbstractOutputLoss,
) -> Method:
    """Files of version 0.1 hold runs of the flow only; the earliest not the margin asked for, but that reached."""
    asked, reached = float(about.get("until_margin", np.nan)), float(data["margin"][-1])
    method = flow_method(
        problem,
        parameterization,
        loss,
        seed=int(about["seed"]),
        scale=float(about["scale"]),
        rtol=float(about["rtol"]),
        until_margin=float(f"{reached:.6g}") if np.isnan(asked) and reached > 0 else asked,
        until="verdict" if about["ended"] == "verdict" else "margin",
    )
    return replace(method, options={**method.options, "until_margin": asked})


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
