"""Activations, the definitions."""

from __future__ import annotations

import numpy as np

from minidl.backend import xp


def relu(x: np.ndarray) -> np.ndarray:
    """max(0, x); NaN stays NaN."""
    return xp(x).maximum(x, x.dtype.type(0))


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``g`` where ReLU's result ``y`` is not 0, else 0."""
    return xp(y).where(y <= 0, g.dtype.type(0), g)
