"""Reductions over axes, the definitions: NumPy's."""

from __future__ import annotations

import math

import numpy as np

Axes = tuple[int, ...]


def reduce_sum(x: np.ndarray, axes: Axes, keepdims: bool, dtype: np.dtype) -> np.ndarray:
    """The sum of x over ``axes``, as ``dtype``; float16 is added up in float32."""
    return _total(x, axes, keepdims, dtype).astype(dtype, copy=False)


def reduce_mean(x: np.ndarray, axes: Axes, keepdims: bool, dtype: np.dtype) -> np.ndarray:
    """The sum of x over ``axes`` divided by the number of elements, as ``dtype``."""
    total = _total(x, axes, keepdims, dtype)
    return (total / math.prod(x.shape[axis] for axis in axes)).astype(dtype, copy=False)


def _total(x: np.ndarray, axes: Axes, keepdims: bool, dtype: np.dtype) -> np.ndarray:
    wide = np.float32 if dtype == np.float16 else dtype
    return x.sum(axis=axes, keepdims=keepdims, dtype=wide)


def reduce_max(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """The largest element over ``axes``; NaN if there is one. ValueError if there are none."""
    return x.max(axis=axes, keepdims=keepdims)


def reduce_min(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """The smallest element over ``axes``; NaN if there is one. ValueError if there are none."""
    return x.min(axis=axes, keepdims=keepdims)
