"""Files of other formats: what each is, and the line that makes an .npz of it."""

import os
import zipfile
from pathlib import Path
from typing import Final


_LINES: Final = {
    "HDF5": 'import h5py, numpy as np; f = h5py.File("{path}"); np.savez("{npz}", **{{k: f[k][:] for k in f}})',
    "safetensors": (
        "import numpy as np; from safetensors.torch import load_file; "
        'np.savez("{npz}", **{{k: v.float().numpy() for k, v in load_file("{path}").items()}})'
    ),
    "PyTorch": (
        'import torch, numpy as np; a = torch.load("{path}", weights_only=True); '
        'np.savez("{npz}", **{{k: v.detach().cpu().float().numpy() for k, v in a.items()}})'
    ),
    "pickle": (
        'np.savez("{npz}", X=X, z=z, scores=scores) in the program that wrote it; '
        "pickles are never opened here, because opening one runs the code in it"
    ),
    "CSV": (
        'import numpy as np, pandas as pd; X = pd.read_csv("{path}").to_numpy().reshape(n, T, d); '
        'np.savez("{npz}", X=X, z=z, scores=scores)'
    ),
    "Parquet": (
        'import numpy as np, pandas as pd; X = pd.read_parquet("{path}").to_numpy().reshape(n, T, d); '
        'np.savez("{npz}", X=X, z=z, scores=scores)'
    ),
    "NumPy .npy": 'import numpy as np; np.savez("{npz}", X=np.load("{path}"), z=z, scores=scores)',
    "MATLAB": (
        'import numpy as np, scipy.io; a = scipy.io.loadmat("{path}"); '
        'np.savez("{npz}", X=a["X"], z=a["z"], scores=a["scores"])'
    ),
    "JSON": (
        'import json, numpy as np; a = json.load(open("{path}")); '
        'np.savez("{npz}", X=a["X"], z=a["z"], scores=a["scores"])'
    ),
}
"""By the name of the format; scores may be replaced by y and v."""

_SUFFIXES: Final = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), "HDF5"),
    ".safetensors": "safetensors",
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), "PyTorch"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "pickle"),
    **dict.fromkeys((".csv", ".tsv", ".txt"), "CSV"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    ".npy": "NumPy .npy",
    ".mat": "MATLAB",
    ".json": "JSON",
}

_BEGINNINGS: Final = {
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"\x93NUMPY": "NumPy .npy",
    b"PAR1": "Parquet",
    b"MATLAB 5.0": "MATLAB",
    **{b"\x80" + bytes([protocol]): "pickle" for protocol in range(2, 6)},
}
"""First bytes, whatever the file is called."""


def conversion(path: str | os.PathLike[str]) -> str | None:
    """What the file is and the Python that makes an .npz of it, as one sentence; None where it may be an .npz."""
    file = Path(path)
    kind = _by_content(file) or _SUFFIXES.get(file.suffix.lower())
    if kind is None or (kind == _SUFFIXES.get(file.suffix.lower()) and _is_npz(file)):
        return None
    line = _LINES[kind].format(path=file, npz=file.with_suffix(".npz") if file.suffix != ".npz" else "new.npz")
    return f"{path}: is a {kind} file; expected an .npz; make one in Python with: {line}"


def is_file_name(text: str) -> bool:
    """Whether `text` ends as files of one of these formats do."""
    return Path(text).suffix.lower() in _SUFFIXES


def _by_content(file: Path) -> str | None:
    try:
        with open(file, "rb") as stream:
            begin = stream.read(16)
    except OSError:
        return None
    for first, kind in _BEGINNINGS.items():
        if begin.startswith(first):
            return kind
    if len(begin) > 8 and begin[8:9] == b"{" and 2 <= int.from_bytes(begin[:8], "little") < 10**8:
        return "safetensors"
    if begin.startswith(b"PK"):
        try:
            with zipfile.ZipFile(file) as archive:
                if any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()):
                    return "PyTorch"
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return None
    return None


def _is_npz(file: Path) -> bool:
    """Whether it is an archive of arrays under an unusual name."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
