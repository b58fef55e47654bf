"""Files of finished runs: a line each, below a header that says which code ran them."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import marginflow as mf


def code(script: str) -> str:
    """A digest of every source file of the package that is run, and of the `script`."""
    package = Path(mf.__file__).parent
    digest = hashlib.sha256()
    for path in [Path(script), *sorted(package.rglob("*.py"))]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def kept(path: Path, header: dict[str, Any], resume: bool) -> list[dict[str, Any]]:
    """The runs in `path`; none where it is not there or not to be resumed. Runs below another header are refused."""
    if not (resume and path.exists()):
        return []
    # A kill may have cut the last line.
    first, *found = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    if first != header:
        sys.exit(f"{path}: got runs of {first}; expected {header}; go on with that code, or leave out --resume")
    return found


def begin(path: Path, header: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """Write `path` anew: the header, and these runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *runs]))
