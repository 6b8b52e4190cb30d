"""Augmentation in Numba: threads over pictures, one packed word a pixel.

A picture's bytes are packed into 32-bit words, red lowest, so that a step that moves pixels
moves one number instead of three. Two scratch pictures are enough for a chain of any length;
the floats are written where they belong, without another copy. Chains that only move pixels
have a faster way, in `moves`: which way is taken follows from the program's steps and sizes.

The arithmetic is the reference's; where that rounds to float32, so does this.
"""

import math

import numba
import numpy as np
from numba import prange

from minidl.kernels.augment import program as p
from minidl.kernels.augment.moves import move_pictures, only_moves
from minidl.kernels.augment.reference import final_size
from minidl.kernels.jit import jit, threaded

# Pillow cuts values down to whole numbers: where that happens, a multiply-add that rounds once
# and not twice would now and then give another number than Pillow and the reference. (Unless
# told otherwise, Numba compiles a function with the flags of the one that calls it.)
jit_exact = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")

_CHUNK = 16  # pictures that share their scratch memory
_LINE = 64  # bytes


def augment_pictures(
    pictures: np.ndarray,
    indices: np.ndarray,
    program: np.ndarray,
    parameters: np.ndarray,
    table: np.ndarray,
) -> np.ndarray:
    """Apply a program to some of ``pictures``; see the reference."""
    p.check(pictures, indices, program, parameters, table)
    if not (pictures.flags.c_contiguous and pictures.flags.writeable):
        # Another kind of array means another compilation: copy the pictures that are wanted.
        pictures, indices = np.ascontiguousarray(pictures[indices]), np.arange(len(indices))
    height, width = final_size(program)
    arguments = (
        pictures,
        np.ascontiguousarray(indices, np.int64),
        np.ascontiguousarray(program, np.float64),
        np.ascontiguousarray(parameters, np.float64),
        np.ascontiguousarray(table, np.float32),
    )
    out = _empty(len(indices), pictures.shape[3], height, width)
    if only_moves(pictures, program):
        move_pictures(2 * out.size, *arguments, out)
        return out
    _, full_height, full_width, _ = pictures.shape
    sizes = program[:, p.HEIGHT] * program[:, p.WIDTH]
    scratch = int(max(full_height * full_width, sizes.max()))
    _augment(8 * len(program) * scratch * len(indices), *arguments, scratch, out)
    return out


def _empty(*shape: int) -> np.ndarray:
    """Floats that begin at a cache line: to write vectors across lines takes twice as long."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(np.float32).reshape(shape)


@threaded
def _augment(pictures, indices, program, parameters, table, scratch, out):
    count = len(indices)
    for chunk in prange((count + _CHUNK - 1) // _CHUNK):
        here, there = np.empty(scratch, np.uint32), np.empty(scratch, np.uint32)
        for i in range(chunk * _CHUNK, min(count, (chunk + 1) * _CHUNK)):
            _one(pictures[indices[i]], program, parameters[i], table, here, there, out[i])


@jit
def _one(picture, program, parameters, table, here, there, out):
    height, width, channels = picture.shape
    _pack(picture, here)
    done = 0
    while program[done, p.OPCODE] != p.TO_FLOAT:
        row = program[done]
        values = parameters[int(row[p.COLUMN]) :]
        if _step(here, there, height, width, channels, row, values):
            here, there = there, here
        height, width = int(row[p.HEIGHT]), int(row[p.WIDTH])
        done += 1
    _to_float(here, table, out)
    for row in program[done + 1 :]:
        if row[p.OPCODE] == p.ERASE:
            _erase(out, row, parameters[int(row[p.COLUMN]) :])
        elif row[p.OPCODE] == p.NORMALIZE:
            _normalize(out, row)


@jit
def _step(here, there, height, width, channels, row, values):
    """One step on packed pixels; whether its result is ``there`` (or still ``here``)."""
    opcode = int(row[p.OPCODE])
    if opcode == p.FLIP_HORIZONTAL:
        return values[0] != 0 and _flip_horizontal(here, there, height, width)
    if opcode == p.FLIP_VERTICAL:
        return values[0] != 0 and _flip_vertical(here, there, height, width)
    if opcode == p.ROTATE_NEAREST:
        return _rotate_nearest(here, there, height, width, values[0], values[1], _colour(row))
    if opcode == p.ROTATE_BILINEAR:
        return _rotate_bilinear(here, there, height, width, values[0], values[1], _colour(row))
    if opcode == p.WINDOW:
        return _window(here, there, height, width, row, values, _colour(row))
    if opcode == p.JITTER:
        return _jitter(here[: height * width], channels, values)
    return False


# ------------------------------------------------------------------------------------- pixels


@jit
def _packed(red, green, blue):
    return np.uint32(int(red) | int(green) << 8 | int(blue) << 16)


@jit
def _byte(word, channel):
    return int(word >> np.uint32(8 * channel)) & 255


@jit
def _colour(row):
    return _packed(row[p.FIRST], row[p.FIRST + 1], row[p.FIRST + 2])


@jit
def _pack(picture, words):
    height, width, channels = picture.shape
    flat = picture.reshape(height * width, channels)
    if channels == 1:
        for i in range(height * width):
            words[i] = flat[i, 0]
    else:
        for i in range(height * width):
            words[i] = _packed(flat[i, 0], flat[i, 1], flat[i, 2])


@jit
def _to_float(words, table, out):
    channels, height, width = out.shape
    for c in range(channels):
        plane, values = out[c].reshape(height * width), table[c]
        for i in range(height * width):
            plane[i] = values[_byte(words[i], c)]


# ---------------------------------------------------------------------------- where pixels go


@jit
def _flip_horizontal(here, there, height, width):
    for y in range(height):
        start = y * width
        for x in range(width):
            there[start + x] = here[start + width - 1 - x]
    return True


@jit
def _flip_vertical(here, there, height, width):
    for y in range(height):
        there[y * width : (y + 1) * width] = here[(height - 1 - y) * width :][:width]
    return True


@jit_exact
def _offset_x(height, width, cosine, sine):
    return width / 2 - cosine * width / 2 - sine * height / 2


@jit_exact
def _offset_y(height, width, cosine, sine):
    return height / 2 + sine * width / 2 - cosine * height / 2


@jit_exact
def _fixed(value):
    return int(np.floor(value * 65536 + 0.5))


@jit_exact
def _rotate_nearest(here, there, height, width, cosine, sine, colour):
    """Step through the source in 16.16 fixed point, as Pillow does."""
    start_x = _fixed(_offset_x(height, width, cosine, sine) + cosine * 0.5 + sine * 0.5)
    start_y = _fixed(_offset_y(height, width, cosine, sine) - sine * 0.5 + cosine * 0.5)
    right, down = _fixed(cosine), _fixed(sine)
    up = _fixed(-sine)
    for y in range(height):
        from_x, from_y = start_x + y * down, start_y + y * right
        for x in range(width):
            column, line = from_x >> 16, from_y >> 16
            if 0 <= column < width and 0 <= line < height:
                there[y * width + x] = here[line * width + column]
            else:
                there[y * width + x] = colour
            from_x += right
            from_y += up
    return True


@jit_exact
def _rotate_bilinear(here, there, height, width, cosine, sine, colour):
    dx, dy = _offset_x(height, width, cosine, sine), _offset_y(height, width, cosine, sine)
    for y in range(height):
        for x in range(width):
            from_x = cosine * (x + 0.5) + sine * (y + 0.5) + dx
            from_y = -sine * (x + 0.5) + cosine * (y + 0.5) + dy
            if 0 <= from_x < width and 0 <= from_y < height:
                there[y * width + x] = _mixed(here, height, width, from_x - 0.5, from_y - 0.5)
            else:
                there[y * width + x] = colour
    return True


@jit_exact
def _mixed(words, height, width, x, y):
    """The colour between the four pixels around (x, y)."""
    left, top = int(np.floor(x)), int(np.floor(y))
    x0, x1 = max(left, 0), min(left + 1, width - 1)
    y0, y1 = max(top, 0), min(top + 1, height - 1)
    mixed = np.uint32(0)
    for c in range(3):
        above = _between(
            _byte(words[y0 * width + x0], c), _byte(words[y0 * width + x1], c), x - left
        )
        below = _between(
            _byte(words[y1 * width + x0], c), _byte(words[y1 * width + x1], c), x - left
        )
        mixed |= np.uint32(int(_between(above, below, y - top)) << 8 * c)
    return mixed


@jit_exact
def _between(first, second, share):
    return first + (second - first) * share


@jit
def _window(here, there, height, width, row, values, colour):
    mode, top, left = int(row[p.OPTION]), int(values[0]), int(values[1])
    new_height, new_width = int(row[p.HEIGHT]), int(row[p.WIDTH])
    for y in range(new_height):
        line = _source(top + y, height, mode)
        for x in range(new_width):
            column = _source(left + x, width, mode)
            if line >= 0 and column >= 0:
                there[y * new_width + x] = here[line * width + column]
            else:
                there[y * new_width + x] = colour
    return True


@jit
def _source(position, size, mode):
    """Which row (or column) is seen at a position; -1 where it is the colour outside."""
    if 0 <= position < size:
        return position
    if mode == p.CONSTANT:
        return -1
    if mode == p.REFLECT and size > 1:
        return size - 1 - abs(position % (2 * (size - 1)) - (size - 1))
    if mode == p.SYMMETRIC:
        folded = position % (2 * size)
        return min(folded, 2 * size - 1 - folded)
    return min(max(position, 0), size - 1)


# --------------------------------------------------------------------------- what colours are


@jit
def _jitter(words, channels, values):
    for turn in range(4):
        kind = int(values[turn])
        if kind == p.NO_ADJUSTMENT:
            continue
        factor = values[4 + kind]
        if kind == p.BRIGHTNESS:
            _blend_all(words, channels, 0, factor)
        elif kind == p.CONTRAST:
            _blend_all(words, channels, _mean_grey(words, channels), factor)
        elif kind == p.SATURATION and channels == 3:
            for i in range(len(words)):
                words[i] = _blend_pixel(_grey(words[i], channels), words[i], factor)
        elif kind == p.HUE and channels == 3:
            for i in range(len(words)):
                words[i] = _turned(words[i], int(factor * 255))
    return False


@jit_exact
def _blend(first, second, factor):
    product = np.float32(factor) * np.float32(second - first)
    return int(min(max(np.float32(first) + product, np.float32(0)), np.float32(255)))


@jit
def _blend_pixel(grey, word, factor):
    red, green, blue = _byte(word, 0), _byte(word, 1), _byte(word, 2)
    return _packed(
        _blend(grey, red, factor), _blend(grey, green, factor), _blend(grey, blue, factor)
    )


@jit
def _blend_all(words, channels, grey, factor):
    # A byte has 256 values: blending each of them once is less than blending every pixel.
    blended = np.empty(256, np.uint32)
    for value in range(256):
        blended[value] = _blend(grey, value, factor)
    for i in range(len(words)):
        word = blended[_byte(words[i], 0)]
        if channels == 3:
            word |= blended[_byte(words[i], 1)] << np.uint32(8)
            word |= blended[_byte(words[i], 2)] << np.uint32(16)
        words[i] = word


@jit
def _grey(word, channels):
    if channels == 1:
        return _byte(word, 0)
    return (_byte(word, 0) * 19595 + _byte(word, 1) * 38470 + _byte(word, 2) * 7471 + 0x8000) >> 16


@jit
def _mean_grey(words, channels):
    total = 0
    for i in range(len(words)):
        total += _grey(words[i], channels)
    return int(total / len(words) + 0.5)


@jit_exact
def _turned(word, shift):
    """The colour with its hue, a byte, moved on by ``shift``."""
    red, green, blue = _byte(word, 0), _byte(word, 1), _byte(word, 2)
    top = max(red, green, blue)
    spread = top - min(red, green, blue)
    hue = (_hue(red, green, blue, top, spread) + shift) % 256
    saturation = int(np.float32(spread) / np.float32(max(top, 1)) * 255.0)
    return _from_hsv(hue, saturation, top)


@jit_exact
def _hue(red, green, blue, top, spread):
    if spread == 0:
        return 0
    span = np.float32(spread)
    r, g, b = (
        np.float32(top - red) / span,
        np.float32(top - green) / span,
        np.float32(top - blue) / span,
    )
    if red == top:
        sector = np.float32(b - g)
    elif green == top:
        sector = np.float32(2.0 + r - b)
    else:
        sector = np.float32(4.0 + g - r)
    turn = sector / 6.0 + 1.0
    return int(np.float32(turn - np.floor(turn)) * 255.0)


@jit_exact
def _from_hsv(hue, saturation, value):
    turn = hue * 6.0 / 255.0
    sector = int(np.floor(turn))
    rest, share = float(np.float32(turn - sector)), float(np.float32(saturation / 255.0))
    low = _rounded(value * (1.0 - share))
    falling = _rounded(value * (1.0 - share * rest))
    rising = _rounded(value * (1.0 - share * (1.0 - rest)))
    sector %= 6
    if sector == 0:
        return _packed(value, rising, low)
    if sector == 1:
        return _packed(falling, value, low)
    if sector == 2:
        return _packed(low, value, rising)
    if sector == 3:
        return _packed(low, falling, value)
    if sector == 4:
        return _packed(rising, low, value)
    return _packed(value, low, falling)


@jit_exact
def _rounded(value):
    return int(np.floor(value + 0.5))


# ---------------------------------------------------------------------------------- on floats


@jit
def _erase(out, row, values):
    top, left, height, width = int(values[0]), int(values[1]), int(values[2]), int(values[3])
    for c in range(len(out)):
        out[c, top : top + height, left : left + width] = row[p.FIRST + c]


@jit_exact
def _normalize(out, row):
    for c in range(len(out)):
        mean, deviation = np.float32(row[p.FIRST + c]), np.float32(row[p.SECOND + c])
        plane = out[c]
        for y in range(plane.shape[0]):
            for x in range(plane.shape[1]):
                plane[y, x] = (plane[y, x] - mean) / deviation
