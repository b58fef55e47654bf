"""What the pages of claims and of honesty say in numbers, from running every claim."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from markdown import plain
from reference import SOURCE

from marginflow.claims.registry import listing


PROCESSES = 2


def write_numbers(folder: Path) -> None:
    """docs/claims.md below `folder`, and what can be counted at the end of docs/honesty.md.

    The claims are run again whenever a line of the package has changed.
    """
    kept = folder.parent / f"claims-{_digest()}.json"
    if not kept.exists():
        kept.write_text(json.dumps(_run()))
    claims = json.loads(kept.read_text())
    (folder / "docs" / "claims.md").write_text("\n".join(_page(claims)) + "\n")
    with (folder / "docs" / "honesty.md").open("a") as page:
        page.write("\n".join(_counted(claims, folder / "benchmarks" / "mutants.toml")) + "\n")


def _digest() -> str:
    found = sha256()
    for path in sorted(SOURCE.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _run() -> list[dict[str, Any]]:
    """Every claim, in the order of the registry, on two processes."""
    names = [claim.name for claim in listing()]
    command = [sys.executable, "-m", "marginflow", "claims", "--json"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    running = [
        subprocess.Popen([*command, *names[k::PROCESSES]], stdout=subprocess.PIPE, env=environment)
        for k in range(PROCESSES)
    ]
    found: dict[str, dict[str, Any]] = {}
    for process in running:
        printed, _ = process.communicate()
        if process.returncode not in (0, 1):  # 1: a claim does not hold, which the page says
            raise SystemExit(f"{' '.join(process.args)}: exit {process.returncode}")
        found |= {claim["name"]: claim for claim in json.loads(printed)["claims"]}
    return [found[name] for name in names]


def _counted(claims: list[dict[str, Any]], mutants: Path) -> Iterator[str]:
    """What stands where, in numbers that were counted just now."""
    changes = tomllib.loads(mutants.read_text())["mutant"]
    yield from ("", "## Counted when this page was made", "", "| what | how many |", "|---|---|")
    for word, what in (
        ("paper", "statements of the paper's abstract, tried"),
        ("derived", "statements derived here, tried"),
        ("measured", "statements that are only measured"),
    ):
        found = [claim for claim in claims if claim["source"].startswith(word)]
        yield f"| {what}, and how many hold | {len(found)}, {sum(claim['holds'] for claim in found)} |"
    yield f"| numbers compared with a tolerance that has a reason | {sum(len(claim['checks']) for claim in claims)} |"
    yield f"| changes of one line that some test must notice ([list](../benchmarks/mutants.toml)) | {len(changes)} |"


def _page(claims: list[dict[str, Any]]) -> Iterator[str]:
    held = sum(claim["holds"] for claim in claims)
    seconds = sum(claim["cpu"] for claim in claims)
    yield from ("# Claims", "")
    yield f"{held} of {len(claims)} claims hold, run when this page was made ({seconds:.0f} s of CPU time)."
    yield "A claim is a statement that can fail: `marginflow claims NAME` tries it on your machine. What the sources"
    yield "say, what is derived here and what is only measured is told apart in [theory](theory.md) and"
    yield from ("[honesty](honesty.md).", "")
    yield from ("| claim | predicted | measured | tolerance | holds |", "|---|---|---|---|---|")
    for claim in claims:
        numbers = " | ".join(_number(claim[key]) for key in ("predicted", "measured", "tolerance"))
        yield f"| [{claim['name']}](#{claim['name']}) | {numbers} | {'yes' if claim['holds'] else '**no**'} |"
    yield ""
    for claim in claims:
        yield from _entry(claim)


def _entry(claim: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {claim['name']}", "", plain(claim["statement"]), "", f"*Source:* {_linked(claim['source'])}.", "")
    if claim["failure"]:
        yield from (f"**{plain(claim['failure'])}**", "")
    for check in claim["checks"]:
        yield (
            f"- {'holds' if check['holds'] else '**fails**'}: {plain(check['what'])}: predicted "
            f"{plain(check['relation'])} {_number(check['predicted'])}, measured {_number(check['measured'])}, "
            f"tolerance {_number(check['tolerance'])} ({plain(check['reason'])})"
        )
    yield ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _linked(source: str) -> str:
    return re.sub(r"docs/([a-z-]+)\.md", r"[\1](\1.md)", plain(source))
