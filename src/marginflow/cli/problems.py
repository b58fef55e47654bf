"""`marginflow problems`: the problems that have a name."""

from typing import Any, Final

from marginflow.cli.arguments import JsonFlag
from marginflow.cli.output import print_json


def problems(json: JsonFlag = False) -> int:
    """List every named problem with its parameters, what it shows, and a command that shows it.

    Example: marginflow problems
    """
    from marginflow.problem.named import FAMILIES, parameters

    found: list[dict[str, Any]] = [
        {
            "name": name,
            "parameters": {key: default for key, (_, default) in parameters(make).items()},
            "about": (make.__doc__ or "").strip().splitlines()[0],
            "trap": TRAPS.get(name),
        }
        for name, make in FAMILIES.items()
    ]
    if json:
        print_json({"problems": found})
        return 0
    for f in found:
        print(f"{f['name']:18} {f['about']}")
        if f["parameters"]:
            print(f"{'':18} {','.join(f'{key}={default}' for key, default in f['parameters'].items())}")
        if f["trap"]:
            print(f"{'':18} see it caught: {f['trap']}")
    print("\nGive parameters after the name, as in sphere:n=6,T=8,d=10,seed=0; all have the defaults shown.")
    return 0


TRAPS: Final = {
    "sphere": "marginflow flow sphere -p kq --seed 8",
    "trap:finite": "marginflow flow trap:finite -p w --scale 1 --seed 1",
    "trap:infinity": "marginflow flow trap:infinity -p w --scale 5 --seed 2",
    "rank-infeasible": "marginflow flow rank-infeasible -p kq --width 1",
}
"""A start that does not reach the minimal loss, for families made to show one: with the defaults most runs do."""
