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
from minidl.kernels.share import share
from minidl.kernels.tiles import load_row, store_tile, zero_tile
from minidl.kernels.unchecked import copy, get, put
from minidl.kernels.vectors import BYTES, lanes, load

VECTORS = 2
WIDTH = VECTORS * BYTES // 4  # outputs of a tile
ROWS = 4
TILE, LONE = ROWS * VECTORS, VECTORS
OFFSET = 128  # between signed and unsigned bytes

ROWS_OF_A_SHARE = 32
OUTPUTS_OF_A_SHARE = 4 * WIDTH


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
def _quantize_row(n, x, scale, zero, data):
    """Row n of x as bytes, the last four filled up with zeros."""
    size, length = x.shape[1], data.shape[1]
    source, target = x.reshape(x.size), data.reshape(data.size)
    step = lanes(source)
    at, to = n * size, n * length
    for k in range(0, size - step + 1, step):
        quantize_run(source, at + k, scale, zero, target, to + k)
    for k in range(size // step * step, size):
        put(target, to + k, np.uint8(quantize_number(get(source, at + k), scale, zero)))
    for k in range(size, length):
        put(target, to + k, np.uint8(0))


@shared
def quantize_rows(team, x, scale, zero_point, data):
    """Fill ``data`` (n, a multiple of four) with the bytes of x (n, k)."""
    zero = np.float32(np.int32(zero_point[0]) + np.int32(OFFSET))
    share(team, x.shape[0], _quantize_row, (x, scale[0], zero, data))


@inner
def _tile(sums, x, at, pitch, w, start, blocks, y, to):
    """The sums of len(sums) / VECTORS rows for one tile of outputs."""
    for k in range(blocks):
        row = load_row(w, start + k * WIDTH, VECTORS)
        sums = add_dots_of_unsigned(sums, x, at + k, pitch, row)
    store_tile(y, to, WIDTH, VECTORS, sums)


@inner
def _fill_share(part, x, scale, zero, w_scale, packed, bias, y):
    """The share of one part in `multiply`: some rows, some outputs."""
    rows, outputs = y.shape
    blocks = x.shape[1]
    tiles = (outputs + WIDTH - 1) // WIDTH
    width = OUTPUTS_OF_A_SHARE // WIDTH
    strips = (tiles + width - 1) // width
    first = part // strips * ROWS_OF_A_SHARE
    last = min(rows, first + ROWS_OF_A_SHARE)
    numbers = x.reshape(x.size)
    target = y.reshape(y.size)
    sums = np.empty(TILE * WIDTH // VECTORS, np.int32)
    shifts, factors = np.empty(WIDTH, np.int32), np.zeros(WIDTH, np.float32)
    added, finished = np.zeros(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    strip = part % strips
    for tile in range(strip * width, min(tiles, (strip + 1) * width)):
        o = tile * WIDTH
        there = min(WIDTH, outputs - o)
        for lane in range(WIDTH):
            shifts[lane] = np.int32(zero) * get(packed, tiles * blocks * WIDTH + o + lane)
        for lane in range(there):
            factors[lane] = scale * get(w_scale, o + lane)
            added[lane] = get(bias, o + lane)
        n = first
        while n < last:
            count = ROWS if last - n >= ROWS else 1
            at, start = n * blocks, tile * blocks * WIDTH
            if count == ROWS:
                _tile(zero_tile(numbers, TILE), numbers, at, blocks, packed, start, blocks, sums, 0)
            else:
                _tile(zero_tile(numbers, LONE), numbers, at, blocks, packed, start, blocks, sums, 0)
            for i in range(count):
                for j in range(0, WIDTH, lanes(sums)):
                    shift, factor = load(shifts, j), load(factors, j)
                    row = load_row(sums, i * WIDTH + j, 1)
                    store_tile(finished, j, 0, 1, dequantize(row, shift, factor, load(added, j)))
                copy(target, (n + i) * outputs + o, finished, 0, there)
            n += count


@shared
def multiply(team, x, scale, zero_point, w_scale, packed, bias, y):
    """Fill y (n, o) with the products of rows x (n, four bytes) and w from `pack`."""
    zero = np.float32(np.int32(zero_point[0]) + np.int32(OFFSET))
    rows, outputs = y.shape
    strips = (outputs + OUTPUTS_OF_A_SHARE - 1) // OUTPUTS_OF_A_SHARE
    parts = (rows + ROWS_OF_A_SHARE - 1) // ROWS_OF_A_SHARE * strips
    share(team, parts, _fill_share, (x, scale[0], zero, w_scale, packed, bias, y))
