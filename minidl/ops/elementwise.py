"""Elementwise arithmetic, comparisons and functions, with broadcasting.

Operands follow PyTorch's promotion rules: see `minidl.backend.result_type`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import op
from minidl.backend import get_default_dtype, result_type, xp

# PyTorch yields inf and nan without a word where NumPy warns.
quiet = np.errstate(all="ignore")


def promoted(*operands: Any) -> tuple[Any, Any]:
    """Two operands ready for a NumPy function: arrays in the common dtype, scalars as they are."""
    first, second = operands
    if isinstance(first, np.ndarray):
        if isinstance(second, np.ndarray):
            if first.dtype is second.dtype:
                return operands
        elif first.dtype.kind == "f" and type(second) in (int, float):
            return operands
    dtype = result_type(first, second)
    return np.asarray(first, dtype=dtype), np.asarray(second, dtype=dtype)


def floating(x: Any) -> Any:
    """``x``, integers and booleans converted to the default dtype."""
    if isinstance(x, np.ndarray) and x.dtype.kind != "f":
        return x.astype(get_default_dtype())
    return x


# --------------------------------------------------------------------------- arithmetic


@op
def add(input, other):
    """``input + other``."""
    a, b = promoted(input, other)
    return xp(a).add(a, b)


add.vjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g)


@op
def sub(input, other):
    """``input - other``."""
    a, b = promoted(input, other)
    return xp(a).subtract(a, b)


sub.vjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g)


@op
def mul(input, other):
    """``input * other``."""
    a, b = promoted(input, other)
    return xp(a).multiply(a, b)


mul.vjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)


@op
@quiet
def div(input, other):
    """``input / other``, always floating point."""
    a, b = promoted(input, other)
    return xp(a).divide(floating(a), floating(b))


div.vjp(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b)


@op
@quiet
def pow(input, exponent):
    """``input ** exponent``; at exponent 0 the gradient in ``input`` is 0 everywhere."""
    a, b = promoted(input, exponent)
    return xp(a).power(a, b)


def _pow_base_rule(g, _y, x, exponent):
    if not hasattr(exponent, "shape"):
        return g * 0.0 if exponent == 0 else g * (exponent * x ** (exponent - 1))
    return where(exponent == 0, 0.0, g * exponent * x ** (exponent - 1))


def _pow_exponent_rule(g, y, x, exponent):
    x = x if hasattr(x, "shape") else y * 0 + x
    zero = (x == 0) & (exponent >= 0)  # y log x tends to 0 there
    return where(zero, 0.0, g * y * log(where(zero, 1.0, x)))


pow.vjp(_pow_base_rule, _pow_exponent_rule)


@op
def neg(input):
    """``-input``."""
    return xp(input).negative(input)


neg.vjp(lambda g, _y, _x: -g)


@op
@quiet
def remainder(input, other):
    """``input % other`` with the sign of ``other``, as Python has it."""
    a, b = promoted(input, other)
    return xp(a).remainder(a, b)


remainder.vjp(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * floor(a / b))


@op
@quiet
def floor_divide(input, other):
    """``floor(input / other)``; it has no gradient."""
    a, b = promoted(input, other)
    return xp(a).floor_divide(a, b)


# --------------------------------------------------------------------------- comparisons


@op
def eq(input, other):
    """``input == other``, elementwise."""
    return np.equal(*promoted(input, other))


@op
def ne(input, other):
    """``input != other``, elementwise."""
    return np.not_equal(*promoted(input, other))


@op
def lt(input, other):
    """``input < other``, elementwise."""
    return np.less(*promoted(input, other))


@op
def le(input, other):
    """``input <= other``, elementwise."""
    return np.less_equal(*promoted(input, other))


@op
def gt(input, other):
    """``input > other``, elementwise."""
    return np.greater(*promoted(input, other))


@op
def ge(input, other):
    """``input >= other``, elementwise."""
    return np.greater_equal(*promoted(input, other))


@op
def logical_and(input, other):
    """Whether both are true (not zero), elementwise."""
    return np.logical_and(input, other)


@op
def logical_or(input, other):
    """Whether one is true (not zero), elementwise."""
    return np.logical_or(input, other)


@op
def logical_not(input):
    """Whether the element is zero."""
    return xp(input).logical_not(input)


@op
def isnan(input):
    """Whether the element is not a number."""
    return xp(input).isnan(input)


@op
def isfinite(input):
    """Whether the element is neither infinite nor NaN."""
    return xp(input).isfinite(input)


@op
def isinf(input):
    """Whether the element is infinite."""
    return xp(input).isinf(input)


# --------------------------------------------------------------------------- functions


@op
@quiet
def exp(input):
    """Elementwise e**x."""
    return xp(input).exp(floating(input))


exp.vjp(lambda g, y, _x: g * y)


@op
@quiet
def expm1(input):
    """Elementwise e**x - 1, accurate near 0."""
    return xp(input).expm1(floating(input))


expm1.vjp(lambda g, y, _x: g * (y + 1))


@op
@quiet
def log(input):
    """Elementwise natural logarithm."""
    return xp(input).log(floating(input))


log.vjp(lambda g, _y, x: g / x)


@op
@quiet
def log1p(input):
    """Elementwise log(1 + x), accurate near 0."""
    return xp(input).log1p(floating(input))


log1p.vjp(lambda g, _y, x: g / (x + 1))


@op
@quiet
def sqrt(input):
    """Elementwise square root."""
    return xp(input).sqrt(floating(input))


sqrt.vjp(lambda g, y, _x: g / (2 * y))


@op
@quiet
def rsqrt(input):
    """Elementwise 1 / sqrt(x)."""
    return 1 / xp(input).sqrt(floating(input))


rsqrt.vjp(lambda g, y, _x: -0.5 * g * y * y * y)


@op
def square(input):
    """Elementwise x * x."""
    return xp(input).multiply(input, input)


square.vjp(lambda g, _y, x: g * (2 * x))


@op
@quiet
def reciprocal(input):
    """Elementwise 1 / x."""
    return 1 / floating(input)


reciprocal.vjp(lambda g, y, _x: -g * y * y)


@op
def abs(input):
    """Elementwise absolute value; its gradient at 0 is 0."""
    return xp(input).abs(input)


abs.vjp(lambda g, _y, x: g * sign(x))


@op
def sign(input):
    """-1, 0 or 1 by the sign of the element; the gradient is 0."""
    return xp(input).sign(input)


sign.vjp(lambda g, _y, _x: g * 0.0)


@op
def floor(input):
    """The largest integer not above the element; the gradient is 0."""
    return xp(input).floor(input)


floor.vjp(lambda g, _y, _x: g * 0.0)


@op
def ceil(input):
    """The smallest integer not below the element; the gradient is 0."""
    return xp(input).ceil(input)


ceil.vjp(lambda g, _y, _x: g * 0.0)


@op
def round(input):
    """The nearest integer, halves to even; the gradient is 0."""
    return xp(input).round(input)


round.vjp(lambda g, _y, _x: g * 0.0)


@op
def sin(input):
    """Elementwise sine."""
    return xp(input).sin(floating(input))


sin.vjp(lambda g, _y, x: g * cos(x))


@op
def cos(input):
    """Elementwise cosine."""
    return xp(input).cos(floating(input))


cos.vjp(lambda g, _y, x: -g * sin(x))


@op
def tanh(input):
    """Elementwise hyperbolic tangent."""
    return xp(input).tanh(floating(input))


tanh.vjp(lambda g, y, _x: g * (1 - y * y))


@op
def erf(input):
    """Elementwise error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return kernels.erf(floating(input))


erf.vjp(lambda g, _y, x: g * (2 / np.pi**0.5) * exp(-x * x))


# --------------------------------------------------------------------------- choosing


@op
def where(condition, input, other):
    """``input`` where ``condition`` holds, ``other`` elsewhere."""
    a, b = promoted(input, other)
    return np.where(condition, a, b)


where.vjp(
    None,
    lambda g, _y, condition, _a, _b: where(condition, g, 0.0),
    lambda g, _y, condition, _a, _b: where(condition, 0.0, g),
)


@op
def maximum(input, other):
    """The larger of two, elementwise; a tie shares the gradient."""
    return np.maximum(*promoted(input, other))


maximum.vjp(
    lambda g, _y, a, b: g * _preference(a, b),
    lambda g, _y, a, b: g * _preference(b, a),
)


@op
def minimum(input, other):
    """The smaller of two, elementwise; a tie shares the gradient."""
    return np.minimum(*promoted(input, other))


minimum.vjp(
    lambda g, _y, a, b: g * _preference(b, a),
    lambda g, _y, a, b: g * _preference(a, b),
)


@op
def _preference(larger, smaller):
    """1 where the first is larger, 1/2 at ties, 0 elsewhere."""
    dtype = result_type(larger, smaller)
    return ((np.greater(larger, smaller) + np.greater_equal(larger, smaller)) * 0.5).astype(dtype)


@op
def clamp(input, min=None, max=None):
    """``input`` limited to [min, max]; the gradient passes where it was within the limits."""
    if min is None and max is None:
        raise ValueError("give at least one of min and max")
    return xp(input).clip(input, min, max)


@op
def _within(input, min, max):
    inside = np.ones(input.shape, input.dtype)
    if min is not None:
        inside *= input >= min
    if max is not None:
        inside *= input <= max
    return inside


clamp.vjp(lambda g, _y, x, min, max: g * _within(x, min, max))


@op(view=True)
def to(input, dtype):
    """``input`` converted to ``dtype``; it shares the memory if it has that dtype already."""
    return input.astype(dtype, copy=False)


to.vjp(lambda g, _y, _x, dtype: g)


@op
def clone(input):
    """A copy of ``input``, in memory of its own."""
    return input.copy()


clone.vjp(lambda g, _y, _x: g)


@op
def replaced(input, other):
    """``other`` in the shape and dtype of ``input``: what `Tensor.copy_` leaves there."""
    result = xp(input).empty_like(input)
    result[...] = other
    return result


replaced.vjp(None, lambda g, _y, _input, _other: g)


@op
def bitwise_and(input, other):
    """``input & other`` of integers or booleans."""
    return np.bitwise_and(*promoted(input, other))


@op
def bitwise_or(input, other):
    """``input | other`` of integers or booleans."""
    return np.bitwise_or(*promoted(input, other))


@op
def bitwise_xor(input, other):
    """``input ^ other`` of integers or booleans."""
    return np.bitwise_xor(*promoted(input, other))


@op
def bitwise_not(input):
    """``~input`` of integers or booleans."""
    return xp(input).bitwise_not(input)
