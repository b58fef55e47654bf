"""`marginflow claims`: every statement, what was predicted, what was measured, and whether it holds."""

from typing import TYPE_CHECKING, Annotated

import typer

from marginflow.cli import completion
from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import number, print_json, progress, table
from marginflow.documents import addressed


if TYPE_CHECKING:
    from marginflow.claims.claim import ClaimResult


def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...]", help="Which claims; default: all.", autocompletion=completion.claims),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the claims without running them.")] = False,
    json: JsonFlag = False,
) -> int:
    """Run the claims and print predicted, measured and tolerance; exit 1 if one does not hold.

    Example: marginflow claims kq-nuclear
    """
    from marginflow.claims.registry import listing, run

    if list_:
        found = listing(names or None)
        if json:
            print_json(
                {"claims": [{"name": c.name, "source": addressed(c.source), "statement": c.statement} for c in found]}
            )
        else:
            for c in found:
                print(f"{c.name:24} [{addressed(c.source)}] {c.statement}")
        return 0
    results: list[ClaimResult] = []
    try:
        with progress("claims") as show:
            run(names or None, progress=show, finished=results.append)
    except KeyboardInterrupt:
        count = len(listing(names or None))
        if results:
            _print(results, json, interrupted=True)
        raise KeyboardInterrupt(
            f"{len(results)} of {count} claims were finished, {sum(r.holds for r in results)} of them hold; "
            "nothing is said of the others"
        ) from None
    _print(results, json)
    return 0 if all(r.holds for r in results) else 1


def _print(results: "list[ClaimResult]", json: bool, *, interrupted: bool = False) -> None:
    held = sum(r.holds for r in results)
    if json:
        found = {"claims": [result.to_dict() for result in results], "hold": held}
        print_json(found | {"interrupted": True} if interrupted else found)
        return
    rows = [
        [r.name, number(r.predicted), number(r.measured), number(r.tolerance, 3), "yes" if r.holds else "NO"]
        for r in results
    ]
    print(table(["claim", "predicted", "measured", "tolerance", "holds"], rows))
    if len(results) <= 3:
        for r in results:
            print(f"\n{r.name} [{addressed(r.source)}]\n  {r.statement}\n  tolerance: {r.reason}")
            for line in r.lines():
                print(f"  {line}")
    print(f"\n{held} of {len(results)} {'finished ' * interrupted}claims hold")
