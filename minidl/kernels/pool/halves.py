"""The largest of windows of 2 by 2 side by side, the commonest pooling, a vector of them at a time.

Which of four numbers is the largest nobody can guess, and a branch that is guessed wrong takes as
long as ten windows. So nothing branches here: comparisons make masks, and masks choose.
"""

from __future__ import annotations

import numpy as np

from minidl.kernels.jit import inner, shared
from minidl.kernels.share import share
from minidl.kernels.tiles import load_row, pairs, store_maxima
from minidl.kernels.vectors import lanes

_NUMBERS = 4096  # about how many of the input are a piece of work


@inner
def _vector(x, upper, lower, y, indices, to, corner, width):
    """The maxima of windows whose lines begin at ``x[upper]`` and ``x[lower]``."""
    (a, b), (c, d) = pairs(load_row(x, upper, 2)), pairs(load_row(x, lower, 2))
    store_maxima(y, indices, to, (a, b, c, d), corner, width)


@inner
def _lines(piece, x, y, indices, count):
    """``count`` lines of maxima, or as many as are left."""
    high, wide = y.shape[2:]
    height, width = x.shape[2:]
    numbers, maxima, places = x.reshape(x.size), y.reshape(y.size), indices.reshape(y.size)
    step = lanes(x)
    first = piece * count
    last = min(first + count, y.shape[0] * y.shape[1] * high)
    for line in range(first, last):
        plane, row = divmod(line, high)
        corner, to = 2 * row * width, line * wide
        at = plane * height * width + corner
        if wide >= step:
            for j in range(0, wide, step):
                k = min(j, wide - step)  # the last ones are compared again, if there are too few
                one, below = at + 2 * k, at + 2 * k + width
                _vector(numbers, one, below, maxima, places, to + k, corner + 2 * k, width)
        elif to + step <= last * wide and at + width + 2 * step <= x.size:
            # what reaches over the line's end, the next lines overwrite
            _vector(numbers, at, at + width, maxima, places, to, corner, width)
        else:
            lines = np.zeros(4 * step, x.dtype)
            best, found = np.empty(step, x.dtype), np.empty(step, np.int64)
            for j in range(2 * wide):
                lines[j], lines[2 * step + j] = numbers[at + j], numbers[at + width + j]
            _vector(lines, 0, 2 * step, best, found, 0, corner, width)
            for j in range(wide):
                maxima[to + j], places[to + j] = best[j], found[j]


@shared
def max_pool2d_by_two(team, x, y, indices):
    """Fill y (n, c, i, j), and its places in planes of x; no window is cut off at an edge."""
    count = max(1, _NUMBERS // x.shape[3])
    lines = y.shape[0] * y.shape[1] * y.shape[2]
    share(team, (lines + count - 1) // count, _lines, (x, y, indices, count))
