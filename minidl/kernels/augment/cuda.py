"""Augmentation on a GPU: a block of threads for each picture, which stays in shared memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import Device, device_of, to_device, to_host, xp
from minidl.kernels.augment import program as p
from minidl.kernels.augment.reference import final_size
from minidl.kernels.cuda import Source, packed

_source = Source(__file__, "augment.cu", [{}])
_THREADS = 256  # as in augment.cu
_SHARED = 47 * 1024  # bytes of shared memory; the kernel wants some of the 48 KB for sums
_MOST_BLOCKS = 256  # with pictures in global memory: enough to fill a GPU, not its memory


def augment_pictures(pictures: Any, indices: Any, program: Any, parameters: Any, table: Any) -> Any:
    """Apply a program to some of ``pictures``: see the reference.

    What lies on the host is sent along: only ``pictures`` need be on the device. Where
    ``indices`` are there too, a picture that does not exist comes out as NaN.
    """
    program = to_host(program)
    p.check(pictures, indices, program, parameters, table)
    place, count = device_of(pictures), len(indices)
    _, height, width, channels = pictures.shape
    out = xp(pictures).empty((count, channels, *final_size(program)), np.float32)
    if not count:
        return out
    indices = _sent(indices, np.int64, place)
    if not pictures.flags.c_contiguous:
        pictures = xp(pictures).ascontiguousarray(pictures[indices])
        indices = xp(pictures).arange(count, dtype=np.int64)
    pixels = max(height * width, int((program[:, p.HEIGHT] * program[:, p.WIDTH]).max()))
    blocks, shared, scratch = count, 2 * 4 * pixels, None
    if shared > _SHARED:
        blocks, shared = min(count, _MOST_BLOCKS), 0
        scratch = xp(pictures).empty((blocks, 2, pixels), np.uint32)
    sizes = packed(
        pictures=np.int64(len(pictures)),
        shape=np.array([height, width, channels], np.int32),
        others=np.array([count, len(program), parameters.shape[1], pixels], np.int32),
    )
    numbers = _sent(program, np.float64, place), _sent(parameters, np.float64, place)
    table = _sent(table, np.float32, place)
    kernel = _source.kernel("augment", pictures)
    args = pictures, indices, *numbers, table, out, scratch, sizes
    kernel((blocks,), (_THREADS,), args, shared_mem=shared)
    return out


def _sent(array: Any, dtype: type, place: Device) -> Any:
    """``array`` on the device, in row-major order; CuPy sends it from pinned memory."""
    array = to_device(array, place)
    return xp(array).ascontiguousarray(array.astype(dtype, copy=False))
