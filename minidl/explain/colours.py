"""Numbers as colours: inferno, which grows brighter evenly and reads in grey as well."""

from __future__ import annotations

import numpy as np

# every eighth part of matplotlib's inferno, by S. van der Walt and N. Smith (CC0),
# https://bids.github.io/colormap/
_INFERNO = np.array(
    [
        (0, 0, 4),
        (33, 12, 74),
        (87, 16, 110),
        (138, 34, 106),
        (188, 55, 84),
        (228, 90, 49),
        (249, 142, 9),
        (249, 203, 53),
        (252, 255, 164),
    ]
)


def coloured(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, of any shape (...), as uint8 colours (..., 3)."""
    places = np.linspace(0, 1, len(_INFERNO))
    channels = [np.interp(values, places, channel) for channel in _INFERNO.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
