"""Joint traces: one call of a module, its forward pass and backward passes behind it.

A module is captured with its way back. Once ``forward`` has run, the graph that it made is run
backward from gradients of ones, placeholders for those of later calls, and all this is one
trace. So fusion sees both directions. A `barrier` stands before each backward pass, where
`minidl.compiler.halves` cuts the trace.

The run itself is an eager one: its results are those of the module, with their own graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.autograd import Leaf, Node, Spec, TensorBase, change, run, wrap
from minidl.autograd.engine import _Gradients
from minidl.autograd.graph import Place, Saving, fit
from minidl.autograd.mode import mode, set_grad_enabled
from minidl.backend import Device, device_of, made_on
from minidl.compiler import match
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import leaves
from minidl.compiler.trace import Trace
from minidl.compiler.watch.guards import Guards
from minidl.compiler.watch.watch import Watch

Signature = tuple[tuple[tuple[int, ...], tuple[int, ...]] | None, ...]
"""For each output with a graph: shape and strides of its gradient, None if it has none."""


# --------------------------------------------------------------------------- capture


@dataclass
class Captured:
    """A recorded run of a function.

    Attributes
    ----------
    result : object
        What the function returned.
    trace : Trace or None
        Its computations; None if it cannot be captured.
    guards : object
        Its ``holds()`` is whether all outside state that the function has read is unchanged.
    failure : str
        Why it cannot be captured.
    """

    result: Any
    trace: Trace | None
    guards: Guards
    failure: str


def captured(function: Callable[[Callable], Any], inputs: list[Any], given: list[Any]) -> Captured:
    """Run ``function(call)`` on the tensors ``inputs``, and record it.

    ``call`` calls a module so that all that its Python code reads is watched; ``given`` are
    objects that are the same in each call. What cannot be captured runs to its end all the same:
    nothing has to run twice.
    """
    watch, trace = Watch(inputs, given, frozenset(), lenient=True), None
    watch.as_values = True
    with watch.running():
        result = function(watch.call)
    try:
        trace = watch.finish(result)
        if watch.writes:
            line = watch.writes[0].line
            watch.failure = f"{line}: forward changes an attribute, a global or a list"
    except CaptureError as error:
        watch.failure = str(error)
    watch.close()
    return Captured(result, None if watch.failure else trace, watch.guards, watch.failure)


# --------------------------------------------------------------------------- both directions


@dataclass
class Joint:
    """A recorded call of a module, forward and backward.

    Attributes
    ----------
    result : structure
        What the module returned.
    failure : str
        Why it cannot be captured; the attributes below are then of no use.
    guards : object
        Its ``holds()`` is whether all outside state that the call has read is unchanged.
    seconds : float
        How long the recorded run took.
    computed : match.Signature or None
        What it computed, for another call to be compared with.
    trace : Trace
        The computations. Its result is that of `tensors`, and for each pass the contributions.
    tensors : list of Tensor
        The tensors in the result, each once.
    outputs : list of Tensor
        Those of them that the call has put into the graph.
    signatures : list of Signature
        Of each backward pass.
    ends : list of list of (int or Tensor)
        For each pass, whose gradient each contribution belongs to: the number of an argument,
        or a leaf that is no argument.
    reached : list of set
        For each output, the ends that a gradient can flow to.
    saved : tuple of list
        Whose values the graph has saved: numbers of arguments, numbers of ``tensors``, and
        tensors from before.
    """

    result: Any
    failure: str
    guards: Any
    trace: Trace
    seconds: float
    computed: Any = None
    tensors: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    ends: list[list[Any]] = field(default_factory=list)
    reached: list[set[Any]] = field(default_factory=list)
    saved: tuple[list[int], list[int], list[Any]] = ([], [], [])


class _Refused(Exception):
    """A call whose backward passes cannot be captured."""


def joint_run(
    function: Callable[[Callable], Any],
    inputs: list[Any],
    known: list[Signature],
    own: Callable,
) -> Joint:
    """Run ``function(call)`` forward and backward, and record both.

    Parameters
    ----------
    function : callable
        Calls the module by ``call(module, args, kwargs)``.
    inputs : list of Tensor
        The tensors among its arguments.
    known : list of Signature
        Which gradients its outputs are known to get.
    own : callable
        Returns the module's parameters and buffers.
    """
    start = time.perf_counter()
    run_ = _Run(function, inputs, known)
    found = captured(run_.both, inputs, [])
    failure = found.failure or run_.failure or run_.side_effect(own, found.trace)
    seconds = time.perf_counter() - start
    joint = Joint(run_.result, failure, found.guards, found.trace, seconds)
    if not failure:
        run_.drop_new_leaves(found.trace)
        joint.computed = match.Signature(found.trace)
        joint.tensors, joint.outputs = run_.tensors, run_.outputs
        joint.signatures, joint.ends = run_.signatures, run_.ends
        joint.reached, joint.saved = run_.reached, run_.saved(found.trace)
    return joint


class _Run:
    """The run of a joint trace."""

    def __init__(self, function: Callable, inputs: list[Any], known: list[Signature]):
        self.function, self.inputs, self.known = function, inputs, known
        self.before = [(t.version[0], t.place) for t in inputs]
        self.places: dict[Place, int] = {}
        for i, tensor in enumerate(inputs):
            if tensor.place is not None:
                self.places.setdefault(tensor.place, i)
        self.start = Node(None, (), None, Saving(False, (), False), Spec(np.empty(0))).order
        self.failure = ""

    def both(self, call: Callable) -> tuple[list, list]:
        """The module's tensors and, for each backward pass, the contributions to gradients."""
        self.result = self.function(call)
        self.tensors = list({id(t): t for t in leaves(self.result) if _is_tensor(t)}.values())
        self.outputs = [t for t in self.tensors if self._is_output(t)]
        self.signatures, self.ends, found = [], [], []
        try:
            self._walk()
            for signature in _completed(self.known, self.outputs):
                self.signatures.append(signature)
                found.append(self._backward(signature))
        except Exception as error:  # eager backward will say so, too, if it is asked
            self.failure = f"its backward pass cannot be captured: {error}"
        mode.observer.takes(self.tensors)
        results = [wrap(t.array) for t in self.tensors]
        mode.observer.wrappers.update(map(id, results))  # whose memory is that of the originals
        return results, found

    def _is_output(self, tensor: Any) -> bool:
        place = tensor.place
        inside = place is not None and type(place) is not Leaf and place not in self.places
        return inside and place.node.order > self.start

    # ----------------------------------------------------------------- the graph

    def _walk(self) -> None:
        """Look at all nodes between outputs and ends."""
        self.reached, self.nodes = [], set()
        for output in self.outputs:
            nodes, ends = {output.place.node}, set()
            waiting = list(nodes)
            while waiting:
                for _, place in waiting.pop().edges:
                    if self._is_end(place):
                        ends.add(self._end(place))
                    elif place.node not in nodes:
                        nodes.add(place.node)
                        waiting.append(place.node)
            self.reached.append(ends)
            self.nodes |= nodes
        for node in self.nodes:
            if node.hooks is not None:
                raise _Refused(f"a hook on a result of {node.op.name}, inside the module")
            if node.order < self.start:
                raise _Refused("it uses a tensor with a graph that is not an argument")

    def _is_end(self, place: Place) -> bool:
        return type(place) is Leaf or place in self.places

    def _end(self, place: Place) -> Any:
        """The number of the argument, or the leaf, that has this place."""
        return self.places[place] if place in self.places else place.tensor()

    def _backward(self, signature: Signature) -> list[Any]:
        """Contributions to the gradients of ends, each by itself and in the engine's order.

        To add them up is left to the engine, which then adds in the order of the eager graph.
        """
        change("backward", barrier)
        roots = []
        for output, layout in zip(self.outputs, signature):
            if layout is not None:
                array = output.array
                ones = run(SEED, seeded, *layout, array.dtype, device_of(array))
                roots.append((output.place, wrap(ones)))
        with set_grad_enabled(False):
            gradients = _Contributions(roots, self._is_end)
            for node, gradient in gradients:
                for (_, place), found in zip(node.edges, node.gradients(gradient, node.edges)):
                    if found is not None:
                        gradients.add(place, found)
        self.ends.append([self._end(place) for place, _ in gradients.ended])
        return [wrap(gradient) for _, gradient in gradients.ended]

    # ----------------------------------------------------------------- afterwards

    def side_effect(self, own: Callable, trace: Trace) -> str:
        """What the call did that a replay would not do; empty if nothing."""
        if trace.gradients:
            return "forward changes the gradients of parameters"
        if [(t.version[0], t.place) for t in self.inputs] != self.before:
            return "forward changes an argument in place"
        arrays = {id(tensor.array) for tensor in own()}
        if any(id(tensor.array) in arrays for tensor in self.inputs):
            return "an argument is a parameter or a buffer of the module"
        for tensor, value in zip(self.tensors, trace.result[0]):
            if value.call is not None and type(tensor.place) is Leaf:
                return "its result is a new leaf that requires a gradient"
        return ""

    def drop_new_leaves(self, trace: Trace) -> None:
        """Forget gradients of leaves that the call has made itself."""
        known = {id(tensor) for value in trace.held for tensor in value.tensors}
        for ends, contributions in zip(self.ends, trace.result[1]):
            kept = [i for i, end in enumerate(ends) if type(end) is int or id(end) in known]
            ends[:] = [ends[i] for i in kept]
            contributions[:] = [contributions[i] for i in kept]

    def saved(self, trace: Trace) -> tuple[list[int], list[int], list[Any]]:
        """Whose values the graph has saved, see `Joint`."""
        counters = {id(version) for node in self.nodes for version in node.versions}
        found: list[list[tuple[Any, Any]]] = [
            list(enumerate(self.inputs)),
            [(t, t) for value in trace.held for t in value.tensors],
            list(enumerate(self.tensors)),
        ]
        saved = []
        for group in found:
            some = {id(tensor.version): key for key, tensor in group}
            saved.append([key for version, key in some.items() if version in counters])
            counters -= some.keys()
        return saved[0], saved[2], saved[1]


class _Contributions(_Gradients):
    """A backward pass that ends at given places, and keeps what arrives there apart."""

    def __init__(self, roots: list, is_end: Callable[[Place], bool]):
        self.is_end = is_end
        self.ended: list[tuple[Place, Any]] = []
        super().__init__(roots)

    def add(self, place: Place, gradient: Any) -> None:
        if self.is_end(place):
            self.ended.append((place, fit(gradient, place)))
        else:
            super().add(place, gradient)


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, TensorBase)


# --------------------------------------------------------------------------- gradients of outputs

SEED = "output gradient"


def barrier() -> None:
    """Nothing: between parts of a joint trace that are replayed at different times."""


def seeded(shape: tuple, strides: tuple[int, ...], dtype: np.dtype, place: Device) -> Any:
    """Ones, for the gradient of an output."""
    if place.type == "cpu":
        return strided(shape, strides, dtype)
    return made_on(place, lambda xp: xp.ones(shape, dtype))


def strided(shape: tuple, strides: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Ones with these strides."""
    reaches = [stride * (size - 1) for size, stride in zip(shape, strides) if size]
    before = -sum(reach for reach in reaches if reach < 0)
    after = sum(reach for reach in reaches if reach > 0)
    memory = np.ones((before + after) // dtype.itemsize + 1, dtype)
    return np.ndarray(shape, dtype, memory, before, strides)


def strides_of(array: Any) -> tuple[int, ...]:
    """The strides that matter: 0 where they lead nowhere, row-major on a device."""
    if type(array) is not np.ndarray:
        return _row_major(array.shape, array.dtype.itemsize)
    return tuple(s if size > 1 else 0 for size, s in zip(array.shape, array.strides))


def _row_major(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    strides: list[int] = []
    for size in reversed(shape):
        strides.insert(0, step if size > 1 else 0)
        step *= size
    return tuple(strides)


def signature_of(gradients: list[Any]) -> Signature:
    """The signature of gradients of all outputs, None for 0."""
    return tuple(None if g is None else (g.shape, strides_of(g)) for g in gradients)


def takes_all(signature: Signature) -> bool:
    """Whether gradients of any other signature can be brought into this one."""
    return all(
        layout is not None and all(stride or size < 2 for size, stride in zip(*layout))
        for layout in signature
    )


def _completed(known: list[Signature], outputs: list[Any]) -> list[Signature]:
    """The known signatures of such outputs and, if none of them takes all, one that does."""
    if not outputs:
        return []
    shapes = [output.shape for output in outputs]
    fitting = [signature for signature in known if _fits(signature, shapes)]
    if not any(map(takes_all, fitting)):
        strides = [_row_major(output.shape, output.dtype.itemsize) for output in outputs]
        fitting.append(tuple(zip(shapes, strides)))
    return fitting


def _fits(signature: Signature, shapes: list[tuple[int, ...]]) -> bool:
    return len(signature) == len(shapes) and all(
        layout is None or layout[0] == shape for layout, shape in zip(signature, shapes)
    )
