"""The compiled step: which recording serves a call, and what to do when none does."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from minidl.autograd import TensorBase, is_grad_enabled, observed_by, wrap
from minidl.autograd.mode import mode
from minidl.backend import get_default_device, get_default_dtype
from minidl.compiler.errors import CaptureError
from minidl.compiler.guards import Guards, Witness, guards_of
from minidl.compiler.match import difference
from minidl.compiler.plan import Plan
from minidl.compiler.recorder import Recorder
from minidl.compiler.structure import leaves, mapped
from minidl.compiler.trace import Trace, Value
from minidl.kernels import active_sets
from minidl.random import current_generator

_MOST_PLANS = 16
_PATIENCE = 3  # runs that differ from the one before until it is an error


class CompiledStep:
    """What `minidl.compile` returns; called like the function that it was made of.

    Attributes
    ----------
    captures : int
        How many plans it has made.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.captures = 0
        self._plans: OrderedDict[Any, list[_Recording]] = OrderedDict()
        self._pending: dict[Any, _Pending] = {}
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if mode.observer is not None and mode.observer.recording:  # as a part of another step
            return self.function(*args, **kwargs)
        with self._lock:
            tensors, key = _described(args, kwargs)
            for recording in self._plans.get(key, ()):
                if recording.holds():
                    return recording.repeat(tensors)
            return self._record(tensors, key, args, kwargs)

    def reset(self) -> None:
        """Forget all plans and their memory; the next calls capture anew."""
        with self._lock:
            self._plans.clear()
            self._pending.clear()

    def code(self) -> str:
        """The programs of all plans, as Python."""
        texts = (plan.plan.source for plans in self._plans.values() for plan in plans)
        return "\n".join(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["function"], name)

    def __repr__(self) -> str:
        return f"minidl.compile({self.function!r})"

    # ----------------------------------------------------------------- recording

    def _record(self, tensors: list, key: Any, args: tuple, kwargs: dict) -> Any:
        """Run as it is, and make a plan if the run before it was the same."""
        self._complain(key)
        pending = self._pending.pop(key, None)
        if pending is not None and pending.guards.changed() is not None:
            pending = None
        result, run = _run(self.function, tensors, args, kwargs)
        if pending is None:
            self._wait(run, key)
        else:
            self._compare(pending, run, key)
        return result

    def _complain(self, key: Any) -> None:
        """CaptureError if a variable of the program, and no module, is what has changed."""
        known = [recording.guards for recording in self._plans.get(key, ())]
        known += [self._pending[key].guards] if key in self._pending else []
        for guards in known:
            guard = guards.changed()
            if guard is not None and not guard.soft:
                raise CaptureError(
                    f"{guard.change()} since the step was captured. Pass it to the step as an "
                    "argument (a number that changes often as a tensor), or call reset()"
                )

    def _compare(self, before: _Pending, run: _Pending, key: Any) -> None:
        guard = before.guards.changed()
        if guard is not None and not guard.soft:
            raise CaptureError(
                f"{guard.change()} by the step itself, and a repetition would not change it: "
                "return what is to be kept, and keep it outside the step"
            )
        found = difference(before.trace, run.trace)
        if found is None:
            self._keep(_Recording(before.trace, run), key)
            run.trace.forget()  # now, and not when a collector finds its cycles
        elif before.attempts + 1 >= _PATIENCE:
            raise CaptureError(f"{found}. No two runs of the step computed the same")
        else:
            run.attempts = before.attempts + 1
            self._wait(run, key)

    def _wait(self, run: _Pending, key: Any) -> None:
        """Keep a run for the next one to be compared with, but not its arrays."""
        run.trace.forget()
        self._pending[key] = run

    def _keep(self, recording: _Recording, key: Any) -> None:
        self.captures += 1
        self._plans.setdefault(key, []).insert(0, recording)
        self._plans.move_to_end(key)
        while sum(map(len, self._plans.values())) > _MOST_PLANS:
            oldest = next(iter(self._plans))
            self._plans[oldest].pop()
            if not self._plans[oldest]:
                del self._plans[oldest]


class _Pending:
    """A recorded run, and what it depended on."""

    def __init__(self, trace: Trace, guards: Guards):
        self.trace = trace
        self.guards = guards
        self.attempts = 0


def _run(function: Callable, tensors: list, args: tuple, kwargs: dict) -> tuple[Any, _Pending]:
    for i, tensor in enumerate(tensors):
        if tensor.place is not None:
            raise CaptureError(
                f"argument {i} of {_name(function)} requires a gradient, and a repeated step has "
                "no graph that could lead to it: pass detach() of it"
            )
    recorder, witness = Recorder(tensors), Witness()
    with observed_by(recorder), witness:
        result = function(*args, **kwargs)
    trace = recorder.finish(result)
    return mapped(_detached, result), _Pending(trace, guards_of(witness))


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _detached(leaf: Any) -> Any:
    if isinstance(leaf, TensorBase) and not leaf.is_leaf:
        return leaf.detach()
    return leaf


class _Recording:
    """A plan, what must hold for it to be repeated, and what a repetition leaves behind."""

    def __init__(self, first: Trace, run: _Pending):
        trace = run.trace
        self.guards = run.guards
        self.plan = Plan(trace)
        self.held = [(t, value.array) for value in trace.held for t in value.tensors]
        self.added = trace.added
        # leaves that had no gradient before either run may not have one before a repetition
        before = set(map(id, first.unset))
        self.unset = [leaf for leaf in trace.unset if id(leaf) in before]
        self.versions = trace.versions
        self.gradients = [
            (leaf, None if value is None else wrap(value.array)) for leaf, value in trace.gradients
        ]
        # not the trace's values, behind which are all arrays of the run
        self.result = mapped(_slot, trace.result)

    def holds(self) -> bool:
        """Whether all is as it was when the step was recorded."""
        for tensor, array in self.held:
            if tensor.array is not array:
                return False
        for leaf in self.unset:
            if leaf.grad is not None:
                return False
        for leaf, gradient in self.added:
            if leaf.grad is not gradient:
                return False
        return self.guards.changed() is None

    def repeat(self, tensors: list) -> Any:
        """The step once more, on these tensors."""
        replay = self.plan.replay if mode.observer is None else self.plan.observed
        arrays, gradients = replay(*[tensor.array for tensor in tensors])
        computed = iter(gradients)
        for leaf, gradient in self.gradients:
            if gradient is not None:
                gradient.array = next(computed)
            leaf.grad = gradient
        for version in self.versions:
            version[0] += 1
        given = iter(arrays)
        return mapped(lambda leaf: _returned(leaf, given), self.result)


class _Slot:
    """The place of a tensor in a result: one from before the run, or one that is made anew."""

    def __init__(self, tensor: Any):
        self.tensor = tensor


def _slot(leaf: Any) -> Any:
    return _Slot(next(iter(leaf.tensors), None)) if isinstance(leaf, Value) else leaf


def _returned(leaf: Any, arrays: Iterator) -> Any:
    if not isinstance(leaf, _Slot):
        return leaf
    array = next(arrays)
    return wrap(array) if leaf.tensor is None else leaf.tensor


# --------------------------------------------------------------------------- arguments


def _described(args: tuple, kwargs: dict) -> tuple[list, Any]:
    """The tensors among the arguments, and a key of all else that decides on the plan."""
    tensors: list = []
    key: list = []
    for leaf in leaves((args, kwargs)) if kwargs or _nested(args) else args:
        if isinstance(leaf, TensorBase):
            tensors.append(leaf)
            array = leaf.array
            key.append((array.shape, array.dtype.char, array.strides, type(array)))
        else:
            key.append((leaf.__class__, leaf))
    if len(tensors) > 1:
        places = {id(tensor.array): i for i, tensor in enumerate(tensors)}
        if len(places) < len(tensors):
            key.append(tuple(places[id(tensor.array)] for tensor in tensors))
    context = (
        is_grad_enabled(),
        id(current_generator()),
        get_default_dtype(),
        get_default_device(),
        active_sets(),
        tuple(kwargs),
    )
    key = (*key, context)
    try:
        hash(key)
    except TypeError:
        raise CaptureError(
            "the arguments of a compiled step are tensors, numbers, strings and tuples, lists or "
            "dictionaries of these: " + ", ".join(type(leaf).__name__ for leaf in args)
        ) from None
    return tensors, key


def _nested(args: tuple) -> bool:
    return any(isinstance(arg, tuple | list | dict) for arg in args)
