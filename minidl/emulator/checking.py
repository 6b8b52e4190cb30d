"""Whether kernels are checked, and in which order their threads run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

ORDERS = ("forward", "reverse", "random")


class _State(threading.local):
    checked = False
    order = "forward"
    seed = 1


state = _State()


def is_checked() -> bool:
    """Whether this thread's launches are checked."""
    return state.checked


@contextlib.contextmanager
def checked(order: str = "forward", seed: int = 1) -> Iterator[None]:
    """Within the block, this thread's launches are checked.

    Parameters
    ----------
    order : {"forward", "reverse", "random"}
        In which order blocks, and the threads of a block, take turns.
    seed : int
        Of the random order.
    """
    if order not in ORDERS:
        raise ValueError(f"there is no order {order!r}; choose from {', '.join(ORDERS)}")
    previous = state.checked, state.order, state.seed
    state.checked, state.order, state.seed = True, order, seed
    try:
        yield
    finally:
        state.checked, state.order, state.seed = previous
