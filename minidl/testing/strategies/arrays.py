"""Shapes, and arrays whose values keep clear of the points where functions have no gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Shape = tuple[int, ...]


@st.composite
def shapes(
    draw: Callable, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> Shape:
    """Shapes of ``min_dims`` to ``max_dims`` dimensions.

    With ``min_side=0``, the default, about one in eight has a side of length 0; give
    ``min_side=1`` for operators that need elements.
    """
    sides = st.integers(max(min_side, 1), max_side)
    shape = draw(st.lists(sides, min_size=min_dims, max_size=max_dims))
    if shape and min_side == 0 and draw(st.integers(0, 7)) == 7:
        shape[draw(st.integers(0, len(shape) - 1))] = 0
    return tuple(shape)


@st.composite
def broadcastable_shapes(
    draw: Callable, count: int = 2, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> tuple[Shape, ...]:
    """``count`` shapes that broadcast together: leading sides left out, others of length 1."""
    whole = draw(shapes(max_dims=max_dims, min_side=min_side, max_side=max_side))
    result = []
    for _ in range(count):
        start = draw(st.integers(0, len(whole)))
        result.append(tuple(1 if draw(st.booleans()) else side for side in whole[start:]))
    return tuple(result)


@st.composite
def arrays_together(
    draw: Callable,
    shapes: Sequence[Shape],
    dtype: Any = np.float64,
    min_value: float = -3.0,
    max_value: float = 3.0,
    away_from: Sequence[float] = (0.0,),
    margin: float = 0.05,
    distinct: bool = True,
) -> list[np.ndarray]:
    """Arrays of floating-point values, one of each shape; see `arrays`.

    ``distinct`` holds among all of them, so that ``maximum(a, b)`` has no ties.
    """
    if not isinstance(shapes, Sequence):
        shapes = draw(shapes)
    # The values hang on one seed: hypothesis would take seconds to draw them one by one.
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = [math.prod(shape) for shape in shapes]
    places = _places(generator, sum(sizes), distinct)
    values = _spread(places, min_value, max_value, away_from, margin).astype(dtype)
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return [part.reshape(shape).copy() for part, shape in zip(parts, shapes)]


@st.composite
def arrays(
    draw: Callable, shape: Shape | SearchStrategy, dtype: Any = np.float64, **options: Any
) -> np.ndarray:
    """Arrays of floating-point values where numerical gradients can be trusted.

    Parameters
    ----------
    shape : tuple or strategy
        The shape, or a strategy for it.
    dtype : dtype
        float64 for gradient checks.
    min_value, max_value : float
        The range of the values, -3 to 3.
    away_from : sequence of float
        Points that values keep ``margin`` (0.05) away from, by default 0: a kink of ``abs``
        and ``relu``, a pole of division.
    distinct : bool
        Keep all values apart by at least half their mean distance, so that ``max`` and
        ``sort`` have no ties; True by default.
    """
    shape = draw(shape) if isinstance(shape, SearchStrategy) else shape
    (array,) = draw(arrays_together((shape,), dtype, **options))
    return array


def _places(generator: np.random.Generator, count: int, distinct: bool) -> np.ndarray:
    """``count`` numbers from [0, 1); if ``distinct``, at least 1 / (2 count) apart."""
    if not distinct:
        return generator.random(count)
    return (generator.permutation(count) + generator.uniform(0.25, 0.75, count)) / max(count, 1)


def _spread(
    places: np.ndarray, low: float, high: float, away_from: Sequence[float], margin: float
) -> np.ndarray:
    """Numbers from [0, 1) moved, in order, to [low, high] without the forbidden points."""
    starts, ends = [low], []
    for point in sorted(away_from):
        if low - margin < point < high + margin:
            ends.append(point - margin)
            starts.append(point + margin)
    ends.append(high)
    kept = [(start, end) for start, end in zip(starts, ends) if start < end]
    if not kept:
        raise ValueError(f"away_from={away_from} leaves nothing of {low} to {high}")
    edges = np.cumsum([0.0] + [end - start for start, end in kept])
    distance = places * edges[-1]
    piece = np.minimum(np.searchsorted(edges, distance, side="right") - 1, len(kept) - 1)
    return distance - edges[piece] + np.array([start for start, _ in kept])[piece]


@st.composite
def integer_arrays(
    draw: Callable,
    shape: Shape | SearchStrategy,
    min_value: int = -5,
    max_value: int = 5,
    dtype: Any = np.int64,
) -> np.ndarray:
    """Arrays of integers from ``min_value`` to ``max_value``, both included."""
    shape = draw(shape) if isinstance(shape, SearchStrategy) else shape
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.integers(min_value, max_value, shape, dtype=dtype, endpoint=True)


def boolean_arrays(shape: Shape | SearchStrategy) -> SearchStrategy:
    """Arrays of booleans."""
    return integer_arrays(shape, 0, 1).map(lambda array: array.astype(bool))
