"""Phases: which operators led to a backward pass, and which were an optimizer's step.

The engine says where a backward pass begins and ends. What comes before it, from the first
operator after the last pass or step on, is the forward phase; steps side by side are one phase.
"""

from __future__ import annotations

from minidl.profiler.events import Event
from minidl.profiler.watch import OPERATOR, PHASE


def with_phases(events: list[Event]) -> list[Event]:
    """``events`` with those of a forward pass or of an optimizer put into a phase of their own.

    Ranges by name are searched for phases inside, and never cut in two.
    """
    for event in events:
        if not event.computes:
            event.children = with_phases(event.children)
    found: list[Event] = []
    waiting: list[Event] = []  # what may be a part of a forward pass
    for event in events:
        if _is_backward(event):
            found += _forward(waiting)
            waiting = []
            found.append(event)
        elif _is_step(event):
            found += waiting
            waiting = []
            _add_step(found, event)
        else:
            waiting.append(event)
    return found + waiting


def _is_backward(event: Event) -> bool:
    return event.kind == PHASE and event.name == "backward"


def _is_step(event: Event) -> bool:
    return event.kind == OPERATOR and event.name.endswith(".step")


def _forward(events: list[Event]) -> list[Event]:
    """The events from the first operator on as one phase."""
    first = next((i for i, event in enumerate(events) if event.computes), len(events))
    if first == len(events):
        return events
    return [*events[:first], _phase("forward", events[first:])]


def _add_step(found: list[Event], step: Event) -> None:
    """Add a step to the optimizer's phase, if that is the last there is, or to a new one."""
    if found and found[-1].kind == PHASE and found[-1].name == "optimizer":
        found[-1].children.append(step)
        found[-1].end = step.end
    else:
        found.append(_phase("optimizer", [step]))


def _phase(name: str, children: list[Event]) -> Event:
    phase = Event(PHASE, name, children[0].start, children[-1].end)
    phase.children = children
    return phase
