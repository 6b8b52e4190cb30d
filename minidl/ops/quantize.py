"""8-bit integers in the place of floats: there, back, and pretended.

A number x stands for ``q = round(x / scale) + zero_point``, held within -128 and 127, and q for
``(q - zero_point) * scale``. With ``axis`` there is a scale and a zero point for each place along
that dimension. Source: https://arxiv.org/abs/1712.05877
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import no_grad, op, quiet
from minidl.backend import float32, int8, is_array, xp
from minidl.kernels.launch import contiguous, empty, launch
from minidl.kernels.quantized.reference import LEAST, MOST, along
from minidl.ops.comparison import clamp

# --------------------------------------------------------------------------- operators


@op
@quiet
def quantize(input, scale, zero_point=0, axis=None):
    """The int8 integers that floats stand for; a NaN becomes -128. No gradient.

    ``scale`` is positive and ``zero_point`` from -128 to 127, tensors or numbers: one, or with
    ``axis`` as many as that dimension of the input has places.
    """
    if input.dtype.kind != "f":
        raise TypeError("wants a floating-point input")
    return kernels.quantize(input, *parameters(input, scale, zero_point, axis), axis)


@op
def dequantize(input, scale, zero_point=0, axis=None):
    """The numbers that int8 integers stand for, float32; arguments as for `quantize`."""
    if input.dtype != int8:
        raise TypeError("wants an int8 input")
    return kernels.dequantize(input, *parameters(input, scale, zero_point, axis), axis)


@op
@quiet
def _there_and_back(input, scale, zero_point, axis):
    """``dequantize(quantize(x))``, of the input's dtype."""
    how = *parameters(input, scale, zero_point, axis), axis
    return kernels.dequantize(kernels.quantize(input, *how), *how)


@op
def _limit(input, scale, zero_point, axis, integer):
    """What an integer stands for, in a shape that broadcasts against the input."""
    scale, zero_point = parameters(input, scale, zero_point, axis)
    number = (integer - zero_point.astype(input.dtype)) * scale
    return xp(input).asarray(along(number, axis, input.ndim))


@op
def _with_values(input, values):
    """The values, with the gradient going to the input."""
    return values.copy()


_with_values.vjp(lambda g, _y, _x, _values: g)


def parameters(input: Any, scale: Any, zero_point: Any, axis: int | None) -> tuple[Any, Any]:
    """Scale and zero point as arrays of the dtypes and shapes that kernels want."""
    if axis is not None and not -input.ndim <= axis < input.ndim:
        raise ValueError(f"there is no dimension {axis}")
    shape = () if axis is None else (input.shape[axis],)
    dtype = input.dtype if input.dtype.kind == "f" else float32
    return tuple(
        _parameter(input, value, shape, kind)
        for value, kind in ((scale, dtype), (zero_point, int8))
    )


def _parameter(input: Any, value: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    if not is_array(value):
        if dtype == int8 and not LEAST <= value <= MOST:
            raise ValueError(f"a zero point is an integer from {LEAST} to {MOST}, got {value}")
        return filled(shape, value, dtype, input)
    if value.shape != shape:
        raise ValueError(f"scale and zero point must have shape {shape}, got {value.shape}")
    return contiguous(value, dtype)


def filled(shape: tuple[int, ...], value: float, dtype: np.dtype, like: Any) -> Any:
    """An array of one number, on the device of ``like``."""
    array = empty(shape, dtype, like)
    launch(_fill, array, value)
    return array


def _fill(array: Any, value: float) -> None:
    array[...] = value


# --------------------------------------------------------------------------- functions


def fake_quantize(input: Any, scale: Any, zero_point: Any = 0, axis: int | None = None) -> Any:
    """``dequantize(quantize(x))``, with the gradient of a clamp: the straight-through estimator.

    The gradient passes where x lies within what the integers from -128 to 127 stand for, and is 0
    elsewhere; scale and zero point get none. Arguments as for `quantize`.
    Source: https://arxiv.org/abs/1308.3432
    """
    how = scale, zero_point, axis
    with no_grad():
        values = _there_and_back(input, *how)
        least, most = (_limit(input, *how, integer) for integer in (LEAST, MOST))
    return _with_values(clamp(input, least, most), values)
