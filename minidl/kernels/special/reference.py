"""Special functions, the definitions."""

import math

import numpy as np

_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of each element, computed in double precision."""
    return np.asarray(_erf(x)).astype(x.dtype)
