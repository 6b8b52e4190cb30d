"""What is measured: a workload, who runs it, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """What one of our contenders should reach; one of the three numbers is given.

    ``times`` is the least speed in multiples of the peer's (with ``aim`` the hoped-for one),
    ``most`` the largest figure, ``above`` by how much it may exceed the peer's figure, both in
    the workload's unit.
    """

    contender: str = "minidl"
    times: float | None = None
    aim: float | None = None
    most: float | None = None
    above: float | None = None


@dataclass(frozen=True)
class Workload:
    """A piece of work that every contender does, in its own way.

    Attributes
    ----------
    name : str
        What the table says.
    family : str
        The group that it is drawn in.
    kind : str
        The contenders' method that makes it: called with ``options``, it returns a function
        that does the work once.
    contenders : tuple of str
        Who does it, ours first.
    peer : str
        The contender that ratios are against.
    unit : str
        "ms", "s", "µs", "MB", or "pictures/s", in which ``count`` are done at once.
    count : int
        How many operators or pictures are done at once: the figure is for one.
    flops, bytes : float
        The floating-point operations, and the bytes that memory must deliver and take; 0 where
        they say nothing about a ceiling.
    steps : int
        Of a training step: the losses of that many first steps are compared.
    compared : bool
        Whether the contenders' results are compared.
    alone : bool
        Whether each figure comes from a process of its own (see `benchmarks.alone`).
    cold : bool
        Alone, and with empty caches of compiled code.
    rounds : int, optional
        No more than that many, for what takes long.
    """

    name: str
    family: str
    kind: str
    contenders: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    peer: str = "PyTorch"
    unit: str = "ms"
    count: int = 1
    flops: float = 0.0
    bytes: float = 0.0
    targets: tuple[Target, ...] = ()
    steps: int = 0
    compared: bool = False
    alone: bool = False
    cold: bool = False
    rounds: int | None = None
