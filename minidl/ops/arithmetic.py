"""Arithmetic of two operands, tensors or numbers, which broadcast.

They follow PyTorch's promotion rules: see `minidl.backend.result_type`.
"""

from __future__ import annotations

from typing import Any

from minidl.autograd import op, quiet
from minidl.backend import bool_, get_default_dtype, xp
from minidl.ops.comparison import isnan, where
from minidl.ops.elementwise import floor
from minidl.ops.operands import common_dtype, promoted, scalars


@op
@quiet
def _add(input, other):
    a, b = scalars(*promoted(input, other))
    return a + b


_add.vjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g, arithmetic=True)


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``input + alpha * other``."""
    return _add(input, other if alpha == 1 else mul(other, alpha))


@op
@quiet
def _sub(input, other):
    a, b = promoted(input, other)
    return xp(a, b).subtract(a, b)


_sub.vjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g, arithmetic=True)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """``input - alpha * other``."""
    return _sub(input, other if alpha == 1 else mul(other, alpha))


@op
@quiet
def mul(input, other):
    """``input * other``."""
    a, b = scalars(*promoted(input, other))
    return a * b


mul.vjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a, arithmetic=True)


@op
def neg(input):
    """``-input``."""
    return xp(input).negative(input)


neg.vjp(lambda g, _y, _x: -g, arithmetic=True)


# --------------------------------------------------------------------------- division


@op
@quiet
def _div(input, other):
    a, b = promoted(input, other)
    dtype = common_dtype(a, b)
    return xp(a, b).divide(a, b, dtype=dtype if dtype.kind == "f" else get_default_dtype())


_div.vjp(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b, arithmetic=True)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``, of integers in the default floating-point dtype.

    ``rounding_mode="floor"`` is `floor_divide`, ``"trunc"`` rounds towards 0; both keep the
    dtype of the operands and have no gradient.
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        return _truncated(input, other)
    raise ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', got {rounding_mode!r}")


def _whole(input: Any, other: Any) -> tuple[Any, Any]:
    """Operands of a division with a whole quotient."""
    a, b = promoted(input, other)
    kind = common_dtype(a, b).kind
    if kind == "b":
        raise TypeError("wants numbers, got booleans")
    if kind != "f" and (b == 0).any():
        raise ValueError("an integer cannot be divided by 0")
    return a, b


def _zero(g: Any, _y: Any, _a: Any, _b: Any) -> Any:
    return g.new_zeros(g.shape)


@op
@quiet
def floor_divide(input, other):
    """``input / other`` rounded down; its gradient is 0."""
    a, b = _whole(input, other)
    return xp(a, b).floor_divide(a, b)


@op
@quiet
def _truncated(input, other):
    a, b = _whole(input, other)
    if common_dtype(a, b).kind == "f":
        return xp(a, b).trunc(xp(a, b).divide(a, b))
    quotient = xp(a, b).floor_divide(a, b)
    upwards = (quotient < 0) & (quotient * b != a)
    return (quotient + upwards).astype(quotient.dtype)


floor_divide.vjp(_zero, _zero)
_truncated.vjp(_zero, _zero)


@op
@quiet
def remainder(input, other):
    """``input % other`` with the sign of ``other``, as Python has it."""
    a, b = _whole(input, other)
    return xp(a, b).remainder(a, b)


remainder.vjp(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * floor(a / b))


# --------------------------------------------------------------------------- powers


@op
@quiet
def pow(input, exponent):
    """``input ** exponent``; at exponent 0 the gradient in ``input`` is 0 everywhere."""
    a, b = promoted(input, exponent)
    if common_dtype(a, b) == bool_:
        raise TypeError("wants numbers, got booleans")
    if isinstance(exponent, int | float) and exponent == 2:
        return xp(a).multiply(a, a)  # power() is many times slower, and rounds once more
    return xp(a, b).power(a, b)


def _pow_base_rule(g, _y, x, exponent):
    if isinstance(exponent, int | float):
        return g.new_zeros(g.shape) if exponent == 0 else g * (exponent * x ** (exponent - 1))
    # 0 * x ** -1 would be NaN at 0 (or NaN), in this gradient or in the next
    constant = (exponent == 0) & ((x == 0) | isnan(x))
    return g * (exponent * x ** (where(constant, 1.0, exponent) - 1))


def _pow_exponent_rule(g, y, x, exponent):
    x = y.new_tensor(x) if isinstance(x, int | float) else x
    zero = (x == 0) & (exponent >= 0)  # where y log x tends to 0
    return where(zero, 0.0, g * y * where(zero, 1.0, x).log())


pow.vjp(_pow_base_rule, _pow_exponent_rule)
