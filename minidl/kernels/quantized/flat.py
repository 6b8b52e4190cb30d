"""Convolution of 8-bit integers as a flat correlation: the loops.

What `minidl.kernels.conv.flat` says of floats holds here, with pixels of four channels in the place
of numbers: a pixel is four unsigned bytes (the integers plus 128) in one int32, a tap of a filter
four signed ones, and one instruction adds the products of sixteen pixels to sixteen sums. Channels
that are missing in the last pixel have weights of 0. So with P the position, k = (block of four
channels, row, column), and o the filter,

    sums[o, p] = sum over k of dot(x[p + offset[k]], w[o, k])
    y[o, p] = (sums[o, p] - (zero_point + 128) * sum of w[o]) * factor[o] + bias[o]

which takes off what the zero point, and the padding that is made of it, have added.
"""

from __future__ import annotations

import numpy as np

from minidl.kernels.integers import (
    add_dots,
    dequantize,
    larger,
    quantize_number,
    quantize_pixels,
)
from minidl.kernels.jit import inner, jit, shared
from minidl.kernels.quantized.reference import POOL, RELU
from minidl.kernels.share import share
from minidl.kernels.tiles import load_row, pairs, rectified, store_tile, zero_tile
from minidl.kernels.unchecked import copy, get, put
from minidl.kernels.vectors import lanes, splat, store

# A tile is 6, 4 or 2 filters by VECTORS vectors of positions.
VECTORS = 2
SIX, FOUR, TWO = 6 * VECTORS, 4 * VECTORS, 2 * VECTORS
OFFSET = 128  # between signed and unsigned bytes


def planes_of(filters):
    """How many planes the filters of a group take: tiles are of even numbers."""
    return filters + filters % 2


_planes_of = inner(planes_of)


@inner
def _blocks(channels):
    """How many pixels of four channels hold this many."""
    return (channels + 3) // 4


@inner
def _block(left):
    """How many of the ``left`` planes the next tile takes: 6, 4 or 2."""
    return 6 if left >= 6 and left % 6 != 2 else min(4, left)


# --------------------------------------------------------------------------- filters


@inner
def _tap(w, row, channels, block, area, place):
    """The weights of four channels at one tap as an int32."""
    number = np.int32(0)
    for byte in range(4):
        c = 4 * block + byte
        if c < channels:
            weight = np.int32(get(w, row + c * area + place)) & np.int32(255)
            number |= weight << np.int32(8 * byte)
    return number


@jit
def pack(w, channels, area, groups, packed):
    """Fill ``packed`` with the filters as (tile, tap, filter of the tile), then their sums.

    ``w`` is flat, filters of ``channels`` channels of ``area`` taps.
    """
    size = channels * area
    filters = len(w) // size
    per_group = filters // groups
    planes = _planes_of(per_group)
    taps = _blocks(channels) * area
    for group in range(groups):
        f = 0
        while f < planes:
            block = _block(planes - f)
            at = (group * planes + f) * taps
            for lane in range(block):
                row = (group * per_group + f + lane) * size
                there = f + lane < per_group
                for k in range(taps):
                    number = np.int32(0)
                    if there:
                        number = _tap(w, row, channels, k // area, area, k % area)
                    put(packed, at + k * block + lane, number)
            f += block
    for o in range(filters):
        total = np.int32(0)
        for k in range(size):
            total += np.int32(get(w, o * size + k))
        put(packed, groups * planes * taps + o, total)


# --------------------------------------------------------------------------- pictures


@inner
def _quantize_planes(x, at, planes, area, scale, zero, pixels):
    """The pixels of four planes of x, or of as many as there are."""
    step = lanes(x)
    last = min(planes, 4) - 1
    offsets = (0, min(1, last) * area, min(2, last) * area, min(3, last) * area)
    if area < step:
        for p in range(area):
            pixel = np.int32(0)
            for byte in range(4):
                number = get(x, at + min(byte, last) * area + p)
                pixel |= quantize_number(number, scale, zero) << np.int32(8 * byte)
            put(pixels, p, pixel)
        return
    for k in range(0, area, step):
        p = min(k, area - step)  # some once more where the last vector is not whole
        store(pixels, p, quantize_pixels(x, at + p, offsets, scale, zero))


@inner
def _spread(x, first, count, groups, kernel, scale, zero, grid):
    """``count`` pictures of x, padded, a plane for four channels and a remainder of the stride."""
    channels, height, width = x.shape[1] // groups, x.shape[2], x.shape[3]
    blocks = _blocks(channels)
    area = grid.rows * grid.pitch
    plane = grid.pictures * area
    phases = grid.stride_h * grid.stride_w
    # the last positions' taps, and the last tile's, reach over the end
    reach = (kernel[0] * grid.dilation_h + 1) * grid.pitch + kernel[1] * grid.dilation_w
    blank = np.int32(zero) * np.int32(0x01010101)
    size = groups * blocks * phases * plane + reach + VECTORS * lanes(x)
    flat = np.full(size, blank, np.int32)
    pixels = np.empty(height * width, np.int32)
    source = x.reshape(x.size)
    for n in range(count):
        for block in range(groups * blocks):
            group, c = divmod(block, blocks)
            channel = ((first + n) * groups + group) * channels + 4 * c
            at = channel * height * width
            _quantize_planes(source, at, channels - 4 * c, height * width, scale, zero, pixels)
            for i in range(height):
                row, phase_h = divmod(i + grid.top, grid.stride_h)
                phase = (block * grid.stride_h + phase_h) * grid.stride_w
                to = phase * plane + n * area + row * grid.pitch
                if grid.stride_w == 1:
                    copy(flat, to + grid.left, pixels, i * width, width)
                    continue
                for j in range(width):
                    column, phase_w = divmod(j + grid.left, grid.stride_w)
                    put(flat, to + phase_w * plane + column, get(pixels, i * width + j))
    return flat


# --------------------------------------------------------------------------- sums


@inner
def _tile(sums, x, start, offsets, taps, w, at, y, to, plane):
    """The sums of len(sums) / VECTORS filters at VECTORS vectors of positions."""
    block = len(sums) // VECTORS
    for k in range(taps):
        row = load_row(x, start + offsets[k], VECTORS)
        sums = add_dots(sums, w, at + block * k, 1, row)
    store_tile(y, to, plane, VECTORS, sums)


@inner
def _fill_planes(x, group_size, w, taps, offsets, y, plane, planes, groups, start, stop):
    """The sums at positions ``start`` to ``stop``, as (filter, position)."""
    for p in range(start, stop, VECTORS * lanes(x)):
        for group in range(groups):
            p0 = group * group_size + p
            f, end = group * planes, (group + 1) * planes
            while f < end:
                block = _block(end - f)
                at, to = f * taps, f * plane + p
                if block == 6:
                    _tile(zero_tile(x, SIX), x, p0, offsets, taps, w, at, y, to, plane)
                elif block == 4:
                    _tile(zero_tile(x, FOUR), x, p0, offsets, taps, w, at, y, to, plane)
                else:
                    _tile(zero_tile(x, TWO), x, p0, offsets, taps, w, at, y, to, plane)
                f += block


@inner
def _finish(flat, at, plane, planes, shifts, factors, bias, after, y, size, groups, grid):
    """One picture's results out of the sums that start at ``at``.

    Lines are written in their order: what a vector writes too much is written over.
    """
    per_group = len(bias) // groups
    to = 0
    for o in range(len(bias)):
        line = at + (o // per_group * planes + o % per_group) * plane
        shift, factor, b = splat(get(shifts, o)), splat(get(factors, o)), splat(get(bias, o))
        for _ in range(size[0]):
            for j in range(0, size[1], VECTORS * lanes(flat)):
                row = dequantize(load_row(flat, line + j, VECTORS), shift, factor, b)
                store_tile(y, to + j, 0, VECTORS, rectified(row) if after == RELU else row)
            line += grid.pitch
            to += size[1]


@inner
def _pool(flat, at, plane, planes, shifts, factors, bias, y, size, groups, grid):
    """As `_finish`, the largest of windows of 2 by 2: of the sums, which are in the same order."""
    per_group = len(bias) // groups
    to = 0
    for o in range(len(bias)):
        upper = at + (o // per_group * planes + o % per_group) * plane
        shift, factor, b = splat(get(shifts, o)), splat(get(factors, o)), splat(get(bias, o))
        for _ in range(size[0] // 2):
            lower = upper + grid.pitch
            for j in range(0, size[1] // 2, lanes(flat)):
                a0, a1 = pairs(load_row(flat, upper + 2 * j, VECTORS))
                b0, b1 = pairs(load_row(flat, lower + 2 * j, VECTORS))
                largest = (larger(larger(a0, a1), larger(b0, b1)),)
                store_tile(y, to + j, 0, 1, rectified(dequantize(largest, shift, factor, b)))
            upper += 2 * grid.pitch
            to += size[1] // 2


@inner
def _correlate_chunk(
    chunk, x, scale, zero, w_scale, packed, offsets, bias, after, y, kernel, size, groups, grid
):
    """The share of one chunk in `correlate`."""
    filters = len(bias)
    taps = len(offsets)
    planes = _planes_of(filters // groups)
    tile = VECTORS * lanes(x)
    area = grid.rows * grid.pitch
    first = chunk * grid.pictures
    count = min(grid.pictures, x.shape[0] - first)
    blocks = _blocks(x.shape[1] // groups)
    group_size = blocks * grid.stride_h * grid.stride_w * grid.pictures * area
    plane = (count * area + tile - 1) // tile * tile
    flat = _spread(x, first, count, groups, kernel, scale, zero, grid)
    sums = np.empty(groups * planes * plane + tile, np.int32)
    _fill_planes(
        flat, group_size, packed, taps, offsets, sums, plane, planes, groups, 0, count * area
    )
    shifts, factors = np.empty(filters, np.int32), np.empty(filters, np.float32)
    for o in range(filters):
        shifts[o] = np.int32(zero) * get(packed, groups * planes * taps + o)
        factors[o] = scale * get(w_scale, o)
    numbers = y.size // x.shape[0]
    finished = np.empty(numbers + tile, np.float32)
    for n in range(count):
        args = sums, n * area, plane, planes, shifts, factors, bias
        if after == POOL:
            _pool(*args, finished, size, groups, grid)
        else:
            _finish(*args, after, finished, size, groups, grid)
        copy(y, (first + n) * numbers, finished, 0, numbers)


@shared
def correlate(
    team, x, scale, zero_point, w_scale, packed, offsets, bias, after, y, kernel, size, groups, grid
):
    """Fill y, flat, with the correlation of x, made integers, and the filters from `pack`.

    ``offsets`` are those of the taps, ``kernel`` is the filters' size, ``size`` that of the
    convolution's result. ``after`` says what comes after.
    """
    zero = np.float32(np.int32(zero_point[0]) + np.int32(OFFSET))
    chunks = (x.shape[0] + grid.pictures - 1) // grid.pictures
    how = kernel, size, groups, grid
    args = x, scale[0], zero, w_scale, packed, offsets, bias, after, y, *how
    share(team, chunks, _correlate_chunk, args)
