"""Which code a study ran: files of finished runs say it, and other code does not go on with them."""

import hashlib
from pathlib import Path

import marginflow as mf


def code(script: str) -> str:
    """A digest of every source file of the package that is run, and of the `script`."""
    package = Path(mf.__file__).parent
    digest = hashlib.sha256()
    for path in [Path(script), *sorted(package.rglob("*.py"))]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
