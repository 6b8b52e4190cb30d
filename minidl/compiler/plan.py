"""A plan: a trace as a short program of launches over memory that is there already.

A call whose function is planned (see `minidl.kernels.launch`) is gone through once on the
plan's own memory, and its launches are noted. They are what is repeated, with the very arrays.
Only the step's inputs, and what is computed by calls as a whole, are other arrays in each
repetition, and stand as variables in the program. Views of fixed memory are fixed themselves
and cost nothing.

The trace is laid out twice: first to see which memory is needed from when to when, then on
the memory that results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import numpy as np

from minidl.autograd import change, run, silenced
from minidl.backend import device_of, is_array, xp
from minidl.compiler.fusion import fuse
from minidl.compiler.graphs import settle
from minidl.compiler.memory import Allocations, root
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


class Plan:
    """The program of a trace.

    Attributes
    ----------
    source : str
        Its text: a function of the step's input arrays that returns the arrays of the result
        and those of the gradients.
    replay : function
        That function.
    observed : function
        The same, which tells the thread's observer of the calls, and its tape of the launches.
    memory : int
        The bytes that its arrays take.
    launches, calls : int
        How many launches it makes, and how many calls as a whole.
    """

    def __init__(self, trace: Trace):
        fuse(trace)
        # counters do not count within a repetition
        with none_kept() if trace.versions else nullcontext():
            # operators silence NumPy's warnings, and neither plan nor repetition runs them
            layout, allocations = silenced(_laid_out)(trace)
        arguments = [layout.arguments[value] for value in trace.inputs]
        self.source = layout.program.source("replay", arguments)
        self.replay = silenced(layout.program.compiled("replay", self.source, {}))
        self.observed = silenced(layout.program.compiled("replay", self.source, layout.told))
        self.memory = allocations.size
        self.launches, self.calls = layout.launches, layout.whole


def _laid_out(trace: Trace) -> tuple[_Layout, Allocations]:
    allocations = Allocations()
    draft = _Layout(trace, allocations, None)
    allocations.settle(draft.lives())
    return _Layout(trace, allocations, draft.launched), allocations


class _Layout:
    """Writes the program of a trace, call by call.

    Attributes
    ----------
    fixed : dict
        The array of each value that lies in fixed memory.
    changing : dict
        Of memory that is another in each repetition, by its root: the value that lies there.
    launched : set of Call
        The calls that have become launches.
    """

    def __init__(self, trace: Trace, allocations: Allocations, launched: set[Call] | None):
        self.trace = trace
        self.allocations = allocations
        self.decided = launched
        self.launched: set[Call] = set()
        self.program = Program()
        self.fixed = {value: value.array for value in trace.held}
        self.changing: dict[int, Value] = {}
        self.lines_of: dict[int, list[int]] = defaultdict(list)  # by memory's root
        self.launches = self.whole = 0
        self.told: dict[str, Callable] = {}  # by name: what tells of itself when it is called
        self.arguments: dict[Value, str] = {}
        for value in trace.inputs:
            self._vary(value, "input")
            self.arguments[value] = self.program.variables[value]
            if device_of(value.array).type == "cuda":
                self._settle(value)
        last_uses = _last_uses(trace)
        for call in trace.calls:
            self._write(call)
            self._drop(last_uses.get(call, ()))
        self._write_return()

    def lives(self) -> list[tuple[int, int]]:
        """From which line to which each allocated array is needed."""
        spans = (self.lines_of.get(id(array), [0]) for array in self.allocations.arrays)
        return [(min(lines), max(lines)) for lines in spans]

    # ----------------------------------------------------------------- calls

    def _write(self, call: Call) -> None:
        if not (self._fix_view(call) or self._write_launches(call)):
            self._write_whole(call)

    def _fix_view(self, call: Call) -> bool:
        """Run a call that only looks at fixed memory in another way; whether it is one."""
        uses = list(call.uses())
        if not getattr(call.function, "is_view", False) or any(v not in self.fixed for v in uses):
            return False
        result = self._run(call)
        made = filter(is_array, leaves(result))
        if not all(any(np.may_share_memory(a, self.fixed[v]) for v in uses) for a in made):
            return False
        self._fix(call, result)
        return True

    def _write_launches(self, call: Call) -> bool:
        """Go through a planned call on the plan's memory and write its launches, if that can be."""
        if not self._may_launch(call):
            return False
        mark, result = self.allocations.mark(), None
        with noting(self.allocations.allocate, dry=True) as notes, suppress(Unplanned):
            result = self._run(call)
        texts = [self._launch_text(*launch) for launch in notes.launches]
        sound = notes.complete and self._fits(call, result) and self._knows(call, notes)
        if not sound or None in texts:
            self.allocations.forget_since(mark)
            return False
        for text, (_, args) in zip(texts, notes.launches):
            self._emit(text, args, launch=True)
        self._fix(call, result)
        self.launched.add(call)
        self.launches += len(texts)
        return True

    def _fits(self, call: Call, result: Any) -> bool:
        """Whether a result lies in the plan's memory, and just as the recorded one lay."""
        return all(
            self.allocations.owns(array) and layout_of(array) == value.layout
            for value, array in zip(leaves(call.result), leaves(result))
            if is_array(array)
        )

    def _knows(self, call: Call, notes: Notes) -> bool:
        """Whether launches work on no array of a device that something else than a launch made:
        a repetition would find there what was there when the plan was laid out."""
        known = {id(root(array)) for array in leaves(self._arrays(call.args)) if is_array(array)}
        return all(
            type(leaf) is np.ndarray or self.allocations.owns(leaf) or id(root(leaf)) in known
            for _, args in notes.launches
            for leaf in leaves(args)
            if is_array(leaf)
        )

    def _may_launch(self, call: Call) -> bool:
        if self.decided is not None:
            return call in self.decided
        if call.changes or not getattr(call.function, "planned", False):
            return False
        return all(is_array(value.array) for value in (*call.uses(), *call.makes()))

    def _write_whole(self, call: Call) -> None:
        given = [self._text(arg) for arg in call.args]
        given += [f"{key}={self._text(value)}" for key, value in call.options.items()]
        function = self.program.constant(call.function, call.name)
        self.told[function] = partial(change if call.changes else run, call.name, call.function)
        text = f"{function}({', '.join(given)})"
        made = list(call.makes())
        for value in made:
            self._vary(value, call.name)
        if made:
            text = f"{target(call.result, self.program.variables)} = {text}"
        self._emit(text, leaves((self._arrays(call.args), self._arrays(call.options))))
        for value in made:
            if type(value.array) is np.ndarray and value.array.ndim == 0:  # NumPy returns scalars
                name = self.program.variables[value]
                self._emit(f"{name} = asarray({name})", ())
        self.whole += 1

    def _drop(self, values: Iterable[Value]) -> None:
        """Let go of variables that no later call uses."""
        names = [self.program.variables[v] for v in values if v in self.program.variables]
        if names:
            self._emit(f"del {', '.join(names)}", ())

    def _write_return(self) -> None:
        results = [
            self._text(value) + (".copy()" if value in self.fixed else "")
            for value in leaves(self.trace.result)
            if is_value(value)
        ]
        last = [value for _, value in self.trace.gradients if value is not None]
        kept = [self.fixed[v] for v in (*leaves(self.trace.result), *last) if v in self.fixed]
        gradients = [self._text(value) for value in last]
        self._emit(f"return {tuple_text(results)}, {tuple_text(gradients)}", kept)

    # ----------------------------------------------------------------- values

    def _run(self, call: Call) -> Any:
        return call.function(*self._arrays(call.args), **self._arrays(call.options))

    def _arrays(self, structure: Any) -> Any:
        """``structure`` with arrays for values: fixed ones, or those of the recorded run."""
        return mapped(lambda v: self.fixed.get(v, v.array) if is_value(v) else v, structure)

    def _fix(self, call: Call, result: Any) -> None:
        for value, array in zip(leaves(call.result), leaves(result)):
            if is_value(value) and value.call is call:
                self.fixed[value] = array

    def _vary(self, value: Value, word: str) -> None:
        self.program.variable(value, word)
        if is_array(value.array):
            self.changing[id(root(value.array))] = value

    def _settle(self, value: Value) -> None:
        """Have an input copied to fixed memory, from where a CUDA graph can read it."""
        name = self.program.variables.pop(value)
        array = xp(value.array).copy(value.array)
        settled = self.program.constant(array, "settled")
        self.program.write(f"{self.program.constant(settle, 'settle')}({settled}, {name})")
        self.fixed[value] = array
        del self.changing[id(root(value.array))]

    # ----------------------------------------------------------------- text

    def _emit(self, line: str, arrays: Iterable[Any], launch: bool = False) -> None:
        """Write a line that works on ``arrays``."""
        arrays = [array for array in leaves(tuple(arrays)) if is_array(array)]
        for array in arrays:
            self.lines_of[id(root(array))].append(len(self.program.lines))
        on_gpu = any(device_of(array).type == "cuda" for array in arrays)
        moving = any(id(root(array)) in self.changing for array in arrays)
        self.program.write(line, launch and on_gpu and not moving)

    def _text(self, structure: Any) -> str:
        """An argument of a call as a whole."""
        return self.program.text(structure, self._value_text, is_value)

    def _value_text(self, leaf: Any) -> str:
        if not is_value(leaf):
            return self.program.constant(leaf, "option")
        if leaf in self.program.variables:
            return self.program.variables[leaf]
        return self.program.constant(self.fixed[leaf], leaf.call.name if leaf.call else "held")

    def _launch_text(self, function: Callable, args: tuple) -> str | None:
        """A launch as a line; None if it sees a part of an array that is not always the same."""
        if not all(map(self._reachable, leaves(args))):
            return None
        texts = [self.program.text(arg, self._array_text, is_special_argument) for arg in args]
        name = self.program.constant(function, name_of(function))
        if not isinstance(function, Threaded):
            self.told[name] = partial(launch, function)
        return f"{name}({', '.join(texts)})"

    def _reachable(self, leaf: Any) -> bool:
        value = self.changing.get(id(root(leaf))) if is_array(leaf) else None
        return value is None or leaf is value.array or _is_whole(leaf, value.array)

    def _array_text(self, leaf: Any) -> str:
        value = self.changing.get(id(root(leaf))) if is_array(leaf) else None
        if value is None:
            return self.program.constant(leaf, "array" if is_array(leaf) else "option")
        name = self.program.variables[value]
        return name if leaf is value.array else f"{name}.reshape({leaf.shape})"


def _is_whole(part: Any, array: Any) -> bool:
    """Whether ``part`` is all of ``array`` in another shape."""
    contiguous = part.flags.c_contiguous and array.flags.c_contiguous
    return contiguous and part.dtype == array.dtype and part.nbytes == array.nbytes


def _last_uses(trace: Trace) -> dict[Call, list[Value]]:
    """After which call each value is not needed any more; results and gradients always are."""
    last: dict[Value, Call] = {}
    for call in trace.calls:
        for value in (*call.makes(), *call.uses()):
            last[value] = call
    kept = {*trace.inputs, *leaves(trace.result), *(value for _, value in trace.gradients)}
    done: dict[Call, list[Value]] = defaultdict(list)
    for value, call in last.items():
        if value not in kept:
            done[call].append(value)
    return done
