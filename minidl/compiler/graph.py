"""The calls of a trace with who uses what: what rules of fusion look at and change."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from minidl.compiler.trace import Call, Trace, Value

_SEQUENCES = tuple, list  # faster to ask for than their union


def values_in(parts: Iterable[Any], found: list[Value] | None = None) -> list[Value]:
    """The values in nested structures, added to ``found``; a plan asks for them often."""
    found = [] if found is None else found
    for part in parts:
        if isinstance(part, Value):
            found.append(part)
        elif isinstance(part, _SEQUENCES):
            values_in(part, found)
        elif isinstance(part, dict):
            values_in(part.values(), found)
    return found


class Graph:
    """The calls of a trace with who uses what.

    Rules change it, and `close` the trace. A call that takes the place of another takes over
    its number, so the order of the rest stays known.

    Attributes
    ----------
    numbers : dict
        The place of each call in the order, for those that are still there.
    uses : dict
        What each call takes, also of calls that were there.
    users : dict
        Those who use each value.
    kept : set of Value
        What is wanted of the run: its results and gradients.
    """

    def __init__(self, trace: Trace):
        self.trace = trace
        self.calls: list[Call | None] = list(trace.calls)
        self.numbers = {call: i for i, call in enumerate(trace.calls)}
        self.uses: dict[Call, list[Value]] = {}
        self.users: dict[Value, dict[Call, None]] = defaultdict(dict)
        self.kept = {*values_in((trace.result,)), *(value for _, value in trace.gradients)}
        self._named: dict[str, list[Call]] = defaultdict(list)
        self._changes = [i for i, call in enumerate(trace.calls) if call.changes]
        for call in trace.calls:
            self._enter(call)

    def close(self) -> None:
        """Leave the trace with the calls that are here now."""
        self.trace.calls[:] = self.in_order()

    def in_order(self) -> list[Call]:
        """The calls that are there now."""
        return [call for call in self.calls if call is not None]

    def named(self, *names: str) -> list[Call]:
        """The calls of these names that are there now."""
        found = [call for name in names for call in self._named[name] if call in self.numbers]
        return sorted(found, key=self.numbers.__getitem__)

    def used_by(self, value: Value, *calls: Call | None) -> bool:
        """Whether ``value`` has no user but ``calls``."""
        users = self.users.get(value, {})
        if value in self.kept or len(users) > len(calls):
            return False
        return all(user in calls for user in users)

    def user(self, value: Value, name: str, position: int = 0) -> Call | None:
        """The call of that name that takes ``value`` at ``position``, if there is just one."""
        calls = [call for call in self.users.get(value, ()) if call.name == name]
        return calls[0] if len(calls) == 1 and calls[0].args[position] is value else None

    def only_user(self, value: Value, name: str) -> Call | None:
        """The call of that name that takes ``value`` first, if it has no other user."""
        call = self.user(value, name)
        return call if self.used_by(value, call) else None

    def undisturbed(self, calls: list[Call]) -> bool:
        """Whether nothing is changed in place between the first and the last of ``calls``."""
        numbers = [self.numbers[call] for call in calls] or [0]
        change = bisect_left(self._changes, min(numbers))
        return change == len(self._changes) or self._changes[change] >= max(numbers)

    def remove(self, call: Call) -> None:
        """Take ``call`` out."""
        self.calls[self.numbers.pop(call)] = None
        for value in self.uses[call]:
            self.users[value].pop(call, None)  # it may take it twice

    def replace(self, old: list[Call], new: Call, last: bool = False) -> None:
        """Replace ``old`` by ``new``, at the position of the first of them, or the last."""
        numbers = [self.numbers[call] for call in old]
        place = max(numbers) if last else min(numbers)
        for call in old:
            self.remove(call)
        self.calls[place], self.numbers[new] = new, place
        self._enter(new)
        for value in values_in((new.result,)):
            value.call = new
        for call in old:
            for value in call.makes():
                value.forget()

    def _enter(self, call: Call) -> None:
        self._named[call.name].append(call)
        self.uses[call] = values_in((call.args, call.options))
        for value in self.uses[call]:
            self.users[value][call] = None
