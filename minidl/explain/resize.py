"""Maps made larger, by bilinear interpolation between the centres of pixels."""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.tensor import Tensor


def resized(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (N, H, W) as (N, height, width) ones.

    Interpolation is linear in the map, so it is a product of matrices: ``rows @ map @ columns^T``.
    """
    rows, columns = _weights(height, maps.shape[1]), _weights(width, maps.shape[2])
    return _like(rows, maps) @ maps @ _like(columns.T, maps)


def _weights(wanted: int, given: int) -> np.ndarray:
    """(wanted, given): how much each given pixel counts in each wanted one.

    Wanted pixel i lies at ``(i + 1/2) given / wanted - 1/2`` among the given ones, or at the edge
    if that is outside; a given pixel counts by 1 less its distance.
    """
    place = (np.arange(wanted) + 0.5) * given / wanted - 0.5
    place = place.clip(0, given - 1)
    return (1 - np.abs(place[:, None] - np.arange(given))).clip(0)


def _like(weights: np.ndarray, maps: Tensor) -> Tensor:
    return ops.tensor(weights, dtype=maps.dtype, device=maps.device)
