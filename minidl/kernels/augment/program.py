"""A chain of transforms as a small program: what the augmentation kernels execute.

A program is a float64 matrix with one row a step. Its numbers say what to do and are the
same for all pictures; what differs from picture to picture stands in a second matrix, the
parameters, one row a picture. All numbers in them are small integers or true fractions,
which float64 holds exactly.

A program holds `TO_FLOAT` once: before it a picture is uint8, after it float32. Pillow is the
measure of all steps on uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minidl.backend import CPU, device_of, is_array

# Compiled kernels hold these numbers, and their cache does not look into this file: give a
# new step a new number, and leave the old ones as they are.
FLIP_HORIZONTAL = 0  # parameters: 1 to flip, 0 to leave it
FLIP_VERTICAL = 1  # the same
ROTATE_NEAREST = 2  # parameters: cosine and sine; first: the colour outside
ROTATE_BILINEAR = 3  # the same
WINDOW = 4  # parameters: top and left; option: a padding mode; first: the colour outside
JITTER = 5  # parameters: the four adjustments in their order, then the factor of each
TO_FLOAT = 6  # bytes become floats by the table
ERASE = 7  # parameters: top, left, height, width; first: the value
NORMALIZE = 8  # first: mean, second: standard deviation

PARAMETERS = {
    FLIP_HORIZONTAL: 1,
    FLIP_VERTICAL: 1,
    ROTATE_NEAREST: 2,
    ROTATE_BILINEAR: 2,
    WINDOW: 2,
    JITTER: 8,
    TO_FLOAT: 0,
    ERASE: 4,
    NORMALIZE: 0,
}
"""How many parameters a step takes from its picture's row."""

PADDING_MODES = ("constant", "edge", "reflect", "symmetric")
CONSTANT, EDGE, REFLECT, SYMMETRIC = range(4)

ADJUSTMENTS = ("brightness", "contrast", "saturation", "hue")
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NO_ADJUSTMENT = -1

# The columns of a row.
OPCODE, COLUMN, HEIGHT, WIDTH, OPTION, FIRST, SECOND = 0, 1, 2, 3, 4, 5, 8
ROW = 11


class Step(NamedTuple):
    """One row of a program.

    Attributes
    ----------
    opcode : int
        What to do.
    height, width : int
        The picture's size afterwards.
    option : int
        A padding mode, for `WINDOW`.
    first, second : tuple of 3 floats
        A value per channel: a colour, or a mean and a standard deviation.
    """

    opcode: int
    height: int
    width: int
    option: int = 0
    first: tuple[float, float, float] = (0.0, 0.0, 0.0)
    second: tuple[float, float, float] = (1.0, 1.0, 1.0)


def assemble(steps: Sequence[Step]) -> np.ndarray:
    """The program of ``steps``, a float64 matrix (steps, `ROW`)."""
    rows = np.zeros((len(steps), ROW))
    column = 0
    for row, step in zip(rows, steps):
        row[:FIRST] = step.opcode, column, step.height, step.width, step.option
        row[FIRST:SECOND] = step.first
        row[SECOND:] = step.second
        column += PARAMETERS[step.opcode]
    return rows


def check(
    pictures: np.ndarray,
    indices: np.ndarray,
    program: np.ndarray,
    parameters: np.ndarray,
    table: np.ndarray,
) -> None:
    """TypeError, ValueError or IndexError if a kernel could not run on these arguments.

    ``program`` is on the host. Indices that are on a device are not looked at: the host would
    have to wait for them.
    """
    if not is_array(pictures) or pictures.dtype != np.uint8:
        raise TypeError(f"pictures must be a uint8 array, got {_described(pictures)}")
    if pictures.ndim != 4 or pictures.shape[3] not in (1, 3):
        raise ValueError(
            "pictures must have the shape (N, height, width, channels) with 1 or 3 channels, "
            f"got {pictures.shape}"
        )
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be a row of integers, got {_described(indices)}")
    on_host = device_of(indices) == CPU
    if on_host and indices.size and (indices.min() < 0 or indices.max() >= len(pictures)):
        raise IndexError(
            f"indices from {indices.min()} to {indices.max()} for {len(pictures)} pictures"
        )
    if not in_order(program[:, OPCODE].astype(int).tolist()):
        raise ValueError("a program is steps on bytes, then TO_FLOAT, then steps on floats")
    wanted = sum(PARAMETERS[int(opcode)] for opcode in program[:, OPCODE])
    if parameters.shape != (len(indices), wanted):
        raise ValueError(
            f"parameters must have the shape {(len(indices), wanted)}, got {parameters.shape}"
        )
    if table.shape != (pictures.shape[3], 256):
        raise ValueError(f"the table must have the shape (channels, 256), got {table.shape}")


def in_order(opcodes: list[int]) -> bool:
    """Whether the steps are some on bytes, then `TO_FLOAT` once, then some on floats."""
    if opcodes.count(TO_FLOAT) != 1:
        return False
    turn = opcodes.index(TO_FLOAT)
    return max(opcodes[:turn], default=-1) < TO_FLOAT < min(opcodes[turn + 1 :], default=ERASE)


def _described(array: object) -> str:
    if is_array(array):
        return f"{array.dtype}{list(array.shape)}"
    return type(array).__name__
