"""New tensors of random numbers, from ``generator`` or the default one (`minidl.random`)."""

from __future__ import annotations

from typing import Any

from minidl import random
from minidl.autograd import run, wrap
from minidl.backend import device_or_default, get_default_dtype, int64
from minidl.ops.creation import leaf, require_grad
from minidl.ops.elementwise import to
from minidl.ops.shape import shape_of


def rand(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor of shape ``size`` of numbers uniform in [0, 1)."""
    generator = generator or random.current_generator()
    dtype, place = dtype or get_default_dtype(), device_or_default(device)
    numbers = run("rand", generator.uniform, shape_of(size), dtype=dtype, device=place)
    return leaf(numbers, requires_grad)


def randn(
    *size: Any,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor of shape ``size`` of numbers of the standard normal distribution."""
    generator = generator or random.current_generator()
    dtype, place = dtype or get_default_dtype(), device_or_default(device)
    numbers = run("randn", generator.normal, shape_of(size), dtype=dtype, device=place)
    return leaf(numbers, requires_grad)


def randint(
    *bounds_and_size: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: random.Generator | None = None,
    dtype: Any = int64,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``randint(high, size)`` or ``randint(low, high, size)``: integers in [low, high)."""
    low, high, size = _bounds(bounds_and_size, low, high, size)
    generator, place = generator or random.current_generator(), device_or_default(device)
    numbers = wrap(run("randint", generator.integers, low, high, shape_of((size,)), place))
    return require_grad(to(numbers, dtype), requires_grad)


def _bounds(given: tuple, low: int, high: int | None, size: Any) -> tuple[int, int, Any]:
    """What ``randint`` was asked for, by position or by name."""
    given = list(given)
    if size is None:
        size = given.pop() if given else None
    if high is None:
        high = given.pop() if given else None
    if given:
        low = given.pop()
    if given or size is None or high is None:
        raise TypeError("randint wants (high, size) or (low, high, size)")
    return low, high, size


def randperm(
    n: int,
    *,
    generator: random.Generator | None = None,
    dtype: Any = int64,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The integers 0 to ``n - 1`` in random order."""
    generator, place = generator or random.current_generator(), device_or_default(device)
    numbers = wrap(run("randperm", generator.permutation, n, place))
    return require_grad(to(numbers, dtype), requires_grad)


def rand_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Numbers uniform in [0, 1), in ``input``'s shape, dtype and device."""
    return rand(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )


def randn_like(
    input: Any,
    *,
    generator: random.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Numbers of the standard normal distribution, in ``input``'s shape, dtype and device."""
    return randn(
        input.shape,
        generator=generator,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )
