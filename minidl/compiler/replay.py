"""Replays of a module's calls: their results, and the node that leads back through them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from minidl.autograd import Leaf, Node, Spec, TensorBase, wrap
from minidl.autograd.graph import Edge, Output, Saving
from minidl.autograd.mode import mode
from minidl.backend import device_of
from minidl.compiler.audits import Audits
from minidl.compiler.halves import Halves, Lease, Saved, Source, sources
from minidl.compiler.joint import Joint, Signature, seeded, signature_of, takes_all
from minidl.compiler.plan import Plan
from minidl.compiler.results import rebuilt

# --------------------------------------------------------------------------- nodes


class Learner(Protocol):
    """Who wants to know of gradients that no backward pass was recorded for."""

    def learn(self, signature: Signature, without: Recording | None = None) -> None:
        """Record backward passes for them from now on; ``without`` has none of them."""


class _CompiledCall:
    """What a node asks for gradients: `minidl.autograd.graph.Differentiable`."""

    multiple = True

    def __init__(self, name: str):
        self.name = name

    def differentiate(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """The gradients behind ``edges``, given those of the outputs."""
        if mode.enabled:
            raise RuntimeError(
                f"{self.name}: gradients of a compiled module cannot be differentiated again "
                "(create_graph=True); call the module that it was made of, its _orig_mod"
            )
        found = node.kept.gradients([_as_array(each) for each in g])
        return [found[i] for i, _ in edges]


def _node(op: _CompiledCall, tensors: list, like: Any, saved: list[int]) -> Node:
    kinds = tuple((i, False, i in saved) for i in range(len(tensors)))
    return Node(op, tuple(tensors), None, Saving(True, kinds, False), like)


def _as_array(gradient: Any) -> Any:
    return np.asarray(gradient) if isinstance(gradient, np.generic) else gradient


class _Recorded:
    """What the node before the graph of a recorded run keeps."""

    def __init__(self, kind: Learner):
        self.kind = kind

    def gradients(self, g: list[Any]) -> list[Any]:
        """The very same gradients."""
        self.kind.learn(signature_of(g))
        return g


def behind(joint: Joint, name: str, kind: Learner) -> Any:
    """The result of a recorded run, behind a node that sees the gradients of its outputs."""
    node = _node(_CompiledCall(name), [], Spec(joint.outputs[0].array), [])
    node.results = [Spec(output.array) for output in joint.outputs]
    node.kept = _Recorded(kind)
    node.edges = [(i, output.place) for i, output in enumerate(joint.outputs)]
    twins = {}
    for i, output in enumerate(joint.outputs):
        twin = twins[id(output)] = wrap(output.array, Output(node, i, output.array))
        twin.version, twin.view_version = output.version, output.view_version
    return rebuilt(joint.result, lambda leaf: twins.get(id(leaf), leaf))


class _Replayed:
    """What the node of a replayed call keeps."""

    def __init__(self, recording: Recording, saved: Saved, kind: Learner):
        self.recording, self.saved, self.kind = recording, saved, kind

    def gradients(self, g: list[Any]) -> list[Any]:
        """The gradients behind all edges."""
        return self.recording.gradients(self.saved, g, self.kind)


# --------------------------------------------------------------------------- replays

_IDLE = 32  # calls per lease, until an unused one is dropped


class Recording:
    """A joint trace that is replayed, and what must hold for it to be."""

    def __init__(self, name: str, joint: Joint, tensors: list, audit: int | None):
        self.op, self.guards = _CompiledCall(name), joint.guards
        self.audits, self.seconds = Audits(audit), joint.seconds
        self.computed, self.signatures = joint.computed, joint.signatures
        held = [tensor for value in joint.trace.held for tensor in value.tensors]
        self.held = [(t, t.array, t.place is None) for t in held if _is_leaf(t)]
        self.versions = joint.trace.versions
        self.sources = sources(joint, tensors)
        numbers = {id(tensor): i for i, tensor in enumerate(joint.tensors)}
        self.result = rebuilt(
            joint.result, lambda leaf: _Slot(numbers[id(leaf)]) if _is_tensor(leaf) else leaf
        )
        self.outputs = [Spec(output.array) for output in joint.outputs]
        self.devices = [device_of(output.array) for output in joint.outputs]
        self.saved_arguments, self.saved_results, self.saved_tensors = joint.saved
        self.reached = joint.reached
        self.edges = _edges(joint.ends)
        orders = [_order(self.edges, ends) for ends in joint.ends]
        self.orders = dict(zip(joint.signatures, orders))
        self.halves = Halves(joint, self.sources)
        self.leases: list[Lease] = []
        self.count = 0

    def has_its_arrays(self) -> bool:
        """Whether parameters and buffers still have the memory that they were recorded with."""
        return all(tensor.array is array for tensor, array, _ in self.held)

    def holds(self) -> bool:
        """Whether all is as it was when the module was recorded."""
        for tensor, array, is_free in self.held:
            if tensor.array is not array or (tensor.place is None) is not is_free:
                return False
        return self.guards.holds()

    def texts(self) -> Iterator[str]:
        """The programs."""
        return (plan.source for plan in self.plans().values())

    def cost(self) -> str:
        """What a replay of each direction does, as text."""
        return "; ".join(f"{name}: {plan.cost()}" for name, plan in self.plans().items())

    def plans(self) -> dict[str, Plan]:
        """The plans of one lease, by what they are for."""
        found = {}
        for lease in self.leases[:1]:
            found["forward"] = lease.forward.plan
            for i, backward in enumerate(lease.backward.values()):
                found["backward" if not i else f"backward {i + 1}"] = backward.laid.plan
        return found

    # ----------------------------------------------------------------- forward

    def repeat(self, tensors: list, kind: Learner) -> Any:
        """The module's call once more, on these tensors."""
        arrays, saved = self.lease().run([tensor.array for tensor in tensors])
        for version in self.versions:
            version[0] += 1
        node = self.node(tensors, _Replayed(self, saved, kind)) if self.outputs else None
        bases: dict[Any, Any] = {}
        made = [_made(source, tensors, arrays, node, bases) for source in self.sources]
        if node is not None:
            for i in self.saved_results:
                node.watch(made[i])
        return rebuilt(self.result, lambda leaf: made[leaf.i] if type(leaf) is _Slot else leaf)

    def node(self, tensors: list, kept: _Replayed) -> Node:
        """The node behind the outputs of a call."""
        node = _node(self.op, tensors, self.outputs[0], self.saved_arguments)
        node.kept, node.results = kept, self.outputs
        for tensor in self.saved_tensors:
            node.watch(tensor)
        node.edges = [
            (i, (tensors[end] if type(end) is int else end).place)
            for i, end in enumerate(self.edges)
        ]
        return node

    def lease(self) -> Lease:
        """An instance of the programs that no graph needs."""
        self.count += 1
        last = self.leases[-1] if self.leases else None
        if last and last.is_free and self.count - last.used > _IDLE * len(self.leases):
            self.leases.pop()
        lease = next((lease for lease in self.leases if lease.is_free), None)
        if lease is None:
            lease = Lease(self.halves)
            self.leases.append(lease)
        lease.used = self.count
        return lease

    # ----------------------------------------------------------------- backward

    def gradients(self, saved: Saved, g: list[Any], kind: Learner) -> list[Any]:
        """For each edge, the gradient, given those of the outputs."""
        given = signature = signature_of(g)
        if given not in self.halves.backward:
            kind.learn(given, self)
            signature = next(filter(takes_all, self.halves.backward))
        arrays = [
            self.brought(i, gradient, layout)
            for i, (gradient, layout) in enumerate(zip(g, signature))
            if layout is not None
        ]
        found = saved.lease.gradients(saved, signature, arrays)
        order = self.orders[signature]
        if signature is not given:
            order = self.restricted(order, g)
        return [None if i is None else found[i] for i in order]

    def restricted(self, order: list[int | None], g: list[Any]) -> list[int | None]:
        """``order`` without what does not depend on outputs that have a gradient."""
        parts = (ends for ends, gradient in zip(self.reached, g) if gradient is not None)
        reached = set().union(*parts)
        return [i if end in reached else None for i, end in zip(order, self.edges)]

    def brought(self, i: int, gradient: Any, layout: tuple) -> Any:
        """The gradient of an output with the strides that it was recorded with; 0 for none."""
        if type(gradient) is np.ndarray and signature_of([gradient]) == (layout,):
            return gradient
        array = seeded(*layout, self.outputs[i].dtype, self.devices[i])
        array[...] = 0 if gradient is None else gradient
        return array


class _Slot:
    """The place of a tensor in a result."""

    def __init__(self, i: int):
        self.i = i


def _made(source: Source, tensors: list, arrays: dict, node: Node | None, bases: dict) -> Any:
    """A tensor of the result of a replay."""
    base: Any = tensors[source.base] if type(source.base) is int else source.base
    if source.is_base:
        return base
    if not isinstance(base, TensorBase):
        base = bases.setdefault(base, wrap(arrays[base]))
    array = base.array
    for view in source.views:
        array = view(array)
    tensor = wrap(array)
    if source.shares:
        tensor.version = base.version
    if source.is_view:
        known = base.version[1] if base.view_version is None else base.view_version
        tensor.view_version = known if source.shares else 0
    if source.output is not None:
        tensor.place = Output(node, source.output, array)
    return tensor


def _edges(passes: list[list[Any]]) -> list[Any]:
    """The end of each edge: as often as it has contributions in any pass."""
    most: dict[Any, int] = {}
    for ends in passes:
        for end, times in Counter(ends).items():
            most[end] = max(most.get(end, 0), times)
    return [end for end, times in most.items() for _ in range(times)]


def _order(edges: list[Any], ends: list[Any]) -> list[int | None]:
    """Which contribution of a pass goes along each edge."""
    places: dict[Any, list[int]] = defaultdict(list)
    for i, end in enumerate(ends):
        places[end].append(i)
    return [places[end].pop(0) if places[end] else None for end in edges]


def _is_leaf(tensor: Any) -> bool:
    return tensor.place is None or type(tensor.place) is Leaf


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, TensorBase)
