"""Dimensions, and what may stand between square brackets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from minidl.testing.strategies.arrays import Shape, boolean_arrays, integer_arrays


def axes(ndim: int) -> SearchStrategy:
    """One of ``ndim`` (at least 1) dimensions, counted from the front or the back."""
    if ndim < 1:
        raise ValueError("axes: a 0-d array has no dimension to choose")
    return st.integers(0, ndim - 1) | st.integers(-ndim, -1)


@st.composite
def dims(draw: Callable, ndim: int, none: bool = True, min_size: int = 1) -> Any:
    """What a reduction takes as ``dim``: a dimension, a tuple of several, or None for all.

    ``none=False`` leaves None out; the tuples have ``min_size`` dimensions or more. Of a 0-d
    array it is None or, without None, the empty tuple.
    """
    if ndim == 0:
        return None if none else ()
    choices = ["one", "several", "all"] if none else ["one", "several"]
    choice = draw(st.sampled_from(choices))
    if choice == "all":
        return None
    if choice == "one":
        return draw(axes(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=min_size, unique=True))
    return tuple(axis - ndim if draw(st.booleans()) else axis for axis in chosen)


@st.composite
def basic_indices(draw: Callable, shape: Shape, negative_steps: bool = False) -> Any:
    """Integers, slices, ``None`` and ``...``: what gives a view.

    Slices have negative steps, which PyTorch does not know, only if ``negative_steps``.
    """
    parts: list[Any] = []
    for side in shape[: draw(st.integers(0, len(shape)))]:
        if side and draw(st.booleans()):
            parts.append(draw(st.integers(-side, side - 1)))
        else:
            parts.append(draw(_slices(side, negative_steps)))
    if draw(st.integers(0, 3)) == 3:
        parts.insert(draw(st.integers(0, len(parts))), None)
    if len([part for part in parts if part is not None]) < len(shape) and draw(st.booleans()):
        parts.append(...)
    return parts[0] if len(parts) == 1 else tuple(parts)


@st.composite
def _slices(draw: Callable, side: int, negative_steps: bool) -> slice:
    bound = st.none() | st.integers(-side, side)
    step = st.none() | st.integers(1, 3)
    return slice(
        draw(bound), draw(bound), draw(step | st.integers(-3, -1) if negative_steps else step)
    )


@st.composite
def integer_indices(draw: Callable, shape: Shape) -> tuple:
    """Integer arrays, one for each of some leading dimensions, that broadcast together.

    ``shape`` needs a dimension at least and no side of length 0; the arrays repeat indices
    and have negative ones.
    """
    count = draw(st.integers(1, len(shape)))
    size = draw(st.integers(1, 4))
    whole = draw(st.sampled_from([(size,), (2, size)]))
    choices = st.sampled_from([whole, (1,), ()]) if count > 1 else st.just(whole)
    return tuple(draw(integer_arrays(draw(choices), -side, side - 1)) for side in shape[:count])


def boolean_indices(shape: Shape) -> SearchStrategy:
    """A mask over some leading dimensions (one at least) of ``shape``."""
    return st.integers(1, len(shape)).flatmap(lambda count: boolean_arrays(shape[:count]))


def indices(shape: Shape) -> SearchStrategy:
    """Basic, integer and boolean indices into an array of ``shape``."""
    if not shape:
        return basic_indices(shape)
    if 0 in shape:
        return basic_indices(shape) | boolean_indices(shape)
    return basic_indices(shape) | integer_indices(shape) | boolean_indices(shape)
