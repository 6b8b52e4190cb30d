"""The gradients of a convolution whose result's gradient is mostly zeros: the loops.

Behind ReLU and the maximum of windows of 2 by 2 at least three quarters of it are zeros. So
each filter's numbers that are not zero are listed, with their positions, and only these are
worked on. Pictures are laid out with the channels innermost and with zeros around: a row of
the filter's taps then meets ``row = s * c`` neighbouring numbers, which are a few vectors.
For a filter's number g at position p and the filter's vectors at their offsets::

    dw[o, offset] += g * x[p + offset]      dx[p + offset] += g * w[o, offset]      db[o] += g

A zero that is left out adds nothing, not even where x or w is infinite or NaN.

The order of all sums is fixed by the list, and the list by where the numbers are: window of
2 by 2 after window, left out or not. So it comes out the same from the gradient of the
convolution's result as from that of the pooled one and the places of its maxima, and so do
the sums, bit for bit. Threads share parts of the batch, whose sums are added up in their
order in the end.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import prange
from numba.np.unsafe.ndarray import to_fixed_tuple

from minidl.kernels.jit import inner, jit, shared, threaded
from minidl.kernels.share import share
from minidl.kernels.tiles import (
    add_outer,
    add_tiles,
    load_at,
    load_row,
    lowest,
    nonzero,
    store_at,
    zero_tile,
)
from minidl.kernels.unchecked import clear, get, put
from minidl.kernels.vectors import BYTES, lanes

THREE, FIVE = 3, 5
"""How many of a filter's vectors are worked on at a time."""

BLOCK = 16384
"""Numbers that a thread counts at a time."""


class Layout(NamedTuple):
    """How pictures are laid out, channels innermost: ``pictures`` in a group, and how taps lie."""

    pictures: int
    height: int
    width: int
    top: int
    left: int
    stride_h: int
    stride_w: int
    dilation_h: int
    row: int
    """Numbers that a row of taps meets: its length times the channels."""
    slots: int
    """Vectors of a filter, see `slots`."""


def slots(rows: int, row: int, itemsize: int) -> int:
    """How many vectors a filter of ``rows`` takes, and one or two more to make threes and fives."""
    count = rows * -(-row * itemsize // BYTES)
    return {1: 3, 2: 3, 4: 5, 7: 8}.get(count, count)


@functools.lru_cache(maxsize=1024)
def slot_offsets(rows: int, channels: int, lanes: int, layout: Layout) -> np.ndarray:
    """Where each vector of a filter lies from its first tap on; those too many come last."""
    per_row = -(-layout.row // lanes)
    slots = np.arange(layout.slots)
    row = np.minimum(slots // per_row, rows - 1)
    line = layout.dilation_h * layout.width * channels
    return row * line + (slots - row * per_row) * lanes


@inner
def _size(channels, like, layout):
    """Numbers of a group of pictures, and what vectors reach over its end."""
    area = layout.height * layout.width * channels
    return layout.pictures * area + layout.row + 3 * lanes(like)


# --------------------------------------------------------------------------- layouts


@inner
def _inside(size, laid, before):
    """The first line of a picture, or column, that is laid out, and the one where to stop."""
    return max(0, -before), min(size, laid - before)


@inner
def _channels_last(x, first, count, flat, layout):
    """Lay out ``count`` pictures of x; the zeros around are there."""
    channels, height, width = x.shape[1:]
    top, bottom = _inside(height, layout.height, layout.top)
    left, right = _inside(width, layout.width, layout.left)
    numbers = x.reshape(x.size)
    for n in range(count):
        for c in range(channels):
            for i in range(top, bottom):
                line = (((first + n) * channels + c) * height + i) * width
                to = (n * layout.height + i + layout.top) * layout.width + layout.left
                for j in range(left, right):
                    put(flat, (to + j) * channels + c, get(numbers, line + j))


@inner
def _channels_first(flat, dx, first, count, layout):
    """The pictures of dx back out of their layout, zero where that does not reach."""
    channels, height, width = dx.shape[1:]
    top, bottom = _inside(height, layout.height, layout.top)
    left, right = _inside(width, layout.width, layout.left)
    numbers = dx.reshape(dx.size)
    if bottom - top < height or right - left < width:
        size = channels * height * width
        clear(numbers, first * size, count * size)
    for n in range(count):
        for c in range(channels):
            for i in range(top, bottom):
                line = (((first + n) * channels + c) * height + i) * width
                at = (n * layout.height + i + layout.top) * layout.width + layout.left
                for j in range(left, right):
                    put(numbers, line + j, get(flat, (at + j) * channels + c))


@jit
def pack(sparse, w, packed, layout):
    """Fill ``packed`` with the filters' vectors, zero behind each row of taps, if ``sparse[0]``."""
    if not sparse[0]:
        return
    filters, channels, rows, columns = w.shape
    step = lanes(w)
    row = (layout.row + step - 1) // step * step
    clear(packed, 0, packed.size)
    for o in range(filters):
        for r in range(rows):
            to = o * layout.slots * step + r * row
            for s in range(columns):
                for c in range(channels):
                    put(packed, to + s * channels + c, w[o, c, r, s])


# --------------------------------------------------------------------------- lists


@inner
def _bits(g, at, count):
    """One bit for each of ``count`` numbers, at most two vectors, that is not zero."""
    if at + 2 * lanes(g) <= g.size:
        bits = nonzero(load_row(g, at, 2))
        return bits & ((np.uint64(1) << np.uint64(count)) - np.uint64(1))
    bits = np.uint64(0)
    for i in range(count):
        if get(g, at + i) != 0:
            bits |= np.uint64(1) << np.uint64(i)
    return bits


@inner
def _apart(bits):
    """The lower 32 bits two by two, with two zeros behind each two."""
    bits = (bits | (bits << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    bits = (bits | (bits << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    bits = (bits | (bits << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits | (bits << np.uint64(2))) & np.uint64(0x3333333333333333)


@inner
def _list_all(g, first, count, o, places, values, channels, layout):
    """List filter o's numbers in ``count`` pictures of g that are not zero; how many they are."""
    listed = 0
    height, width = g.shape[2:]
    numbers = g.reshape(g.size)
    down, right = layout.stride_h * layout.width * channels, layout.stride_w * channels
    for n in range(count):
        plane = ((first + n) * g.shape[1] + o) * height * width
        for i in range(0, height, 2):
            line = n * layout.height * layout.width * channels + i * down
            upper = plane + i * width
            for j in range(0, width, 2 * lanes(g)):
                many = min(width - j, 2 * lanes(g))
                found = _apart(_bits(numbers, upper + j, many))
                if i + 1 < height:
                    lower = _bits(numbers, upper + width + j, many)
                    found |= _apart(lower) << np.uint64(2)
                while found:  # four bits for each window
                    k = lowest(found)
                    found &= found - np.uint64(1)
                    row, column = (k >> 1) & 1, j + 2 * (k >> 2) + (k & 1)
                    put(places, listed, line + row * down + column * right)
                    put(values, listed, get(numbers, upper + row * width + column))
                    listed += 1
    return listed


@inner
def _list_maxima(g, code, first, count, o, places, values, channels, layout):
    """As `_list_all`, where g is the gradient of the maxima at the places ``code``."""
    listed = 0
    zero = g.dtype.type(0)
    numbers, codes = g.reshape(g.size), code.reshape(code.size)
    down, right = layout.stride_h * layout.width * channels, layout.stride_w * channels
    inside = np.zeros(5, np.int64)  # where in a window each place is
    inside[1], inside[2], inside[3] = right, down, down + right
    for n in range(count):
        at = ((first + n) * g.shape[1] + o) * g.shape[2] * g.shape[3]
        for i in range(g.shape[2]):
            line = n * layout.height * layout.width * channels + 2 * i * down
            for j in range(g.shape[3]):
                value, place = get(numbers, at + j), np.int64(get(codes, at + j))
                put(places, listed, line + 2 * j * right + get(inside, place))
                put(values, listed, value)
                listed += (value != zero) & (place < 4)
            at += g.shape[3]
    return listed


# --------------------------------------------------------------------------- sums


@inner
def _add_to_filter(tile, places, values, count, x, offsets, sums, to, apart):
    """Add to ``sums`` all numbers times x, for as many vectors as there are offsets."""
    for e in range(count):
        tile = add_outer(tile, values, e, 1, load_at(x, places[e], offsets))
    store_at(sums, to, apart, add_tiles(tile, load_at(sums, to, apart)))


@inner
def _add_to_pictures(places, values, count, w, at, apart, dx, offsets):
    """Add to dx all numbers times as many vectors of the filter as there are offsets.

    Neighbours in the list overlap in dx. To wait less for what was just written, four quarters
    of the list take turns.
    """
    filters = load_at(w, at, apart)
    quarter = count // 4
    for e in range(quarter):
        for k in range(e, 4 * quarter, quarter):
            tile = load_at(dx, places[k], offsets)
            store_at(dx, places[k], offsets, add_outer(tile, values, k, 1, filters))
    for k in range(4 * quarter, count):
        tile = load_at(dx, places[k], offsets)
        store_at(dx, places[k], offsets, add_outer(tile, values, k, 1, filters))


@inner
def _add_tap_by_tap(places, values, count, w, o, dx, layout):
    """As `_add_to_pictures` for the whole filter o, where numbers are infinite or NaN.

    Vectors are longer than rows, and such a number times the zeros there would be NaN.
    """
    channels, rows, columns = w.shape[1:]
    for e in range(count):
        for r in range(rows):
            line = places[e] + r * layout.dilation_h * layout.width * channels
            for s in range(columns):
                for c in range(channels):
                    place = line + s * channels + c
                    put(dx, place, get(dx, place) + values[e] * w[o, c, r, s])


@inner
def _sum(values, count):
    """The sum of the numbers, and whether all are finite."""
    total, finite = values.dtype.type(0), True
    for e in range(count):
        total += values[e]
        finite &= abs(values[e]) < np.inf
    return total, finite


@inner
def _add_filter(places, values, count, x, sums, to, w, dx, o, needs, offsets, layout):
    """Add what filter o's numbers give to dx, and to the filter's gradient from ``to`` on."""
    step = lanes(values)
    three, five = (0, step, 2 * step), (0, step, 2 * step, 3 * step, 4 * step)
    slot = 0
    while slot < layout.slots:
        at = (o * layout.slots + slot) * step
        if (layout.slots - slot) % FIVE == 0:
            there = to_fixed_tuple(offsets[slot : slot + FIVE], FIVE)
            if needs[0]:
                _add_to_pictures(places, values, count, w, at, five, dx, there)
            if needs[1]:
                tile = zero_tile(x, FIVE)
                _add_to_filter(tile, places, values, count, x, there, sums, to + at, five)
            slot += FIVE
        else:
            there = to_fixed_tuple(offsets[slot : slot + THREE], THREE)
            if needs[0]:
                _add_to_pictures(places, values, count, w, at, three, dx, there)
            if needs[1]:
                tile = zero_tile(x, THREE)
                _add_to_filter(tile, places, values, count, x, there, sums, to + at, three)
            slot += THREE


# --------------------------------------------------------------------------- kernels


@threaded
def is_sparse(g, found):
    """Put into ``found[0]`` whether at most a quarter of g is not zero."""
    listed = 0
    for block in prange((g.size + BLOCK - 1) // BLOCK):
        part = g[block * BLOCK : (block + 1) * BLOCK]
        for i in range(len(part)):
            listed += part[i] != 0
    found[0] = 4 * listed <= g.size


@inner
def _gradients_of_part(part, g, code, x, w, packed, offsets, dx, sums, bias_sums, needs, layout):
    """The share of one part in `gradients`."""
    parts = len(sums)
    pictures, filters, channels = len(g), w.shape[0], w.shape[1]
    groups = (pictures + layout.pictures - 1) // layout.pictures
    most = layout.pictures * g.shape[2] * g.shape[3] + 1
    size = _size(channels, g, layout)
    weights = sums.size // parts
    totals = sums.reshape(sums.size)
    clear(totals, part * weights, weights)
    for o in range(bias_sums.shape[1]):
        bias_sums[part, o] = 0
    places, values = np.empty(most, np.int64), np.empty(most, g.dtype)
    flat_x, flat_dx = np.empty(size, g.dtype), np.empty(size, g.dtype)
    clear(flat_x, 0, size)
    for group in range(part * groups // parts, (part + 1) * groups // parts):
        first = group * layout.pictures
        count = min(layout.pictures, pictures - first)
        if needs[0]:
            clear(flat_dx, 0, size)
        if needs[1]:
            _channels_last(x, first, count, flat_x, layout)
        for o in range(filters):
            if code.size:
                listed = _list_maxima(g, code, first, count, o, places, values, channels, layout)
            else:
                listed = _list_all(g, first, count, o, places, values, channels, layout)
            total, finite = _sum(values, listed)
            if needs[2]:
                bias_sums[part, o] += total
            if needs[0] and not finite:
                _add_tap_by_tap(places, values, listed, w, o, flat_dx, layout)
            _add_filter(
                places, values, listed, flat_x, totals, part * weights, packed, flat_dx, o,
                (needs[0] and finite, needs[1]), offsets, layout,
            )  # fmt: skip
        if needs[0]:
            _channels_first(flat_dx, dx, first, count, layout)


@shared
def gradients(team, sparse, g, code, x, w, packed, offsets, dx, sums, bias_sums, needs, layout):
    """Fill dx, and ``sums`` (part, filter * vector) and ``bias_sums`` (part, filter).

    Not unless ``sparse[0]``, and those that ``needs`` asks for. ``code`` is empty unless g is
    the gradient of maxima. ``packed`` is w from `pack`, ``offsets`` are the `slot_offsets`. Of x,
    w, packed, dx and the sums those that are not needed are of any size.
    """
    if not sparse[0]:
        return
    args = g, code, x, w, packed, offsets, dx, sums, bias_sums, needs, layout
    share(team, len(sums), _gradients_of_part, args)


@inner
def _add_rows(sums):
    """Add all rows of ``sums`` to the first."""
    total = sums[0]
    for part in range(1, len(sums)):
        row = sums[part]
        for i in range(len(total)):
            total[i] += row[i]


@jit
def add_parts(sparse, sums, bias_sums, dw, db, needs, layout):
    """Add up all parts of ``sums`` to dw and of ``bias_sums`` to db, if ``sparse[0]``."""
    if not sparse[0]:
        return
    if needs[2]:
        _add_rows(bias_sums)
        for o in range(len(db)):
            db[o] = bias_sums[0, o]
    if needs[1]:
        _add_rows(sums)
        step = lanes(sums)
        row = (layout.row + step - 1) // step * step
        filters, channels, rows, columns = dw.shape
        flat, total = dw.reshape(dw.size), sums[0]
        for o in range(filters):
            for r in range(rows):
                at = o * layout.slots * step + r * row
                for c in range(channels):
                    to = ((o * channels + c) * rows + r) * columns
                    for s in range(columns):
                        put(flat, to + s, get(total, at + s * channels + c))
