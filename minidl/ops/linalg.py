"""Products of matrices and tensors."""

from __future__ import annotations

import math
from typing import Any

from minidl import kernels
from minidl.autograd import TensorBase, op, quiet
from minidl.kernels.launch import contiguous, planned
from minidl.ops.reduce import sum
from minidl.ops.shape import reshape, transpose, unsqueeze


def same_dtype(*arrays: Any) -> None:
    """TypeError unless all arrays (None aside) have one dtype: products convert nothing."""
    first = arrays[0].dtype
    if all(array is None or array.dtype is first for array in arrays):  # nearly always
        return
    dtypes = {array.dtype for array in arrays if array is not None}
    if len(dtypes) > 1:
        names = " and ".join(sorted(map(str, dtypes)))
        raise TypeError(f"wants operands of one dtype, got {names}; convert with .to(dtype)")


@op
@planned
@quiet
def _matmul(input, other):
    same_dtype(input, other)
    return kernels.matmul(input, other)


def _matmul_right_rule(g, _y, a, _b):
    if _b.ndim == 2:  # one product of all rows, instead of one a batch and then their sum
        return _matmul(mT(_rows(a)), _rows(g))
    return _matmul(mT(a), g)


_matmul.vjp(lambda g, _y, _a, b: _matmul(g, mT(b)), _matmul_right_rule)


def _rows(x: Any) -> Any:
    """All but the last dimension as one."""
    if x.ndim == 2:
        return x
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def matmul(input: Any, other: Any) -> Any:
    """The matrix product, batched over leading dimensions, which broadcast.

    ``(..., n, k) @ (..., k, m) -> (..., n, m)``; a vector counts as a row on the left and
    as a column on the right, and its dimension is dropped from the result.
    """
    for operand in (input, other):
        if not isinstance(operand, TensorBase):
            raise TypeError(f"matmul: wants two tensors, got {type(operand).__name__}")
    if input.ndim > 1 and other.ndim > 1:
        return _matmul(input, other)
    if input.ndim == 0 or other.ndim == 0 or input.shape[-1] != other.shape[-2:][0]:
        raise ValueError(f"matmul: shapes {input.shape} and {other.shape} have no product")
    rows = unsqueeze(input, 0) if input.ndim == 1 else input
    columns = unsqueeze(other, 1) if other.ndim == 1 else other
    shape = (*rows.shape[:-2], *columns.shape[:-2])  # at most one of the two has more
    kept_row = () if input.ndim == 1 else input.shape[-2:-1]
    kept_column = () if other.ndim == 1 else other.shape[-1:]
    return reshape(_matmul(rows, columns), (*shape, *kept_row, *kept_column))


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, ``(n, k) @ (k, m)``."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise ValueError(f"mm: wants two matrices, got shapes {input.shape} and {mat2.shape}")
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices, ``(b, n, k) @ (b, k, m)``."""
    if input.ndim != 3 or mat2.ndim != 3 or input.shape[0] != mat2.shape[0]:
        raise ValueError(
            f"bmm: wants two equally large batches of matrices, got shapes {input.shape} "
            f"and {mat2.shape}"
        )
    return matmul(input, mat2)


def outer(input: Any, vec2: Any) -> Any:
    """The outer product of two vectors, ``out[i, j] = input[i] * vec2[j]``."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise ValueError(f"outer: wants two vectors, got shapes {input.shape} and {vec2.shape}")
    return unsqueeze(input, 1) * vec2


@op
@planned
@quiet
def linear(input, weight, bias=None):
    """``input @ weight.T + bias``: (..., in) with weight (out, in), bias (out,) -> (..., out)."""
    same_dtype(input, weight, bias)
    if input.ndim == 0 or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        raise ValueError("wants an input of shape (..., in) and a weight of shape (out, in)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError("wants a bias of shape (out,)")
    y = kernels.linear(_as_rows(input), weight, bias, False)
    return y if input.ndim == 2 else y.reshape(*input.shape[:-1], weight.shape[0])


linear.vjp(
    lambda g, _y, _x, weight, _bias: matmul(g, weight),
    lambda g, _y, x, _weight, _bias: matmul(mT(_rows(g)), _rows(x)),
    lambda g, _y, _x, _weight, _bias: sum(_rows(g), 0),
)


@linear.vjp_kernel
@planned
@quiet
def _(g, _y, input, weight, _bias, wanted):
    x = _as_rows(input) if wanted[1] else None
    w = weight if wanted[0] else None
    dx, dw, db = kernels.linear_grad(_as_rows(g), None, x, w, wanted)
    return (dx.reshape(input.shape) if wanted[0] else None), dw, db


def _as_rows(x: Any) -> Any:
    """All but the last dimension of an array as one."""
    if x.ndim == 2:
        return x
    return contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def mT(input: Any) -> Any:
    """The last two dimensions exchanged."""
    return transpose(input, -2, -1)
