"""Writes tests/heads/families: run it by hand after a new family or a new version of transformers."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from family import family
from small_models import MODELS


FOLDER = Path(__file__).parents[1] / "heads" / "families"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            np.savez_compressed(FOLDER / f"{name}.npz", allow_pickle=False, **family(name, Path(folder)).arrays())
    print(f"{sum(f.stat().st_size for f in FOLDER.iterdir()):,} bytes in {FOLDER}")
