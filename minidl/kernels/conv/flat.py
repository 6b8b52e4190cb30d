"""Convolution as a flat correlation: the loops.

Write each channel of a zero-padded picture as one long row of numbers, pixel after pixel,
``pitch`` of them to a line. Then a filter tap is a fixed offset into that row,

    y[o, p] = sum over k of w[o, k] * x[p + offset[k]],     k = (channel, row, column of the tap)

for *every* output position p at once: no line ends. To waste little, neighbouring lines share
their padding, and so do neighbouring pictures.

- Dilation changes the offsets and nothing else.
- With a stride, pixels that are a stride apart are laid side by side, in one plane for each
  remainder (row % stride, column % stride): there the correlation has stride 1.
- The filter's gradient is a dot product over the same positions,
  ``dw[o, k] = sum over p of g[o, p] * x[p + offset[k]]``, with g zero between the lines.

Two register tiles take turns. In most layers a tile is a few channels by a few vectors of
neighbouring positions, and those between the lines of the output are computed, too, and
thrown away. Where the channels fill whole vectors, it is a vector of channels by a run of
positions of one line, and nothing is thrown away. Either way each number of the result is
0, plus one product after the other in the order of k, plus the bias: the same bits.

Several pictures are laid behind each other in a chunk of about a thousand positions: long
enough to forget the ends of the loops, short enough for the second-level cache. Chunks are
what threads share, and their size depends on the shapes only.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import prange
from numba.np.unsafe.ndarray import to_fixed_tuple

from minidl.kernels.conv.reference import NO_GRADIENT
from minidl.kernels.jit import inner, jit, shared, threaded
from minidl.kernels.share import share
from minidl.kernels.tiles import (
    add_outer,
    add_products,
    add_tiles,
    add_totals,
    load_at,
    load_row,
    pairs,
    rectified,
    store_largest,
    store_tile,
    zero_tile,
)
from minidl.kernels.unchecked import clear, copy, get, put
from minidl.kernels.vectors import BYTES, lanes, splat, transpose

# A tile of the forward pass is 6, 4 or 2 channels by VECTORS vectors of positions, one by ALONE
# vectors where a group has no other, or a vector of channels by 8, 10 or 14 positions: at most what
# 16 registers have room for.
VECTORS = 2
ALONE = 4 * VECTORS
SIX, FOUR, TWO = 6 * VECTORS, 4 * VECTORS, 2 * VECTORS
LONGEST = 14

# A tile of the filter's gradient is BLOCK channels by TAPS taps: machines with vectors of 64
# bytes have 32 registers.
BLOCK = 4
TAPS = 5 if BYTES == 64 else 3
DOTS = BLOCK * TAPS

# What comes after the sums.
PLAIN, RELU, POOL = range(3)


class Grid(NamedTuple):
    """How pictures are laid out: ``pictures`` in a chunk, each ``rows`` lines of ``pitch``."""

    pictures: int
    rows: int
    pitch: int
    top: int
    left: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int


@functools.lru_cache(maxsize=1024)
def tap_offsets(channels: int, height: int, width: int, grid: Grid) -> np.ndarray:
    """The offset of each tap from the position of its output, padded to a multiple of TAPS."""
    c, r, s = np.indices((channels, height, width)).reshape(3, -1)
    row, phase_h = divmod(r * grid.dilation_h, grid.stride_h)
    column, phase_w = divmod(s * grid.dilation_w, grid.stride_w)
    phase = (c * grid.stride_h + phase_h) * grid.stride_w + phase_w
    plane = grid.pictures * grid.rows * grid.pitch
    offsets = phase * plane + row * grid.pitch + column
    return np.pad(offsets, (0, -len(offsets) % TAPS))


@inner
def _spread(x, first, count, height, width, grid):
    """``count`` pictures of x, padded, one plane per channel and remainder of the stride."""
    channels = x.shape[1]
    area = grid.rows * grid.pitch
    plane = grid.pictures * area
    phases = grid.stride_h * grid.stride_w
    # the last positions' taps, and the last tile's, reach over the end
    reach = (height * grid.dilation_h + 1) * grid.pitch + width * grid.dilation_w
    tile = max(ALONE * lanes(x), LONGEST)
    flat = np.zeros(channels * phases * plane + reach + tile, x.dtype)
    source = x.reshape(x.size)
    rows, width = x.shape[2:]
    if (
        grid.stride_h == grid.stride_w == 1 and grid.pitch == width
    ):  # a picture's lines lie as they shall
        rows, width = 1, rows * width
    for c in range(channels):
        for n in range(count):
            for i in range(rows):
                line = (((first + n) * channels + c) * rows + i) * width
                row, phase_h = divmod(i + grid.top, grid.stride_h)
                phase = (c * grid.stride_h + phase_h) * grid.stride_w
                to = phase * plane + n * area + row * grid.pitch
                if grid.stride_w == 1:
                    copy(flat, to + grid.left, source, line, width)
                    continue
                for phase_w in range(grid.stride_w):
                    start = (phase_w - grid.left) % grid.stride_w
                    at = to + phase_w * plane + (start + grid.left) // grid.stride_w
                    for j in range((width - start + grid.stride_w - 1) // grid.stride_w):
                        put(flat, at + j, get(source, line + start + j * grid.stride_w))
    return flat


# --------------------------------------------------------------------------- tiles


def planes_of(filters):
    """How many planes the filters of a group take: tiles are of even numbers, or of one."""
    return filters + filters % 2 if filters > 1 else 1


_planes_of = inner(planes_of)


@inner
def _block(left):
    """How many of the ``left`` planes the next tile takes: 6, 4 or 2."""
    return 6 if left >= 6 and left % 6 != 2 else min(4, left)


@jit
def pack(w, groups, packed, skip):
    """Fill ``packed`` with the filters as (tile, tap, filter of the tile); not if ``skip[0]``.

    An odd last filter of a group has a zero beside it, unless it is the only one.
    """
    if skip[0]:
        return
    per_group = w.shape[0] // groups
    planes = _planes_of(per_group)
    taps = w.size // w.shape[0]
    step = lanes(w)
    filters = w.reshape(w.size)
    for group in range(groups):
        f = 0
        while f < planes:
            block = step if per_group % step == 0 else min(_block(planes - f), planes)
            at = (group * planes + f) * taps
            for lane in range(block):
                row = (group * per_group + f + lane) * taps
                for k in range(taps):
                    number = get(filters, row + k) if f + lane < per_group else w.dtype.type(0)
                    put(packed, at + k * block + lane, number)
            f += block


@inner
def _tile_of_positions(sums, x, start, offsets, taps, w, at, y, to, plane):
    """The results of len(sums) / VECTORS channels at VECTORS vectors of positions."""
    block = len(sums) // VECTORS
    for k in range(taps):
        row = load_row(x, start + offsets[k], VECTORS)
        sums = add_outer(sums, w, at + block * k, 1, row)
    store_tile(y, to, plane, VECTORS, sums)


@inner
def _tile_of_channels(sums, x, start, offsets, taps, w, at, y, to):
    """The results of a vector of channels at len(sums) positions."""
    step = lanes(x)
    for k in range(taps):
        sums = add_outer(sums, x, start + offsets[k], 1, load_row(w, at + step * k, 1))
    store_tile(y, to, step, 1, sums)


@inner
def _fill_planes(x, group_size, w, taps, offsets, y, plane, planes, groups, start, stop):
    """The results at positions ``start`` to ``stop``, as (filter, position)."""
    for p in range(start, stop, VECTORS * lanes(x)):
        for group in range(groups):
            p0 = group * group_size + p
            f, end = group * planes, (group + 1) * planes
            while f < end:
                block = _block(end - f)
                at, to = f * taps, f * plane + p
                if block == 6:
                    sums = zero_tile(x, SIX)
                    _tile_of_positions(sums, x, p0, offsets, taps, w, at, y, to, plane)
                elif block == 4:
                    sums = zero_tile(x, FOUR)
                    _tile_of_positions(sums, x, p0, offsets, taps, w, at, y, to, plane)
                else:
                    sums = zero_tile(x, TWO)
                    _tile_of_positions(sums, x, p0, offsets, taps, w, at, y, to, plane)
                f += block


@inner
def _fill_lone_planes(x, group_size, w, taps, offsets, y, plane, groups, start, stop):
    """As `_fill_planes`, where each group has one filter."""
    for group in range(groups):
        for p in range(start, stop, ALONE * lanes(x)):
            at, sums = group * group_size + p, zero_tile(x, ALONE)
            for k in range(taps):
                row = load_row(x, at + offsets[k], ALONE)
                sums = add_outer(sums, w, group * taps + k, 1, row)
            store_tile(y, group * plane + p, 0, ALONE, sums)


@inner
def _run(width):
    """Into runs of how many positions a line is best cut: 8, 10 or 14."""
    best = 14
    for run in (10, 8):
        if (width + run - 1) // run * run < (width + best - 1) // best * best:
            best = run
    return best


@inner
def _fill_line(x, group_size, w, taps, offsets, y, plane, filters, groups, start, width):
    """The results at ``width`` positions from ``start`` on, as (vector, position, filter)."""
    step = lanes(x)
    run = _run(width)
    for p in range(start, start + width, run):
        for f in range(0, filters, step):
            p0 = f * groups // filters * group_size + p
            at, to = f * taps, f * plane + p * step
            if run == 8:
                _tile_of_channels(zero_tile(x, 8), x, p0, offsets, taps, w, at, y, to)
            elif run == 10:
                _tile_of_channels(zero_tile(x, 10), x, p0, offsets, taps, w, at, y, to)
            else:
                _tile_of_channels(zero_tile(x, LONGEST), x, p0, offsets, taps, w, at, y, to)


# --------------------------------------------------------------------------- forward


@inner
def _finish_planes(flat, at, plane, planes, bias, y, size, after, groups, grid):
    """One picture's results with what comes after, out of the planes that start at ``at``.

    Lines are written in their order: what a vector writes too much is written over.
    """
    per_group = len(bias) // groups
    to = 0
    for o in range(len(bias)):
        line = at + (o // per_group * planes + o % per_group) * plane
        b = splat(get(bias, o))
        for _ in range(size[0]):
            for j in range(0, size[1], VECTORS * lanes(flat)):
                row = add_tiles(load_row(flat, line + j, VECTORS), (b, b))
                store_tile(y, to + j, 0, VECTORS, rectified(row) if after == RELU else row)
            line += grid.pitch
            to += size[1]


@inner
def _pool_planes(flat, at, plane, planes, bias, y, code, size, groups, grid):
    """As `_finish_planes`, the largest of windows of 2 by 2."""
    per_group = len(bias) // groups
    to = 0
    for o in range(len(bias)):
        upper = at + (o // per_group * planes + o % per_group) * plane
        b = splat(get(bias, o))
        for _ in range(size[0] // 2):
            lower = upper + grid.pitch
            for j in range(0, size[1] // 2, lanes(flat)):
                a0, a1 = pairs(add_tiles(load_row(flat, upper + 2 * j, VECTORS), (b, b)))
                b0, b1 = pairs(add_tiles(load_row(flat, lower + 2 * j, VECTORS), (b, b)))
                store_largest(y, code, to + j, (a0, a1, b0, b1), NO_GRADIENT)
            upper += 2 * grid.pitch
            to += size[1] // 2


@inner
def _finish_vectors(flat, at, plane, bias, y, to, size, after, grid):
    """As `_finish_planes`, out of vectors of filters, which are drawn together on the way."""
    step, count = lanes(flat), size[0] * size[1]
    for first in range(0, len(bias), step):
        b = load_row(bias, first, 1)
        start = end = first * plane + at * step
        for i in range(size[0]):
            line = start + i * grid.pitch * step
            for j in range(0, size[1] * step, step):
                row = add_tiles(load_row(flat, line + j, 1), b)
                store_tile(flat, end, 0, 1, rectified(row) if after == RELU else row)
                end += step
        _by_filter(flat, start, count, y, to + first * count)


@inner
def _by_filter(flat, at, count, y, to):
    """``count`` vectors of filters as one line for each filter."""
    step = lanes(flat)
    if count < step:
        for o in range(step):
            for p in range(count):
                put(y, to + o * count + p, get(flat, at + p * step + o))
        return
    for k in range(0, count, step):
        p = min(k, count - step)  # some once more where the last vector is not whole
        transpose(flat, at + p * step, step, y, to + p, count)


@inner
def _pool_vectors(flat, at, plane, bias, y, code, size, grid):
    """As `_pool_planes`, out of vectors of filters."""
    step = lanes(flat)
    count = size[0] // 2 * (size[1] // 2)
    values, places = np.empty(count * step, y.dtype), np.empty(count * step, np.uint8)
    below = grid.pitch * step
    for first in range(0, len(bias), step):
        (b,) = load_row(bias, first, 1)
        to = 0
        for i in range(size[0] // 2):
            line = first * plane + (at + 2 * i * grid.pitch) * step
            for j in range(size[1] // 2):
                window = load_at(flat, line + 2 * j * step, (0, step, below, below + step))
                store_largest(values, places, to, add_tiles(window, (b, b, b, b)), NO_GRADIENT)
                to += step
        for p in range(count):
            for o in range(step):
                put(y, (first + o) * count + p, get(values, p * step + o))
                put(code, (first + o) * count + p, get(places, p * step + o))


@inner
def _correlate_chunk(chunk, x, w, packed, offsets, bias, y, code, size, groups, grid, after):
    """The share of one chunk in `correlate`."""
    filters = w.shape[0]
    taps = w.size // filters
    step = lanes(x)
    of_channels = filters // groups % step == 0
    planes = _planes_of(filters // groups)
    tile = VECTORS * step
    longest = ALONE * step if planes == 1 else LONGEST
    area = grid.rows * grid.pitch
    used = (size[0] - 1) * grid.pitch + size[1]
    alone = (used + tile - 1) // tile * tile < area  # skipping the rest of a picture pays
    group_size = w.shape[1] * grid.stride_h * grid.stride_w * grid.pictures * area
    first = chunk * grid.pictures
    count = min(grid.pictures, x.shape[0] - first)
    # a line's last tile may reach over the end, where other filters' results begin
    plane = (count * area + longest + tile - 1) // tile * tile
    flat = _spread(x, first, count, w.shape[2], w.shape[3], grid)
    result = np.empty(groups * planes * plane + LONGEST * step, x.dtype)
    numbers = y.size // x.shape[0]
    finished = np.empty(numbers + tile, y.dtype)
    places = np.empty(numbers + tile if after == POOL else 0, np.uint8)
    if of_channels:
        for n in range(count):
            for i in range(size[0]):
                start = n * area + i * grid.pitch
                _fill_line(
                    flat, group_size, packed, taps, offsets, result, plane, filters, groups,
                    start, size[1],
                )  # fmt: skip
    else:
        for run in range(count if alone else 1):
            start, stop = run * area, run * area + used if alone else count * area
            args = flat, group_size, packed, taps, offsets, result, plane
            if planes == 1:
                _fill_lone_planes(*args, groups, start, stop)
            else:
                _fill_planes(*args, planes, groups, start, stop)
    for n in range(count):
        at, to = n * area, (first + n) * numbers
        if after == POOL:
            if of_channels:
                _pool_vectors(result, at, plane, bias, finished, places, size, grid)
            else:
                _pool_planes(result, at, plane, planes, bias, finished, places, size, groups, grid)
            copy(code, to, places, 0, numbers)
            copy(y, to, finished, 0, numbers)
        elif of_channels:
            _finish_vectors(result, at, plane, bias, y, to, size, after, grid)
        else:
            _finish_planes(result, at, plane, planes, bias, finished, size, after, groups, grid)
            copy(y, to, finished, 0, numbers)


@shared
def correlate(team, x, w, packed, offsets, bias, y, code, size, groups, grid, after, skip):
    """Fill y, flat, with the correlation of x and w, of ``size``; not if ``skip[0]``.

    ``packed`` is w from `pack`, ``offsets`` are the `tap_offsets`. ``after`` says what comes
    after: with POOL, y and ``code`` are the results of
    `minidl.kernels.conv.reference.conv2d_relu_max_pool2d`.
    """
    if skip[0]:
        return
    chunks = (x.shape[0] + grid.pictures - 1) // grid.pictures
    args = x, w, packed, offsets, bias, y, code, size, groups, grid, after
    share(team, chunks, _correlate_chunk, args)


# --------------------------------------------------------------------------- filter's gradient


@inner
def _spread_gradient(g, first, count, groups, plane, grid):
    """``count`` pictures of g at their positions, zero elsewhere, each group a whole of BLOCKs."""
    per_group = g.shape[1] // groups
    padded = (per_group + BLOCK - 1) // BLOCK * BLOCK
    flat = np.zeros(groups * padded * plane, g.dtype)
    numbers = g.reshape(g.size)
    height, width = g.shape[2:]
    for o in range(g.shape[1]):
        for n in range(count):
            to = (o // per_group * padded + o % per_group) * plane + n * grid.rows * grid.pitch
            line = ((first + n) * g.shape[1] + o) * height * width
            for _ in range(height):
                copy(flat, to, numbers, line, width)
                to += grid.pitch
                line += width
    return flat


@inner
def _dots(g, at, plane, x, start, offsets, sums, to, taps):
    """Add to ``sums`` the products of BLOCK channels of g with x at TAPS offsets."""
    tile = zero_tile(x, DOTS)
    rows = (0, plane, 2 * plane, 3 * plane)
    for p in range(0, plane, lanes(x)):
        tile = add_products(tile, load_at(g, at + p, rows), load_at(x, start + p, offsets))
    add_totals(sums, to, taps, TAPS, tile)


@inner
def _correlate_part(part, g, x, height, width, offsets, sums, groups, grid):
    """The share of one part in `correlate_weight`."""
    parts, filters, taps = sums.shape
    blocks = filters // groups // BLOCK
    step = lanes(x)
    area = grid.rows * grid.pitch
    phases = grid.stride_h * grid.stride_w
    group_size = x.shape[1] // groups * phases * grid.pictures * area
    chunks = (x.shape[0] + grid.pictures - 1) // grid.pictures
    flat_sums = sums.reshape(sums.size)
    clear(flat_sums, part * filters * taps, filters * taps)
    for chunk in range(part * chunks // parts, (part + 1) * chunks // parts):
        first = chunk * grid.pictures
        count = min(grid.pictures, x.shape[0] - first)
        plane = (count * area + step - 1) // step * step
        flat = _spread(x, first, count, height, width, grid)
        spread = _spread_gradient(g, first, count, groups, plane, grid)
        for b in range(groups * blocks):
            start = b // blocks * group_size
            for k in range(0, taps, TAPS):
                to = (part * filters + b * BLOCK) * taps + k
                places = to_fixed_tuple(offsets[k : k + TAPS], TAPS)
                _dots(spread, b * BLOCK * plane, plane, flat, start, places, flat_sums, to, taps)


@shared
def correlate_weight(team, g, x, height, width, offsets, sums, groups, grid, skip):
    """Fill ``sums`` (part, filter, tap), each part with its share of the chunks."""
    if skip[0]:
        return
    args = g, x, height, width, offsets, sums, groups, grid
    share(team, sums.shape[0], _correlate_part, args)


@jit
def add_parts(sums, dw, groups, skip):
    """Fill dw (filter, tap) with the sums of all parts; not if ``skip[0]``."""
    if skip[0]:
        return
    filters, taps = dw.shape
    per_group, padded = filters // groups, sums.shape[1] // groups
    for o in range(filters):
        row = o // per_group * padded + o % per_group
        for k in range(taps):
            dw[o, k] = sums[0, row, k]
        for part in range(1, len(sums)):
            for k in range(taps):
                dw[o, k] += sums[part, row, k]


# --------------------------------------------------------------------------- bias's gradient


@threaded
def add_up(g, db, skip):
    """Fill db with the sums of g (picture, filter, position); not if ``skip[0]``."""
    if skip[0]:
        return
    for o in prange(len(db)):
        total = g.dtype.type(0)
        for n in range(len(g)):
            row = g[n, o]
            of_picture = g.dtype.type(0)
            for p in range(len(row)):
                of_picture += row[p]
            total += of_picture
        db[o] = total
