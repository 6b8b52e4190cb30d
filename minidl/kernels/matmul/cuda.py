"""Matrix products on a GPU: cuBLAS for large ones, our own kernel for small ones.

Our own is also what runs while a stream is captured into a graph, which CuPy's cuBLAS refuses.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import device_of, load_cupy, xp
from minidl.kernels.activation import cuda as activation
from minidl.kernels.cuda import FLOATING, Source, ctype, packed, tensor_cores
from minidl.kernels.cuda.tensor_cores import CHUNK, TensorTile, is_aligned
from minidl.kernels.cuda.tiles import LARGE, SMALL, Tile, fastest
from minidl.kernels.launch import contiguous, empty, is_planned, planned, unplanned
from minidl.kernels.matmul import few, reference
from minidl.kernels.matmul.layout import Operands, layout, operands
from minidl.kernels.reduce import cuda as reduce

TILES = {"float32": (SMALL, LARGE), "float16": (SMALL,), "float64": (SMALL,)}
"""The tiles that there are for each dtype."""

TENSOR_TILES = tensor_cores.SMALL, tensor_cores.LARGE
"""Those for float16 on tensor cores."""

_ALONG_K = (True, True), (True, False), (False, False)
"""Which factors' neighbours are along the sums; the fourth case is a third one transposed."""

_VARIANTS = [{"ELEMENT": ctype(name), **tile.definitions} for name in TILES for tile in TILES[name]]
_source = Source(
    __file__,
    "matmul.cu",
    [
        variant | {"A_ALONG_K": int(a), "B_ALONG_K": int(b)}
        for variant in _VARIANTS + tensor_cores.variants(TENSOR_TILES)
        for a, b in _ALONG_K
    ],
)
_MOST_ELEMENTS, _MOST_BLOCKS = 2**31 - 1, 2**16 - 1
_LARGE = 2**24
"""Multiply-adds that are worth cuBLAS's longer way to its first instruction."""


@planned
def matmul(a: Any, b: Any, bias: Any | None = None) -> Any:
    """See `minidl.kernels.matmul.reference.matmul`."""
    if not _covered(a, b, bias):
        return reference.matmul(a, b, bias)
    if _is_left_to_cublas(a, b):
        return unplanned(_by_cublas, a, b, bias)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = *batch, a.shape[-2], b.shape[-1]
    c = empty(shape, a.dtype, a)
    if b.ndim == 2:  # all rows of a at once
        a, batch = _reshaped(a, -1, a.shape[-1]), ()
    bias = None if bias is None else contiguous(bias)
    _multiply(_matrices(a, batch), _matrices(b, batch), bias, c, math.prod(batch))
    return c


@planned
def linear(x: Any, w: Any, bias: Any | None, relu: bool) -> Any:
    """See `minidl.kernels.matmul.reference.linear`."""
    y = matmul(x, w.T, bias)
    return activation.relu(y) if relu else y


@planned
def linear_grad(
    g: Any, y: Any | None, x: Any | None, w: Any | None, wanted: tuple[bool, bool, bool]
) -> tuple[Any | None, Any | None, Any | None]:
    """See `minidl.kernels.matmul.reference.linear_grad`."""
    g = g if y is None else activation.relu_grad(g, y)
    return (
        matmul(g, w) if wanted[0] else None,
        matmul(g.T, x) if wanted[1] else None,
        reduce.reduce_sum(g, (0,), False, g.dtype) if wanted[2] else None,
    )


def _covered(a: Any, b: Any, bias: Any | None) -> bool:
    """Whether the kernel takes these: matrices of floating point that have a product."""
    return (
        min(a.size, b.size) > 0
        and a.dtype in FLOATING
        and a.dtype == b.dtype
        and a.ndim > 1
        and b.ndim > 1
        and a.shape[-1] == b.shape[-2]
        and (bias is None or (bias.dtype == a.dtype and bias.shape == b.shape[-1:]))
        and max(a.size, b.size, a.size // a.shape[-1] * b.shape[-1]) <= _MOST_ELEMENTS
    )


def _by_cublas(a: Any, b: Any, bias: Any | None) -> Any:
    c = xp(a).matmul(a, b)
    if bias is not None:
        c += bias
    return c


def _is_left_to_cublas(a: Any, b: Any) -> bool:
    if device_of(a).type != "cuda" or a.size * b.shape[-1] < _LARGE:
        return False
    return not load_cupy().cuda.get_current_stream().is_capturing()


def _matrices(x: Any, batch: tuple[int, ...]) -> Any:
    """``x`` as one matrix for the whole batch, or (batches, rows, columns)."""
    if math.prod(x.shape[:-2]) == 1:
        return _settled(x.reshape(x.shape[-2:]))
    if x.shape[:-2] != batch:
        x = xp(x).broadcast_to(x, batch + x.shape[-2:])
    return _settled(_reshaped(x, -1, *x.shape[-2:]))


def _reshaped(x: Any, *shape: int) -> Any:
    """``x`` in another shape; what must be copied for that is copied by a launch."""
    reshaped = x.reshape(shape)
    if not is_planned() or np.may_share_memory(x, reshaped):
        return reshaped
    return contiguous(x).reshape(shape)


def _settled(x: Any) -> Any:
    """``x``, or a copy of it, with row-major or transposed matrices."""
    plain = x.flags.c_contiguous or x.swapaxes(-1, -2).flags.c_contiguous
    return x if plain else contiguous(x)


def _multiply(a: Any, b: Any, bias: Any | None, c: Any, batches: int) -> None:
    """Fill c, (batches, rows, columns) or one matrix, with a b + bias."""
    at = operands(layout(a), layout(b))
    on_tensor_cores = _suits_tensor_cores(a, b)
    if at.transposed:
        a, b = b, a
    if batches == 1 and not on_tensor_cores and few.suits(at):
        few.multiply(_flat(a), _flat(b), bias, c, at)
        return
    how = _launch(at, batches, TENSOR_TILES if on_tensor_cores else TILES[a.dtype.name])
    kernel = _source.kernel("matmul", a, ELEMENT=ctype(a.dtype), **how.macros)
    args = _flat(a), _flat(b), bias, c, how.product
    kernel(how.grid, (how.tile.threads,), args)


def _suits_tensor_cores(*factors: Any) -> bool:
    """Whether chunks of numbers can be read: each row, or column, is made of whole ones."""
    return tensor_cores.serve(factors[0]) and all(
        x.shape[-1 if x.flags.c_contiguous else -2] % CHUNK == 0 and is_aligned(x) for x in factors
    )


def _flat(x: Any) -> Any:
    return x if x.flags.c_contiguous else x.swapaxes(-1, -2)


class _Launch(NamedTuple):
    """The structure ``Product`` of the kernel, which macros and tile it is compiled with."""

    product: np.ndarray
    macros: dict[str, int]
    tile: Tile | TensorTile
    grid: tuple[int, int, int]


@functools.lru_cache(1024)
def _launch(at: Operands, batches: int, tiles: tuple[Tile, ...]) -> _Launch:
    a, b, c = at.a, at.b, at.c
    columns = c.rows if at.transposed else c.columns
    neighbours = 0 if columns % 2 else 1 if at.transposed else 2
    product = packed(
        sizes=np.array([c.rows, c.columns, a.columns, batches], np.int32),
        steps=np.array([a.row, a.column, b.column, b.row, c.row, c.column, *at.bias], np.int32),
        neighbours=np.int32(neighbours),
        batch=np.array([a.batch, b.batch, c.batch], np.int64),
    )
    along_k = {"A_ALONG_K": int(a.column == 1), "B_ALONG_K": int(b.row == 1)}
    tile = fastest(tiles, c.rows, c.columns, batches)
    deep = -(-batches // _MOST_BLOCKS)
    grid = tile.count(c.rows, c.columns), -(-batches // deep), deep
    return _Launch(product, along_k | tile.definitions, tile, grid)
