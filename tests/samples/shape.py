"""Samples of operators that move elements."""

import math

from hypothesis import strategies as st

import minidl
from minidl.ops import shape as ops
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, arrays_together, axes, dims, shapes


def _with_dim(draw, **sides):
    """An array of one dimension or more, and one of these."""
    shape = draw(shapes(min_dims=1, **sides))
    return draw(arrays(shape)), draw(axes(len(shape)))


# --------------------------------------------------------------------------- shape alone


@samples(minidl.reshape)
def _(draw):
    old = draw(shapes(min_side=1))
    new = draw(st.permutations([*old, 1]))
    if draw(st.booleans()):
        new[draw(st.integers(0, len(new) - 1))] = -1
    if draw(st.booleans()):
        new = [math.prod(old)]
    return Sample(draw(arrays(old)), tuple(new))


@samples(ops.view, torch="Tensor.view")
def _(draw):
    """A view that every memory layout allows."""
    shape = list(draw(shapes(min_side=1)))
    new = list(shape)
    new.insert(draw(st.integers(0, len(new))), 1)
    return Sample(draw(arrays(tuple(shape))), tuple(new))


@samples(minidl.flatten)
def _(draw):
    shape = draw(shapes())
    first = draw(st.integers(0, max(len(shape) - 1, 0)))
    last = draw(st.integers(first, max(len(shape) - 1, 0)))
    return Sample(draw(arrays(shape)), first, draw(st.sampled_from([last, -1])))


@samples(minidl.squeeze)
def _(draw):
    shape = draw(shapes(max_side=2))
    dim = draw(dims(len(shape)))
    return Sample(draw(arrays(shape)), *([] if dim is None else [dim]))


@samples(minidl.unsqueeze)
def _(draw):
    shape = draw(shapes())
    return Sample(draw(arrays(shape)), draw(axes(len(shape) + 1)))


# --------------------------------------------------------------------------- order


@samples(minidl.permute)
def _(draw):
    shape = draw(shapes())
    order = [draw(st.sampled_from([i, i - len(shape)])) for i in range(len(shape))]
    return Sample(draw(arrays(shape)), tuple(draw(st.permutations(order))))


@samples(minidl.transpose)
def _(draw):
    array, dim = _with_dim(draw)
    return Sample(array, dim, draw(axes(array.ndim)))


@samples(minidl.t)
def _(draw):
    return Sample(draw(arrays(shapes(max_dims=2))))


@samples(minidl.flip)
def _(draw):
    shape = draw(shapes())
    dim = draw(dims(len(shape), none=False))
    return Sample(draw(arrays(shape)), (dim,) if isinstance(dim, int) else dim)


@samples(minidl.roll)
def _(draw):
    array, dim = _with_dim(draw)
    shift = draw(st.integers(-5, 5))
    return Sample(array, *draw(st.sampled_from([(shift,), (shift, dim), ((shift, 1), (dim, 0))])))


# --------------------------------------------------------------------------- repetition


@samples(ops.expand, torch="Tensor.expand")
def _(draw):
    shape = draw(shapes(max_side=2))
    lead = draw(st.lists(st.integers(0, 3), max_size=2))
    size = [draw(st.sampled_from([-1, 3 if side == 1 else side])) for side in shape]
    return Sample(draw(arrays(shape)), (*lead, *size))


@samples(ops.repeat, torch="Tensor.repeat")
def _(draw):
    shape = draw(shapes())
    lead = draw(st.integers(0, 1))
    count = len(shape) + lead
    repeats = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return Sample(draw(arrays(shape)), tuple(repeats))


# --------------------------------------------------------------------------- joining, splitting


@samples(minidl.cat)
def _(draw):
    """One of them may be the empty vector, which fits everything."""
    shape, count = draw(shapes(min_dims=1)), draw(st.integers(1, 3))
    dim = draw(axes(len(shape)))
    pieces = []
    for _ in range(count):
        sides = list(shape)
        sides[dim] = draw(st.integers(0, 3))
        pieces.append(tuple(sides))
    if draw(st.booleans()):
        pieces.insert(0, (0,))
    return Sample(draw(arrays_together(pieces)), dim)


@samples(minidl.stack)
def _(draw):
    shape, count = draw(shapes()), draw(st.integers(1, 3))
    return Sample(draw(arrays_together([shape] * count)), draw(axes(len(shape) + 1)))


@samples(minidl.narrow)
def _(draw):
    array, dim = _with_dim(draw)
    size = array.shape[dim]
    start = draw(st.integers(0, size))
    length = draw(st.integers(0, size - start))
    return Sample(
        array, dim, start - size if start < size and draw(st.booleans()) else start, length
    )


@samples(minidl.split)
def _(draw):
    array, dim = _with_dim(draw)
    size = array.shape[dim]
    first = draw(st.integers(0, size))
    pieces = draw(st.sampled_from([1, 2, 5, [first, size - first], [size]]))
    return Sample(array, pieces, dim)


@samples(minidl.chunk)
def _(draw):
    array, dim = _with_dim(draw)
    return Sample(array, draw(st.integers(1, 5)), dim)


@samples(minidl.unbind)
def _(draw):
    return Sample(*_with_dim(draw, min_side=1))


# --------------------------------------------------------------------------- padding


@samples(minidl.pad)
def _(draw):
    """With a constant; negative widths cut off."""
    shape = draw(shapes(min_dims=1, min_side=2))
    count = draw(st.integers(1, len(shape)))
    widths = draw(st.lists(st.integers(-1, 2), min_size=2 * count, max_size=2 * count))
    value = draw(st.sampled_from([None, 1.5]))
    return Sample(draw(arrays(shape)), widths, **({} if value is None else {"value": value}))


@samples(minidl.pad)
def _(draw):
    """Over the last one or two of three or four dimensions, as PyTorch has it."""
    count = draw(st.integers(1, 2))
    shape = draw(shapes(min_dims=count + 1, max_dims=count + 2, min_side=3))
    mode = draw(st.sampled_from(["reflect", "replicate", "circular"]))
    widths = draw(st.lists(st.integers(-1, 2), min_size=2 * count, max_size=2 * count))
    return Sample(draw(arrays(shape)), tuple(widths), mode)
