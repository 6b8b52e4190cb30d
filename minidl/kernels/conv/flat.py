"""Convolution as a flat correlation: the loops.

Write each channel of a zero-padded picture as one long row of numbers, pixel after pixel,
``pitch`` of them to a line. Then a filter tap is a fixed offset into that row,

    y[o, p] = sum over k of w[o, k] * x[p + offset[k]],     k = (channel, row, column of the tap)

for *every* output position p at once. No line ends, so every load is contiguous and one
register tile (four channels by three vectors of positions) serves all shapes. The positions
between the lines of the output are computed, too, and thrown away. To keep them few,
neighbouring lines share their padding, and so do neighbouring pictures.

- Dilation changes the offsets and nothing else.
- With a stride, pixels that are a stride apart are laid side by side, in one plane for each
  remainder (row % stride, column % stride): there the correlation has stride 1.
- The filter's gradient is a dot product over the same positions,
  ``dw[o, k] = sum over p of g[o, p] * x[p + offset[k]]``, with g zero between the lines.

Several pictures are laid behind each other in a chunk of about a thousand positions: long
enough to forget the ends of the loops, short enough for the second-level cache. Chunks are
what threads share, and their size depends on the shapes only.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from minidl.kernels.conv.simd import fma, lanes, load, splat, store, total, zeros
from minidl.kernels.jit import jit, threaded

# The register tile of the forward pass is BLOCK channels by VECTORS vectors of positions, that
# of the filter's gradient BLOCK channels by TAPS taps: 12 sums, what 16 registers have room for.
BLOCK = 4
VECTORS = 3
TAPS = 3


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


@jit
def _offsets(channels, height, width, grid):
    """The offset of each tap from the position of its output, padded to a multiple of TAPS."""
    taps = channels * height * width
    offsets = np.zeros((taps + TAPS - 1) // TAPS * TAPS, np.int64)
    plane = grid.pictures * grid.rows * grid.pitch
    k = 0
    for c in range(channels):
        for r in range(height):
            for s in range(width):
                row, phase_h = divmod(r * grid.dilation_h, grid.stride_h)
                column, phase_w = divmod(s * grid.dilation_w, grid.stride_w)
                phase = (c * grid.stride_h + phase_h) * grid.stride_w + phase_w
                offsets[k] = phase * plane + row * grid.pitch + column
                k += 1
    return offsets


@jit
def _spread(x, first, count, height, width, grid):
    """``count`` pictures of x, padded, one plane per channel and remainder of the stride."""
    channels = x.shape[1]
    area = grid.rows * grid.pitch
    plane = grid.pictures * area
    phases = grid.stride_h * grid.stride_w
    # the last positions' taps, and the last tile's, reach over the end
    reach = (height * grid.dilation_h + 1) * grid.pitch + width * grid.dilation_w
    flat = np.zeros(channels * phases * plane + reach + VECTORS * lanes(x), x.dtype)
    for c in range(channels):
        for n in range(count):
            for i in range(x.shape[2]):
                row, phase_h = divmod(i + grid.top, grid.stride_h)
                for phase_w in range(grid.stride_w):
                    start = (phase_w - grid.left) % grid.stride_w
                    phase = (c * grid.stride_h + phase_h) * grid.stride_w + phase_w
                    to = phase * plane + n * area + row * grid.pitch
                    to += (start + grid.left) // grid.stride_w
                    for j in range((x.shape[3] - start + grid.stride_w - 1) // grid.stride_w):
                        flat[to + j] = x[first + n, c, i, start + j * grid.stride_w]
    return flat


# --------------------------------------------------------------------------- forward


@jit
def _pack(w, groups):
    """Filters as (group, block of four, tap, filter of the block), flat, short blocks padded."""
    per_group = w.shape[0] // groups
    blocks = (per_group + BLOCK - 1) // BLOCK
    taps = w.size // w.shape[0]
    filters = w.reshape(w.shape[0], taps)
    packed = np.zeros(groups * blocks * taps * BLOCK, w.dtype)
    for block in range(groups * blocks):
        first = block // blocks * per_group + block % blocks * BLOCK
        filled = min(BLOCK, per_group - block % blocks * BLOCK)
        for k in range(taps):
            for lane in range(filled):
                packed[(block * taps + k) * BLOCK + lane] = filters[first + lane, k]
    return packed


@jit
def _tile(x, start, offsets, taps, w, at, y, to, plane):
    """Four channels' results at three vectors of positions."""
    a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = d0 = d1 = d2 = zeros(x)
    step = lanes(x)
    for k in range(taps):
        p = start + offsets[k]
        x0, x1, x2 = load(x, p), load(x, p + step), load(x, p + 2 * step)
        q = at + BLOCK * k
        v = splat(w[q])
        a0, a1, a2 = fma(v, x0, a0), fma(v, x1, a1), fma(v, x2, a2)
        v = splat(w[q + 1])
        b0, b1, b2 = fma(v, x0, b0), fma(v, x1, b1), fma(v, x2, b2)
        v = splat(w[q + 2])
        c0, c1, c2 = fma(v, x0, c0), fma(v, x1, c1), fma(v, x2, c2)
        v = splat(w[q + 3])
        d0, d1, d2 = fma(v, x0, d0), fma(v, x1, d1), fma(v, x2, d2)
    _store3(y, to, a0, a1, a2)
    _store3(y, to + plane, b0, b1, b2)
    _store3(y, to + 2 * plane, c0, c1, c2)
    _store3(y, to + 3 * plane, d0, d1, d2)


@jit
def _store3(y, to, v0, v1, v2):
    step = lanes(y)
    store(y, to, v0)
    store(y, to + step, v1)
    store(y, to + 2 * step, v2)


@jit
def _gather(flat, plane, bias, y, first, count, groups, grid):
    """The results' lines out of the flat planes, the bias added."""
    per_group = y.shape[1] // groups
    padded = (per_group + BLOCK - 1) // BLOCK * BLOCK
    for n in range(count):
        for o in range(y.shape[1]):
            at = (o // per_group * padded + o % per_group) * plane + n * grid.rows * grid.pitch
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    y[first + n, o, i, j] = flat[at + i * grid.pitch + j] + bias[o]


@threaded
def correlate(x, w, bias, y, groups, grid):
    """Fill y with the correlation of x and w, chunk by chunk."""
    channels, height, width = w.shape[1:]
    taps = channels * height * width
    blocks = (w.shape[0] // groups + BLOCK - 1) // BLOCK
    offsets = _offsets(channels, height, width, grid)
    packed = _pack(w, groups)
    tile = VECTORS * lanes(x)
    area = grid.rows * grid.pitch
    used = (y.shape[2] - 1) * grid.pitch + y.shape[3]
    alone = (used + tile - 1) // tile * tile < area  # skipping the rest of a picture pays
    group_size = channels * grid.stride_h * grid.stride_w * grid.pictures * area
    for chunk in prange((x.shape[0] + grid.pictures - 1) // grid.pictures):
        first = chunk * grid.pictures
        count = min(grid.pictures, x.shape[0] - first)
        plane = (count * area + tile - 1) // tile * tile
        flat = _spread(x, first, count, height, width, grid)
        result = np.empty(groups * blocks * BLOCK * plane, x.dtype)
        for run in range(count if alone else 1):
            stop = run * area + used if alone else count * area
            for p in range(run * area, stop, tile):
                for b in range(groups * blocks):
                    start = b // blocks * group_size + p
                    to = b * BLOCK * plane + p
                    _tile(flat, start, offsets, taps, packed, b * taps * BLOCK, result, to, plane)
        _gather(result, plane, bias, y, first, count, groups, grid)


# --------------------------------------------------------------------------- filter's gradient


@jit
def _spread_gradient(g, first, count, groups, plane, grid):
    """``count`` pictures of g at the positions that `_gather` reads, zero elsewhere."""
    per_group = g.shape[1] // groups
    padded = (per_group + BLOCK - 1) // BLOCK * BLOCK
    flat = np.zeros(groups * padded * plane, g.dtype)
    for o in range(g.shape[1]):
        for n in range(count):
            to = (o // per_group * padded + o % per_group) * plane + n * grid.rows * grid.pitch
            for i in range(g.shape[2]):
                for j in range(g.shape[3]):
                    flat[to + i * grid.pitch + j] = g[first + n, o, i, j]
    return flat


@jit
def _dots(g, at, plane, x, x0, x1, x2, sums):
    """Add to ``sums`` the products of four channels of g with x at three offsets."""
    a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = d0 = d1 = d2 = zeros(x)
    for p in range(0, plane, lanes(x)):
        v0, v1, v2 = load(x, x0 + p), load(x, x1 + p), load(x, x2 + p)
        q = at + p
        u = load(g, q)
        a0, a1, a2 = fma(u, v0, a0), fma(u, v1, a1), fma(u, v2, a2)
        u = load(g, q + plane)
        b0, b1, b2 = fma(u, v0, b0), fma(u, v1, b1), fma(u, v2, b2)
        u = load(g, q + 2 * plane)
        c0, c1, c2 = fma(u, v0, c0), fma(u, v1, c1), fma(u, v2, c2)
        u = load(g, q + 3 * plane)
        d0, d1, d2 = fma(u, v0, d0), fma(u, v1, d1), fma(u, v2, d2)
    _add3(sums[0], a0, a1, a2)
    _add3(sums[1], b0, b1, b2)
    _add3(sums[2], c0, c1, c2)
    _add3(sums[3], d0, d1, d2)


@jit
def _add3(sums, v0, v1, v2):
    sums[0] += total(v0)
    sums[1] += total(v1)
    sums[2] += total(v2)


@threaded
def correlate_weight(g, x, height, width, sums, groups, grid):
    """Fill ``sums`` (part, filter, tap), each part with its share of the chunks."""
    parts, filters, taps = sums.shape
    blocks = filters // groups // BLOCK
    channels = x.shape[1] // groups
    offsets = _offsets(channels, height, width, grid)
    step = lanes(x)
    area = grid.rows * grid.pitch
    group_size = channels * grid.stride_h * grid.stride_w * grid.pictures * area
    chunks = (x.shape[0] + grid.pictures - 1) // grid.pictures
    for part in prange(parts):
        sums[part] = 0
        for chunk in range(part * chunks // parts, (part + 1) * chunks // parts):
            first = chunk * grid.pictures
            count = min(grid.pictures, x.shape[0] - first)
            plane = (count * area + step - 1) // step * step
            flat = _spread(x, first, count, height, width, grid)
            spread = _spread_gradient(g, first, count, groups, plane, grid)
            for b in range(groups * blocks):
                start = b // blocks * group_size
                f = b * BLOCK
                for k in range(0, taps, TAPS):
                    x0, x1, x2 = offsets[k], offsets[k + 1], offsets[k + 2]
                    _dots(
                        spread, f * plane, plane, flat, start + x0, start + x1, start + x2,
                        sums[part, f : f + BLOCK, k : k + TAPS],
                    )  # fmt: skip
