"""How the matrices of a product lie in a device's memory."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple


class Layout(NamedTuple):
    """Matrices of ``rows`` by ``columns``, and the distances between neighbours in memory."""

    rows: int
    columns: int
    row: int
    column: int
    batch: int

    @property
    def transposed(self) -> Layout:
        """The same numbers as the transposed matrices."""
        return Layout(self.columns, self.rows, self.column, self.row, self.batch)


class Operands(NamedTuple):
    """c = a b + bias, of which each row or, ``transposed``, each column gets the same bias.

    ``bias`` are the distances in memory from row to row and from column to column. If
    ``transposed``, these are the transposed matrices, and a is the product's second factor.
    """

    a: Layout
    b: Layout
    c: Layout
    bias: tuple[int, int]
    transposed: bool


def layout(x: Any) -> Layout:
    """The layout of a row-major or transposed matrix, or of a batch of them."""
    rows, columns = x.shape[-2:]
    steps = (columns, 1) if x.flags.c_contiguous else (1, rows)
    return Layout(rows, columns, *steps, rows * columns if x.ndim == 3 else 0)


@functools.lru_cache(1024)
def operands(a: Layout, b: Layout) -> Operands:
    """The product of a and b into row-major c, such that only if a's neighbours in memory are
    along the sums, b's are too."""
    c = Layout(a.rows, b.columns, b.columns, 1, a.rows * b.columns)
    if a.column != 1 and b.row == 1:
        return Operands(b.transposed, a.transposed, c.transposed, (1, 0), True)
    return Operands(a, b, c, (0, 1), False)
