"""Reductions over one, several or all dimensions.

``dim`` is an integer, a tuple of integers or None for all dimensions; ``keepdim`` keeps
the reduced dimensions with size 1. Sums of float16 are added up in float32.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import TensorBase, op, quiet
from minidl.backend import bool_, int64, xp
from minidl.kernels.launch import planned
from minidl.ops.arithmetic import div
from minidl.ops.comparison import eq, maximum, minimum, where
from minidl.ops.creation import eye
from minidl.ops.elementwise import abs, exp, sign, to
from minidl.ops.index import gather, values_and_indices
from minidl.ops.operands import accumulator, floating, fractional
from minidl.ops.shape import axes, axis_of, expand, flip, permute, reshape, squeeze, unsqueeze


def _reduced(dim: Any, ndim: int) -> tuple[int, ...]:
    """The axes to reduce: as PyTorch has it, no dimension at all means all of them."""
    return axes(None if isinstance(dim, Sequence) and not dim else dim, ndim)


def _kept_shape(shape: tuple[int, ...], dim: Any) -> tuple[int, ...]:
    """``shape`` with the reduced dimensions as 1."""
    reduced = _reduced(dim, len(shape))
    return tuple(1 if i in reduced else size for i, size in enumerate(shape))


def _unreduced(reduced: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    """A reduction of ``x``, or its gradient, repeated along the reduced dimensions."""
    if not keepdim:
        reduced = reshape(reduced, _kept_shape(x.shape, dim))
    return expand(reduced, x.shape)


def _count(x: Any, dim: Any) -> int:
    """How many elements of ``x`` go into one result."""
    return math.prod(x.shape[axis] for axis in _reduced(dim, len(x.shape)))


def _total_dtype(x: Any, dtype: Any) -> Any:
    """What sums and products of ``x`` are returned in: int64 for integers and booleans."""
    if dtype is not None:
        return np.dtype(dtype)
    return x.dtype if x.dtype.kind == "f" else int64


# --------------------------------------------------------------------------- sums


@op
@planned
@quiet
def sum(input, dim=None, keepdim=False, dtype=None):
    """The sum; of integers and booleans it is int64 unless ``dtype`` says otherwise."""
    axis = _reduced(dim, input.ndim)
    return kernels.reduce_sum(input, axis, keepdim, _total_dtype(input, dtype))


sum.vjp(lambda g, _y, _x, dim, keepdim, _dtype: _unreduced(g, _x, dim, keepdim))


@op
@quiet
def sum_to_size(input, size):
    """``input`` summed over the dimensions along which ``size`` was broadcast to its shape."""
    lead = input.ndim - len(size)
    if lead < 0 or builtins.any(s not in (1, n) for s, n in zip(size, input.shape[lead:])):
        raise ValueError(f"size {tuple(size)} does not broadcast to that shape")
    stretched = [i for i in range(lead, input.ndim) if size[i - lead] == 1 != input.shape[i]]
    axis = (*range(lead), *stretched)
    return kernels.reduce_sum(input, axis, True, input.dtype).reshape(size)


sum_to_size.vjp(lambda g, _y, _x, _size: expand(g, _x.shape))


@op
@planned
@quiet
def mean(input, dim=None, keepdim=False, dtype=None):
    """The arithmetic mean; of no elements it is NaN."""
    dtype = fractional(input).dtype if dtype is None else np.dtype(dtype)
    return kernels.reduce_mean(input, _reduced(dim, input.ndim), keepdim, dtype)


mean.vjp(lambda g, _y, _x, dim, keepdim, _dtype: _unreduced(g / _count(_x, dim), _x, dim, keepdim))


@op
@quiet
def cumsum(input, dim, dtype=None):
    """The running sum along ``dim``."""
    dtype = _total_dtype(input, dtype)
    axis = axis_of(dim, input.ndim)
    running = xp(input).atleast_1d(input).cumsum(axis=axis, dtype=_running(dtype))
    return running.reshape(input.shape).astype(dtype, copy=False)


def _running(dtype: np.dtype) -> np.dtype:
    """Running sums have no pairwise order to keep errors small, so they take double width."""
    return np.dtype(np.float64) if dtype.kind == "f" else dtype


cumsum.vjp(lambda g, _y, _x, dim, _dtype: flip(cumsum(flip(g, dim), dim), dim))


# --------------------------------------------------------------------------- spread


def _moments(x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    axis = _reduced(dim, x.ndim)
    x = fractional(x).astype(accumulator(x.dtype), copy=False)
    n = _count(x, dim)
    centred = x - x.sum(axis=axis, keepdims=True) / n
    return (centred * centred).sum(axis=axis, keepdims=keepdim) / builtins.max(n - correction, 0)


@op
@quiet
def _var(input, dim, correction, keepdim):
    return _moments(input, dim, correction, keepdim).astype(input.dtype, copy=False)


def _var_rule(g, _y, x, dim, correction, keepdim):
    scaled = g * 2.0 / builtins.max(_count(x, dim) - correction, 0)
    return _unreduced(scaled, x, dim, keepdim) * (x - mean(x, dim, True))


_var.vjp(_var_rule)


@op
@quiet
def _std(input, dim, correction, keepdim):
    variance = _moments(input, dim, correction, keepdim)
    return xp(input).sqrt(variance).astype(input.dtype, copy=False)


def _std_rule(g, y, x, dim, correction, keepdim):
    constant = y == 0
    slope = where(constant, 0.0, g / where(constant, 1.0, 2 * y))
    return _var_rule(slope, y, x, dim, correction, keepdim)


_std.vjp(_std_rule)


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The variance, sum((x - mean)^2) / (n - correction).

    ``correction`` is 1 unless given, and 0 for ``unbiased=False``.
    """
    return _var(input, dim, int(unbiased) if correction is None else correction, keepdim)


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """The standard deviation, the square root of `var`; its gradient at 0 is 0."""
    return _std(input, dim, int(unbiased) if correction is None else correction, keepdim)


# --------------------------------------------------------------------------- norms


def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """The vector norm (sum |x|^p)^(1/p); ``p`` may be a number, inf, -inf, 0 or ``"fro"`` (2).

    For ``p=0`` it is the number of elements that are not 0. The gradient at 0 is 0.
    """
    x = input if dtype is None else to(input, np.dtype(dtype))
    p = 2 if p == "fro" else p
    if not isinstance(p, int | float):
        raise ValueError(f"norm: p is a number or 'fro', got {p!r}")
    if p == math.inf:
        return amax(abs(x), dim, keepdim)
    if p == -math.inf:
        return amin(abs(x), dim, keepdim)
    if p == 0:
        return sum(abs(sign(x)), dim, keepdim)
    return _norm(x, p, dim, keepdim)


@op
@quiet
def _norm(input, p, dim, keepdim):
    axis, dtype = _reduced(dim, input.ndim), accumulator(fractional(input).dtype)
    x = xp(input).abs(input).astype(dtype, copy=False)
    powers = x * x if p == 2 else x**p
    total = powers.sum(axis=axis, keepdims=keepdim)
    length = xp(input).sqrt(total) if p == 2 else total ** (1 / p)
    return length.astype(input.dtype, copy=False)


def _norm_rule(g, y, x, p, dim, keepdim):
    length = _unreduced(y, x, dim, keepdim)
    is_zero = eq(length, 0)
    scale = _unreduced(g, x, dim, keepdim) / where(is_zero, 1.0, length) ** (p - 1)
    return where(is_zero, 0.0, scale) * _signed_power(x, p - 1)


def _signed_power(x: Any, exponent: float) -> Any:
    """sign(x) |x|^exponent, and 0 at 0 for every exponent."""
    if exponent >= 1:
        return x * abs(x) ** (exponent - 1)
    return sign(x) * where(x == 0, 1.0, abs(x)) ** exponent


_norm.vjp(_norm_rule)


@op
@quiet
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(x))) along ``dim``, without overflow; of no elements it is -inf.

    Where it is -inf its gradient is 0, so that rows that are masked out do no harm.
    """
    axis, x = _reduced(dim, input.ndim), floating(input)
    wide = x.astype(accumulator(x.dtype), copy=False)
    largest = wide.max if _count(x, dim) else wide.sum  # 0 for no elements
    top = largest(axis=axis, keepdims=True)
    shift = xp(x).where(xp(x).isfinite(top), top, 0)
    total = xp(x).log(xp(x).exp(wide - shift).sum(axis=axis, keepdims=True)) + shift
    return (total if keepdim else total.squeeze(axis)).astype(x.dtype, copy=False)


def _logsumexp_rule(g, y, x, dim, keepdim):
    total = _unreduced(y, x, dim, keepdim)
    weight = exp(x - where(total == -math.inf, 0.0, total))
    return _unreduced(g, x, dim, keepdim) * weight


logsumexp.vjp(_logsumexp_rule)


# --------------------------------------------------------------------------- products


@op
@quiet
def prod(input, dim=None, keepdim=False, dtype=None):
    """The product of the elements; of integers and booleans it is int64."""
    dtype, axis = _total_dtype(input, dtype), _reduced(dim, input.ndim)
    total = input.prod(axis=axis, keepdims=keepdim, dtype=accumulator(dtype))
    return total.astype(dtype, copy=False)


def _prod_rule(g, _y, x, dim, keepdim, _dtype):
    """g times the product of the other elements: y / x would be NaN where an element is 0."""
    reduced = _reduced(dim, x.ndim)
    order = (*(i for i in range(x.ndim) if i not in reduced), *reduced)
    moved = permute(x, order)
    rows = reshape(moved, (*moved.shape[: x.ndim - len(reduced)], _count(x, dim)))
    others = permute(reshape(_others(rows), moved.shape), np.argsort(order).tolist())
    return _unreduced(g, x, dim, keepdim) * others


prod.vjp(_prod_rule)


@op
@quiet
def _others(rows):
    """For each element the product of the others in its row (the last dimension)."""
    module = xp(rows)
    before, after = module.ones_like(rows), module.ones_like(rows)
    before[..., 1:] = rows[..., :-1].cumprod(axis=-1)
    after[..., :-1] = rows[..., :0:-1].cumprod(axis=-1)[..., ::-1]
    return before * after


def _others_rule(g, _y, rows):
    """Row i of the table holds, for each j, the product of all but elements i and j."""
    diagonal = eye(rows.shape[-1], dtype=bool_, device=rows.device)
    table = _others(where(diagonal, 1.0, unsqueeze(rows, -2)))
    return sum(unsqueeze(g, -1) * where(diagonal, 0.0, table), -2)


_others.vjp(_others_rule)


# --------------------------------------------------------------------------- extremes


@op
def amax(input, dim=None, keepdim=False):
    """The largest element; equal ones share the gradient."""
    return kernels.reduce_max(input, _reduced(dim, input.ndim), keepdim)


@op
def amin(input, dim=None, keepdim=False):
    """The smallest element; equal ones share the gradient."""
    return kernels.reduce_min(input, _reduced(dim, input.ndim), keepdim)


def _extreme_rule(g, y, x, dim, keepdim):
    chosen = to(eq(x, _unreduced(y, x, dim, keepdim)), x.dtype)
    return _unreduced(g, x, dim, keepdim) * div(chosen, sum(chosen, dim, True))


amax.vjp(_extreme_rule)
amin.vjp(_extreme_rule)


@op
def argmax(input, dim=None, keepdim=False):
    """The index of the (first) largest element; in the flattened tensor if ``dim`` is None."""
    return _place(input, dim, keepdim, xp(input).argmax)


@op
def argmin(input, dim=None, keepdim=False):
    """The index of the (first) smallest element; in the flattened tensor if ``dim`` is None."""
    return _place(input, dim, keepdim, xp(input).argmin)


def _place(x: Any, dim: Any, keepdim: bool, function: Callable) -> Any:
    axis = None if dim is None or x.ndim == 0 else axis_of(dim, x.ndim)
    return function(x, axis=axis, keepdims=keepdim).astype(int64, copy=False)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along ``dim`` a named tuple of the values and their indices.

    ``max(input, other)`` with a tensor is `maximum`. Along ``dim`` the whole gradient goes
    to the element whose index is returned.
    """
    return _extreme(input, dim, keepdim, amax, maximum, argmax)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; arguments and results as in `max`."""
    return _extreme(input, dim, keepdim, amin, minimum, argmin)


def _extreme(
    x: Any, dim: Any, keepdim: bool, reduce: Callable, pairwise: Callable, place: Callable
) -> Any:
    if dim is None:
        return reduce(x)
    if isinstance(dim, TensorBase):
        return pairwise(x, dim)
    indices = place(x, dim, True)
    values = gather(x, dim, indices)
    if not keepdim:
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return values_and_indices(values, indices)


@op
def any(input, dim=None, keepdim=False):
    """Whether at least one element is true (not zero)."""
    return input.any(axis=axes(dim, input.ndim), keepdims=keepdim)


@op
def all(input, dim=None, keepdim=False):
    """Whether every element is true (not zero)."""
    return input.all(axis=axes(dim, input.ndim), keepdims=keepdim)
