"""Halves: a joint trace cut into a forward program and backward programs, on leased memory.

A replay of the forward program leaves in its memory what backward needs. So that memory is
leased to the graph of that call until the graph is released, and a call that comes before gets
a separate instance. Results and gradients are copies: nothing that a program returns is a view
of its memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np

from minidl.autograd.mode import mode
from minidl.backend import CPU, is_array
from minidl.compiler.fusion import fuse
from minidl.compiler.joint import SEED, Joint, Signature, barrier, strided, strides_of
from minidl.compiler.plan import Plan, Schedule
from minidl.compiler.structure import leaves
from minidl.compiler.trace import Call, Trace, Value

# --------------------------------------------------------------------------- results


class Source:
    """Where a tensor of a result comes from.

    Attributes
    ----------
    base : int, Tensor or Value
        The number of an argument, a tensor from before, or what the program computes.
    views : list of function
        What makes it of the base, if it looks at the base in another way.
    is_base : bool
        Whether it is the very tensor ``base``.
    shares : bool
        Whether changes in place of it and of the base count as one another's.
    is_view : bool
        Whether it is a view with a separate history, which such changes make stale.
    output : int or None
        Its number among the outputs with a graph.
    """

    def __init__(self, tensor: Any, value: Value, joint: Joint, inputs: list[Any]):
        self.base: Any = value
        self.views: list[Callable[[Any], Any]] = []
        self.is_base = self.shares = False
        self.is_view = tensor.view_version is not None
        numbers = [i for i, output in enumerate(joint.outputs) if output is tensor]
        self.output = numbers[0] if numbers else None
        root, views = _root(value)
        if root.call is None:
            self._find(tensor, _owners(root, joint.trace, inputs), views)

    def _find(self, tensor: Any, owners: list[tuple[Any, Any]], views: list[Callable]) -> None:
        """Find the argument or tensor from before whose memory this is."""
        same = [base for base, owner in owners if owner is tensor]
        sharing = [base for base, owner in owners if owner.version is tensor.version]
        self.base = (same or sharing or [owners[0][0]])[0]
        self.views = views
        self.is_base, self.shares = bool(same), bool(same or sharing)

    def rebase(self) -> None:
        """Look at an array that other results look at as well."""
        self.base, self.views = _root(self.base)
        self.shares = True


def sources(joint: Joint, inputs: list[Any]) -> list[Source]:
    """Where each tensor of a joint trace's result comes from."""
    values = joint.trace.result[0]
    found = [Source(t, v, joint, inputs) for t, v in zip(joint.tensors, values)]
    memories = [(_memory(source), id(t.version)) for source, t in zip(found, joint.tensors)]
    for source, memory in zip(found, memories):
        if memories.count(memory) > 1:
            source.rebase()
    return found


def _memory(source: Source) -> Any:
    return _root(source.base)[0] if _is_value(source.base) else source


def _owners(root: Value, trace: Trace, inputs: list[Any]) -> list[tuple[Any, Any]]:
    """The arguments, or tensors from before, that have the array ``root``: as base and tensor."""
    if root in trace.inputs:
        array = inputs[trace.inputs.index(root)].array
        return [(i, tensor) for i, tensor in enumerate(inputs) if tensor.array is array]
    return [(tensor, tensor) for tensor in root.tensors]


def _root(value: Value) -> tuple[Value, list[Callable]]:
    """The array that a value is a view of, and the views that lead from there to it."""
    views: list[Callable] = []
    while value.call is not None and getattr(value.call.function, "is_view", False):
        call = value.call
        rest = leaves((call.args[1:], call.options))
        if not call.args or not isinstance(call.args[0], Value) or any(map(_is_value, rest)):
            break
        views.insert(0, _view(call, value))
        value = call.args[0]
    return value, views


def _view(call: Call, value: Value) -> Callable[[Any], Any]:
    function, rest, options, path = call.function, call.args[1:], call.options, []
    result = call.result
    if isinstance(result, tuple | list):
        path = [next(i for i, part in enumerate(result) if part is value)]
    return lambda array: reduce(getitem, path, function(array, *rest, **options))


def _is_value(leaf: Any) -> bool:
    return isinstance(leaf, Value)


# --------------------------------------------------------------------------- the cut


class Half:
    """One direction of a joint trace.

    Attributes
    ----------
    trace : Trace
        Its calls. Its results are its ``gradients``: a program returns those uncopied.
    taken : list of Value
        Of a backward pass: what it takes of the forward pass.
    results : list of Value
        What it computes.
    """

    def __init__(self, joint: Trace, inputs: list[Value], calls: list[Call], results: list[Value]):
        used = {value for call in calls for value in call.uses()}.union(results)
        held = [value for value in joint.held if value in used]
        made = {value for call in calls for value in call.makes()}.union(inputs, held)
        order = dict.fromkeys([*(v for call in calls for v in call.uses()), *results])
        self.taken = [value for value in order if value not in made]
        self.results = results
        gradients = [(None, value) for value in dict.fromkeys(results)]
        self.trace = Trace(inputs, calls, held, (), gradients)
        self._schedules: dict[frozenset[Value], Schedule] = {}

    def schedule(self, given: Iterable[Value] = ()) -> Schedule:
        """What all programs of it have in common that are given the arrays of some values."""
        key = frozenset(given)
        if key not in self._schedules:
            old = self.trace
            others = [value for value in self.taken if value not in key]
            trace = Trace([*old.inputs, *others], old.calls, old.held, (), old.gradients)
            trace.versions = old.versions
            self._schedules[key] = Schedule(trace, fused=True, given=given)
        return self._schedules[key]


class Halves:
    """A joint trace, fused and cut.

    Attributes
    ----------
    forward : Half
        Takes the arguments; makes the results, then what backward passes take.
    backward : dict
        The other half for each signature of gradients.
    results : list of Value
        What the forward half makes for the module's result.
    taken : list of Value
        What backward halves take of the forward half and of its arguments.
    """

    def __init__(self, joint: Joint, found: list[Source]):
        trace = joint.trace
        results = [source.base for source in found if _is_value(source.base)]
        passes = trace.result[1]
        trace.result = results, passes
        fuse(trace)
        forward, *parts = _parts(trace.calls)
        self.backward: dict[Signature, Half] = {}
        for signature, calls, contributions in zip(joint.signatures, parts, passes):
            seeds = [call.result for call in calls if call.name == SEED]
            calls = [call for call in calls if call.name != SEED]
            self.backward[signature] = Half(trace, seeds, calls, contributions)
        given = set(trace.inputs)
        self.taken = list(dict.fromkeys(v for half in self.backward.values() for v in half.taken))
        made = [value for value in self.taken if value not in given]
        self.forward = Half(trace, trace.inputs, forward, [*results, *made])
        self.forward.trace.versions = trace.versions
        if self.forward.taken:
            raise RuntimeError("fusion has moved a call of a backward pass before its barrier")
        self.results = list(dict.fromkeys(results))


def _parts(calls: list[Call]) -> list[list[Call]]:
    """The calls between barriers."""
    parts: list[list[Call]] = [[]]
    for call in calls:
        if call.function is barrier:
            parts.append([])
        else:
            parts[-1].append(call)
    return parts


# --------------------------------------------------------------------------- programs


class Laid:
    """A program with separate memory.

    Attributes
    ----------
    plan : Plan
        The program.
    fixed : dict
        The array of each result that is in its memory.
    results : list of Value
        What it returns, in this order.
    """

    def __init__(self, schedule: Schedule, given: dict[Value, Any] | None = None):
        trace = schedule.trace
        self.results = [value for _, value in trace.gradients]
        self.plan = plan = Plan(schedule, given, self.results)
        self.fixed = {v: a for v, a in plan.fixed.items() if is_array(a)}
        _forget(trace)

    def run(self, arrays: list[Any]) -> dict[Value, Any]:
        """Replay the program; the arrays of its results, some of them in its memory."""
        replay = self.plan.replay if mode.observer is None else self.plan.observed
        return dict(zip(self.results, replay(*arrays)[1]))

    def own(self, value: Value, array: Any) -> Any:
        """The array of a result in memory that no later replay writes to."""
        return copied(array) if value in self.fixed else array


def _forget(trace: Trace) -> None:
    """Free the memory of stand-ins; the layouts of arrays on a device need the arrays."""
    for value in (*trace.inputs, *(v for call in trace.calls for v in call.makes())):
        if len(value.layout) == 4 and value.layout[3] == CPU:
            value.forget()


def copied(array: Any) -> Any:
    """A copy with the strides of ``array``, as far as an array without gaps can have them."""
    copy_ = array.copy(order="K")
    if copy_.strides == array.strides or type(array) is not np.ndarray:
        return copy_
    twin = strided(array.shape, strides_of(array), array.dtype)
    if 0 in twin.strides:
        part = tuple(slice(None) if stride else slice(1) for stride in twin.strides)
        twin[part] = array[part]
    else:
        twin[...] = array
    return twin


# --------------------------------------------------------------------------- leases


class Lease:
    """An instance of both halves, and the call that its memory is leased to."""

    def __init__(self, halves: Halves):
        self.halves = halves
        self.forward = Laid(halves.forward.schedule())
        self.backward: dict[Signature, Backward] = {}
        self.holder: Callable[[], Saved | None] = _nobody
        self.used = 0
        others = [value for value in halves.taken if value not in self.forward.fixed]
        inputs = halves.forward.trace.inputs
        self.given = [(value, inputs.index(value)) for value in others if value in inputs]
        self.computed = [value for value in others if value not in inputs]

    @property
    def is_free(self) -> bool:
        """Whether no graph needs what the last call left here."""
        return self.holder() is None

    def run(self, arrays: list[Any]) -> tuple[dict[Value, Any], Saved]:
        """Replay the forward half: its results, which are yours, and what is saved for backward."""
        computed = self.forward.run(arrays)
        kept = {value: arrays[i] for value, i in self.given}
        kept.update((value, computed[value]) for value in self.computed)
        saved = Saved(self, kept)
        self.holder = weakref.ref(saved)
        results = {v: self.forward.own(v, computed[v]) for v in self.halves.results}
        return results, saved

    def gradients(self, saved: Saved, signature: Signature, arrays: list[Any]) -> list[Any]:
        """Replay a backward half: the contributions to the gradients of its ends, yours."""
        if signature not in self.backward:
            self.backward[signature] = Backward(self.halves.backward[signature], self.forward)
        return self.backward[signature].run(arrays, saved.arrays)


def _nobody() -> None:
    return None


class Saved:
    """What the graph of one call keeps: the lease, and the arrays outside of its memory."""

    __slots__ = ("__weakref__", "arrays", "lease")

    def __init__(self, lease: Lease, arrays: dict[Value, Any]):
        self.lease, self.arrays = lease, arrays


class Backward:
    """A backward half on what the forward half of a lease leaves in memory."""

    def __init__(self, half: Half, forward: Laid):
        given = {v: forward.fixed[v] for v in half.taken if v in forward.fixed}
        self.others = [value for value in half.taken if value not in given]
        self.laid = Laid(half.schedule(given), given)
        self.results = half.results

    def run(self, arrays: Iterable[Any], saved: dict[Value, Any]) -> list[Any]:
        """Replay it on the gradients of outputs."""
        computed = self.laid.run([*arrays, *(saved[value] for value in self.others)])
        return [self.laid.own(value, computed[value]) for value in self.results]
