"""Choices that are made at random, can be made again, and can be made simpler."""

import random
from collections.abc import Callable, Sequence
from typing import Any


class Draws:
    """A source of choices that notes them.

    Parameters
    ----------
    seed : int or str
        What all choices depend on.
    given : sequence of int, optional
        The first choices, by number; the simplest has the number 0.
    """

    def __init__(self, seed: int | str, given: Sequence[int] = ()):
        self.seed = seed
        self.taken: list[int] = []
        self._given = given
        self._random = random.Random(seed)

    def choice(self, items: Sequence) -> Any:
        """One of ``items``, which begin with the simplest."""
        return items[self._number(self._random.randrange(len(items))) % len(items)]

    def chance(self, share: float) -> bool:
        """True with this probability; no is simpler."""
        return self._number(int(self._random.random() < share)) > 0

    def _number(self, drawn: int) -> int:
        given = self._given[len(self.taken) : len(self.taken) + 1]
        self.taken.append(given[0] if given else drawn)
        return self.taken[-1]


def simplest(draws: Draws, holds: Callable[[Draws], bool]) -> Draws:
    """Choices as simple as possible with which ``holds`` is still true, found one by one."""
    before: list[int] = []
    while before != draws.taken:
        before = draws.taken
        for i in range(len(before)):
            for number in (0, 1):
                if i < len(draws.taken) and draws.taken[i] > number:
                    other = Draws(draws.seed, [*draws.taken[:i], number, *draws.taken[i + 1 :]])
                    if holds(other):
                        draws = other
                        break
    return Draws(draws.seed, draws.taken)
