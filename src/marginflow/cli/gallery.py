"""`marginflow gallery`: figures of papers made again, what the papers' programs give, and what is certified."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marginflow.cli import completion
from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import print_json, progress, table


if TYPE_CHECKING:
    from marginflow.gallery.row import RowResult


def gallery(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME ...]",
            help="Which rows, or how their names begin; default: all.",
            autocompletion=completion.gallery,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for gallery.md and a figure for each row; needs matplotlib.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the rows without making them.")] = False,
    json: JsonFlag = False,
) -> int:
    """Make figures of the papers again, with certificates; exit 1 if a row does not hold.

    Example: marginflow gallery visualization1 --out pictures
    """
    from marginflow.gallery.page import prepare, write
    from marginflow.gallery.registry import listing, run

    rows = listing(names or None)
    if list_:
        if json:
            print_json({"rows": [{"name": r.name, "source": r.source, "statement": r.statement} for r in rows]})
        else:
            for r in rows:
                print(f"{r.name:20} {r.statement} [{r.source}]")
        return 0
    if out is not None:
        prepare(out)
    results: list[RowResult] = []
    try:
        with progress("gallery") as show:
            run(names or None, progress=show, finished=results.append)
            page = None if out is None else write(results, out, progress=show)
    except KeyboardInterrupt:
        if results:
            _print(results, json, interrupted=True)
        raise KeyboardInterrupt(
            f"{len(results)} of {len(rows)} rows were made, {sum(r.holds for r in results)} of them hold; "
            "nothing is said of the others, and no page is written"
        ) from None
    _print(results, json)
    if page is not None and not json:
        print(f"\npage: {page.resolve()}")
    return 0 if all(r.holds for r in results) else 1


def _print(results: "list[RowResult]", json: bool, *, interrupted: bool = False) -> None:
    held = sum(r.holds for r in results)
    if json:
        found = {"rows": [result.to_dict() for result in results], "hold": held}
        print_json(found | {"interrupted": True} if interrupted else found)
        return
    from marginflow.gallery.page import cells

    lines = []
    for r in results:
        what, *numbers = cells(r)[0] if r.found else ["", "", "", ""]
        lines.append([r.row.name, what, *numbers, "yes" if r.holds else "NO", f"{r.cpu:.2f}"])
    print(table(["row", "first quantity", "paper", "here", "proof", "holds", "CPU s"], lines))
    for r in results:
        if len(results) <= 3:
            print(f"\n{r.row.name} [{r.row.source}]\n  {r.row.statement}\n  data: {r.row.data}")
            for what, *numbers in cells(r):
                said = zip(("paper", "here", "proof"), numbers, strict=True)
                print(f"  {what}: {'; '.join(f'{who} {number}' for who, number in said if number)}")
        for reason in r.reasons:
            print(f"  {r.row.name} does not hold: {reason}")
    print(f"\n{held} of {len(results)} {'finished ' * interrupted}rows hold")
