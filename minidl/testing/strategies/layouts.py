"""Ways for an array to lie in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from minidl.backend import xp


def _transposed(array: np.ndarray) -> np.ndarray:
    """Column-major."""
    return array.copy(order="F")


def _strided(array: np.ndarray) -> np.ndarray:
    """Every other element along the last dimension of a larger array, not at its start."""
    larger = xp(array).zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
    larger[..., 1::2] = array
    return larger[..., 1::2]


def _reversed(array: np.ndarray) -> np.ndarray:
    """Every dimension from its end to its start: negative strides."""
    backwards = (slice(None, None, -1),) * array.ndim
    return array[backwards].copy()[backwards]


def _broadcast(array: np.ndarray) -> np.ndarray:
    """The first slice of the first dimension over and over: stride 0, and read-only."""
    if not array.size:
        return array.copy()
    return xp(array).broadcast_to(array[:1].copy(), array.shape)


def _offset(array: np.ndarray) -> np.ndarray:
    """Inside a larger array, at an address that no vector instruction is aligned to."""
    larger = xp(array).zeros(array.size + 1, array.dtype)
    larger[1:] = array.ravel()
    return larger[1:].reshape(array.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": _transposed,
    "strided": _strided,
    "reversed": _reversed,
    "broadcast": _broadcast,
    "offset": _offset,
}
"""From the name of a layout to the function that puts an array (not 0-d) into it."""


def layouts(array: np.ndarray) -> SearchStrategy:
    """``array`` in some memory layout of `LAYOUTS`, as a new array of the same shape.

    The values stay, except where a layout says otherwise ("broadcast" repeats a slice): so
    compare with a ``copy()`` of what was drawn. A 0-d array has one layout only.
    """
    if array.ndim == 0:
        return st.just(array.copy())
    return st.sampled_from(sorted(LAYOUTS)).map(lambda name: LAYOUTS[name](array))
