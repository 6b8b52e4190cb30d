"""Comparisons, logic, and choosing between elements by them; all broadcast.

Operands follow PyTorch's promotion rules: see `minidl.backend.result_type`.
"""

from __future__ import annotations

from typing import Any

from minidl.autograd import op, quiet
from minidl.backend import bool_, result_type, xp
from minidl.ops.operands import cast, promoted


@op
def eq(input, other):
    """``input == other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).equal(a, b)


@op
def ne(input, other):
    """``input != other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).not_equal(a, b)


@op
def lt(input, other):
    """``input < other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).less(a, b)


@op
def le(input, other):
    """``input <= other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).less_equal(a, b)


@op
def gt(input, other):
    """``input > other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).greater(a, b)


@op
def ge(input, other):
    """``input >= other``, elementwise."""
    a, b = promoted(input, other)
    return xp(a, b).greater_equal(a, b)


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


# --------------------------------------------------------------------------- logic


@op
def logical_and(input, other):
    """Whether both are true (not zero), elementwise."""
    return xp(input, other).logical_and(input, other)


@op
def logical_or(input, other):
    """Whether one is true (not zero), elementwise."""
    return xp(input, other).logical_or(input, other)


@op
def logical_not(input):
    """Whether the element is zero."""
    return xp(input).logical_not(input)


@op
def bitwise_and(input, other):
    """``input & other`` of integers or booleans."""
    a, b = promoted(input, other)
    return xp(a, b).bitwise_and(a, b)


@op
def bitwise_or(input, other):
    """``input | other`` of integers or booleans."""
    a, b = promoted(input, other)
    return xp(a, b).bitwise_or(a, b)


@op
def bitwise_xor(input, other):
    """``input ^ other`` of integers or booleans."""
    a, b = promoted(input, other)
    return xp(a, b).bitwise_xor(a, b)


@op
def bitwise_not(input):
    """``~input`` of integers or booleans."""
    return xp(input).bitwise_not(input)


# --------------------------------------------------------------------------- choosing


@op
def where(condition, input, other):
    """``input`` where the boolean ``condition`` holds, ``other`` elsewhere."""
    if getattr(condition, "dtype", bool_) != bool_:
        raise TypeError(f"the condition must be boolean, got {condition.dtype}")
    a, b = promoted(input, other)
    return xp(condition, a, b).where(condition, a, b)


where.vjp(
    None,
    lambda g, _y, condition, _a, _b: where(condition, g, 0.0),
    lambda g, _y, condition, _a, _b: where(condition, 0.0, g),
)


@op
def maximum(input, other):
    """The larger of two, elementwise; NaN if one is; a tie shares the gradient."""
    a, b = promoted(input, other)
    return xp(a, b).maximum(a, b)


@op
def minimum(input, other):
    """The smaller of two, elementwise; NaN if one is; a tie shares the gradient."""
    a, b = promoted(input, other)
    return xp(a, b).minimum(a, b)


def _share(g: Any, tie: Any, lost: Any) -> Any:
    return where(lost, 0.0, where(tie, g * 0.5, g))


maximum.vjp(
    lambda g, _y, a, b: _share(g, a == b, a < b),
    lambda g, _y, a, b: _share(g, a == b, b < a),
)
minimum.vjp(
    lambda g, _y, a, b: _share(g, a == b, a > b),
    lambda g, _y, a, b: _share(g, a == b, b > a),
)


@op
@quiet
def clamp(input, min=None, max=None):
    """``input`` limited to [min, max]: numbers or tensors, or None for no limit.

    Where ``min`` exceeds ``max``, the result is ``max``. The gradient goes to the input
    where it was within the limits, both included, and to the limit elsewhere.
    """
    limits = [limit for limit in (min, max) if limit is not None]
    if not limits:
        raise ValueError("give at least one of min and max")
    dtype = result_type(input, *limits)
    result = cast(input, dtype)
    if min is not None:
        result = xp(result, min).maximum(result, cast(min, dtype))
    if max is not None:
        result = xp(result, max).minimum(result, cast(max, dtype))
    return result


def _reaches(x: Any, limit: Any, passes: Any) -> Any:
    return True if limit is None else passes(x, limit)


def _clamp_rule(g, _y, x, min, max):
    inside = logical_and(_reaches(x, min, ge), _reaches(x, max, le))
    return where(inside, g, 0.0)


def _clamp_min_rule(g, _y, x, min, max):
    return where(logical_and(lt(x, min), _reaches(min, max, lt)), g, 0.0)


def _clamp_max_rule(g, _y, x, min, max):
    beyond = gt(x, max) if min is None else logical_or(gt(x, max), gt(min, max))
    return where(beyond, g, 0.0)


clamp.vjp(_clamp_rule, _clamp_min_rule, _clamp_max_rule)
