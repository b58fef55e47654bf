"""`marginflow describe`: what can be said about a problem before anything is trained."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from marginflow import rounding
from marginflow.cli.arguments import JsonFlag, LossOption, OptionalData
from marginflow.cli.output import number, print_json, progress
from marginflow.cli.problems import problems
from marginflow.errors import InputError


if TYPE_CHECKING:
    from marginflow.problem.problem import Problem


def describe(
    data: OptionalData = None,
    loss: LossOption = None,
    list_: Annotated[bool, typer.Option("--list", help="As `marginflow problems`.")] = False,
    json: JsonFlag = False,
) -> int:
    """Sizes, score gaps, ties, and whether the tokens can be separated, with the proof.

    Example: marginflow describe digits
    """
    from marginflow.problem.named import load

    if list_:
        return problems(json)
    if data is None:
        raise InputError("describe: got no DATA; expected a file.npz or a name that `marginflow problems` lists")
    from marginflow.svm.describe import describe_problem

    problem = load(data)
    with progress("describe", "nothing is said of it") as show:
        found = describe_problem(problem, loss).to_dict()
        show("where training can end")
        found |= {"ends": possible_ends(problem, loss)}
    if json:
        print_json(found)
    else:
        print(_text(found))
    return 0


def possible_ends(problem: "Problem", loss: str | None = None) -> dict[str, str | None]:
    """Where training can end, by parameterisation, where a complete list takes about a second; else None."""
    from marginflow.attractors.sentence import known_ends

    ends = {word: known_ends(problem, word, loss) for word in ("kq", "w", "diag-kq", "diag")}
    return {word: None if found is None else found.sentence for word, found in ends.items()}


def _text(f: dict[str, Any]) -> str:
    lengths = f["lengths"]
    tokens = f"{lengths['min']}" if lengths["min"] == lengths["max"] else f"{lengths['min']} to {lengths['max']}"
    shape = "".join(
        f", {word}"
        for word, there in (
            (f"{f['outputs']} outputs", f["outputs"] != f["n"]),
            (f"{f['heads']} heads", f["heads"] > 1),
            (f"values in R^{f['values']}", f["values"] is not None),
        )
        if there
    )
    equal = f", {f['equalities']} of them equalities" if f["equalities"] else ""
    lines = [
        f"{f['name']}: {f['n']} samples of {tokens} tokens, tokens of dimension {f['d']}, queries of {f['d_z']}{shape}",
        *([] if f["faces"] is None else _faces(f)),
        f"constraints      {f['constraints']}, one for each token that is not the best of its sample, on "
        f"{f['heads'] * f['d'] * f['d_z']} weights W{equal}",
        f"independent      {_yes(f['independent'])} (independent constraints can always be met together)",
        f"separable        {_yes(f['separable'])}, {_SEPARABLE[f['separable']]}: {f['proof']}",
        f"diagonal W       {_yes(f['diagonal_separable'])}: {f['diagonal_proof']}",
    ]
    if f["score_gap"] is not None:
        lead = f["score_gap"]
        lines += [
            f"score gap        the best token leads the next by {rounding.text_down(lead['least'], 6)} at least "
            f"(sample {lead['sample']}), by {number(lead['median'])} in the median",
            f"ties             {f['ties']} pairs of other tokens with equal score, between which nothing pulls",
        ]
    word = f["loss"] or "exponential"
    # Above it where no W is known to have all the shares: the faces' lines say so.
    above = "" if f["faces"] is None or f["faces"]["attainable"] else "at least "
    lines.append(f"minimal loss     {above}{number(f['minimal_loss'])} ({word}), log {number(f['log_minimal_loss'])}")
    lines += [f"training {word:8}{sentence}" for word, sentence in f["ends"].items() if sentence]
    return "\n".join(lines)


_SEPARABLE = {
    True: "some W gives the best token of every sample the largest logit",
    False: "no W gives the best token of every sample the largest logit",
    None: "neither could be proved",
}


def _faces(f: dict[str, Any]) -> list[str]:
    found = f["faces"]
    state = "shares unique" if found["unique"] else "shares not unique"
    state += ", members proved" if found["decided"] else ", members not proved"
    lines = [
        f"faces of {f['loss']}: {found['several']} of {f['n']} samples end on several tokens, at most "
        f"{found['largest']}; {state}; least loss within {rounding.text_up(found['gap'], 2)}"
    ]
    return lines + ([f"                 {found['reason']}"] if found["reason"] else [])


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "undecided"}[value]
