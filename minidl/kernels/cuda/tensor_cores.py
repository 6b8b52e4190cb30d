"""Tensor cores: who has them, and their tiles of a matrix product.

``include/tile_mma.cuh`` computes with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import device_of
from minidl.kernels.cuda.arguments import address
from minidl.kernels.cuda.tiles import Tile

CHUNK = 8
"""Numbers that are read together: so many must lie side by side, at an even address."""

ARCHITECTURE = 80
"""The lowest compute capability whose tensor cores these are."""


class TensorTile(NamedTuple):
    """The part of a product that a block of four warps computes; see `Tile`."""

    m: int
    n: int
    blocks: int
    speed: float

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 128

    @property
    def definitions(self) -> dict[str, int]:
        """The macros that ``tile_mma.cuh`` asks for."""
        sizes = {"TILE_M": self.m, "TILE_N": self.n, "TILE_BLOCKS": self.blocks}
        return {"TENSOR_CORES": 1} | sizes

    count = Tile.count


SMALL = TensorTile(64, 64, 4, speed=0.6)
MEDIUM = TensorTile(64, 128, 3, speed=0.85)
LARGE = TensorTile(128, 128, 2, speed=1.0)


def variants(tiles: Iterable[TensorTile]) -> list[dict[str, Any]]:
    """What a `.cu` file that includes ``product.cuh`` is compiled with for these tiles."""
    return [{"ELEMENT": "__half", **tile.definitions, "arch": ARCHITECTURE} for tile in tiles]


def serve(array: Any) -> bool:
    """Whether there are tensor cores for numbers like those of ``array``, on its device."""
    if array.dtype != np.float16:
        return False
    if device_of(array).type == "emulator":
        return True
    return int(array.device.compute_capability) >= ARCHITECTURE


def is_aligned(array: Any) -> bool:
    """Whether the first number of ``array`` begins a chunk."""
    return address(array) % (CHUNK * array.itemsize) == 0
