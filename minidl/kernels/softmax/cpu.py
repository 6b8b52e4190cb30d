"""Cross-entropy of softmax in Numba: one thread takes a whole row."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minidl.kernels.jit import jit, threaded
from minidl.kernels.softmax import reference

_EXP = 10  # an exponential costs about as much as this many multiply-adds


@jit
def _logsumexp(row):
    """log(sum(exp(row))): exponents are at most 0, so nothing overflows."""
    top = row[0]
    for c in range(row.size):
        top = max(top, row[c])
    total = row.dtype.type(0)
    for c in range(row.size):
        total += math.exp(row[c] - top)
    return top + math.log(total)


@threaded
def _cross_entropy(x, labels, weight, smoothing, ignored, loss, logsumexp):
    classes = x.shape[1]
    for n in prange(x.shape[0]):
        row, label = x[n], labels[n]
        logsumexp[n] = _logsumexp(row)
        if label == ignored:
            loss[n] = 0
            continue
        total = (1 - smoothing) * weight[label] * (logsumexp[n] - row[label])
        if smoothing > 0:
            spread = 0.0
            for c in range(classes):
                spread += weight[c] * (logsumexp[n] - row[c])
            total += smoothing / classes * spread
        loss[n] = total


@threaded
def _cross_entropy_grad(g, x, labels, weight, smoothing, ignored, logsumexp, g_x):
    classes = x.shape[1]
    spread = x.dtype.type(smoothing / classes)
    weights = weight.sum()
    for n in prange(x.shape[0]):
        row, out, label = x[n], g_x[n], labels[n]
        if label == ignored:
            out[:] = 0
            continue
        hit = x.dtype.type(1 - smoothing) * weight[label]
        for c in range(classes):
            p = math.exp(row[c] - logsumexp[n])
            out[c] = g[n] * ((hit + spread * weights) * p - spread * weight[c])
        out[label] -= g[n] * hit


def _covered(x: np.ndarray) -> bool:
    return x.dtype in (np.float32, np.float64) and x.size > 0


def _prepared(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(x),
        np.ascontiguousarray(labels, dtype=np.int64),
        np.ascontiguousarray(reference.class_weights(x, weight), dtype=x.dtype),
    )


def cross_entropy(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, smoothing: float, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the logsumexp of each row of ``x`` (N, C); see the reference."""
    if not _covered(x):
        return reference.cross_entropy(x, labels, weight, smoothing, ignored)
    loss, logsumexp = np.empty((2, len(x)), x.dtype)
    _cross_entropy(
        _EXP * x.size,
        *_prepared(x, labels, weight),
        float(smoothing),
        int(ignored),
        loss,
        logsumexp,
    )
    return loss, logsumexp


def cross_entropy_grad(
    g: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    smoothing: float,
    ignored: int,
    logsumexp: np.ndarray,
) -> np.ndarray:
    """The gradient of ``x``, given that of each row's loss; see the reference."""
    if not _covered(x):
        return reference.cross_entropy_grad(g, x, labels, weight, smoothing, ignored, logsumexp)
    g_x = np.empty(x.shape, x.dtype)
    _cross_entropy_grad(
        _EXP * x.size,
        np.ascontiguousarray(g, dtype=x.dtype),
        *_prepared(x, labels, weight),
        float(smoothing),
        int(ignored),
        logsumexp,
        g_x,
    )
    return g_x
