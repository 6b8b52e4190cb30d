"""The Chrome trace: what Perfetto (https://ui.perfetto.dev) and chrome://tracing show.

Source of the format: the Trace Event Format,
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMCN51DO
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from minidl.files import write_atomically
from minidl.profiler.events import Event
from minidl.profiler.machine import processor


def write_trace(
    path: str | os.PathLike,
    events: Iterable[Event],
    begin: int,
    thread: tuple[int, str],
    with_shapes: bool,
) -> None:
    """Write ``events`` as JSON, their times from ``begin`` on; ``thread`` is its id and name."""
    process = os.getpid()
    names = (("process_name", "minidl"), ("thread_name", thread[1]))
    entries: list[dict[str, Any]] = [
        {"name": kind, "ph": "M", "pid": process, "tid": thread[0], "args": {"name": name}}
        for kind, name in names
    ]
    for root in events:
        for event in root.walk():
            entries.append(
                {
                    "name": event.name,
                    "cat": event.kind,
                    "ph": "X",
                    "ts": (event.start - begin) / 1e3,  # microseconds
                    "dur": event.time / 1e3,
                    "pid": process,
                    "tid": thread[0],
                    "args": _details(event, with_shapes),
                }
            )
    content = {
        "traceEvents": entries,
        "displayTimeUnit": "ms",
        "otherData": {"processor": processor()},
    }
    write_atomically(path, json.dumps(content).encode(), "the trace")


def _details(event: Event, with_shapes: bool) -> dict[str, Any]:
    """What a click on the event shows."""
    if not event.computes:
        return {}
    details: dict[str, Any] = {"bytes": event.bytes}
    if event.flops is not None:
        details["flops"] = event.flops
    if with_shapes:
        details["shapes"] = event.shapes
    return details
