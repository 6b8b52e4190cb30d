"""Functions of each element, copies and conversions.

Of integers and booleans the analytic ones return the default floating-point dtype.
"""

from __future__ import annotations

import math
from typing import Any

from minidl import kernels
from minidl.autograd import op, quiet
from minidl.backend import bool_, to_device, xp
from minidl.ops.operands import floating


@op
@quiet
def exp(input):
    """Elementwise e**x."""
    return xp(input).exp(floating(input))


exp.vjp(lambda g, y, _x: g * y, arithmetic=True)


@op
@quiet
def expm1(input):
    """Elementwise e**x - 1, accurate near 0."""
    return xp(input).expm1(floating(input))


expm1.vjp(lambda g, y, _x: g * (y + 1), arithmetic=True)


@op
@quiet
def log(input):
    """Elementwise natural logarithm."""
    return xp(input).log(floating(input))


log.vjp(lambda g, _y, x: g / x, arithmetic=True)


@op
@quiet
def log1p(input):
    """Elementwise log(1 + x), accurate near 0."""
    return xp(input).log1p(floating(input))


log1p.vjp(lambda g, _y, x: g / (x + 1), arithmetic=True)


@op
@quiet
def sqrt(input):
    """Elementwise square root."""
    return xp(input).sqrt(floating(input))


sqrt.vjp(lambda g, y, _x: g / (2 * y), arithmetic=True)


@op
@quiet
def rsqrt(input):
    """Elementwise 1 / sqrt(x)."""
    return 1 / xp(input).sqrt(floating(input))


rsqrt.vjp(lambda g, y, _x: -0.5 * g * (y * y * y), arithmetic=True)


@op
@quiet
def square(input):
    """Elementwise x * x."""
    return xp(input).multiply(input, input)


square.vjp(lambda g, _y, x: g * (2 * x), arithmetic=True)


@op
@quiet
def reciprocal(input):
    """Elementwise 1 / x."""
    return 1 / floating(input)


reciprocal.vjp(lambda g, y, _x: -g * y * y, arithmetic=True)


@op
@quiet
def sin(input):
    """Elementwise sine."""
    return xp(input).sin(floating(input))


sin.vjp(lambda g, _y, x: g * cos(x))


@op
@quiet
def cos(input):
    """Elementwise cosine."""
    return xp(input).cos(floating(input))


cos.vjp(lambda g, _y, x: -g * sin(x))


@op
def tanh(input):
    """Elementwise hyperbolic tangent."""
    return xp(input).tanh(floating(input))


tanh.vjp(lambda g, y, _x: g * (1 - y * y), arithmetic=True)


@op
def erf(input):
    """Elementwise error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return kernels.erf(floating(input))


erf.vjp(lambda g, _y, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))


# --------------------------------------------------------------------------- steps


def _flat(g: Any, _y: Any, _x: Any) -> Any:
    """The rule of a function made of steps: 0, also where g is infinite."""
    return g.new_zeros(g.shape)


def _numeric(x: Any) -> Any:
    if x.dtype == bool_:
        raise TypeError("wants numbers, got booleans")
    return x


@op
def abs(input):
    """Elementwise absolute value; its gradient at 0 is 0."""
    return xp(input).abs(_numeric(input))


abs.vjp(lambda g, _y, x: g * sign(x))


@op
def sign(input):
    """-1, 0 or 1 by the sign of the element (0 for NaN); the gradient is 0."""
    x = _numeric(input)
    return xp(x).subtract(x > 0, x < 0, dtype=x.dtype)


@op
def floor(input):
    """The largest integer not above the element; the gradient is 0."""
    return _rounded(input, xp(input).floor)


@op
def ceil(input):
    """The smallest integer not below the element; the gradient is 0."""
    return _rounded(input, xp(input).ceil)


@op
def round(input):
    """The nearest integer, halves to even; the gradient is 0."""
    return _rounded(input, xp(input).rint)


def _rounded(x: Any, function: Any) -> Any:
    return function(x) if x.dtype.kind == "f" else _numeric(x).copy()


sign.vjp(_flat)
floor.vjp(_flat)
ceil.vjp(_flat)
round.vjp(_flat)


# --------------------------------------------------------------------------- copies


@op(view=True)
@quiet
def to(input, dtype):
    """``input`` converted to ``dtype``; it shares the memory if it has that dtype already."""
    return input.astype(dtype, copy=False)


to.vjp(lambda g, _y, _x, _dtype: g)


@op
def moved(input, place, source, non_blocking):
    """A copy of ``input``, which lies on the device ``source``, on the device ``place``."""
    return to_device(input, place, non_blocking)


moved.vjp(lambda g, _y, _x, place, source, non_blocking: moved(g, source, place, non_blocking))


@op
def clone(input):
    """A copy of ``input``, in memory of its own."""
    return input.copy()


clone.vjp(lambda g, _y, _x: g, arithmetic=True)


@op
@quiet
def replaced(input, other):
    """``other`` in the shape and dtype of ``input``: what `Tensor.copy_` leaves there."""
    result = xp(input).empty_like(input)
    result[...] = other
    return result


replaced.vjp(None, lambda g, _y, _input, _other: g)
