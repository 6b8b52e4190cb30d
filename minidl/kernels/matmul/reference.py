"""The matrix product, the definition."""

from __future__ import annotations

import numpy as np

from minidl.backend import xp
from minidl.kernels.activation import reference as activation
from minidl.kernels.reduce import reference as reduce


def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``(..., n, k) @ (..., k, m) + bias``, leading dimensions broadcast.

    ``bias`` has shape (m,); float16 adds up in float32.
    """
    if a.dtype == np.float16:
        return matmul(a.astype(np.float32), b.astype(np.float32), bias).astype(np.float16)
    c = xp(a, b).matmul(a, b)
    if bias is not None:
        c += bias
    return c


def linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool) -> np.ndarray:
    """``x w^T + bias``, with ``relu`` max(0, that): x (N, K), w (M, K), bias (M,) -> (N, M)."""
    y = matmul(x, w.T, bias)
    return activation.relu(y) if relu else y


def linear_grad(
    g: np.ndarray,
    y: np.ndarray | None,
    x: np.ndarray | None,
    w: np.ndarray | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """The gradients of x, w and the bias, given that of y; None for one that is not wanted.

    ``y`` is the result of `linear` with relu, None without; w is needed for the gradient of x
    alone, and x for that of w.
    """
    g = g if y is None else activation.relu_grad(g, y)
    return (
        matmul(g, w) if wanted[0] else None,
        matmul(g.T, x) if wanted[1] else None,
        row_sum(g) if wanted[2] else None,
    )


def row_sum(g: np.ndarray) -> np.ndarray:
    """The sum of the rows of g; float16 adds up in float32."""
    return reduce.reduce_sum(g, (0,), False, g.dtype)
