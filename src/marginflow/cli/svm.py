"""`marginflow svm`: the least-norm weights that separate the selected tokens, with a certificate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginflow.cli import completion
from marginflow.cli.arguments import JsonFlag, LossOption, OptionalData
from marginflow.cli.output import print_json, progress, save_path
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.svm.solution import Solution


def svm(
    data: OptionalData = None,
    norm: Annotated[
        str,
        typer.Option(
            help="nuclear, frobenius or operator; of all entries entry-linf, entry-l1, entry-lp:3, or cut; "
            "for diagonal weights l1, l2, lp:1.75, linf.",
            autocompletion=completion.norms,
        ),
    ] = "nuclear",
    tol: Annotated[float, typer.Option(help="Certified relative gap asked for.")] = 1e-9,
    select: Annotated[
        str | None,
        typer.Option(help="Tokens to select, one per sample (0,3,1,...); default: the optimal ones."),
    ] = None,
    loss: LossOption = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Search on this device of PyTorch's: cuda, cuda:1, cpu (extra gpu); without it NumPy. Nuclear, "
            "frobenius and operator; certified on the CPU all the same."
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the solution to this .npz file.")] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Recheck a saved solution with independent code instead of solving.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Solve min N(W) subject to (x_selected - x_l)' W z >= 1 and certify the answer.

    Example: marginflow svm angle:c=0.5 --norm nuclear
    """
    if verify is not None:
        if data is not None or save is not None or device is not None:
            raise InputError("svm: got --verify with DATA, --save or --device; --verify takes only the saved file")
        return _verify(verify, json)
    from marginflow.problem.named import load
    from marginflow.svm.solve import solve

    problem = load(_checked(data, tol, select, loss))
    if save is not None:
        save_path(save, str(data))
    selection = None if select is None else _selection(select)
    with progress("svm", "there is no solution, and nothing is saved") as show:
        solution = solve(
            problem,
            norm,
            tol,
            selection=selection,
            loss=loss,
            device=device,
            progress=lambda iteration, gap: show(f"iteration {iteration}, gap {gap:.1e}"),
        )
    if save is not None:
        solution.save(save)
    if json:
        print_json(summary(solution, norm, loss))
    else:
        heads = f"{problem.counts[1]} x " if problem.counts[1] > 1 else ""
        print(f"{problem.name}: {_counts(solution)}, W is {heads}{problem.d} x {problem.d_z}")
        print(_text(solution, norm, loss))
        if save is not None:
            print(f"saved        {save}")
    return 1 if solution.status.name == "inaccurate" else 0


def _checked(data: str | None, tol: float, select: str | None, loss: str | None) -> str:
    if loss is not None and select is not None:
        raise InputError("--loss: got it with --select; a loss has its own faces; give one of them")
    if data is None:
        raise InputError("svm: got no DATA; expected a file.npz or a named problem such as angle:c=0.5")
    if not 1e-15 <= tol < 1:
        raise InputError(f"--tol: got {tol:g}; expected a relative gap between 1e-15 and 1")
    return data


def summary(solution: "Solution", norm: str, loss: str | None) -> dict[str, Any]:
    """The fields of `svm --json`."""
    certificate = solution.certificate
    return {
        "status": solution.status.name,
        "norm": norm,
        "value": solution.value,
        "lower": certificate.lower,
        "upper": certificate.upper,
        "gap": certificate.gap,
        "tol": solution.tol,
        "rank": solution.rank,
        "unique": solution.unique,
        "constraints": len(solution.constraints),
        "equalities": int(solution.constraints.equal.sum()),
        "loss": loss,
        "minimal_loss": None if solution.faces is None else solution.faces.minimal_loss,
        "attainable": None if solution.faces is None else solution.faces.attainable,
        "finite_decrement": solution.finite_decrement,
        "infeasibility": solution.infeasibility,
        "reason": solution.reason,
        "iterations": solution.iterations,
        "device": solution.device,
    }


def _counts(solution: "Solution") -> str:
    equalities = int(solution.constraints.equal.sum())
    return f"{len(solution.constraints)} constraints" + (f" ({equalities} equalities)" if equalities else "")


def _text(solution: "Solution", norm: str, loss: str | None) -> str:
    from marginflow import rounding

    if solution.status.name == "infeasible":
        return f"{solution.status.value}\n{solution.reason}"
    certificate, faces = solution.certificate, solution.faces
    lines = [
        solution.status.value,
        f"{norm} value  {solution.value:.12g}",
        f"certified    {certificate.interval(12)}  gap {rounding.text_up(certificate.gap, 2)}",
        *([f"reason       {solution.reason}"] if solution.reason else []),
        f"rank         {'undecided' if solution.rank is None else solution.rank}",
        f"unique       {_word(solution.unique)}",
        *([f"searched on  {solution.device}, by PyTorch; certified on the CPU"] if solution.device else []),
    ]
    if faces is not None:
        proved = "" if faces.decided.all() else ", members not proved"
        lines.append(f"least loss   {faces.least_loss(12)} ({loss}){proved}")
        lines.append(f"attainable   {_word(faces.attainable)}")
        lines += [f"             {faces.reason}"] if faces.reason else []
    if solution.finite is not None:
        size = float((solution.finite**2).sum()) ** 0.5
        lines.append(f"finite part  of Frobenius norm {size:.6g}, decrement {solution.finite_decrement:.1e}")
    return "\n".join(lines)


def _selection(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--select: got {text!r}; expected token indices such as 0,3,1") from None


def _word(known: bool | None) -> str:
    return {True: "yes", False: "no", None: "undecided"}[known]


def _verify(path: Path, json: bool) -> int:
    from marginflow.svm.referee.verify import verify_saved

    verification = verify_saved(path)
    if json:
        print_json(verification.to_dict())
    else:
        print(verification)
    return 0 if verification.holds else 1
