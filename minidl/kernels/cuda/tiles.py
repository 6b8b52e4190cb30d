"""Tiles of matrix products: which there are, and which one suits a product.

``include/tile.cuh`` computes with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Tile(NamedTuple):
    """The part of a product that a block computes.

    ``m`` rows by ``n`` columns, ``k`` terms of the sums at a time; a thread has ``micro`` by
    ``micro`` of the sums; ``blocks`` share a multiprocessor; ``speed`` is the part of the
    arithmetic units' peak that a full tile may hope for.
    """

    m: int
    n: int
    k: int
    micro: int
    blocks: int
    speed: float

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.m * self.n // self.micro**2

    @property
    def definitions(self) -> dict[str, int]:
        """The macros that ``tile.cuh`` asks for."""
        sizes = {"TILE_M": self.m, "TILE_N": self.n, "TILE_K": self.k}
        return sizes | {"MICRO_M": self.micro, "MICRO_N": self.micro, "TILE_BLOCKS": self.blocks}

    def count(self, rows: int, columns: int) -> int:
        """How many tiles cover a product of this size."""
        return -(-rows // self.m) * -(-columns // self.n)


NARROW = Tile(16, 128, 8, 4, 4, speed=0.4)
"""For few rows."""
SMALL = Tile(64, 64, 16, 4, 2, speed=0.6)
MEDIUM = Tile(64, 128, 8, 8, 3, speed=0.85)
LARGE = Tile(128, 128, 8, 8, 2, speed=1.0)

MULTIPROCESSORS = 132
"""How many blocks should be at work at least: an H100's, for the choice of the tile and of the
order of sums must not depend on the device."""


def fastest(tiles: Sequence[Tile], rows: int, columns: int, products: int) -> Tile:
    """The tile that should finish ``products`` of this size first.

    Every multiprocessor has so many whole tiles to compute, whatever is really in them.
    """

    def time(tile: Tile) -> float:
        rounds = -(-tile.count(rows, columns) * products // MULTIPROCESSORS)
        return rounds * tile.m * tile.n / tile.speed

    return min(tiles, key=time)
