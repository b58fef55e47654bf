"""The gallery's page with its figures, made by its own verb when the site is built."""

import os
import subprocess
import sys
from pathlib import Path


def write_gallery(folder: Path) -> None:
    """docs/gallery.md and docs/gallery/*.svg below `folder`, instead of those of the repository."""
    command = [sys.executable, "-m", "marginflow", "gallery", "--out", str(folder / "docs")]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    if done.returncode not in (0, 1):  # 1: a row does not hold, which the page says
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}")
