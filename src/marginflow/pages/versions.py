"""What made a page."""

import platform

import numpy as np
import scipy

import marginflow


def versions() -> str:
    """marginflow 0.1.0, Python 3.11.7, ...: what a page needs to be made again to the same bits."""
    return (
        f"marginflow {marginflow.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, {platform.system()} {platform.machine()}"
    )
