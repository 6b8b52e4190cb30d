"""Products of 8-bit integers, row by row: the loops of a linear layer.

Four numbers of a row are one int32 of unsigned bytes (the integers plus 128), and as many
weights one of signed bytes. A tile is a few rows by two vectors of outputs: each of its numbers
is spread over a vector and multiplied by those of all outputs at once.
"""

from __future__ import annotations

import numpy as np

from minidl.kernels.integers import (
    add_dots_of_unsigned,
    dequantize,
    quantize_number,
    quantize_run,
)
from minidl.kernels.jit import inner, jit, shared
from minidl.kernels.quantized.reference import RELU
from minidl.kernels.share import share
from minidl.kernels.tiles import load_row, rectified, store_tile, zero_tile
from minidl.kernels.unchecked import copy, get, put
from minidl.kernels.vectors import BYTES, lanes, load

VECTORS = 2
WIDTH = VECTORS * BYTES // 4  # outputs of a tile
ROWS = 4
TILE, LONE = ROWS * VECTORS, VECTORS
OFFSET = 128  # between signed and unsigned bytes

ROWS_OF_A_SHARE = 32
OUTPUTS_OF_A_SHARE = 8 * WIDTH


@jit
def pack(w, packed):
    """Fill ``packed`` with w (o, k) as (tile, four of k, output of the tile), then w's sums."""
    outputs, size = w.shape
    blocks = (size + 3) // 4
    tiles = (outputs + WIDTH - 1) // WIDTH
    for o in range(tiles * WIDTH):
        at = o // WIDTH * blocks * WIDTH + o % WIDTH
        total = np.int32(0)
        for block in range(blocks):
            number = np.int32(0)
            for byte in range(4):
                k = 4 * block + byte
                if o < outputs and k < size:
                    total += np.int32(w[o, k])
                    number |= (np.int32(w[o, k]) & np.int32(255)) << np.int32(8 * byte)
            put(packed, at + block * WIDTH, number)
        put(packed, tiles * blocks * WIDTH + o, total)


@inner
def _quantize_row(x, at, size, scale, zero, data, to):
    """``size`` numbers of x as bytes, the last four filled up with zeros."""
    step = lanes(x)
    for k in range(0, size - step + 1, step):
        quantize_run(x, at + k, scale, zero, data, to + k)
    for k in range(size // step * step, size):
        put(data, to + k, np.uint8(quantize_number(get(x, at + k), scale, zero)))
    for k in range(size, (size + 3) // 4 * 4):
        put(data, to + k, np.uint8(0))


@inner
def _tile(sums, x, at, pitch, w, start, y):
    """The sums of len(sums) / VECTORS rows for one tile of outputs."""
    for k in range(pitch):
        row = load_row(w, start + k * WIDTH, VECTORS)
        sums = add_dots_of_unsigned(sums, x, at + k, pitch, row)
    store_tile(y, 0, WIDTH, VECTORS, sums)


@inner
def _finish(sums, rows, shifts, factors, bias, after, y, to, outputs, count):
    """The results of some rows for one tile, of which ``count`` outputs are there."""
    finished = np.empty(WIDTH, np.float32)
    for i in range(rows):
        for j in range(0, WIDTH, lanes(sums)):
            row = load_row(sums, i * WIDTH + j, 1)
            row = dequantize(row, load(shifts, j), load(factors, j), load(bias, j))
            store_tile(finished, j, 0, 1, rectified(row) if after == RELU else row)
        copy(y, to + i * outputs, finished, 0, count)


@inner
def _fill_share(part, x, scale, zero, w_scale, packed, bias, after, y):
    """The share of one part in `multiply`: some rows, some outputs."""
    rows, outputs = y.shape
    size = x.shape[1]
    blocks = (size + 3) // 4
    tiles = (outputs + WIDTH - 1) // WIDTH
    width = OUTPUTS_OF_A_SHARE // WIDTH
    strips = (tiles + width - 1) // width
    first, strip = part // strips * ROWS_OF_A_SHARE, part % strips
    last = min(rows, first + ROWS_OF_A_SHARE)
    data = np.empty((last - first) * blocks * 4, np.uint8)
    source, target = x.reshape(x.size), y.reshape(y.size)
    for n in range(first, last):
        _quantize_row(source, n * size, size, scale, zero, data, (n - first) * blocks * 4)
    numbers = data.view(np.int32)
    sums = np.empty(ROWS * WIDTH, np.int32)
    shifts = np.empty(WIDTH, np.int32)
    factors, added = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for tile in range(strip * width, min(tiles, (strip + 1) * width)):
        o = tile * WIDTH
        there = min(WIDTH, outputs - o)
        for lane in range(WIDTH):
            shifts[lane] = np.int32(zero) * get(packed, tiles * blocks * WIDTH + o + lane)
        for lane in range(there):
            factors[lane] = scale * get(w_scale, o + lane)
            added[lane] = get(bias, o + lane)
        start, n = tile * blocks * WIDTH, first
        while n < last:
            at, count = (n - first) * blocks, ROWS
            if last - n >= ROWS:
                _tile(zero_tile(numbers, TILE), numbers, at, blocks, packed, start, sums)
            else:
                _tile(zero_tile(numbers, LONE), numbers, at, blocks, packed, start, sums)
                count = 1
            to = n * outputs + o
            _finish(sums, count, shifts, factors, added, after, target, to, outputs, there)
            n += count


@shared
def multiply(team, x, scale, zero_point, w_scale, packed, bias, after, y):
    """Fill y (n, o) with the products of x (n, k), made integers, and w from `pack`.

    ``after`` says what comes after.
    """
    zero = np.float32(np.int32(zero_point[0]) + np.int32(OFFSET))
    rows, outputs = y.shape
    strips = (outputs + OUTPUTS_OF_A_SHARE - 1) // OUTPUTS_OF_A_SHARE
    parts = (rows + ROWS_OF_A_SHARE - 1) // ROWS_OF_A_SHARE * strips
    share(team, parts, _fill_share, (x, scale[0], zero, w_scale, packed, bias, after, y))
