"""Averages: all events of a name together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from minidl.profiler.events import Event, outermost, total_flops


@dataclass
class FunctionAverage:
    """All events of a name, and of the same shapes if they are grouped by those.

    Attributes
    ----------
    key, kind : str
        The name; "operator", "kernel", "range" or "phase".
    count : int
        How many events.
    cpu_time_total, self_cpu_time_total : float
        Their time in microseconds, with and without that of the events inside them. Of a
        computation on a GPU it is the time until the GPU has done it.
    flops : int or None
        Floating-point operations; None where nobody knows.
    bytes : int
        What was read and written.
    input_shapes : list of str
        The arrays among the arguments, if grouped by them.
    """

    key: str
    kind: str
    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    flops: int | None
    bytes: int
    input_shapes: list[str]

    @property
    def cpu_time(self) -> float:
        """The time of one event in microseconds, on average."""
        return self.cpu_time_total / self.count


class Summary(NamedTuple):
    """A profile as a whole.

    Attributes
    ----------
    device : str
        Where it ran: "cpu", "cuda" or "emulator".
    time, outside : float
        How long it took in microseconds, and the part of that which no operator took.
    flops : int or None
        Floating-point operations of all operators; None where nobody knows.
    bytes : int
        What they read and wrote.
    """

    device: str
    time: float
    outside: float
    flops: int | None
    bytes: int


def averaged(events: list[Event], by_shape: bool) -> list[FunctionAverage]:
    """The averages of ``events`` and all inside them."""
    groups: dict[tuple, list[Event]] = {}
    for root in events:
        for event in root.walk():
            shapes = tuple(event.shapes) if by_shape else ()
            groups.setdefault((event.kind, event.name, shapes), []).append(event)
    return [
        FunctionAverage(
            key=name,
            kind=kind,
            count=len(group),
            cpu_time_total=sum(event.time for event in group) / 1e3,
            self_cpu_time_total=sum(event.self_time for event in group) / 1e3,
            flops=total_flops(group),
            bytes=sum(event.bytes for event in group),
            input_shapes=list(shapes),
        )
        for (kind, name, shapes), group in groups.items()
    ]


def summarized(events: list[Event], time: int, device: str) -> Summary:
    """What the table says of the whole profile, which took ``time`` nanoseconds."""
    computations = list(outermost(events))
    return Summary(
        device=device,
        time=time / 1e3,
        outside=(time - sum(event.time for event in computations)) / 1e3,
        flops=total_flops(computations),
        bytes=sum(event.bytes for event in computations),
    )
