"""Whether two lists of arrays are the same but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import to_host


def assert_all_close(
    found: Sequence[Any], expected: Sequence[Any], tolerance: float, title: str
) -> None:
    """AssertionError unless shapes agree and values differ by little, on whatever devices.

    Little is ``tolerance`` times the largest finite absolute value expected, or times 1 where
    that is smaller. NaN equals NaN, and an infinity itself. The message starts with ``title``
    and the position in the lists.
    """
    assert len(found) == len(expected), f"{title}: {len(found)} of them, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(map(to_host, found), map(to_host, expected))):
        assert a.shape == b.shape, f"{title} {i} has shape {a.shape}, expected {b.shape}"
        if np.array_equal(a, b):  # the usual case, and much faster to see
            continue
        finite = np.abs(b[np.isfinite(b)].astype(np.float64))
        np.testing.assert_allclose(
            a.astype(np.float64),
            b.astype(np.float64),
            rtol=tolerance,
            atol=tolerance * max(1.0, finite.max(initial=0.0)),
            err_msg=f"{title} {i}",
        )
