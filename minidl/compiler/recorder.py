"""Recording: a run of the step is watched, and every computation noted with its arrays.

An array is known by its identity, as long as it lives: the record keeps none alive, so a
recorded run takes no more memory than another. It is an argument of the step, the result of a
computation, or the memory of a tensor from before the run. Any other array was made past the
engine, of host data that the next run may not see again: an error.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import Leaf, Observer, Spec, TensorBase
from minidl.autograd.mode import mode
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError, users_line
from minidl.compiler.memory import root
from minidl.compiler.profile_function import restore_profile, set_profile
from minidl.compiler.structure import copied, leaves, mapped
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import Call, Trace, Value, layout_of
from minidl.random import Generator


class Drawn(int):
    """A number from a generator, which is another one in each run."""

    value: Value


class Recorder(Observer):
    """Makes the `Trace` of a run with the given arguments.

    Use it as ``with observed_by(recorder): result = step(...)``, then call `finish`.

    Parameters
    ----------
    inputs : list of Tensor
        The tensors among the arguments.
    outside : iterable of Tensor, optional
        All tensors that were there before the run, if it is known: memory of any other that the
        engine has not computed is an error.
    """

    recording = True

    def __init__(self, inputs: list[Any], outside: Iterable[Any] | None = None):
        self.owners: dict[int, list] = {}
        self.outside = None if outside is None else {id(tensor.array) for tensor in outside}
        self.kept = outside
        self.given = list(inputs)
        self.trace = Trace([Value(tensor.array) for tensor in inputs])
        self.known = {id(t.array): value for t, value in zip(inputs, self.trace.inputs)}
        self.watched: dict[int, weakref.ref] = {}
        self.foreign: dict[int, Any] = {}  # tensors from before the run
        self.constants: dict[int, Any] = {}  # arrays of the host that are the same in each run
        self.host_data: dict[int, Any] = {}  # arrays that nothing vouches for
        self.counted = {id(t.version): (t.version, t.version[0]) for t in inputs}
        self.leaves: dict[int, tuple[Any, Any]] = {}  # leaves, and their gradients before the run
        self.prior: dict[int, Any] = {}  # leaves by the arrays of those gradients
        self.depends: dict[int, Any] = {}  # leaves whose gradient from before was looked at
        self.overwritten: set[int] = set()  # leaves whose gradient was assigned
        self.has_numbers = False  # whether there may be a `Number` among arguments
        self.wrappers: set[int] = set()  # tensors that the run made of memory from before

    def line(self) -> str:
        """``file:line`` of the user's program."""
        return users_line()

    # ----------------------------------------------------------------- what the engine tells

    def takes(self, values: Iterable) -> None:
        for leaf in leaves(values):
            if isinstance(leaf, TensorBase):
                self.register(leaf)

    def accumulates(self, tensor: Any) -> None:
        self._note_leaf(tensor)
        if id(tensor) in self.leaves and id(tensor) not in self.overwritten:
            self.depends.setdefault(id(tensor), tensor)

    def overwrites(self, tensor: Any) -> None:
        """Note that the gradient of a leaf is about to be assigned, whatever it was."""
        self._note_leaf(tensor)
        self.overwritten.add(id(tensor))

    def _note_leaf(self, tensor: Any) -> None:
        if id(tensor) in self.wrappers or (
            self.was_made(tensor) and id(tensor) not in self.foreign
        ):
            return  # a leaf of the run itself
        if id(tensor) not in self.leaves:
            before = tensor.grad
            self.leaves[id(tensor)] = (tensor, before)
            if before is not None and id(before.array) not in self.known:
                self.prior[id(before.array)] = tensor

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        changes = getattr(function, "changes", False)
        call = self.note(name, function, args, options, changes)
        try:
            result = self.alone(function, args, options)
        except Exception as error:
            self._fails(call, type(error))
            raise
        if type(result) is np.ndarray:
            call.result = self._made(result, call)
            return result
        result = mapped(_array_of, result)
        if isinstance(getattr(function, "__self__", None), Generator):
            result = mapped(_drawn, result)
        call.result = mapped(lambda leaf: self._made(leaf, call), result)
        return result

    def change(self, name: str, function: Callable, args: tuple) -> None:
        for leaf in leaves(args):
            if isinstance(leaf, TensorBase):
                self.register(leaf)
        call = self.note(name, function, args, {}, changes=True)
        try:
            self.alone(function, args, {})
        except Exception as error:
            self._fails(call, type(error))
            raise

    def read(self, tensor: Any, how: str) -> None:
        raise CaptureError(
            f"{self.line()}: {how} looks at a value, which a captured step cannot follow: its "
            "replays would go on with the value of the first run. Return the tensor and look "
            "at it outside the step, or compute with it (where, clamp, a mask times a value)"
        )

    def note(
        self, name: str, function: Callable, args: tuple, options: dict, changes: bool = False
    ) -> Call:
        """Append a call to the trace."""
        given = self._values(args, changes), options
        if options:
            given = given[0], mapped(self.value_of, options)
        call = Call(name, function, *given, changes, self.line())
        self.trace.calls.append(call)
        return call

    def _values(self, args: tuple, changes: bool) -> tuple:
        if not any(isinstance(arg, tuple | list | dict) for arg in args):
            return tuple(map(self.value_of, args))
        given = mapped(self.value_of, args)
        return given if changes else copied(given)  # what is changed in place is that very object

    def alone(self, function: Callable, args: tuple, options: dict) -> Any:
        """The result of ``function``; what it computes inside is its own affair."""
        profile, observer = sys.getprofile(), mode.observer
        mode.observer = None
        if profile is not None:
            set_profile(None)
        try:
            if self.has_numbers:
                args, options = mapped(_plain, args), mapped(_plain, options)
            return function(*args, **options)
        finally:
            mode.observer = observer
            if profile is not None:
                restore_profile(profile)

    def _fails(self, call: Call, error: type[Exception]) -> None:
        """A call that raised: the program may have caught it, so it must raise again."""
        call.name, call.changes = f"failing {call.name}", True
        call.args, call.options = (call.function, error, call.args, call.options), {}
        call.function = must_fail

    # ----------------------------------------------------------------- values

    def register(self, tensor: Any) -> None:
        """Note a tensor whose memory the run may use."""
        key = id(tensor.array)
        if id(tensor) in self.wrappers:
            return
        value = self.known.get(key)
        if value is not None:
            if value.tensors and all(t is not tensor for t in value.tensors):
                value.tensors.append(tensor)
                self._note_outside(tensor)
            return
        if key in self.prior or key in self.host_data or key in self.constants:
            return
        if self.outside is not None and key not in self.outside:
            return
        known = self.owners.setdefault(key, [])
        if all(t is not tensor for t in known):
            known.append(tensor)
            self._note_outside(tensor)

    def _note_outside(self, tensor: Any) -> None:
        self.foreign[id(tensor)] = tensor
        self.counted.setdefault(id(tensor.version), (tensor.version, tensor.version[0]))

    def is_known(self, tensor: Any) -> bool:
        """Whether the memory of ``tensor`` is accounted for."""
        key = id(tensor.array)
        return any(key in table for table in (self.known, self.owners, self.prior, self.constants))

    def was_made(self, tensor: Any) -> bool:
        """Whether the memory of ``tensor`` was computed in the run."""
        value = self.known.get(id(tensor.array))
        return value is not None and value.call is not None

    def add_constant(self, array: Any) -> None:
        """Note an array of the host that is the same in each run."""
        self.constants[id(array)] = array

    def add_host_data(self, array: Any) -> None:
        """Note an array of the host that may be another one in the next run."""
        self.host_data[id(array)] = array

    def value_of(self, leaf: Any) -> Any:
        """The value of an argument in the trace."""
        if isinstance(leaf, Drawn):
            return leaf.value
        if type(leaf) is Number:
            return leaf.recorded()
        if isinstance(leaf, Spec):
            return Spec(leaf)  # and not the graph behind it
        if not is_array(leaf):
            return leaf
        value = self.known.get(id(leaf))
        if value is not None:
            return value
        if id(leaf) in self.constants:
            return leaf.copy()
        if type(leaf) is np.ndarray and not root(leaf).flags.writeable:
            return leaf  # a table of the engine's: a constant
        if id(leaf) in self.prior:
            return self._prior(leaf)
        return self._held(leaf)

    def _prior(self, array: Any) -> Value:
        """The gradient that a leaf had before the run, read again in each replay."""
        leaf = self.prior[id(array)]
        if any(leaf is tensor for tensor in self.given):
            raise CaptureError(
                f"{self.line()}: an argument of the step has a gradient from before, which the "
                "step adds to: set its grad to None first"
            )
        reader = GradientReader(leaf, layout_of(array))
        call = Call("gradient", reader, (), {}, False, self.line())
        call.result = value = Value(array, call)
        self.trace.calls.append(call)
        self.trace.prior.append(leaf)
        return self.know(array, value)

    def _held(self, array: Any) -> Value:
        tensors = [t for t in self.owners.get(id(array), ()) if t.array is array]
        if not tensors or id(array) in self.host_data:
            raise CaptureError(
                f"{self.line()}: an array of {array.dtype}{list(array.shape)} was made inside the "
                "step of host data, which the next run would not see again. Pass it to the "
                "step as a tensor, or make the tensor once, outside"
            )
        if self.is_replaced(tensors[0]):
            return self._read_again(array, tensors[0])
        value = self.known[id(array)] = Value(array, tensors=tensors)
        self.trace.held.append(value)
        return value

    def is_replaced(self, tensor: Any) -> bool:
        """Whether a tensor gets other memory between calls, so that each replay looks it up."""
        return False

    def _read_again(self, array: Any, tensor: Any) -> Value:
        call = Call("memory", MemoryReader(tensor), (), {}, False, self.line())
        call.result = value = Value(array, call)
        self.trace.calls.append(call)
        return self.know(array, value)

    def _made(self, leaf: Any, call: Call) -> Any:
        if isinstance(leaf, Drawn):
            leaf.value = Value(leaf, call)
            return leaf.value
        if not is_array(leaf):
            return leaf
        value = self.known.get(id(leaf))
        return self.know(leaf, Value(leaf, call)) if value is None else value

    def know(self, array: Any, value: Value) -> Value:
        """Know an array by its identity until it dies: another one may get it then."""
        self.known[id(array)] = value
        if value.is_layout:

            def forget(_: weakref.ref, key: int = id(array)) -> None:
                self.known.pop(key, None)
                self.watched.pop(key, None)

            self.watched[id(array)] = weakref.ref(array, forget)
        return value

    # ----------------------------------------------------------------- the end

    def finish(self, result: Any) -> Trace:
        """The trace of a run that returned ``result``."""
        trace = self.trace
        trace.result = mapped(self.returned, result)
        for leaf, before in self.leaves.values():
            self._finish_gradient(leaf, before)
        changed = [v for v, count in self.counted.values() if v[0] != count]
        inputs = {id(tensor.version): i for i, tensor in enumerate(self.given)}
        trace.changed_inputs = [inputs[id(v)] for v in changed if id(v) in inputs]
        trace.versions = [v for v in changed if id(v) not in inputs]
        return trace

    def _finish_gradient(self, leaf: Any, before: Any) -> None:
        trace = self.trace
        if leaf.grad is before and id(leaf) not in self.overwritten:
            if before is not None and any(leaf is prior for prior in trace.prior):
                trace.accumulated.append(leaf)
            return
        position = next((i for i, tensor in enumerate(self.given) if tensor is leaf), None)
        target = leaf if position is None else InputLeaf(position)
        if leaf.grad is None:
            trace.gradients.append((target, None))
            return
        self.refuse_graph(leaf.grad, "the gradient of a leaf is")
        self.register(leaf.grad)
        trace.gradients.append((target, self.value_of(leaf.grad.array)))

    def returned(self, leaf: Any) -> Any:
        """The value of a leaf of the step's result."""
        if type(leaf) is Number:
            return leaf.recorded()
        if not isinstance(leaf, TensorBase):
            return leaf
        self.refuse_graph(leaf, "the step returned")
        self.register(leaf)
        value = self.value_of(leaf.array)
        return value if isinstance(value, Value) else self._constant(value)

    def _constant(self, array: Any) -> Value:
        """A constant that leaves the step, where each call gives another tensor of it."""
        call = self.note("constant", Constant(array), (), {})
        call.result = value = Value(array, call)
        return value

    def refuse_graph(self, tensor: Any, what: str) -> None:
        """CaptureError if ``tensor`` has a graph that may still be used."""
        place = tensor.place
        if place is None or isinstance(place, Leaf) or _is_used_up(place.node):
            return
        raise CaptureError(
            f"{what} a result of {place.node.op.name} whose graph backward() has "
            "not used, and a replay has no graph: call backward() inside the step, return "
            "detach(), or run it under no_grad(). (minidl.compile of a module does keep a graph)"
        )


class InputLeaf(NamedTuple):
    """An argument of the step whose gradient it sets."""

    position: int


class GradientReader:
    """Reads the gradient that a leaf has when a replay begins."""

    def __init__(self, leaf: Any, layout: tuple):
        self.leaf, self.layout = leaf, layout

    def __call__(self) -> Any:
        return self.leaf.grad.array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradientReader) and (self.leaf, self.layout) == (
            other.leaf,
            other.layout,
        )

    def __hash__(self) -> int:
        return hash(id(self.leaf))

    def holds(self) -> bool:
        """Whether there is a gradient of that layout."""
        gradient = self.leaf.grad
        return gradient is not None and layout_of(gradient.array) == self.layout


class MemoryReader:
    """Looks up the memory of a tensor."""

    def __init__(self, tensor: Any):
        self.tensor = tensor

    def __call__(self) -> Any:
        return self.tensor.array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryReader) and self.tensor is other.tensor

    def __hash__(self) -> int:
        return id(self.tensor)


class Constant:
    """Makes an array that is the same in each run."""

    def __init__(self, array: Any):
        self.array = array

    def __call__(self) -> Any:
        return self.array.copy()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and (
            layout_of(self.array) == layout_of(other.array)
            and self.array.tobytes() == other.array.tobytes()
        )

    def __hash__(self) -> int:
        return hash(self.array.shape)


def _is_used_up(node: Any) -> bool:
    """Whether backward() from a node is an error, since a part of its graph is freed."""
    seen, stack = {node}, [node]
    while stack:
        node = stack.pop()
        if not isinstance(node, Leaf) and node.args is None:
            return True
        for _, place in node.edges:
            if place.node not in seen:
                seen.add(place.node)
                stack.append(place.node)
    return False


def must_fail(function: Callable, error: type[Exception], args: tuple, options: dict) -> None:
    """Call what raised when the step was captured, and was caught there; CaptureError if not."""
    try:
        function(*args, **options)
    except error:
        return
    raise CaptureError(
        f"{getattr(function, '__name__', function)} raised {error.__name__} when the step was "
        "captured, and the step caught it; now it does not: whether it fails depends on values"
    )


def _array_of(leaf: Any) -> Any:
    """NumPy's scalars as arrays, as tensors hold them."""
    return np.asarray(leaf) if isinstance(leaf, np.generic) else leaf


def _drawn(leaf: Any) -> Any:
    return Drawn(leaf) if isinstance(leaf, int) else leaf


def _plain(leaf: Any) -> Any:
    return leaf.value if type(leaf) is Number else leaf
