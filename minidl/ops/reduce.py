"""Reductions over one, several or all dimensions.

``dim`` is an integer, a tuple of integers or None for all dimensions; ``keepdim`` keeps
the reduced dimensions with size 1.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from minidl.autograd import op
from minidl.backend import float16, float32, int64, xp
from minidl.ops.elementwise import (
    abs,
    eq,
    exp,
    isfinite,
    maximum,
    minimum,
    pow,
    quiet,
    sqrt,
    to,
    where,
)
from minidl.ops.index import gather, values_and_indices
from minidl.ops.shape import axes, expand, flip, reshape, unsqueeze


def kept_shape(shape: tuple[int, ...], dim: Any) -> tuple[int, ...]:
    """``shape`` with the reduced dimensions as 1."""
    reduced = axes(dim, len(shape))
    return tuple(1 if i in reduced else size for i, size in enumerate(shape))


def unreduced(reduced: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    """A reduction of ``x``, or its gradient, repeated along the reduced dimensions."""
    if not keepdim:
        reduced = reshape(reduced, kept_shape(x.shape, dim))
    return expand(reduced, x.shape)


def count(x: Any, dim: Any) -> int:
    """How many elements of ``x`` go into one result."""
    return math.prod(x.shape[axis] for axis in axes(dim, len(x.shape)))


# --------------------------------------------------------------------------- sums


@op
def sum(input, dim=None, keepdim=False, dtype=None):
    """The sum; of integers and booleans it is int64, of float16 it is accumulated in float32."""
    if dtype is None:
        dtype = input.dtype if input.dtype.kind == "f" else int64
    accumulator = float32 if dtype == float16 else dtype
    total = input.sum(axis=axes(dim, input.ndim), keepdims=keepdim, dtype=accumulator)
    return total.astype(dtype, copy=False)


sum.vjp(lambda g, _y, _x, dim, keepdim, _dtype: unreduced(g, _x, dim, keepdim))


@op
def sum_to_size(input, size):
    """``input`` summed over the dimensions along which ``size`` was broadcast to its shape."""
    lead = input.ndim - len(size)
    stretched = [i for i in range(lead, input.ndim) if size[i - lead] == 1 != input.shape[i]]
    return input.sum(axis=(*range(lead), *stretched), keepdims=True).reshape(size)


sum_to_size.vjp(lambda g, _y, _x, _size: expand(g, _x.shape))


def mean(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """The arithmetic mean, NaN of no elements."""
    if dtype is None and input.dtype.kind != "f":
        raise TypeError(f"mean: a mean of {input.dtype} is not exact; pass dtype=float32, say")
    return sum(input, dim, keepdim, dtype) / count(input, dim)


@op
@quiet
def var(input, dim=None, correction=1, keepdim=False):
    """The variance, sum((x - mean)^2) / (n - correction)."""
    reduced = axes(dim, input.ndim)
    n = count(input, dim)
    centred = input - input.sum(axis=reduced, keepdims=True) / input.dtype.type(n)
    degrees = input.dtype.type(builtins.max(n - correction, 0))
    return (centred * centred).sum(axis=reduced, keepdims=keepdim) / degrees


def _var_rule(g, _y, x, dim, correction, keepdim):
    scaled = g * 2.0 / builtins.max(count(x, dim) - correction, 0)
    return unreduced(scaled, x, dim, keepdim) * (x - mean(x, dim, True))


var.vjp(_var_rule)


def std(input: Any, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Any:
    """The standard deviation: the square root of `var`."""
    return sqrt(var(input, dim, correction, keepdim))


def norm(input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """The vector norm (sum |x|^p)^(1/p); ``p`` may be a number, inf, -inf, 0 or ``"fro"`` (2).

    The gradient of the Euclidean norm at 0 is 0.
    """
    if p in (2, "fro"):
        return _euclidean_norm(input, dim, keepdim)
    if p == math.inf:
        return amax(abs(input), dim, keepdim)
    if p == -math.inf:
        return amin(abs(input), dim, keepdim)
    if p == 0:
        return sum(to(input != 0, input.dtype), dim, keepdim)
    if p == 1:
        return sum(abs(input), dim, keepdim)
    return pow(sum(pow(abs(input), p), dim, keepdim), 1.0 / p)


@op
def _euclidean_norm(input, dim, keepdim):
    return xp(input).sqrt((input * input).sum(axis=axes(dim, input.ndim), keepdims=keepdim))


def _euclidean_norm_rule(g, y, x, dim, keepdim):
    length = unreduced(y, x, dim, keepdim)
    is_zero = eq(length, 0)
    return unreduced(g, x, dim, keepdim) * where(is_zero, 0.0, x / where(is_zero, 1.0, length))


_euclidean_norm.vjp(_euclidean_norm_rule)


@op
@quiet
def _logsumexp(input, dim, keepdim):
    module, reduced = xp(input), axes(dim, input.ndim)
    top = input.max(axis=reduced, keepdims=True)
    shift = module.where(module.isfinite(top), top, 0).astype(input.dtype)
    total = module.log(module.exp(input - shift).sum(axis=reduced, keepdims=True)) + shift
    return total if keepdim else total.squeeze(reduced)


def _logsumexp_rule(g, y, x, dim, keepdim):
    total = unreduced(y, x, dim, keepdim)
    weight = exp(x - where(isfinite(total), total, 0.0))
    return unreduced(g, x, dim, keepdim) * weight


_logsumexp.vjp(_logsumexp_rule)


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log(sum(exp(x))) along ``dim``, without overflow."""
    return _logsumexp(input, dim, keepdim)


@op
def cumsum(input, dim):
    """The running sum along ``dim``."""
    (axis,) = axes(dim, input.ndim)
    dtype = input.dtype if input.dtype.kind == "f" else int64
    return input.cumsum(axis=axis, dtype=dtype)


cumsum.vjp(lambda g, _y, _x, dim: flip(cumsum(flip(g, (dim,)), dim), (dim,)))


@op
def _prod(input, dim, keepdim):
    dtype = input.dtype if input.dtype.kind == "f" else int64
    return input.prod(axis=axes(dim, input.ndim), keepdims=keepdim, dtype=dtype)


def _prod_rule(g, y, x, dim, keepdim):
    if (x.array != 0).all():
        return unreduced(g * y, x, dim, keepdim) / x
    return unreduced(g, x, dim, keepdim) * _product_of_others(x, dim)


def _product_of_others(x: Any, dim: Any) -> Any:
    """For each element the product of the others; quadratic, but right where some are 0."""
    reduced = axes(dim, x.ndim)
    others = [axis for axis in range(x.ndim) if axis not in reduced]
    n = count(x, dim)
    rows = reshape(x.permute(*others, *reduced), (-1, 1, n))
    diagonal = np.eye(n, dtype=bool)
    products = _prod(where(diagonal, 1.0, rows), 2, False)
    back = np.argsort([*others, *reduced])
    ordered = [x.shape[axis] for axis in (*others, *reduced)]
    return reshape(products, ordered).permute(*back.tolist())


_prod.vjp(_prod_rule)


def prod(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The product of the elements."""
    return _prod(input, dim, keepdim)


# --------------------------------------------------------------------------- extremes


@op
def amax(input, dim=None, keepdim=False):
    """The largest element; equal ones share the gradient."""
    return input.max(axis=axes(dim, input.ndim), keepdims=keepdim)


@op
def amin(input, dim=None, keepdim=False):
    """The smallest element; equal ones share the gradient."""
    return input.min(axis=axes(dim, input.ndim), keepdims=keepdim)


def _extreme_rule(g, y, x, dim, keepdim):
    chosen = to(eq(x, unreduced(y, x, dim, keepdim)), x.dtype)
    share = chosen / sum(chosen, dim, True)
    return unreduced(g, x, dim, keepdim) * share


amax.vjp(_extreme_rule)
amin.vjp(_extreme_rule)


@op
def argmax(input, dim=None, keepdim=False):
    """The index of the (first) largest element; in the flattened tensor if ``dim`` is None."""
    return np.asarray(input.argmax(axis=dim, keepdims=keepdim), dtype=int64)


@op
def argmin(input, dim=None, keepdim=False):
    """The index of the (first) smallest element; in the flattened tensor if ``dim`` is None."""
    return np.asarray(input.argmin(axis=dim, keepdims=keepdim), dtype=int64)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; along ``dim`` a named tuple of the values and their indices.

    ``max(input, other)`` with a tensor is `maximum`. Along ``dim`` the whole gradient goes
    to the element whose index is returned.
    """
    return _extreme(input, dim, keepdim, amax, maximum, argmax)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; arguments and results as in `max`."""
    return _extreme(input, dim, keepdim, amin, minimum, argmin)


def _extreme(input, dim, keepdim, reduce, pairwise, index):
    if dim is None:
        return reduce(input)
    if not isinstance(dim, int):
        return pairwise(input, dim)
    indices = unsqueeze(index(input, dim), dim) if input.ndim else index(input, None)
    values = gather(input, dim, indices)
    if not keepdim and input.ndim:
        values, indices = values.squeeze(dim), indices.squeeze(dim)
    return values_and_indices(values, indices)


@op
def any(input, dim=None, keepdim=False):
    """Whether at least one element is true (not zero)."""
    return input.any(axis=axes(dim, input.ndim), keepdims=keepdim)


@op
def all(input, dim=None, keepdim=False):
    """Whether every element is true (not zero)."""
    return input.all(axis=axes(dim, input.ndim), keepdims=keepdim)
