"""A coordinator in its own process, for tests that kill it.

coordinate.py PLAN FOLDER ENGINE WORKERS WORK VERSION, with ENGINE dask@ADDRESS for a running scheduler.
"""

import sys
from dataclasses import replace
from pathlib import Path

import fake_work

from marginflow.study import work
from marginflow.study.coordinator import run_study
from marginflow.study.engines.choose import make_engine
from marginflow.study.plan.plan import read_plan
from marginflow.study.results.folder import Folder


def main(plan_file: str, folder: str, engine: str, workers: str, name: str, version: str) -> int:
    # The version of the test's own process: the sources may be edited while the tests run.
    plan = replace(read_plan(Path(plan_file)), version=version)
    word, _, address = engine.partition("@")
    chosen = make_engine(word, workers=int(workers) or None, scheduler=address or None)
    job = work.run_unit if name == "real" else getattr(fake_work, name)
    print("go", flush=True)
    try:
        summary = run_study(
            plan,
            Folder(Path(folder)),
            chosen,
            work=job,
            say=lambda sentence: print(sentence, file=sys.stderr),
            progress=lambda done, batches: print(f"done {done}", flush=True),
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{summary.done} done, {len(summary.lost)} lost, interrupted {summary.interrupted}")
    return 130 if summary.interrupted else 0 if summary.complete else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
