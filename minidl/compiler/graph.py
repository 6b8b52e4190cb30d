"""The calls of a trace with who uses what: what rules of fusion look at and change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from minidl.compiler.structure import leaves
from minidl.compiler.trace import Call, Trace, Value


class Graph:
    """The calls of a trace with who uses what."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.users: dict[Value, list[Call]] = defaultdict(list)
        for call in trace.calls:
            for value in dict.fromkeys(call.uses()):
                self.users[value].append(call)
        self.kept = {*leaves(trace.result), *(value for _, value in trace.gradients)}

    def named(self, *names: str) -> Iterator[Call]:
        """The calls of these names that are still there."""
        return iter([call for call in self.trace.calls if call.name in names])

    def used_by(self, value: Value, *calls: Call | None) -> bool:
        """Whether nobody but ``calls`` uses ``value``."""
        return value not in self.kept and set(self.users[value]) <= set(calls)

    def user(self, value: Value, name: str, position: int = 0) -> Call | None:
        """The call of that name that takes ``value`` at ``position``, if there is just one."""
        calls = [call for call in self.users[value] if call.name == name]
        return calls[0] if len(calls) == 1 and calls[0].args[position] is value else None

    def only_user(self, value: Value, name: str) -> Call | None:
        """The call of that name that takes ``value`` first, if nobody else uses it."""
        call = self.user(value, name)
        return call if self.used_by(value, call) else None

    def undisturbed(self, calls: list[Call]) -> bool:
        """Whether nothing is changed in place between the first and the last of ``calls``."""
        places = sorted(map(self.trace.calls.index, calls)) or [0]
        return not any(call.changes for call in self.trace.calls[places[0] : places[-1]])

    def replace(self, old: list[Call], new: Call, last: bool = False) -> None:
        """Put ``new`` in the place of the first of ``old``, or the last, and take them out."""
        calls = self.trace.calls
        places = sorted(map(calls.index, old))
        calls[places[-1] if last else places[0]] = new
        for call in old:
            if call in calls:
                calls.remove(call)
        for value in leaves(new.result):
            if isinstance(value, Value):
                value.call = new
        for call in old:
            for value in call.makes():
                value.forget()
