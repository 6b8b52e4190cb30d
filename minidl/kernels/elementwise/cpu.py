"""Chains of elementwise operations in Numba: block by block, so that results stay in the cache.

One compiled kernel runs any chain: it goes through the steps for each block of `_BLOCK` elements.
"""

from __future__ import annotations

import functools
import math

import numba
import numpy as np
from numba import prange

from minidl.kernels.elementwise import reference
from minidl.kernels.elementwise import steps as s
from minidl.kernels.elementwise.reference import FUNCTIONS
from minidl.kernels.elementwise.steps import MOST_INPUTS, OPERATIONS, Step, operands
from minidl.kernels.jit import jit, threaded
from minidl.kernels.launch import contiguous, empty, launch, planned, unplanned

_BLOCK = 4096  # elements: going through the steps costs as much as some hundreds of them
_BLOCKS = 4  # to a chunk, which one thread does with one scratch memory
_FEW = 100_000  # elements: below, one thread is enough, and NumPy's loops start sooner

# The numbers are to be those of NumPy, which computes step by step.
_exact = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")


@_exact
def _apply(opcode, x, y, to):
    """One step on one block."""
    zero = to.dtype.type(0)
    if opcode == s.ADD:
        for i in range(len(to)):
            to[i] = x[i] + y[i]
    elif opcode == s.SUB:
        for i in range(len(to)):
            to[i] = x[i] - y[i]
    elif opcode == s.MUL:
        for i in range(len(to)):
            to[i] = x[i] * y[i]
    elif opcode == s.DIV:
        for i in range(len(to)):
            to[i] = x[i] / y[i]
    elif opcode == s.NEG:
        for i in range(len(to)):
            to[i] = -x[i]
    elif opcode == s.SQUARE:
        for i in range(len(to)):
            to[i] = x[i] * x[i]
    elif opcode == s.SQRT:
        for i in range(len(to)):
            to[i] = math.sqrt(x[i])
    elif opcode == s.ABS:
        for i in range(len(to)):
            to[i] = abs(x[i])
    elif opcode == s.RELU:
        for i in range(len(to)):
            to[i] = zero if x[i] <= zero else x[i]
    elif opcode == s.RELU_GRAD:
        for i in range(len(to)):
            passed = x[i]
            to[i] = zero if y[i] <= zero else passed


@jit
def _operand(k, start, stop, rows, a, b, c, d, e, f):
    """The block of operand k: a row if it is a result or a single number."""
    if k == 0:
        return a[start:stop]
    if k == 1 and b.size > 1:
        return b[start:stop]
    if k == 2 and c.size > 1:
        return c[start:stop]
    if k == 3 and d.size > 1:
        return d[start:stop]
    if k == 4 and e.size > 1:
        return e[start:stop]
    if k == 5 and f.size > 1:
        return f[start:stop]
    return rows[k, : stop - start]


@threaded
def _elementwise(steps, out, a, b, c, d, e, f):
    chunk_size = _BLOCK * _BLOCKS
    last = len(steps) - 1
    for chunk in prange((len(out) + chunk_size - 1) // chunk_size):
        rows = np.empty((MOST_INPUTS + len(steps), _BLOCK), out.dtype)
        for k, x in enumerate((a, b, c, d, e, f)):
            if x.size == 1:
                rows[k] = x[0]
        end = min(len(out), (chunk + 1) * chunk_size)
        for start in range(chunk * chunk_size, end, _BLOCK):
            stop = min(start + _BLOCK, end)
            for i in range(len(steps)):
                x = _operand(steps[i, 1], start, stop, rows, a, b, c, d, e, f)
                y = _operand(steps[i, 2], start, stop, rows, a, b, c, d, e, f)
                row = rows[MOST_INPUTS + i, : stop - start]
                _apply(steps[i, 0], x, y, out[start:stop] if i == last else row)


@functools.lru_cache(maxsize=1024)
def _table(steps: tuple[Step, ...]) -> np.ndarray:
    return np.array(steps, np.int64)


@planned
def elementwise(inputs: list[np.ndarray], steps: tuple[Step, ...]) -> np.ndarray:
    """See `minidl.kernels.elementwise.reference.elementwise`."""
    first = inputs[0]
    if first.dtype not in (np.float32, np.float64) or first.size < 2:
        return unplanned(reference.elementwise, inputs, steps)
    out = empty(first.shape, first.dtype)
    function = FUNCTIONS[OPERATIONS[steps[0].opcode]]
    if len(steps) == 1 and isinstance(function, np.ufunc) and first.size < _FEW:
        launch(function, *(inputs[k] for k in operands(steps[0])), out)
        return out
    flat = [contiguous(x).reshape(-1) for x in inputs]
    flat += [np.empty(0, first.dtype)] * (MOST_INPUTS - len(flat))
    _elementwise(len(steps) * out.size, _table(steps), out.reshape(-1), *flat)
    return out
