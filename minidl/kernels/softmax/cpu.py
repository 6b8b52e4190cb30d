"""Cross-entropy of softmax in Numba: one thread takes a whole row."""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import prange
from numba.extending import overload

from minidl.kernels.jit import FLOATS, jit, threaded
from minidl.kernels.launch import contiguous, empty, launch, planned, unplanned
from minidl.kernels.softmax import reference

_EXP = 4  # an exponential costs about as much as this many multiply-adds

# --------------------------------------------------------------------------- exponentials

_LOG2_E = np.float32(1 / math.log(2))
_LN2_HIGH = np.float32(0.693359375)  # few digits: whole numbers up to 2^15 times it are exact
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_TAYLOR = tuple(np.float32(1 / math.factorial(k)) for k in range(8))
_LEAST = np.float32(-87.3)  # exp of less is no normal number of float32


# no fast-math, not its callers' either: rearranged, the remainder would lose its last digits
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)
def _exp32(x):
    """exp(x) of a float32 below 88, as plain arithmetic, which LLVM makes vectors of.

    With n the integer nearest to x / ln 2 it is 2^n exp(r), where r = x - n ln 2 is at most
    0.35, so that r^8 / 8! is below the last digit. 2^n is made of its bits.
    """
    bounded = _LEAST if x < _LEAST else x  # NaN stays
    n = np.rint(bounded * _LOG2_E)
    r = (bounded - n * _LN2_HIGH) - n * _LN2_LOW
    value = _TAYLOR[7]
    value = value * r + _TAYLOR[6]
    value = value * r + _TAYLOR[5]
    value = value * r + _TAYLOR[4]
    value = value * r + _TAYLOR[3]
    value = value * r + _TAYLOR[2]
    value = value * r + _TAYLOR[1]
    value = value * r + _TAYLOR[0]
    power = np.int32((np.int32(n if n == n else np.float32(0)) + 127) << 23).view(np.float32)
    return np.float32(0) if x < _LEAST else value * power


def _exp(x):
    """exp(x) in the precision of x."""


@overload(_exp)
def _typed_exp(x):
    return (lambda x: _exp32(x)) if x == numba.float32 else (lambda x: math.exp(x))


# --------------------------------------------------------------------------- loops


@jit
def _logsumexp(row):
    """log(sum(exp(row))): exponents are at most 0, so nothing overflows."""
    top = row[0]
    for c in range(row.size):
        top = max(top, row[c])
    total = row.dtype.type(0)
    for c in range(row.size):
        total += _exp(row[c] - top)
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
        if label < 0 or label >= classes:  # checked before; never read there
            loss[n] = np.nan
            continue
        total = (1 - smoothing) * (logsumexp[n] - row[label])
        if weight.size:
            total *= weight[label]
        if smoothing > 0:
            spread = 0.0
            for c in range(classes):
                spread += (weight[c] if weight.size else 1) * (logsumexp[n] - row[c])
            total += smoothing / classes * spread
        loss[n] = total


@threaded
def _cross_entropy_grad(g, share, x, labels, weight, smoothing, ignored, logsumexp, g_x):
    classes, one = x.shape[1], x.dtype.type
    spread, weights = one(smoothing / classes), one(classes)
    if weight.size:
        weights = weight.sum()
    for n in prange(x.shape[0]):
        row, out, label = x[n], g_x[n], labels[n]
        if label == ignored:
            out[:] = 0
            continue
        if label < 0 or label >= classes:
            out[:] = np.nan
            continue
        factor = g[n] if g.size > 1 else g[0]
        if share.size:
            factor = factor * share[0]
        hit = one(1 - smoothing)
        if weight.size:
            hit = hit * weight[label]
        scale, top = factor * (hit + spread * weights), logsumexp[n]
        for c in range(classes):
            out[c] = scale * _exp(row[c] - top)
        if smoothing > 0:
            for c in range(classes):
                out[c] -= factor * spread * (weight[c] if weight.size else one(1))
        out[label] -= factor * hit


@jit
def _weighted_mean(loss, labels, weight, ignored, mean, share):
    total, weights = 0.0, 0.0
    for n in range(loss.size):
        total += loss[n]
        label = labels[n]
        if label != ignored:
            weights += weight[label] if 0 <= label < weight.size else 1
    mean[0] = total / weights
    share[0] = 1 / weights


@jit
def _first_wrong(labels, classes, ignored):
    for n in range(labels.size):
        if (labels[n] < 0 or labels[n] >= classes) and labels[n] != ignored:
            return n
    return -1


# --------------------------------------------------------------------------- kernels


def _covered(x: np.ndarray) -> bool:
    return x.dtype in FLOATS and x.size > 0


def _prepared(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays as the loops want them; for no weights an empty one."""
    weight = empty((0,), x.dtype) if weight is None else contiguous(weight, x.dtype)
    return contiguous(x), contiguous(labels, np.int64), weight


@planned
def cross_entropy(
    x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, smoothing: float, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the logsumexp of each row of ``x`` (N, C); see the reference."""
    if not _covered(x):
        return unplanned(reference.cross_entropy, x, labels, weight, smoothing, ignored)
    loss, logsumexp = empty((len(x),), x.dtype), empty((len(x),), x.dtype)
    arrays = _prepared(x, labels, weight)
    _cross_entropy(_EXP * x.size, *arrays, float(smoothing), int(ignored), loss, logsumexp)
    return loss, logsumexp


@planned
def cross_entropy_grad(
    g: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    smoothing: float,
    ignored: int,
    logsumexp: np.ndarray,
    share: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of ``x``, given that of each row's loss; see the reference."""
    if not _covered(x):
        how = labels, weight, smoothing, ignored, logsumexp, share
        return unplanned(reference.cross_entropy_grad, g, x, *how)
    g_x = empty(x.shape, x.dtype)
    _cross_entropy_grad(
        _EXP * x.size,
        contiguous(g, x.dtype).reshape(-1),
        empty((0,), x.dtype) if share is None else share.reshape(-1),
        *_prepared(x, labels, weight),
        float(smoothing),
        int(ignored),
        logsumexp,
        g_x,
    )
    return g_x


@planned
def weighted_mean(
    loss: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss, and what each row has of it; see the reference."""
    if loss.dtype not in FLOATS:
        return unplanned(reference.weighted_mean, loss, labels, weight, ignored)
    mean, share = empty((1,), loss.dtype), empty((1,), loss.dtype)
    launch(_weighted_mean, *_prepared(loss, labels, weight), int(ignored), mean, share)
    return mean.reshape(()), share.reshape(())


def first_wrong_label(labels: np.ndarray, classes: int, ignored: int) -> int:
    """See the reference."""
    return _first_wrong(labels.reshape(-1), classes, ignored)
