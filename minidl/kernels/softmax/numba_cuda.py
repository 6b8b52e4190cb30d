"""Softmax and cross-entropy in Numba CUDA, to be read beside `softmax.cu`.

The idea: a block reduction. The threads of a block share a row; each adds up its own
elements, then they halve the number of partial sums again and again in shared memory.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from minidl.backend import xp
from minidl.kernels.cuda import grid_for
from minidl.kernels.cuda.numba_launch import covered, cuda_device, cuda_kernel, launch
from minidl.kernels.softmax import reference

_THREADS = 128  # a power of 2
_MOST_BLOCKS = 65535


def _block_reduce(combine: Callable) -> Callable:
    """A function that makes one number of all threads' ``value`` and hands it to all of them.

    All threads of the block call it; ``shared`` has a place for each.
    """

    @cuda_device
    def reduce(shared, value):
        me, others = cuda.threadIdx.x, cuda.blockDim.x // 2
        shared[me] = value
        cuda.syncthreads()
        while others > 0:
            if me < others:
                shared[me] = combine(shared[me], shared[me + others])
            cuda.syncthreads()
            others //= 2
        value = shared[0]
        cuda.syncthreads()  # all have read before the next call writes
        return value

    return reduce


@cuda_device
def _larger(a, b):
    return a if a > b else b


_block_max = _block_reduce(_larger)
_block_sum = _block_reduce(operator.add)


@cuda_kernel
def _cross_entropy(x, labels, weight, kept, spread, ignored, loss, logsumexp):
    """One block a row: loss = kept w[t] (lse - x[t]) + spread sum_c w[c] (lse - x[c])."""
    shared = cuda.shared.array(_THREADS, x.dtype)
    first, classes = cuda.threadIdx.x, x.shape[1]
    for n in range(cuda.blockIdx.x, x.shape[0], cuda.gridDim.x):
        top = x[n, 0]
        for c in range(first, classes, _THREADS):
            top = _larger(top, x[n, c])
        top = _block_max(shared, top)  # what exponents are taken of is at most 0
        total = x.dtype.type(0)
        for c in range(first, classes, _THREADS):
            total += math.exp(x[n, c] - top)
        lse = top + math.log(_block_sum(shared, total))
        smooth = x.dtype.type(0)
        if spread > 0:
            for c in range(first, classes, _THREADS):
                smooth += weight[c] * (lse - x[n, c])
            smooth = spread * _block_sum(shared, smooth)
        if first == 0:
            label = labels[n]
            logsumexp[n] = lse
            loss[n] = 0
            if label != ignored:
                loss[n] = kept * weight[label] * (lse - x[n, label]) + smooth


@cuda_kernel
def _cross_entropy_grad(g, x, labels, weight, weights, kept, spread, ignored, logsumexp, g_x):
    """One thread an element; ``weights`` (1,) is the sum of the classes' weights."""
    classes = x.shape[1]
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        n, c = i // classes, i % classes
        label = labels[n]
        if label == ignored:
            g_x[n, c] = 0
        else:
            hit = kept * weight[label]
            value = math.exp(x[n, c] - logsumexp[n]) * (hit + spread * weights[0])
            value -= spread * weight[c]
            if c == label:
                value -= hit
            g_x[n, c] = g[n] * value


def cross_entropy(
    x: Any, labels: Any, weight: Any | None, smoothing: float, ignored: int
) -> tuple[Any, Any]:
    """See `minidl.kernels.softmax.reference.cross_entropy`."""
    if not covered(x):
        return reference.cross_entropy(x, labels, weight, smoothing, ignored)
    loss, logsumexp = xp(x).empty(len(x), x.dtype), xp(x).empty(len(x), x.dtype)
    grid = (min(len(x), _MOST_BLOCKS),)
    scalars = _scalars(x, smoothing, ignored)
    arrays = _prepared(x, labels, weight)
    launch(_cross_entropy, grid, (_THREADS,), *arrays, *scalars, loss, logsumexp)
    return loss, logsumexp


def cross_entropy_grad(
    g: Any,
    x: Any,
    labels: Any,
    weight: Any | None,
    smoothing: float,
    ignored: int,
    logsumexp: Any,
    share: Any | None = None,
) -> Any:
    """See `minidl.kernels.softmax.reference.cross_entropy_grad`."""
    if not covered(x):
        how = labels, weight, smoothing, ignored, logsumexp, share
        return reference.cross_entropy_grad(g, x, *how)
    g = xp(x).array(reference.of_rows(g, share, len(x)), x.dtype, order="C")
    g_x = xp(x).empty(x.shape, x.dtype)
    x, labels, weight = _prepared(x, labels, weight)
    weights, scalars = weight.sum(keepdims=True), _scalars(x, smoothing, ignored)
    arrays = g, x, labels, weight, weights, *scalars, logsumexp, g_x
    launch(_cross_entropy_grad, grid_for(x.size, _THREADS), (_THREADS,), *arrays)
    return g_x


def _prepared(x: Any, labels: Any, weight: Any | None) -> tuple[Any, Any, Any]:
    contiguous = xp(x).ascontiguousarray
    weight = contiguous(reference.class_weights(x, weight), x.dtype)
    return contiguous(x), contiguous(labels, np.int64), weight


def _scalars(x: Any, smoothing: float, ignored: int) -> tuple[Any, Any, int]:
    """What of a label's weight it keeps, what every class gets of its own, the label to skip."""
    one = x.dtype.type
    return one(1 - smoothing), one(smoothing / x.shape[1]), int(ignored)
