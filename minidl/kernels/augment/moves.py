"""Chains that only move pixels, in one pass: each float of the result is written at once.

Flips, and with them one rotation by nearest pixel or one window with a plain frame, say of
each pixel of the result which pixel of the picture it shows: in 16.16 fixed point,

    from_x = x0 + x * xx + y * xy,    from_y = y0 + x * yx + y * yy,

and a colour where that lies outside. All steps amount to six whole numbers a picture, and
nothing is left to do but to fetch pixels and to make floats of them, many at a time.
"""

import numba
import numpy as np
from numba import prange

from minidl.kernels.augment import program as p
from minidl.kernels.augment.gather import (
    LANES,
    as_floats,
    channel,
    floats_at,
    offsets,
    prefetch,
    words_at,
)
from minidl.kernels.jit import jit, threaded
from minidl.kernels.vectors import fma, load, splat, store, zeros

# See `minidl.kernels.augment.cpu`: what is cut down to whole numbers must be rounded as Pillow
# rounds it.
jit_exact = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")

_CHUNK = 16  # pictures that a thread takes at once
_LINES = 16  # of a picture at a time: the next are found while memory still takes these
_LARGEST = 4096  # pixels to a side: places in fixed point, and offsets, fit into 32 bits
_ONE = 65536
_WORD, _LINE, _AHEAD = 4, 64, 4096  # bytes: a pixel's, a cache line's, and of the next picture
_FLIPS = (p.FLIP_HORIZONTAL, p.FLIP_VERTICAL)


def only_moves(pictures: np.ndarray, program: np.ndarray) -> bool:
    """Whether `move_pictures` can execute ``program``: by what the steps are, and sizes."""
    *steps, last = program
    exposing = [row for row in steps if row[p.OPCODE] not in _FLIPS]
    return (
        last[p.OPCODE] == p.TO_FLOAT
        and len(exposing) <= 1
        and all(_shows_pixels(row) for row in exposing)
        and last[p.WIDTH] >= LANES
        and max(*pictures.shape[1:3], last[p.HEIGHT], last[p.WIDTH]) <= _LARGEST
    )


def _shows_pixels(row: np.ndarray) -> bool:
    plain = row[p.OPCODE] == p.WINDOW and row[p.OPTION] == p.CONSTANT
    return plain or row[p.OPCODE] == p.ROTATE_NEAREST


@threaded
def move_pictures(pictures, indices, program, parameters, table, out):
    """Execute ``program`` on ``pictures[indices]``; all arrays are contiguous."""
    count, size = len(indices), pictures[0].size
    _, height, width, channels = pictures.shape
    every = pictures.reshape(-1)
    by_arithmetic = _is_division(table)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        last = np.empty(size + _WORD, np.uint8)  # a pixel is read with what follows it
        places = np.empty(_LINES * out.shape[3], np.int32)
        for i in range(chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)):
            # A data set does not fit into the cache, and the next picture lies anywhere in it.
            following = indices[min(i + 1, count - 1)] * size
            for j in range(0, min(size, _AHEAD), _LINE):
                prefetch(every, following + j)
            picture = every[indices[i] * size :]
            if len(picture) == size:  # of all pictures the last one, behind which is nothing
                last[:size] = picture
                picture = last
            moves, colour = _whence(height, width, program, parameters[i])
            for top in range(0, out.shape[2], _LINES):
                shape = min(_LINES, out.shape[2] - top), out.shape[3]
                _find(places, moves, height, width, channels, top, shape)
                pixels = places[: shape[0] * shape[1]]
                first = top * shape[1]
                _fill(out[i], first, picture, pixels, size, colour, table, by_arithmetic)


# --------------------------------------------------------------------- which pixel is seen where


@jit
def _whence(height, width, program, parameters):
    """((x0, xx, xy), (y0, yx, yy)) and the colour outside as a word: all steps in one."""
    columns, lines, colour = (0, _ONE, 0), (0, 0, _ONE), (0, 0, 0)
    for row in program[:-1]:
        opcode, values = row[p.OPCODE], parameters[int(row[p.COLUMN]) :]
        if opcode == p.FLIP_HORIZONTAL:
            if values[0] != 0:
                columns, lines = _flipped(columns, width), _flipped(lines, width)
        elif opcode == p.FLIP_VERTICAL:
            if values[0] != 0:
                columns, lines = _turned_over(columns, height), _turned_over(lines, height)
        else:
            colour = _colour(row)
            if opcode == p.WINDOW:
                new_height, new_width = int(row[p.HEIGHT]), int(row[p.WIDTH])
                # A window that has left the picture may as well stand right beside it.
                top = min(max(int(values[0]), -new_height), height)
                left = min(max(int(values[1]), -new_width), width)
                columns, lines = _shifted(columns, left, top), _shifted(lines, left, top)
                height, width = new_height, new_width
            else:
                along, down = _rotation(height, width, values[0], values[1])
                columns = _after_flip(along, width) if columns[1] < 0 else along
                lines = _after_flip(down, height) if lines[2] < 0 else down
    return (columns, lines), np.int32(colour[0] | colour[1] << 8 | colour[2] << 16)


@jit
def _flipped(place, width):
    return place[0] + (width - 1) * place[1], -place[1], place[2]


@jit
def _turned_over(place, height):
    return place[0] + (height - 1) * place[2], place[1], -place[2]


@jit
def _shifted(place, left, top):
    return place[0] + left * place[1] + top * place[2], place[1], place[2]


@jit
def _after_flip(place, size):
    """``size - 1 - place`` of the whole numbers before the point, in fixed point."""
    return size * _ONE - 1 - place[0], -place[1], -place[2]


@jit_exact
def _rotation(height, width, cosine, sine):
    """Whence a turned picture's pixels come, as Pillow rounds it."""
    dx = width / 2 - cosine * width / 2 - sine * height / 2
    dy = height / 2 + sine * width / 2 - cosine * height / 2
    start_x = _fixed(dx + cosine * 0.5 + sine * 0.5)
    start_y = _fixed(dy - sine * 0.5 + cosine * 0.5)
    return (start_x, _fixed(cosine), _fixed(sine)), (start_y, _fixed(-sine), _fixed(cosine))


@jit_exact
def _fixed(value):
    return int(np.floor(value * _ONE + 0.5))


@jit
def _colour(row):
    return int(row[p.FIRST]), int(row[p.FIRST + 1]), int(row[p.FIRST + 2])


# -------------------------------------------------------------------------- pixels become floats


@jit
def _find(places, moves, height, width, channels, top, shape):
    """For each pixel of some lines, where in a picture's bytes it is; outside, their number."""
    (x0, xx, xy), (y0, yx, yy) = moves
    lines, new_width = shape
    for line in range(lines):
        y = top + line
        for left in range(0, new_width, LANES):
            x = min(left, new_width - LANES)  # the last vector overlaps the one before
            found = offsets(
                np.int32(x0 + x * xx + y * xy),
                np.int32(y0 + x * yx + y * yy),
                np.int32(xx),
                np.int32(yx),
                np.int32(width),
                np.int32(height),
                np.int32(channels),
                np.int32(height * width * channels),
            )
            store(places, line * new_width + x, found)


@jit
def _fill(out, first, picture, places, outside, colour, table, by_arithmetic):
    """Fetch the pixels from their places, or the colour outside, and write them as floats."""
    flat, plane, count = out.reshape(-1), out[0].size, len(places)
    for start in range(0, count, LANES):
        i = min(start, count - LANES)
        words = words_at(picture, load(places, i), np.int32(outside), colour)
        i += first
        _write(flat, i, channel(words, 0), table[0], by_arithmetic)
        if len(out) == 3:
            _write(flat, i + plane, channel(words, 1), table[1], by_arithmetic)
            _write(flat, i + 2 * plane, channel(words, 2), table[2], by_arithmetic)


@jit
def _write(flat, place, values, table, by_arithmetic):
    if by_arithmetic:
        store(flat, place, _divided(values, flat))
    else:
        store(flat, place, floats_at(table, values))


@jit
def _divided(values, floats):
    """``values / 255``, to the bit, without a division: v / 255 = v / 256 + v / 255 / 256."""
    numbers = as_floats(values)
    rest = fma(numbers, splat(np.float32(1 / 255 / 256)), zeros(floats))
    return fma(numbers, splat(np.float32(1 / 256)), rest)


@jit
def _is_division(table):
    """Whether `_divided` makes the table's floats of all bytes."""
    values, made = np.empty(256, np.int32), np.empty(256, np.float32)
    for value in range(256):
        values[value] = value
    for i in range(0, 256, LANES):
        store(made, i, _divided(load(values, i), made))
    for c in range(len(table)):
        for value in range(256):
            if made[value] != table[c, value]:
                return False
    return True
