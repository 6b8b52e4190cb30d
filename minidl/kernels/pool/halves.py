"""The largest of windows of 2 by 2 side by side, the commonest pooling, a vector of them at a time.

Which of four numbers is the largest nobody can guess, and a branch that is guessed wrong takes as
long as ten windows. So nothing branches here: comparisons make masks, and masks choose.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from minidl.kernels.jit import inner, jit, shared
from minidl.kernels.share import share
from minidl.kernels.vectors import Memory, everywhere, lanes

_NUMBERS = 4096  # about how many of the input are a piece of work


@intrinsic
def _put_largest(_typing, x, upper, lower, width, corner, y, indices, to):
    """The maxima of a vector of windows, at ``y[to]`` and on, and their places in the plane.

    The windows' lines begin at ``x[upper]`` and ``x[lower]``, and their first place is ``corner``.
    """

    def generate(context, builder, _signature, args):
        memory, maxima = (Memory(context, builder, kind, args[i]) for kind, i in ((x, 0), (y, 5)))
        best, *others = _corners(builder, memory, args[1], args[2])
        width = builder.trunc(args[3], ir.IntType(32))
        steps = (width.type(1), width, builder.add(width, width.type(1)))
        chosen = ir.VectorType(width.type, best.type.count)
        offset = ir.Constant(chosen, list(range(0, 2 * chosen.count, 2)))
        where = offset
        for number, step in zip(others, steps):
            larger = builder.fcmp_ordered(">", number, best)
            better = builder.or_(larger, builder.fcmp_unordered("uno", number, number))
            best = builder.select(better, number, best)
            place = builder.add(offset, everywhere(builder, step, chosen))
            where = builder.select(better, place, where)
        maxima.store(args[7], best)
        wide = ir.VectorType(args[4].type, chosen.count)
        place = builder.add(builder.sext(where, wide), everywhere(builder, args[4], wide))
        to = builder.gep(context.make_array(indices)(context, builder, args[6]).data, [args[7]])
        builder.store(place, builder.bitcast(to, wide.as_pointer()), align=8)
        return context.get_dummy_value()

    n = types.intp
    return types.void(x, n, n, n, n, y, indices, n), generate


def _corners(builder, memory, upper, lower):
    """The numbers of a vector of windows: upper left, upper right, lower left and lower right."""
    count = memory.vector.count
    index = ir.VectorType(ir.IntType(32), count)
    for line in (upper, lower):
        halves = memory.load(line), memory.load(builder.add(line, line.type(count)))
        for side in (0, 1):
            every_other = ir.Constant(index, list(range(side, 2 * count, 2)))
            yield builder.shuffle_vector(*halves, every_other)


@jit
def _planes(x):
    """The channels of all pictures one after the other."""
    return x.reshape((x.shape[0] * x.shape[1], x.shape[2], x.shape[3]))


@inner
def _lines(piece, x, y, indices, count):
    """``count`` lines of maxima, or as many as are left."""
    high, wide = y.shape[1:]
    height, width = x.shape[1:]
    numbers, maxima, places = x.reshape(x.size), y.reshape(y.size), indices.reshape(y.size)
    step = lanes(x)
    lines = np.zeros(4 * step, x.dtype)
    best, found = np.empty(step, x.dtype), np.empty(step, np.int64)
    first = piece * count
    last = min(first + count, len(y) * high)
    for line in range(first, last):
        plane, row = divmod(line, high)
        corner, to = 2 * row * width, line * wide
        at = plane * height * width + corner
        if wide >= step:
            for j in range(0, wide, step):
                k = min(j, wide - step)  # the last ones are compared again, if there are too few
                upper, first_place = at + 2 * k, corner + 2 * k
                lower = upper + width
                _put_largest(numbers, upper, lower, width, first_place, maxima, places, to + k)
        elif to + step <= last * wide and at + width + 2 * step <= x.size:
            # what reaches over the line's end, the next lines overwrite
            _put_largest(numbers, at, at + width, width, corner, maxima, places, to)
        else:
            for j in range(2 * wide):
                lines[j], lines[2 * step + j] = numbers[at + j], numbers[at + width + j]
            _put_largest(lines, 0, 2 * step, width, corner, best, found, 0)
            for j in range(wide):
                maxima[to + j], places[to + j] = best[j], found[j]


@shared
def max_pool2d_by_two(team, x, y, indices):
    """Fill y and ``indices``; no window is cut off at an edge."""
    x, y, indices = _planes(x), _planes(y), _planes(indices)
    count = max(1, _NUMBERS // x.shape[2])
    share(team, (len(y) * y.shape[1] + count - 1) // count, _lines, (x, y, indices, count))
