"""Numbers that a kernel divides by again and again: what `include/divisor.cuh` needs."""

from __future__ import annotations

import numpy as np


def divisor(number: int) -> np.ndarray:
    """The structure ``Divisor`` of CUDA C, for dividends below 2**31.

    With ``2**shift >= number``, the multiplier ``m = ceil(2**(31 + shift) / number)`` is off by
    less than ``2**shift / number``, too little to reach the next quotient (Granlund and
    Montgomery, Division by Invariant Integers using Multiplication, 1994)::

        n // number == n * m >> (31 + shift)
    """
    shift = (number - 1).bit_length()
    multiplier = -(-(1 << (31 + shift)) // number)
    return np.array([number, multiplier, shift], np.uint32)
