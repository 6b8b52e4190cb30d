"""Which implementation of a kernel runs: one name, one variant per kernel set.

A kernel set is a complete way to compute: ``numpy`` is the reference, ``numba`` the fast
one on the CPU. A kernel that lacks a variant in the active set runs the reference.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

REFERENCE = "numpy"
SETS = ("numba", REFERENCE)
"""The kernel sets of the CPU, the default first."""


def _known(name: str) -> str:
    if name not in SETS:
        raise ValueError(f"there is no kernel set {name!r}; choose from {', '.join(SETS)}")
    return name


class _Active(threading.local):
    name = _known(os.environ.get("MINIDL_KERNELS", SETS[0]))


_active = _Active()
kernels: dict[str, Kernel] = {}


class Kernel:
    """A function of arrays, one variant per kernel set: ``Kernel("erf", numpy=f, numba=g)``."""

    def __init__(self, name: str, **variants: Callable):
        if REFERENCE not in variants:
            raise TypeError(f"kernel {name!r} needs its reference, the variant {REFERENCE!r}")
        self.name = name
        self.variants = {_known(key): variant for key, variant in variants.items()}
        kernels[name] = self

    def __call__(self, *args: Any) -> Any:
        return (self.variants.get(_active.name) or self.variants[REFERENCE])(*args)

    @property
    def serving(self) -> str:
        """The kernel set whose variant runs now."""
        return _active.name if _active.name in self.variants else REFERENCE


@contextlib.contextmanager
def use_kernels(name: str) -> Iterator[None]:
    """Within the block, this thread computes with the kernel set ``name``.

    The environment variable ``MINIDL_KERNELS`` sets the default for a whole process.
    """
    previous, _active.name = _active.name, _known(name)
    try:
        yield
    finally:
        _active.name = previous


def table() -> None:
    """Print which implementation serves each kernel, and which others there are."""
    width = max(map(len, kernels), default=0)
    print(f"{'kernel':{width}}  cpu     variants")
    for name in sorted(kernels):
        kernel = kernels[name]
        print(f"{name:{width}}  {kernel.serving:6}  {', '.join(kernel.variants)}")
