"""Events: what was noted as a tree, each with its operations and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from minidl.profiler import costs
from minidl.profiler.specs import read, specs
from minidl.profiler.watch import KERNEL, OPERATOR, Note, kernel_name


class Event:
    """Something that took time: an operator, a kernel, a range or a phase.

    Attributes
    ----------
    kind, name : str
        See `minidl.profiler.watch`.
    start, end : int
        In nanoseconds.
    given : tuple
        The arguments, a `Spec` for an array.
    children : list of Event
        What happened inside, in its order.
    flops : int or None
        Floating-point operations; None where nobody knows.
    bytes : int
        What was read and written.
    """

    def __init__(self, kind: str, name: str, start: int, end: int, given: tuple = ()):
        self.kind, self.name = kind, name
        self.start, self.end = start, end
        self.given = given
        self.children: list[Event] = []
        self.flops: int | None = None
        self.bytes = 0

    @property
    def time(self) -> int:
        """From start to end, in nanoseconds."""
        return self.end - self.start

    @property
    def self_time(self) -> int:
        """The time without that of the events inside."""
        return self.time - sum(child.time for child in self.children)

    @property
    def computes(self) -> bool:
        """Whether it is an operator or a kernel."""
        return self.kind in (OPERATOR, KERNEL)

    @property
    def shapes(self) -> list[str]:
        """The arrays among the arguments: ``["float32[4, 3, 32, 32]", ...]``."""
        return list(map(str, specs(self.given)))

    def walk(self) -> Iterator[Event]:
        """This event and all inside, each before what is inside it."""
        yield self
        for child in self.children:
            yield from child.walk()


def outermost(events: Iterable[Event]) -> Iterator[Event]:
    """The operators, and the kernels that are in none."""
    for event in events:
        if event.computes:
            yield event
        else:
            yield from outermost(event.children)


def total_flops(events: Iterable[Event]) -> int | None:
    """The operations of ``events`` together; None if those of none are known."""
    known = [event.flops for event in events if event.flops is not None]
    return sum(known) if known else None


def tree(notes: list[tuple]) -> list[Event]:
    """The outermost events of all that was noted."""
    roots: list[Event] = []
    around: list[tuple[int, Event]] = []
    for note in sorted(map(Note._make, notes), key=lambda note: (note.start, note.depth)):
        while around and around[-1][0] >= note.depth:
            around.pop()
        event = _kernel(note) if note.kind == KERNEL else _event(note)
        (around[-1][1].children if around else roots).append(event)
        around.append((note.depth, event))
    _complete(roots)
    return roots


def _event(note: Note) -> Event:
    event = Event(note.kind, note.what, note.start, note.end, read(note.given))
    if note.kind == OPERATOR and not note.still:
        made = read(note.made)
        event.flops = costs.operator_flops(event.name, event.given, made)
        event.bytes = costs.operator_bytes(event.name, event.given, made)
    return event


def _kernel(note: Note) -> Event:
    name = kernel_name(note.what)
    event = Event(note.kind, name, note.start, note.end, read(note.given))
    arguments = _by_name(note.what, event.given)
    if costs.is_idle(arguments):
        event.flops = 0
    else:
        event.flops = costs.KERNELS[name](arguments) if name in costs.KERNELS else None
        known = name not in costs.BY_ADDRESS
        event.bytes = sum(spec.nbytes for spec in specs(event.given)) if known else 0
    return event


def _by_name(kernel: Callable, given: tuple) -> dict[str, Any]:
    """A kernel's arguments by the names of its parameters; none if they are not known."""
    code = getattr(getattr(kernel, "py_func", kernel), "__code__", None)
    if code is None:
        return {}
    names = code.co_varnames[: code.co_argcount]
    return dict(zip(names[-len(given) :], given))  # a shared kernel's team is not among them


def _complete(events: list[Event]) -> None:
    """Operators without a formula have the operations that their kernels have."""
    for event in events:
        _complete(event.children)
        if event.flops is None:
            event.flops = total_flops(event.children)
