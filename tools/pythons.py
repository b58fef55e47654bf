"""`make test-pythons`: the tests, long ones left out, on every Python the package promises that is not the usual one.

    python tools/pythons.py [VERSION ...]

For each version a clean environment in build/python-VERSION, made anew, with the package and its extra [test]; then
pytest in two processes, a quarter of an hour of CPU. A version that is not on this machine is named, and is a failure
only where it was asked for.
"""

import argparse
import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path


ROOT = Path(__file__).parents[1]

VERSIONS = ("3.11", "3.12", "3.13")
"""Those of the classifiers in pyproject.toml; a test compares."""

USUAL = "3.11"
"""What `make test` runs on, which must be here."""


def interpreter(version: str) -> str | None:
    """A Python of `version` that runs: on PATH, or one of pyenv's; None where there is none."""
    kept = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = [shutil.which(f"python{version}"), *sorted(glob(f"{kept}/versions/{version}.*/bin/python{version}"))]
    asked = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", asked], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def tests_on(version: str, python: str) -> int:
    """pytest's exit code in a clean environment of `python`."""
    place = ROOT / "build" / f"python-{version}"
    subprocess.run([python, "-m", "venv", "--clear", place], check=True)
    own = place / "bin" / "python"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OPENBLAS_NUM_THREADS": "1"}
    install = [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]"]
    subprocess.run(install, check=True, cwd=ROOT, env=clean)
    test = [own, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-m", "not long"]
    return subprocess.run(test, cwd=ROOT, env=clean).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="default: all but the usual one")
    asked = parser.parse_args().versions
    codes = {}
    for version in asked or [version for version in VERSIONS if version != USUAL]:
        python = interpreter(version)
        if python is None:
            print(f"Python {version} is not on this machine")
            codes[version] = int(bool(asked))
            continue
        print(f"Python {version}: {python}", flush=True)
        codes[version] = tests_on(version, python)
    print(codes)
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main())
