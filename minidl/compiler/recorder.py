"""Recording: a run of the step is watched, and every computation noted with its arrays.

An array is known by its identity, as long as it lives: the record keeps none alive, so a
recorded run takes no more memory than another. It is an argument of the step, or the result of
a computation, or belongs to a tensor that was there before the run. Any other array was made
past the engine, of data of the host that the next run may not see again: an error.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.autograd import Leaf, Observer, Spec, TensorBase
from minidl.autograd.mode import mode
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError, users_line
from minidl.compiler.memory import root
from minidl.compiler.structure import mapped
from minidl.compiler.trace import Call, Trace, Value
from minidl.random import Generator


class Drawn(int):
    """A number from a generator, which is another one in each run."""

    value: Value


class Recorder(Observer):
    """Makes the `Trace` of a run with the given arguments.

    Use it as ``with observed_by(recorder): result = step(...)``, then call `finish`.
    """

    recording = True

    def __init__(self, inputs: list[Any]):
        self.owners: dict[int, list] = defaultdict(list)
        tensors = _tensors()
        for tensor in tensors:
            self.owners[id(tensor.array)].append(tensor)
        self.leaves = [(t, t.grad) for t in tensors if isinstance(t.place, Leaf)]
        self.counted = [(t.version, t.version[0]) for t in tensors]
        self.given = [tensor.array for tensor in inputs]
        self.trace = Trace(list(map(Value, self.given)))
        self.known = dict(zip(map(id, self.given), self.trace.inputs))
        self.watched: dict[int, weakref.ref] = {}

    # ----------------------------------------------------------------- what the engine tells

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        changes = getattr(function, "changes", False)
        call = self._noted(name, function, args, options, changes)
        result = mapped(_array_of, self._alone(function, args, options))
        if isinstance(getattr(function, "__self__", None), Generator):
            result = mapped(_drawn, result)
        call.result = mapped(lambda leaf: self._made(leaf, call), result)
        return result

    def change(self, name: str, function: Callable, args: tuple) -> None:
        self._noted(name, function, args, {}, changes=True)
        self._alone(function, args, {})

    def read(self, tensor: Any, how: str) -> None:
        raise CaptureError(
            f"{users_line()}: {how} looks at a value, which a captured step cannot follow: its "
            "repetitions would go on with the value of the first run. Return the tensor and look "
            "at it outside the step, or compute with it (where, clamp, a mask times a value)"
        )

    def _noted(
        self, name: str, function: Callable, args: tuple, options: dict, changes: bool
    ) -> Call:
        given = mapped(self._seen, args), mapped(self._seen, options)
        call = Call(name, function, *given, changes, users_line())
        self.trace.calls.append(call)
        return call

    def _alone(self, function: Callable, args: tuple, options: dict) -> Any:
        """The result of ``function``; what it computes inside is its own affair."""
        profile = sys.getprofile()
        mode.observer = None
        sys.setprofile(None)
        try:
            return function(*args, **options)
        finally:
            mode.observer = self
            sys.setprofile(profile)

    # ----------------------------------------------------------------- values

    def _seen(self, leaf: Any) -> Any:
        if isinstance(leaf, Drawn):
            return leaf.value
        if isinstance(leaf, Spec):
            return Spec(leaf)  # and not the graph behind it
        if not is_array(leaf):
            return leaf
        value = self.known.get(id(leaf))
        if value is None and type(leaf) is np.ndarray and not root(leaf).flags.writeable:
            return leaf  # a table of the engine's: a constant
        return self._held(leaf) if value is None else value

    def _held(self, array: Any) -> Value:
        tensors = [t for t in self.owners.get(id(array), ()) if t.array is array]
        if not tensors:
            raise CaptureError(
                f"{users_line()}: an array of {array.dtype}{list(array.shape)} was made inside the "
                "step of data of the host, which the next run would not see again. Pass it to the "
                "step as a tensor, or make the tensor once, outside"
            )
        value = self.known[id(array)] = Value(array, tensors=tensors)
        self.trace.held.append(value)
        return value

    def _made(self, leaf: Any, call: Call) -> Any:
        if isinstance(leaf, Drawn):
            leaf.value = Value(leaf, call)
            return leaf.value
        if not is_array(leaf):
            return leaf
        value = self.known.get(id(leaf))
        if value is None:
            value = self.known[id(leaf)] = Value(leaf, call)
            if value.is_layout:
                self._watch(leaf)
        return value

    def _watch(self, array: Any) -> None:
        """Forget the array's identity when it dies: another one may get it then."""

        def forget(_: weakref.ref, key: int = id(array)) -> None:
            del self.known[key], self.watched[key]

        self.watched[id(array)] = weakref.ref(array, forget)

    # ----------------------------------------------------------------- the end

    def finish(self, result: Any) -> Trace:
        """The trace of a run that returned ``result``."""
        trace = self.trace
        trace.result = mapped(self._returned, result)
        for leaf, before in self.leaves:
            if leaf.grad is before:
                if before is not None and id(before.array) in self.known:
                    trace.added.append((leaf, before))
            else:
                gradient = None if leaf.grad is None else self._seen(leaf.grad.array)
                trace.gradients.append((leaf, gradient))
                if before is None:
                    trace.unset.append(leaf)
        trace.versions = [version for version, count in self.counted if version[0] != count]
        return trace

    def _returned(self, leaf: Any) -> Any:
        if not isinstance(leaf, TensorBase):
            return leaf
        if leaf.grad_fn is not None and leaf.grad_fn.args is not None:
            raise CaptureError(
                f"the step returned a result of {leaf.grad_fn.op.name} whose graph backward() has "
                "not used, and a repetition has no graph: call backward() inside the step, return "
                "detach(), or run it under no_grad()"
            )
        return self._seen(leaf.array)


def _tensors() -> list[Any]:
    """All tensors that there are."""
    kinds = _kinds(TensorBase)
    # a class is known to its objects: to ask for those who refer to it is faster than to ask all
    found = [t for t in gc.get_referrers(*kinds) if type(t) in kinds]
    return [t for t in found if hasattr(t, "array") and hasattr(t, "place")]


def _kinds(cls: type) -> set[type]:
    """A class and all that inherit from it."""
    return {cls}.union(*map(_kinds, cls.__subclasses__()))


def _array_of(leaf: Any) -> Any:
    """NumPy's scalars as arrays, as tensors hold them."""
    return np.asarray(leaf) if isinstance(leaf, np.generic) else leaf


def _drawn(leaf: Any) -> Any:
    return Drawn(leaf) if isinstance(leaf, int) else leaf
