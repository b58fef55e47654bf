"""`marginflow claims`: every statement, what was predicted, what was measured, and whether it holds."""

from typing import Annotated

import typer

from marginflow.cli.output import JsonFlag, number, print_json, progress, table


def claims(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME ...]", help="Which claims; default: all.")] = None,
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
            print_json([{"name": c.name, "source": c.source, "statement": c.statement} for c in found])
        else:
            for c in found:
                print(f"{c.name:24} [{c.source}] {c.statement}")
        return 0
    with progress("claims") as show:
        results = run(names or None, progress=show)
    if json:
        print_json([result.to_dict() for result in results])
    else:
        rows = [
            [
                r.name,
                number(r.predicted),
                number(r.measured),
                number(r.tolerance, 3),
                "yes" if r.holds else "NO",
            ]
            for r in results
        ]
        print(table(["claim", "predicted", "measured", "tolerance", "holds"], rows))
        if len(results) <= 3:
            for r in results:
                print(f"\n{r.name} [{r.source}]\n  {r.statement}\n  tolerance: {r.reason}")
                for line in r.lines():
                    print(f"  {line}")
        held = sum(r.holds for r in results)
        print(f"\n{held} of {len(results)} claims hold")
    return 0 if all(r.holds for r in results) else 1
