"""Softmax and its logarithm along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import op
from minidl.backend import xp
from minidl.ops.elementwise import exp
from minidl.ops.operands import accumulator, fractional, quiet
from minidl.ops.reduce import sum
from minidl.ops.shape import axes


def _below_top(x: Any, dim: Any) -> tuple[Any, tuple[int, ...]]:
    """``x`` minus its largest element along ``dim``, so that no exponential overflows."""
    axis = axes(dim, x.ndim)
    wide = fractional(x).astype(accumulator(x.dtype), copy=False)
    return wide - wide.max(axis=axis, keepdims=True, initial=-np.inf), axis


@op
@quiet
def _softmax(input, dim):
    shifted, axis = _below_top(input, dim)
    e = xp(input).exp(shifted)
    return (e / e.sum(axis=axis, keepdims=True)).astype(input.dtype, copy=False)


_softmax.vjp(lambda g, y, _x, dim: (g - sum(g * y, dim, True)) * y)


@op
@quiet
def _log_softmax(input, dim):
    shifted, axis = _below_top(input, dim)
    log_total = xp(input).log(xp(input).exp(shifted).sum(axis=axis, keepdims=True))
    return (shifted - log_total).astype(input.dtype, copy=False)


_log_softmax.vjp(lambda g, y, _x, dim: g - exp(y) * sum(g, dim, True))


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along ``dim``, computed in ``dtype`` if given."""
    return _softmax(input if dtype is None else input.to(dtype), dim)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """log(softmax(x)) along ``dim`` without its loss of precision, in ``dtype`` if given."""
    return _log_softmax(input if dtype is None else input.to(dtype), dim)
