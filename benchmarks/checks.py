"""Whether the contenders do the same work: results that agree, and losses that stay together.

Losses drift apart by rounding, the further the longer a network trains. How far is seen in the
peer itself: it trains once more from weights that differ by their last bit, and a contender may
be `_GROWTH` times as far from the peer's losses as these are. Also, now and then rounding moves
a number across the kink of a ReLU, or decides which of two is the larger in max pooling, and a
picture's gradient changes at once. So after `_SMOOTH` steps, in which a wrong gradient or
update has shown already, `_KINKS` of the loss is allowed as well.
"""

from __future__ import annotations

import numpy as np

from benchmarks.worker import Digest

_GROWTH = 10.0
_FLOOR = 1e-5  # of the loss, for the first steps: sums in another order
_SMOOTH = 3
_KINKS = 1e-3
_RESULT = 1e-3  # of a result's norm: sums of thousands of float32 numbers in another order

Check = dict[str, object]
"""``contender``, ``steps`` (0: a result), ``agrees``, and its ``distance`` in multiples of the
allowed one, None where that is not finite."""


def compare_losses(losses: dict[str, list[float]], peer: str, nudged: list[float]) -> list[Check]:
    """A check of each contender's losses against the peer's.

    ``nudged`` are the peer's from weights that differ by their last bit.
    """
    expected = np.array(losses[peer])
    rounding = np.maximum.accumulate(np.abs(np.array(nudged) - expected))
    floor = np.where(np.arange(len(expected)) < _SMOOTH, _FLOOR, _KINKS)
    allowed = floor * np.abs(expected) + _GROWTH * rounding
    return [
        _check(name, np.max(np.abs(np.array(own) - expected) / allowed), len(own))
        for name, own in losses.items()
        if name != peer
    ]


def compare_results(digests: dict[str, Digest], peer: str) -> list[Check]:
    """A check of each contender's result against the peer's."""
    return [
        _check(name, _distance(own, digests[peer]) / _RESULT, 0)
        for name, own in digests.items()
        if name != peer
    ]


def _distance(own: Digest, other: Digest) -> float:
    """By how much results differ, as a share of their norm."""
    if [shape for shape, *_ in own] != [shape for shape, *_ in other]:
        return float("inf")
    far = [0.0]
    for (_, norm, product), (_, other_norm, other_product) in zip(own, other):
        apart = max(abs(norm - other_norm), abs(product - other_product))
        far.append(apart / other_norm if apart else 0.0)
    return float(np.max(far))


def _check(contender: str, distance: float, steps: int) -> Check:
    return {
        "contender": contender,
        "steps": steps,
        "distance": float(distance) if np.isfinite(distance) else None,
        "agrees": bool(distance <= 1),  # NaN agrees with nothing
    }
