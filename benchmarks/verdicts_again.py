"""Runs of a study of `verdicts.py` that another version of the code may judge otherwise, made and judged again.

    python benchmarks/verdicts_again.py out/verdicts.jsonl             # the traps missed at 1e6, and 150 of those told
    python benchmarks/verdicts_again.py out/verdicts.jsonl --open w --open diag

A run is made again at the margins where it is in question: at 1e6 if it sits in a trap there that was missed, or is
among the `--told` drawn of those that were told; and, for every flow named by `--open`, at every margin where the
theorem was asked and the verdict left open. What is not left open now is followed to 1e12. The shares printed last are
those of the whole study, with the new verdicts in place of the old ones.
"""

import argparse
import json
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from verdicts import LATE, MARGINS, WORDS, Batch, judged, report


TRAP = f"{MARGINS[-1]:g}"
"""The margin at which the traps that are told are counted."""


def missed(run: dict[str, Any]) -> bool:
    return bool(run[TRAP]["sits"]) and run[TRAP]["said"] != "trapped"


def asked(at: dict[str, Any]) -> bool:
    """Whether the theorem of traps was asked and left the verdict open."""
    return at["said"] == "undecided" and at["closeness"] is not None


def questions(runs: list[dict[str, Any]], words: tuple[str, ...], told: int) -> dict[tuple[Batch, float], list[dict]]:
    """The runs to be made again, by batch and margin."""
    found: dict[tuple[Batch, float], list[dict]] = defaultdict(list)
    known = [run for run in runs if run[TRAP]["sits"] and run[TRAP]["said"] == "trapped"]
    drawn = {id(run) for run in random.Random(0).sample(known, min(told, len(known)))}
    for run in runs:
        for margin in MARGINS:
            open_here = run["word"] in words and asked(run[f"{margin:g}"])
            if open_here or (margin == MARGINS[-1] and (missed(run) or id(run) in drawn)):
                found[Batch.of(run), margin].append(run)
    return found


def make_again(batch: Batch, margin: float, runs: list[dict[str, Any]]) -> Counter[str]:
    """Put new verdicts in place of the old ones; count what became of them."""
    name, count = f"{margin:g}", Counter[str]()
    early = batch.paths([run["start"] for run in runs], margin)
    told = [k for k, path in enumerate(early) if path.status.name != "undecided"]
    ends = dict(zip(told, batch.paths([runs[k]["start"] for k in told], LATE), strict=True)) if told else {}
    for k, (run, path) in enumerate(zip(runs, early, strict=True)):
        before = run[name]["said"]
        if k in ends:
            run[name] = judged(path, ends[k])
        else:
            run[name] |= {"said": "undecided", "contradicted": False}
        count[f"{run['word']} at {name}: {before}, now {path.status.name}"] += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the finished runs of verdicts.py")
    parser.add_argument("--told", type=int, default=150)
    parser.add_argument("--open", action="append", choices=WORDS, default=[])
    wanted = parser.parse_args()
    _, *runs = [json.loads(line) for line in wanted.file.read_text().splitlines()]
    begun, count = time.process_time(), Counter[str]()
    for (batch, margin), some in questions(runs, tuple(wanted.open), wanted.told).items():
        count += make_again(batch, margin, some)
    print("\n".join([*(f"{what}: {number}" for what, number in sorted(count.items())), *report(runs)]))
    print(f"{time.process_time() - begun:.0f} CPU s")


if __name__ == "__main__":
    main()
