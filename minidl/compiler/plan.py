"""A plan: a trace as a short program of launches over memory that is there already.

A call whose function is planned (see `minidl.kernels.launch`) is run dry once on the
plan's own memory, and its launches are noted. They are what is repeated, with the very arrays.
Only the step's inputs, and what is computed by calls as a whole, are other arrays in each
repetition, and stand as variables in the program. Views of fixed memory are fixed themselves
and cost nothing.

There are two dry runs: a schedule finds what becomes of each, and which memory is
needed from when to when; the plan then goes through them on the memory that results. Several
plans can be made of one schedule, each with separate memory.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import change, run, silenced
from minidl.backend import device_of, is_array, xp
from minidl.compiler.fusion import fuse
from minidl.compiler.graph import Graph, values_in
from minidl.compiler.graphs import settle
from minidl.compiler.memory import Allocations, root
from minidl.compiler.outputs import returned_values
from minidl.compiler.program import (
    Program,
    is_special_argument,
    is_value,
    name_of,
    target,
    tuple_text,
)
from minidl.compiler.structure import leaves, mapped
from minidl.compiler.trace import Call, Trace, Value, layout_of
from minidl.kernels.jit import Threaded
from minidl.kernels.launch import Notes, Unplanned, launch, noting
from minidl.kernels.packs import none_kept


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from walking through a trace, of which all is in use, time and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class Plan:
    """The program of a trace.

    Parameters
    ----------
    trace : Trace or Schedule
        What to repeat. A trace is fused first. A schedule serves any number of plans, and each
        then takes about half as long.
    given : dict, optional
        The array of each value that the schedule says is given.
    asked : iterable of Value, optional
        Whose arrays are to be in `fixed`.

    Attributes
    ----------
    source : str
        Its text: a function of the step's input arrays that returns the arrays of the result
        and those of the gradients.
    replay : function
        That function.
    observed : function
        The same, reporting calls to the thread's observer and launches to its tape.
    fixed : dict
        The arrays of those values in ``asked`` that are the same in each repetition.
    memory : int
        The bytes that its arrays take.
    launches, calls : int
        How many launches it makes, and how many calls as a whole.
    """

    @_uncollected()
    def __init__(
        self,
        trace: Trace | Schedule,
        given: dict[Value, Any] | None = None,
        asked: Iterable[Value] = (),
    ):
        schedule = trace if isinstance(trace, Schedule) else Schedule(trace)
        layout = _gone_through(_Layout, schedule.trace, schedule, given or {})
        arguments = [layout.arguments[value] for value in schedule.trace.inputs]
        self.source = layout.program.source("replay", arguments)
        code = schedule.code(self.source)
        self.replay = silenced(layout.program.compiled("replay", code, {}))
        self.observed = silenced(layout.program.compiled("replay", code, layout.told))
        self.fixed = {value: layout.fixed[value] for value in asked if value in layout.fixed}
        self.memory = layout.allocations.size
        self.owns = layout.allocations.owns
        self.launches = layout.launches
        self.calls = sum(step.how is _WHOLE for step in schedule.steps)

    def cost(self) -> str:
        """What a replay does and takes, as text."""
        return f"{self.launches} launches, {self.calls} calls, {self.memory:,} bytes"


class Schedule:
    """What all plans of a trace have in common: what becomes of each call, and the memory layout.

    It refers to the trace. Between plans the trace may be told to forget its arrays.

    Parameters
    ----------
    trace : Trace
        What to repeat; its calls are fused.
    fused : bool
        Whether they have been already.
    given : iterable of Value
        Those whose memory each plan is given, and which no input or
        call of the trace makes.

    Attributes
    ----------
    trace : Trace
        The trace.
    steps : list of _Step
        Its calls, with what becomes of each.
    placement : Placement
        The offsets of a plan's arrays in its memory.
    """

    @_uncollected()
    def __init__(self, trace: Trace, fused: bool = False, given: Iterable[Value] = ()):
        self.trace = trace
        graph = Graph(trace) if fused else fuse(trace)
        draft = _gone_through(_Draft, trace, graph.uses, given)
        self.steps = draft.steps
        self.placement = draft.allocations.placement(draft.lives())
        self._compiled: tuple[str, CodeType | None] = "", None

    def code(self, source: str) -> CodeType:
        """The code of a program, which is the same for all plans."""
        if self._compiled[0] != source:
            self._compiled = source, compile(source, "<a plan of minidl>", "exec")
        return self._compiled[1]


def _gone_through(make: Callable, trace: Trace, *args: Any) -> Any:
    """``make(trace, *args)``, which runs the calls of ``trace`` dry."""
    # counters do not count within a repetition
    with none_kept() if trace.versions else nullcontext():
        # operators silence NumPy's warnings, and neither plan nor repetition runs them
        return silenced(make)(trace, *args)


_VIEW, _LAUNCHES, _WHOLE = "view", "launches", "whole"


class _Step(NamedTuple):
    """A call, and what becomes of it.

    ``how`` is whether it is a view of fixed memory, some launches, or a call as a whole; ``uses``
    and ``makes`` are the values that it takes and makes, ``last`` those that no later call uses.
    """

    call: Call
    how: str
    uses: list[Value]
    makes: list[Value]
    last: list[Value]


class _Bound:
    """The values of a trace with the arrays of one dry run.

    Attributes
    ----------
    fixed : dict
        The array of each value in fixed memory.
    """

    def __init__(self, trace: Trace, allocations: Allocations, given: dict[Value, Any]):
        self.trace = trace
        self.allocations = allocations
        self.fixed = {**{value: value.array for value in trace.held}, **given}

    def run(self, call: Call) -> Any:
        """The result of ``call``, on fixed arrays and placeholders."""
        return call.function(*self._arrays(call.args), **self._arrays(call.options))

    def noted(self, call: Call) -> tuple[Any, Notes]:
        """The result of ``call``, run dry, and its launches."""
        result = None
        with noting(self.allocations.allocate, dry=True) as notes, suppress(Unplanned):
            result = self.run(call)
        return result, notes

    def fix(self, call: Call, result: Any) -> None:
        """Bind the values that ``call`` makes to the arrays of its result."""
        for value, array in zip(leaves(call.result), leaves(result)):
            if is_value(value) and value.call is call:
                self.fixed[value] = array

    def varying(self, uses: list[Value]) -> dict[int, Value]:
        """Those that are other arrays in each replay, by the root of their placeholder."""
        return {id(root(v.array)): v for v in uses if v not in self.fixed and _is_array(v)}

    def _arrays(self, structure: Any) -> Any:
        return mapped(self._array, structure)

    def _array(self, leaf: Any) -> Any:
        if not is_value(leaf):
            return leaf
        array = self.fixed.get(leaf)
        return leaf.array if array is None else array


def _is_array(value: Value) -> bool:
    """Whether it is an array and not a number, without allocating a placeholder."""
    return len(value.layout) > 1


# --------------------------------------------------------------------------- the schedule


class _Draft(_Bound):
    """Runs a trace dry to find what becomes of each call, and when memory is needed.

    Attributes
    ----------
    steps : list of _Step
        The calls.
    """

    def __init__(self, trace: Trace, uses: dict[Call, list[Value]], given: Iterable[Value]):
        super().__init__(trace, Allocations(), {value: value.array for value in given})
        self.time = 0  # lines of the program that do something
        self.spans: dict[int, list[int]] = {}  # by memory's root: when it is needed
        for value in trace.inputs:
            if device_of(value.array).type == "cuda":
                self.fixed[value] = value.array
        makes = {call: _makes(call) for call in trace.calls}
        last = _last_uses(trace, uses, makes)
        self.steps = [self._step(call, uses[call], makes[call], last[call]) for call in trace.calls]
        wanted = *values_in((trace.result,)), *(value for _, value in trace.gradients)
        self._need(self.fixed[value] for value in wanted if value in self.fixed)

    def lives(self) -> list[tuple[int, int]]:
        """From when to when each allocated array is needed."""
        spans = (self.spans.get(id(array), (0, 0)) for array in self.allocations.arrays)
        return [(first, last) for first, last in spans]

    def _need(self, arrays: Iterable[Any]) -> None:
        """Note that the next line works on ``arrays``."""
        for array in arrays:
            key = id(root(array))
            if key in self.allocations.roots:  # others die, and their ids are reused
                self.spans.setdefault(key, [self.time, self.time])[1] = self.time
        self.time += 1

    def _step(self, call: Call, uses: list[Value], makes: list[Value], last: list[Value]) -> _Step:
        if self._is_view(call, uses):
            how = _VIEW
        elif self._may_launch(call, uses, makes) and self._launches(call, uses):
            how = _LAUNCHES
        else:
            how = _WHOLE
            self._need(self.fixed[value] for value in uses if value in self.fixed)
        return _Step(call, how, uses, makes, last)

    def _is_view(self, call: Call, uses: list[Value]) -> bool:
        """Run a call that only looks at fixed memory in another way; whether it is one."""
        if not getattr(call.function, "is_view", False) or any(v not in self.fixed for v in uses):
            return False
        result = self.run(call)
        made = filter(is_array, leaves(result))
        if not all(any(np.may_share_memory(a, self.fixed[v]) for v in uses) for a in made):
            return False
        self.fix(call, result)
        return True

    def _may_launch(self, call: Call, uses: list[Value], makes: list[Value]) -> bool:
        if call.changes or not getattr(call.function, "planned", False):
            return False
        return all(map(_is_array, (*uses, *makes)))

    def _launches(self, call: Call, uses: list[Value]) -> bool:
        """Go through a planned call; whether it can be repeated by its launches."""
        mark = self.allocations.mark()
        result, notes = self.noted(call)
        worked_on = _worked_on(notes)
        sound = notes.complete and self._fits(call, result) and self._knows(call, uses, worked_on)
        if not sound or not _are_whole(worked_on, self.varying(uses)):
            self.allocations.forget_since(mark)
            return False
        for arrays in worked_on:
            self._need(arrays)
        self.fix(call, result)
        return True

    def _fits(self, call: Call, result: Any) -> bool:
        """Whether a result is in the plan's memory, with the layout of the recorded one."""
        return all(
            self.allocations.owns(array) and layout_of(array) == value.layout
            for value, array in zip(leaves(call.result), leaves(result))
            if is_array(array)
        )

    def _knows(self, call: Call, uses: list[Value], worked_on: list[list[Any]]) -> bool:
        """Whether launches read no data but the arguments of ``call`` and what launches wrote.

        A repetition would find other data as it was when the plan was made. A table that a
        kernel caches is no data: it is the same object each time the call is run dry.
        """
        tables = self._tables(uses, worked_on)
        if not tables:
            return True
        mark = self.allocations.mark()
        _, again = self.noted(call)
        same = self._tables(uses, _worked_on(again))
        self.allocations.forget_since(mark)
        on_host = all(type(table) is np.ndarray for table in tables)
        return on_host and list(map(id, tables)) == list(map(id, same))

    def _tables(self, uses: list[Value], worked_on: list[list[Any]]) -> list[Any]:
        """The arrays of launches that are neither a call's arguments nor the plan's memory.

        Empty arrays and the structures in which kernels pass numbers are left out.
        """
        given = {id(root(self._array(value))) for value in uses}
        return [
            root(array)
            for arrays in worked_on
            for array in arrays
            if array.size and array.dtype.kind != "V"
            if id(root(array)) not in given and not self.allocations.owns(array)
        ]


def _worked_on(notes: Notes) -> list[list[Any]]:
    """The arrays among the arguments of each launch."""
    return [list(filter(is_array, leaves(args))) for _, args in notes.launches]


def _are_whole(worked_on: list[list[Any]], varying: dict[int, Value]) -> bool:
    """Whether no launch sees a mere part of an array that is another in each repetition."""
    for arrays in worked_on if varying else ():
        for array in arrays:
            value = varying.get(id(root(array)))
            if value is not None and not (array is value.array or _is_whole(array, value.array)):
                return False
    return True


def _is_whole(part: Any, array: Any) -> bool:
    """Whether ``part`` is all of ``array`` in another shape."""
    contiguous = part.flags.c_contiguous and array.flags.c_contiguous
    return contiguous and part.dtype == array.dtype and part.nbytes == array.nbytes


def _makes(call: Call) -> list[Value]:
    """The values that ``call`` makes, each once."""
    return [v for v in dict.fromkeys(values_in((call.result,))) if v.call is call]


def _last_uses(
    trace: Trace, uses: dict[Call, list[Value]], makes: dict[Call, list[Value]]
) -> dict[Call, list[Value]]:
    """After which call each value is not needed any more; results and gradients always are."""
    last: dict[Value, Call] = {}
    for call in trace.calls:
        for value in (*makes[call], *uses[call]):
            last[value] = call
    kept = {*trace.inputs, *values_in((trace.result,)), *(value for _, value in trace.gradients)}
    done: dict[Call, list[Value]] = defaultdict(list)
    for value, call in last.items():
        if value not in kept:
            done[call].append(value)
    return done


# --------------------------------------------------------------------------- the program


class _Layout(_Bound):
    """Writes the program of a schedule, step by step, over separate memory.

    Attributes
    ----------
    arguments : dict
        The variable of each input of the trace.
    launches : int
        How many launches it has.
    """

    def __init__(self, trace: Trace, schedule: Schedule, given: dict[Value, Any]):
        super().__init__(trace, Allocations(schedule.placement), given)
        self.program = Program()
        self.told: dict[str, Callable] = {}  # by name: calls that report to the observer
        self.launches = 0
        self.arguments = {value: self.program.argument(value) for value in trace.inputs}
        for value in trace.inputs:
            if device_of(value.array).type == "cuda":
                self._settle(value)
        for step in schedule.steps:
            if step.how is _WHOLE:
                self._write_whole(step)
            elif step.how is _LAUNCHES:
                self._write_launches(step)
            else:
                self.fix(step.call, self.run(step.call))
            self._delete(self.program.release(step.last))
        self._write_return()

    def _write_launches(self, step: _Step) -> None:
        result, notes = self.noted(step.call)
        varying = self.varying(step.uses)
        for function, args in notes.launches:
            self._write_launch(function, args, varying)
        self.fix(step.call, result)
        self.launches += len(notes.launches)

    def _write_launch(self, function: Callable, args: tuple, varying: dict[int, Value]) -> None:
        def text(leaf: Any) -> str:
            return self._array_text(leaf, varying)

        texts = [self.program.text(arg, text, is_special_argument) for arg in args]
        name = self.program.constant(function, name_of(function))
        if not isinstance(function, Threaded):
            self.told[name] = partial(launch, function)
        arrays = [array for array in leaves(args) if is_array(array)]
        on_gpu = any(device_of(array).type == "cuda" for array in arrays)
        moving = varying and any(id(root(array)) in varying for array in arrays)
        self.program.write(f"{name}({', '.join(texts)})", on_gpu and not moving)

    def _array_text(self, leaf: Any, varying: dict[int, Value]) -> str:
        """An argument of a launch."""
        value = varying.get(id(root(leaf))) if varying and is_array(leaf) else None
        if value is None:
            return self.program.constant(leaf, "array" if is_array(leaf) else "option")
        name = self.program.variables[value]
        return name if leaf is value.array else f"{name}.reshape({leaf.shape})"

    def _write_whole(self, step: _Step) -> None:
        call = step.call
        given = [self._text(arg) for arg in call.args]
        given += [f"{key}={self._text(value)}" for key, value in call.options.items()]
        function = self.program.constant(call.function, call.name)
        self.told[function] = partial(change if call.changes else run, call.name, call.function)
        text = f"{function}({', '.join(given)})"
        # results reuse the variables of dead values
        done = set(self.program.release(step.last))
        done.difference_update(map(self.program.variable, step.makes))
        if step.makes:
            text = f"{target(call.result, self.program.variables)} = {text}"
        self.program.write(text)
        for value in step.makes:
            if value.layout[0] == () and value.layout[-1].type == "cpu":  # NumPy returns scalars
                name = self.program.variables[value]
                self.program.write(f"{name} = asarray({name})")
        self._delete(sorted(done))

    def _delete(self, names: list[str]) -> None:
        """Let go of variables that no later call uses."""
        if names:
            self.program.write(f"del {', '.join(names)}")

    def _write_return(self) -> None:
        results = [
            self._text(value) + (".copy()" if value in self.fixed else "")
            for value in returned_values(self.trace)
        ]
        gradients = [self._text(value) for _, value in self.trace.gradients if value is not None]
        self.program.write(f"return {tuple_text(results)}, {tuple_text(gradients)}")

    def _settle(self, value: Value) -> None:
        """Have an input copied to fixed memory, from where a CUDA graph can read it."""
        name = self.program.variables.pop(value)
        array = xp(value.array).copy(value.array)
        settled = self.program.constant(array, "settled")
        self.program.write(f"{self.program.constant(settle, 'settle')}({settled}, {name})")
        self.fixed[value] = array

    def _text(self, structure: Any) -> str:
        """An argument of a call as a whole."""
        return self.program.text(structure, self._value_text, is_value)

    def _value_text(self, leaf: Any) -> str:
        if not is_value(leaf):
            return self.program.constant(leaf, "option")
        if leaf in self.program.variables:
            return self.program.variables[leaf]
        return self.program.constant(self.fixed[leaf], leaf.call.name if leaf.call else "held")
