"""Normalisation on a GPU: sums by channel in two stages, then one pass over the elements.

Rows of a channel long enough for whole memory transactions are read by blocks of their own;
of shorter ones, neighbouring threads read neighbouring columns of the array (N, C * inner).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for
from minidl.kernels.launch import contiguous, empty, planned
from minidl.kernels.norm import reference
from minidl.kernels.norm.reference import wide

_source = Source(__file__, "norm.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])

_THREADS = 256
_COLUMNS, _PLACES = 32, 8  # a block's threads where columns are summed
_TRANSACTION = 32  # bytes
_BLOCKS = 1024  # enough to fill a large GPU
_ROW_PIECE, _COLUMN_PIECE = 4096, 16  # the least elements of a block's part, of a thread's


def _kernel(name: str, x: Any) -> Callable:
    return _source.kernel(name, x, ELEMENT=ctype(x.dtype))


def _number(value: float, x: Any) -> Any:
    """``value`` in the dtype that the kernels compute in."""
    return wide(x.dtype).type(value)


def _operand(array: Any, x: Any) -> Any:
    """``array`` contiguous and in the dtype of ``x``; None stays None."""
    if array is None:
        return None
    return contiguous(array, x.dtype)


@np.errstate(over="ignore")  # sums of float16 may be infinite
def _result(sums: Any, x: Any) -> Any:
    return contiguous(sums, x.dtype)


def _sizes(x: Any) -> tuple[int, int]:
    """The number of channels, and of elements in a row of one."""
    return x.shape[1], math.prod(x.shape[2:])


def _covered(x: Any) -> bool:
    return x.dtype in FLOATING and x.size > 0


# --------------------------------------------------------------------------- sums by channel


class _Parts(NamedTuple):
    """How the sums of a channel are divided among blocks."""

    by_row: bool
    total: int  # elements of a channel, or samples
    piece: int  # of them, in one part
    count: int  # of parts
    grid: tuple[int, int]
    block: tuple[int, ...]
    results: Any  # first stage's, (count, C, width, 2)


def _parts(x: Any) -> _Parts:
    samples, (channels, inner) = x.shape[0], _sizes(x)
    by_row = inner * x.dtype.itemsize >= _TRANSACTION
    if by_row:
        total, width, across, least = samples * inner, 1, channels, _ROW_PIECE
        wanted = _BLOCKS // across
    else:
        total, width, across, least = (
            samples,
            inner,
            -(-channels * inner // _COLUMNS),
            _COLUMN_PIECE,
        )
        wanted = _BLOCKS * _PLACES // across
    count = min(max(wanted, 1), -(-total // least))
    piece = -(-total // count)
    piece += -piece % 8  # no pack of elements belongs to two parts
    count = -(-total // piece)
    results = empty((count, channels, width, 2), wide(x.dtype), x)
    if by_row:
        threads = min(_THREADS, 32 * -(-piece // 128))
        return _Parts(True, total, piece, count, (across, count), (threads,), results)
    grid = across, -(-count // _PLACES)
    return _Parts(False, total, piece, count, grid, (_COLUMNS, _PLACES), results)


def _join(name: str, x: Any, parts: _Parts, *sizes_and_results: Any) -> None:
    """The second stage: a warp adds up the parts of a channel."""
    channels, width = parts.results.shape[1:3]
    grid = (-(-channels // (_THREADS // 32)),)
    arguments = parts.results, parts.count, width, channels, *sizes_and_results
    _kernel(name, x)(grid, (_THREADS,), arguments)


def _statistics(x: Any, eps: float) -> Any:
    """Mean, variance and rstd of each channel."""
    channels, inner = _sizes(x)
    parts = _parts(x)
    total, piece = np.int64(parts.total), np.int64(parts.piece)
    found = _number(eps, x), *empty((3, channels), wide(x.dtype), x)
    if parts.by_row:
        arguments = x, total, piece, channels, inner, parts.results, *found
        _kernel("row_moments", x)(parts.grid, parts.block, arguments)
    else:
        arguments = x, total, piece, np.int64(channels * inner), parts.results
        _kernel("column_moments", x)(parts.grid, parts.block, arguments)
    if not parts.by_row or parts.count > 1:
        _join("join_moments", x, parts, total, piece, *found)
    return found[1:]


def _products(g: Any, x: Any, mean: Any = None, rstd: Any = None, groups: int = 0) -> Any:
    """By channel, the sums of g and of g z (of g x without a mean).

    The statistics are those of ``groups`` groups in each sample, or with 0 of each channel.
    """
    channels, inner = _sizes(x)
    parts = _parts(x)
    found = empty((2, channels), wide(x.dtype), x)
    size = channels // groups if groups else 1
    numbers = groups, size, np.int64(parts.total), np.int64(parts.piece)
    if parts.by_row:
        arguments = g, x, mean, rstd, *numbers, channels, inner, parts.results, *found
        _kernel("row_products", x)(parts.grid, parts.block, arguments)
    else:
        columns = np.int64(channels * inner)
        arguments = g, x, mean, rstd, *numbers, columns, inner, parts.results
        _kernel("column_products", x)(parts.grid, parts.block, arguments)
    if not parts.by_row or parts.count > 1:
        _join("join_products", x, parts, *found)
    return found


def _each(name: str, x: Any, *arguments: Any) -> Any:
    """The result of a kernel that goes through all elements of ``x`` by channel."""
    y = empty(x.shape, x.dtype, x)
    channels, inner = _sizes(x)
    sizes = np.int64(x.size), np.int64(inner), channels
    blocks = grid_for(-(-x.size * x.dtype.itemsize // 16), _THREADS)
    _kernel(name, x)(blocks, (_THREADS,), (*arguments, *sizes, y))
    return y


# --------------------------------------------------------------------------- by channel


@planned
def normalize(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any, Any]:
    """See `minidl.kernels.norm.reference.normalize`."""
    if not _covered(x):
        return reference.normalize(x, weight, bias, eps)
    x = _operand(x, x)
    mean, var, rstd = _statistics(x, eps)
    y = _each("normalize", x, x, mean, rstd, _operand(weight, x), _operand(bias, x))
    return y, mean, var, rstd


@planned
def normalize_grad(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """See `minidl.kernels.norm.reference.normalize_grad`."""
    if not _covered(x):
        return reference.normalize_grad(g, x, mean, rstd, weight)
    g, x, weight = _operand(g, x), _operand(x, x), _operand(weight, x)
    g_bias, g_weight = _products(g, x, mean, rstd)
    count = _number(x.size // x.shape[1], x)
    g_x = _each("normalize_grad", x, g, x, mean, rstd, weight, g_bias, g_weight, count)
    return g_x, _result(g_weight, x), _result(g_bias, x)


def move_running(
    mean: Any, var: Any, running_mean: Any, running_var: Any, momentum: float, count: int
) -> None:
    """See `minidl.kernels.norm.reference.move_running`."""
    arguments = mean, var, running_mean, running_var
    running = [array for array in arguments[2:] if array is not None]
    dtypes = {array.dtype for array in running}
    fits = len(dtypes) == 1 and all(array.flags.c_contiguous for array in running)
    if fits and dtypes <= set(FLOATING) and mean.dtype == wide(*dtypes):
        like = running[0]
        numbers = mean.size, _number(momentum, like), _number(count / (count - 1), like)
        launch = _kernel("move_running", like)
        launch(grid_for(mean.size, _THREADS), (_THREADS,), (*arguments, *numbers))
    else:
        reference.move_running(*arguments, momentum, count)


@planned
def scale_shift(x: Any, scale: Any, shift: Any) -> Any:
    """See `minidl.kernels.norm.reference.scale_shift`."""
    if not _covered(x):
        return reference.scale_shift(x, scale, shift)
    x = _operand(x, x)
    return _each("scale_shift", x, x, _operand(scale, x), _operand(shift, x))


@planned
def channel_dot(g: Any, x: Any) -> Any:
    """See `minidl.kernels.norm.reference.channel_dot`."""
    if not _covered(x):
        return reference.channel_dot(g, x)
    return _result(_products(_operand(g, x), _operand(x, x))[1], x)


# --------------------------------------------------------------------------- by group


def _group_launch(name: str, x: Any, groups: int, *arguments: Any) -> None:
    length = math.prod(x.shape[1:]) // groups
    threads = min(2 * _THREADS, 32 * -(-length // 256))
    _kernel(name, x)((len(x) * groups,), (threads,), arguments)


@planned
def group_normalize(
    x: Any, weight: Any, bias: Any, groups: int, eps: float
) -> tuple[Any, Any, Any]:
    """See `minidl.kernels.norm.reference.group_normalize`."""
    if not _covered(x):
        return reference.group_normalize(x, weight, bias, groups, eps)
    x, length, inner = _operand(x, x), math.prod(x.shape[1:]) // groups, _sizes(x)[1]
    y = empty(x.shape, x.dtype, x)
    mean, rstd = empty((2, len(x), groups), wide(x.dtype), x)
    operands = x, _operand(weight, x), _operand(bias, x)
    numbers = length, inner, groups, _number(eps, x)
    _group_launch("group_normalize", x, groups, *operands, *numbers, y, mean, rstd)
    return y, mean, rstd


@planned
def group_normalize_grad(
    g: Any, x: Any, mean: Any, rstd: Any, weight: Any, groups: int
) -> tuple[Any, Any, Any]:
    """See `minidl.kernels.norm.reference.group_normalize_grad`."""
    if not _covered(x):
        return reference.group_normalize_grad(g, x, mean, rstd, weight, groups)
    g, x, weight = _operand(g, x), _operand(x, x), _operand(weight, x)
    g_x = empty(x.shape, x.dtype, x)
    numbers = math.prod(x.shape[1:]) // groups, _sizes(x)[1], groups
    _group_launch("group_normalize_grad", x, groups, g, x, mean, rstd, weight, *numbers, g_x)
    g_bias, g_weight = _products(g, x, mean, rstd, groups)
    return g_x, _result(g_weight, x), _result(g_bias, x)
