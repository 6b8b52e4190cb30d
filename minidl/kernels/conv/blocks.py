"""Convolution with many channels as matrix products: the loops.

A vector holds the same pixel's numbers of `lanes` neighbouring channels. Each output position
has a row of numbers, and a convolution is the product of (positions, numbers) by (numbers,
filters), computed tile by tile in registers. There are two ways to make the rows.

**Patches.** The row is what the filter covers: channels times taps. One product; right for every
stride, padding and dilation.

**Winograd's**, for 3x3 filters, stride 1, dilation 1. A tile of 2x2 outputs needs 4x4 numbers of
the input d. In one dimension

    y[0] = d0 f0 + d1 f1 + d2 f2,        y[1] = d1 f0 + d2 f1 + d3 f2

With m1 = (d0 - d2) f0, m2 = (d1 + d2)(f0 + f1 + f2)/2, m3 = (d2 - d1)(f0 - f1 + f2)/2 and
m4 = (d1 - d3) f2 that is y[0] = m1 + m2 + m3, y[1] = m2 - m3 - m4: four products, not six. In
two dimensions

    y = A' [(G f G') o (B' d B)] A

with 16 products, not 36, and each of the 16 places is a matrix product of its own: (tiles,
channels) by (channels, filters). The filter's gradient is the same form solved for f,
``df = G' [sum over tiles of (A dy A') o (B' d B)] G``. The factors are 1 and 1/2, so rounding
errors stay those of sums of a few numbers; what is not finite reaches the same outputs, but an
infinite number may come out as NaN.

A chunk is some rows of one picture or all rows of some pictures, and its size depends on the
shapes only.

Source: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2015,
https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from minidl.kernels.jit import inner, shared, threaded
from minidl.kernels.share import share
from minidl.kernels.tiles import (
    add_outer,
    add_tiles,
    load_row,
    rectified,
    store_tile,
    zero_tile,
)
from minidl.kernels.vectors import BYTES, lanes, load, sandwich, store, transpose, zeros

PLACES = 16
"""Products of one of Winograd's tiles."""

ROWS = 8 if BYTES == 64 else 4
"""Rows of a register tile, each two vectors long: there are 32 registers, or 16."""

_SUMS = 2 * ROWS

_A = np.array([[1, 0], [1, 1], [1, -1], [0, -1]])
_B = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1]])
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

_of_input, _of_filter, _of_products = sandwich(_B.T), sandwich(_G), sandwich(_A.T)
_of_gradient, _of_sums = sandwich(_A), sandwich(_G.T)


class Taps(NamedTuple):
    """Which of the filter's rows and columns are used: the first, the step, how many."""

    row: int
    row_step: int
    rows: int
    column: int
    column_step: int
    columns: int


class Grid(NamedTuple):
    """Output positions ``rows`` by ``columns``, and the input that they see.

    ``winograd`` tells the way. A chunk has ``lines`` tile rows of ``pictures`` pictures, where a
    tile is 2x2 positions or one. Position (i, j)'s patch starts at input (i stride_h - top, ...).
    Its result belongs at (at_row + i every_h, ...) of the output.
    """

    winograd: bool
    rows: int
    columns: int
    pictures: int
    lines: int
    top: int
    left: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    at_row: int
    at_column: int
    every_h: int
    every_w: int


class _Chunk(NamedTuple):
    """The first picture and tile row of a chunk, how many it has of each, tiles in a row."""

    first: int
    line: int
    pictures: int
    lines: int
    columns: int
    tile: int


@inner
def _chunk(chunk, pictures, grid):
    tile = 2 if grid.winograd else 1
    rows, columns = (grid.rows + tile - 1) // tile, (grid.columns + tile - 1) // tile
    across = (rows + grid.lines - 1) // grid.lines
    first, line = chunk // across * grid.pictures, chunk % across * grid.lines
    count, lines = min(grid.pictures, pictures - first), min(grid.lines, rows - line)
    return _Chunk(first, line, count, lines, columns, tile)


@inner
def _chunks(pictures, grid):
    """How many chunks there are, and how many tiles the largest has."""
    tile = 2 if grid.winograd else 1
    rows, columns = (grid.rows + tile - 1) // tile, (grid.columns + tile - 1) // tile
    across = (rows + grid.lines - 1) // grid.lines
    chunks = (pictures + grid.pictures - 1) // grid.pictures * across
    return chunks, grid.pictures * grid.lines * columns


@inner
def _up(count, multiple):
    return (count + multiple - 1) // multiple * multiple


def padded(tiles):
    """How many tiles to leave room for: for whole register tiles, and for one more.

    Places that are a power of two apart would fall on the same lines of the cache.
    """
    return (tiles + ROWS - 1) // ROWS * ROWS + ROWS


_padded = inner(padded)


# --------------------------------------------------------------------------- rows


@inner
def _load_block(x, n, channel, top, left, height, width, block, dense):
    """A part of picture n, a vector of channels side by side, zero outside of the picture."""
    step = lanes(x)
    columns, plane = x.shape[3], x.shape[2] * x.shape[3]
    first_row, last_row = max(top, 0), min(top + height, x.shape[2])
    first, last = max(left, 0), min(left + width, columns)
    filled = min(step, x.shape[1] - channel)
    if filled < step or last_row - first_row < height or last - first < width:
        for k in range(0, height * width * step, step):
            store(block, k, zeros(block))
    length = (last_row - first_row) * columns
    if filled == step and length >= step:
        at = (n * x.shape[1] + channel) * plane + first_row * columns
        _by_pixel(x, at, plane, length, dense)
        for i in range(first_row, last_row):
            to = ((i - top) * width - left) * step
            source = (i - first_row) * columns * step
            for j in range(first * step, last * step, step):
                store(block, to + j, load(dense, source + j))
    else:
        for lane in range(filled):
            for i in range(first_row, last_row):
                to = ((i - top) * width - left) * step + lane
                for j in range(first, last):
                    block[to + j * step] = x[n, channel + lane, i, j]


@inner
def _by_pixel(x, at, plane, length, out):
    """``length`` (at least a vector) neighbours in each of a vector of planes, by pixel."""
    step = lanes(x)
    for k in range(0, length - step + 1, step):
        transpose(x, at + k, plane, out, k * step, step)
    k = length - step  # once more where the last vector is not whole
    transpose(x, at + k, plane, out, k * step, step)


@inner
def _spread_input(x, chunk, blocks, taps, grid, padded, out):
    """The rows of a chunk: out[place, block of channels, tap, tile, channel]."""
    step = lanes(x)
    tile = chunk.tile
    if grid.winograd:
        height, width, at_once = 2 * chunk.lines + 2, 2 * chunk.columns + 2, 1
    else:
        height = (chunk.lines - 1) * grid.stride_h + (taps.rows - 1) * grid.dilation_h + 1
        width = (chunk.columns - 1) * grid.stride_w + (taps.columns - 1) * grid.dilation_w + 1
        at_once = taps.rows * taps.columns
    block = np.empty(height * width * step, x.dtype)
    dense = np.empty(height * x.shape[3] * step, x.dtype)
    place = (blocks[1] - blocks[0]) * padded * step
    for b in range(blocks[0], blocks[1]):
        for n in range(chunk.pictures):
            top = chunk.line * tile * grid.stride_h - grid.top
            _load_block(x, chunk.first + n, b * step, top, -grid.left, height, width, block, dense)
            to = ((b - blocks[0]) * at_once * padded + n * chunk.lines * chunk.columns) * step
            for i in range(chunk.lines):
                for j in range(chunk.columns):
                    at = (i * tile * grid.stride_h * width + j * tile * grid.stride_w) * step
                    if grid.winograd:
                        _of_input(block, at, width * step, step, out, to, 4 * place, place)
                    else:
                        _copy_patch(block, at, width, taps, grid, out, to, padded * step)
                    to += step


@inner
def _copy_patch(block, at, width, taps, grid, out, to, distance):
    step = lanes(block)
    for r in range(taps.rows):
        for s in range(taps.columns):
            there = at + (r * grid.dilation_h * width + s * grid.dilation_w) * step
            store(out, to + (r * taps.columns + s) * distance, load(block, there))


@inner
def _spread_gradient(g, chunk, grid, padded, out, start):
    """The gradient's rows of a chunk: out[place, block of filters, tile, filter]."""
    step = lanes(g)
    height, width = chunk.tile * chunk.lines, chunk.tile * chunk.columns
    block = np.empty(height * width * step, g.dtype)
    dense = np.empty(height * g.shape[3] * step, g.dtype)
    blocks = _up(g.shape[1], 2 * step) // step
    place = blocks * padded * step
    for b in range(blocks):
        for n in range(chunk.pictures):
            to = start + b // 2 * padded * 2 * step + b % 2 * step
            to += n * chunk.lines * chunk.columns * 2 * step
            top = chunk.tile * chunk.line
            _load_block(g, chunk.first + n, b * step, top, 0, height, width, block, dense)
            for i in range(chunk.lines):
                for j in range(chunk.columns):
                    at = (i * width + j) * chunk.tile * step
                    if grid.winograd:
                        _of_gradient(block, at, width * step, step, out, to, 4 * place, place)
                    else:
                        store(out, to, load(block, at))
                    to += 2 * step


@inner
def _collect(products, chunk, grid, padded, bias, relu, y):
    """The results of a chunk, plus bias, at their places in y."""
    step = lanes(y)
    height, width = chunk.tile * chunk.lines, chunk.tile * chunk.columns
    block = np.empty(height * width * step, y.dtype)
    place = _up(y.shape[1], 2 * step) * padded
    rows = min(height, grid.rows - chunk.tile * chunk.line)
    for b in range((y.shape[1] + step - 1) // step):
        for n in range(chunk.pictures):
            at = b // 2 * padded * 2 * step + b % 2 * step
            at += n * chunk.lines * chunk.columns * 2 * step
            for i in range(chunk.lines):
                for j in range(chunk.columns):
                    to = (i * width + j) * chunk.tile * step
                    if grid.winograd:
                        _of_products(products, at, 4 * place, place, block, to, width * step, step)
                    else:
                        store(block, to, load(products, at))
                    at += 2 * step
            _store_block(block, chunk, b * step, n, rows, width, grid, bias, relu, y)


@inner
def _store_block(block, chunk, filter, n, rows, width, grid, bias, relu, y):
    """A block's pixels, plus bias, at their places in picture n of the chunk."""
    step = lanes(y)
    filled, columns = min(step, y.shape[1] - filter), grid.columns
    shift = np.zeros(step, y.dtype)
    for lane in range(filled):
        shift[lane] = bias[filter + lane]
    for i in range(rows):
        for j in range(columns):
            pixel = add_tiles(load_row(block, (i * width + j) * step, 1), load_row(shift, 0, 1))
            pixel = rectified(pixel) if relu else pixel
            store_tile(block, (i * columns + j) * step, 0, 1, pixel)
    first_row = chunk.tile * chunk.line
    length, plane = rows * columns, y.shape[2] * y.shape[3]
    whole = grid.every_h == 1 and grid.every_w == 1 and columns == y.shape[3]
    if whole and filled == step and length >= step:
        to = ((chunk.first + n) * y.shape[1] + filter) * plane + first_row * columns
        for k in range(0, length - step + 1, step):
            transpose(block, k * step, step, y, to + k, plane)
        k = length - step  # once more where the last vector is not whole
        transpose(block, k * step, step, y, to + k, plane)
    else:
        for lane in range(filled):
            for i in range(rows):
                row = grid.at_row + (first_row + i) * grid.every_h
                for j in range(columns):
                    column = grid.at_column + j * grid.every_w
                    value = block[(i * columns + j) * step + lane]
                    y[chunk.first + n, filter + lane, row, column] = value


# --------------------------------------------------------------------------- filters


@threaded
def pack_filters(w, back, taps, winograd, out):
    """Filters w (o, c, r, s) as out[place, block of filters, block of channels, tap, ...].

    Each is a matrix (channel, filter), a vector by two. ``back`` exchanges filters and channels;
    which taps there are, and in which order, is for ``taps`` to say.
    """
    step = lanes(w)
    width, all_taps = w.shape[3], w.shape[2] * w.shape[3]
    near, far = w.shape[1] * all_taps, all_taps
    filters, channels = w.shape[0], w.shape[1]
    if back:
        near, far = far, near
        filters, channels = channels, filters
    across = (channels + step - 1) // step
    blocks = (filters + 2 * step - 1) // (2 * step)
    count = taps.rows * taps.columns
    size, place = step * 2 * step, blocks * across * step * 2 * step
    reach = (step - 1) * far + (2 * step - 1) * near + (_up(all_taps, step) if back else far)
    for item in prange(blocks * across):
        filter, channel = item // across * 2 * step, item % across * step
        filled = min(2 * step, filters - filter), min(step, channels - channel)
        matrices = np.zeros((step * all_taps + step) * 2 * step, w.dtype)
        start = filter * near + channel * far
        if filled == (2 * step, step) and start + reach <= w.size:
            _by_tap(w, start, near, far, back, all_taps, matrices)
        else:
            for lane in range(filled[0]):
                for c in range(filled[1]):
                    for k in range(all_taps):
                        r, s = divmod(k, width)
                        o, i = (
                            (channel + c, filter + lane) if back else (filter + lane, channel + c)
                        )
                        matrices[(c * all_taps + k) * 2 * step + lane] = w[o, i, r, s]
        first = taps.row * width + taps.column
        down, right = taps.row_step * width * 2 * step, taps.column_step * 2 * step
        for c in range(step):
            for half in range(0, 2 * step, step):
                at = (c * all_taps + first) * 2 * step + half
                to = (item * (1 if winograd else count) * step + c) * 2 * step + half
                if winograd:
                    _of_filter(matrices, at, down, right, out, to, 4 * place, place)
                else:
                    for r in range(taps.rows):
                        for s in range(taps.columns):
                            k = (r * taps.columns + s) * size
                            store(out, to + k, load(matrices, at + r * down + s * right))


@inner
def _by_tap(w, start, near, far, back, taps, out):
    """A block of filters by channel and tap, out[channel, tap, filter]; it may write beyond."""
    step = lanes(w)
    if back:
        for c in range(step):
            for k in range(0, taps, step):
                for half in range(0, 2 * step, step):
                    at = start + c * far + half * near + k
                    transpose(w, at, near, out, (c * taps + k) * 2 * step + half, 2 * step)
    else:
        for k in range(0, step * taps, step):
            for half in range(0, 2 * step, step):
                transpose(w, start + half * near + k, near, out, k * 2 * step + half, 2 * step)


@threaded
def unpack_filters(sums, parts, taps, winograd, dw):
    """dw (o, c, r, s): the total over parts of sums packed like filters; 0 at all other taps."""
    step = lanes(dw)
    filters, channels, _, width = dw.shape
    all_taps, first = dw.shape[2] * width, taps.row * width + taps.column
    across = (channels + step - 1) // step
    blocks = (filters + 2 * step - 1) // (2 * step)
    count = taps.rows * taps.columns
    size, place = step * 2 * step, blocks * across * step * 2 * step
    part_size = place * (PLACES if winograd else count)
    for item in prange(blocks * across):
        filter, channel = item // across * 2 * step, item % across * step
        total = np.empty((PLACES if winograd else count) * size, dw.dtype)
        if winograd:
            for p in range(PLACES):
                _add_parts(sums, p * place + item * size, size, parts, part_size, total, p * size)
        else:
            _add_parts(sums, item * count * size, count * size, parts, part_size, total, 0)
        matrices = np.zeros(all_taps * size, dw.dtype)
        for c in range(step):
            for half in range(0, 2 * step, step):
                at, to = c * 2 * step + half, (c * all_taps + first) * 2 * step + half
                if winograd:
                    _of_sums(total, at, 4 * size, size, matrices, to, width * 2 * step, 2 * step)
                else:
                    for r in range(taps.rows):
                        for s in range(taps.columns):
                            vector = load(total, at + (r * taps.columns + s) * size)
                            store(matrices, to + (r * width + s) * 2 * step, vector)
        filled = min(2 * step, filters - filter), min(step, channels - channel)
        near = channels * all_taps
        to = filter * near + channel * all_taps
        if filled == (2 * step, step):
            for k in range(0, step * all_taps, step):
                for half in range(0, 2 * step, step):
                    at = k * 2 * step + half
                    transpose(matrices, at, 2 * step, dw, to + half * near + k, near)
        else:
            for lane in range(filled[0]):
                for c in range(filled[1]):
                    for k in range(all_taps):
                        value = matrices[(c * all_taps + k) * 2 * step + lane]
                        dw[filter + lane, channel + c, k // width, k % width] = value


@inner
def _add_parts(sums, at, count, parts, part_size, total, to):
    for k in range(0, count, lanes(sums)):
        vector = load_row(sums, at + k, 1)
        for part in range(1, parts):
            vector = add_tiles(vector, load_row(sums, at + part * part_size + k, 1))
        store_tile(total, to + k, 0, 1, vector)


# --------------------------------------------------------------------------- products


@inner
def _multiply(rows, at, offsets, filters, filters_at, out, out_at):
    """ROWS rows of out, two vectors each: the sum over all offsets and a block of channels c.

    ``out[i, :] = sum of rows[at + offset + i * lanes + c] * filters[offset, c, :]``
    """
    step = lanes(rows)
    tile = zero_tile(rows, _SUMS)
    for offset in offsets:
        for c in range(step):
            row = load_row(filters, filters_at, 2)
            tile = add_outer(tile, rows, at + offset + c, step, row)
            filters_at += 2 * step
    store_tile(out, out_at, 2 * step, 2, tile)


@inner
def _multiply_transposed(x, x_at, g, g_at, count, out, out_at, fresh):
    """Add to ROWS rows of out, two vectors each, the sum over ``count`` positions p.

    ``out[i, :] += sum of x[p, i] * g[p, :]``; if ``fresh``, what was there does not count.
    """
    step = lanes(x)
    tile = zero_tile(x, _SUMS)
    if not fresh:
        tile = load_row(out, out_at, _SUMS)
    for _ in range(count):
        tile = add_outer(tile, x, x_at, 1, load_row(g, g_at, 2))
        x_at += step
        g_at += 2 * step
    store_tile(out, out_at, 0, _SUMS, tile)


@shared
def correlate(team, x, filters, taps, bias, relu, y, grid):
    """Put into y the correlation of x and the packed filters, chunk by chunk."""
    chunks, _ = _chunks(x.shape[0], grid)
    share(team, chunks, _correlate_chunk, (x, filters, taps, bias, relu, y, grid))


@inner
def _correlate_chunk(index, x, filters, taps, bias, relu, y, grid):
    step = lanes(x)
    places, count = (PLACES, 1) if grid.winograd else (1, taps.rows * taps.columns)
    across = (x.shape[1] + step - 1) // step * count
    blocks = (y.shape[1] + 2 * step - 1) // (2 * step)
    chunk, padded = _chunk(index, x.shape[0], grid), _padded(_chunks(x.shape[0], grid)[1])
    rows = np.empty(places * across * padded * step, x.dtype)
    products = np.empty(places * blocks * padded * 2 * step, x.dtype)
    _spread_input(x, chunk, (0, across // count), taps, grid, padded, rows)
    offsets = np.empty(across, np.int64)
    for k in range(across):
        offsets[k] = k * padded * step
    for b in range(places * blocks):
        start = b // blocks * across * padded
        for t in range(0, chunk.pictures * chunk.lines * chunk.columns, ROWS):
            _multiply(
                rows, (start + t) * step, offsets,
                filters, b * across * step * 2 * step,
                products, (b * padded + t) * 2 * step,
            )  # fmt: skip
    _collect(products, chunk, grid, padded, bias, relu, y)


@threaded
def spread_gradient(g, out, grid):
    """The gradient's rows of all chunks, one chunk's after the other's."""
    chunks, tiles = _chunks(g.shape[0], grid)
    size = out.size // chunks
    for chunk in prange(chunks):
        piece = _chunk(chunk, g.shape[0], grid)
        _spread_gradient(g, piece, grid, _padded(tiles), out, chunk * size)


@shared
def correlate_weight(team, g, gradient, x, taps, sums, parts, shares, grid):
    """Fill sums[part, ...], packed like filters, with each part's sum over its chunks.

    A part's channels are dealt out in ``shares``. ``gradient`` holds what `spread_gradient` makes
    of g, or is empty if each part is to do so.
    """
    args = g, gradient, x, taps, sums, parts, shares, grid
    share(team, parts * shares, _correlate_weight, args)


@inner
def _correlate_weight(item, g, gradient, x, taps, sums, parts, shares, grid):
    step = lanes(x)
    places, count = (PLACES, 1) if grid.winograd else (1, taps.rows * taps.columns)
    across = (x.shape[1] + step - 1) // step
    blocks = (g.shape[1] + 2 * step - 1) // (2 * step)
    chunks, tiles = _chunks(x.shape[0], grid)
    padded = _padded(tiles)
    part, share = item // shares, item % shares
    own = share * across // shares, (share + 1) * across // shares
    mine = (own[1] - own[0]) * count
    rows = np.empty(places * mine * padded * step, x.dtype)
    size = places * blocks * padded * 2 * step
    alone = np.empty(0 if gradient.size else size, x.dtype)
    first = part * chunks // parts
    for index in range(first, (part + 1) * chunks // parts):
        chunk = _chunk(index, x.shape[0], grid)
        _spread_input(x, chunk, own, taps, grid, padded, rows)
        spread, start = gradient, index * size
        if not gradient.size:
            spread, start = alone, 0
            _spread_gradient(g, chunk, grid, padded, alone, 0)
        used = chunk.pictures * chunk.lines * chunk.columns
        for b in range(places * blocks):
            to = ((part * places * blocks + b) * across + own[0]) * count * 2 * step
            for k in range(mine):
                at = (b // blocks * mine + k) * padded * step
                for i in range(0, step, ROWS):
                    _multiply_transposed(
                        rows, at + i, spread, start + b * padded * 2 * step, used,
                        sums, (to + k * 2 * step) * step + i * 2 * step, index == first,
                    )  # fmt: skip
