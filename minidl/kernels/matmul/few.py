"""Matrix products on a GPU that are too small for tiles: see `few.cu`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minidl.kernels.cuda import FLOATING, Source, ctype, integers, packed
from minidl.kernels.cuda.tiles import MULTIPROCESSORS, SMALL
from minidl.kernels.matmul.layout import Operands

_source = Source(__file__, "few.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_SIDE, _WARPS, _SHARES, _WARP = 4, 4, 8, 32  # as in few.cu
_MOST = 2**24
"""Multiply-adds: every warp reads its rows and columns anew, which many would notice."""


def suits(at: Operands) -> bool:
    """Whether tiles would keep less than half of a GPU busy, and the work is small."""
    rows, columns, terms = at.a.rows, at.b.columns, at.a.columns
    return 2 * SMALL.count(rows, columns) <= MULTIPROCESSORS and rows * columns * terms <= _MOST


def multiply(a: Any, b: Any, bias: Any | None, c: Any, at: Operands) -> None:
    """Fill the matrix c with a b + bias; the arrays are flat, and lie as ``at`` says."""
    rows, columns = at.a.rows, at.b.columns
    along_terms = at.a.column == 1 and at.b.row == 1
    name, width = ("dots", _SIDE * _WARPS) if along_terms else ("shares", _WARP)
    kernel = _source.kernel(name, a, ELEMENT=ctype(a.dtype))
    block = (_WARP * _WARPS,) if along_terms else (_WARP, _SHARES)
    kernel((-(-columns // width), -(-rows // _SIDE)), block, (a, b, bias, c, _structure(at)))


@functools.lru_cache(1024)
def _structure(at: Operands) -> np.ndarray:
    """The structure ``Few`` of `few.cu`."""
    return packed(
        **integers(
            sizes=(at.a.rows, at.b.columns, at.a.columns),
            a=(at.a.row, at.a.column),
            b=(at.b.column, at.b.row),
            c=(at.c.row, at.c.column),
            bias=at.bias,
        )
    )
