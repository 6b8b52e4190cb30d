"""The graph: tensors' places in it, the nodes, and what the nodes keep.

The graph holds `Node` objects, never the tensors that came out of them, so dropping the
last tensor frees the graph at once; there is no reference cycle for a collector to find.
"""

from __future__ import annotations

import itertools
import operator
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from minidl.autograd.mode import change
from minidl.backend import device_of


class Differentiable(Protocol):
    """What a node asks of the operator that made it."""

    name: str
    multiple: bool  # whether it returns a tuple

    def differentiate(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """The gradients of the arguments behind ``edges``, given that of the result."""


class TensorBase:
    """What the graph knows of a tensor; `minidl.Tensor` adds the methods.

    Attributes
    ----------
    array : ndarray
        The values.
    node, output : Node or None, int
        The node that produced the values and which of its outputs they are. A leaf that
        requires a gradient has a `Leaf`; a tensor that requires none has no node.
    version : list[int]
        Two counters for all tensors that share this memory: changes in place, and how many
        of those the graph recorded.
    view_version : int or None
        For a view: the count of recorded changes that its own history knows of.
    """

    __slots__ = ("__weakref__", "array", "grad", "node", "output", "version", "view_version")


_tensor_type: type[TensorBase] = TensorBase


def set_tensor_type(cls: type[TensorBase]) -> None:
    """Have operators return ``cls``: the class with the methods, which lives above this file."""
    global _tensor_type
    _tensor_type = cls


def wrap(array: Any, node: Node | Leaf | None = None, output: int = 0) -> Any:
    """A tensor around ``array`` (shared, not copied), at ``node``'s output ``output``."""
    tensor = object.__new__(_tensor_type)
    tensor.array = np.asarray(array) if isinstance(array, np.generic) else array
    tensor.grad = None
    tensor.node = node
    tensor.output = output
    tensor.version = [0, 0]
    tensor.view_version = None
    return tensor


def alias(tensor: TensorBase) -> Any:
    """A second handle on the same values, version counter and place in the graph."""
    twin = wrap(tensor.array, tensor.node, tensor.output)
    twin.version = tensor.version
    twin.view_version = tensor.view_version
    return twin


class Spec:
    """The shape and dtype of a tensor whose values were not kept."""

    __slots__ = ("dtype", "shape")

    def __init__(self, array: Any):
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype = array.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)


_accumulating = threading.RLock()  # threads may run backward to the same leaf


class Leaf:
    """Where a backward pass ends: gradients add up in the tensor's ``grad``."""

    __slots__ = ("hooks", "tensor")
    order = 0  # after every node, whenever the leaf was made
    edges = ()

    def __init__(self, tensor: TensorBase):
        self.tensor = weakref.ref(tensor)
        self.hooks: dict[int, list[Callable]] | None = None

    def accumulate(self, gradient: TensorBase) -> None:
        """Add ``gradient`` to the tensor's ``grad``, which never aliases another array."""
        tensor = self.tensor()
        if tensor is None:
            return
        with _accumulating:
            if tensor.grad is None:
                tensor.grad = gradient.clone()
            elif gradient.node is not None or tensor.grad.node is not None:
                tensor.grad = tensor.grad + gradient
            else:
                change("accumulate", operator.iadd, tensor.grad.array, gradient.array)
                tensor.grad.version[0] += 1


class Edge:
    """From a node to the node (and output) that one of its arguments came from."""

    __slots__ = ("dtype", "node", "output", "position", "shape")

    def __init__(self, position: int, tensor: TensorBase):
        self.position = position
        self.node = tensor.node
        self.output = tensor.output
        self.shape = tensor.array.shape
        self.dtype = tensor.array.dtype


_order = itertools.count(1)


class Node:
    """One recorded call of an operator: where it came from and what its rules need."""

    __slots__ = (
        "args",
        "edges",
        "hooks",
        "op",
        "order",
        "outputs",
        "residuals",
        "static",
        "versions",
    )

    def __init__(self, op: Differentiable, args: list, static: dict, edges: list[Edge]):
        self.op = op
        self.order = next(_order)  # a node is younger than all nodes that it depends on
        self.args: list | None = args
        self.static = static
        self.edges = edges
        self.outputs: list = []
        self.residuals: Any = None
        self.versions: list[tuple[list[int], int]] = []
        self.hooks: dict[int, list[Callable]] | None = None

    def save_argument(self, position: int, tensor: TensorBase, values: bool) -> None:
        """Keep an argument's values, or its shape and dtype alone."""
        if tensor.view_version is not None:
            check_view(tensor)
        if values:
            self.versions.append((tensor.version, tensor.version[0]))
        else:
            self.args[position] = Spec(tensor.array)

    def save_output(self, tensor: TensorBase, values: bool) -> None:
        """Keep a result's values (its array: the tensor would close a cycle), or its Spec."""
        if values:
            self.outputs.append(tensor.array)
            self.versions.append((tensor.version, tensor.version[0]))
        else:
            self.outputs.append(Spec(tensor.array))

    def release(self) -> None:
        """Free what was saved; a second backward pass through here is then an error."""
        self.args = self.residuals = None
        self.outputs = []
        self.versions = []

    def check(self) -> None:
        """RuntimeError if what was saved is gone or was changed in place since."""
        if self.args is None:
            raise RuntimeError(
                f"backward went through {self.op.name} a second time, but the first pass freed "
                "what it had saved; pass retain_graph=True to the first one"
            )
        for version, saved in self.versions:
            if version[0] != saved:
                raise RuntimeError(
                    f"a tensor that {self.op.name}({describe(self.args)}) saved for its gradient "
                    f"was changed in place ({version[0] - saved} times) before backward reached "
                    "it; change a clone() instead, or change it after backward"
                )

    def results(self) -> Any:
        """The outputs again, connected to this node; `Spec` for those not saved."""
        restored = [
            saved if isinstance(saved, Spec) else wrap(saved, self, i)
            for i, saved in enumerate(self.outputs)
        ]
        return tuple(restored) if self.op.multiple else restored[0]

    def gradients(self, slots: dict, edges: list[Edge]) -> list:
        """For each of ``edges``, the gradient in that argument's shape and dtype (None for 0)."""
        self.check()
        if self.op.multiple:
            incoming = tuple(slots.get(i) for i in range(len(self.outputs)))
        else:
            incoming = slots[0]
        found = self.op.differentiate(self, incoming, edges)
        return [fit(gradient, edge) for gradient, edge in zip(found, edges)]


def fit(gradient: TensorBase | None, edge: Edge) -> TensorBase | None:
    """Undo broadcasting and dtype promotion: the one place where this is done."""
    if gradient is None:
        return None
    if gradient.array.shape != edge.shape:
        gradient = gradient.sum_to_size(edge.shape)
    if gradient.array.dtype != edge.dtype:
        gradient = gradient.to(edge.dtype)
    return gradient


def describe(args: Iterable) -> str:
    """Arguments as they stand in messages: ``float32[2, 3], 0``."""

    def one(arg: Any) -> str:
        if isinstance(arg, TensorBase):
            return one(Spec(arg.array)) + _device_suffix(arg.array)
        if isinstance(arg, Spec):
            return f"{arg.dtype}[{', '.join(map(str, arg.shape))}]"
        text = repr(arg)
        return text if len(text) <= 60 else text[:57] + "..."

    return ", ".join(map(one, args))


def _device_suffix(array: Any) -> str:
    place = str(device_of(array))
    return "" if place == "cpu" else f"@{place}"


def check_view(tensor: TensorBase) -> None:
    """RuntimeError if the graph of a view no longer describes the values it shows."""
    if tensor.view_version is not None and tensor.view_version != tensor.version[1]:
        raise RuntimeError(
            f"this view {describe([tensor])} shares memory that was changed in place after the "
            "view was taken, so its recorded history is out of date; take the view again, or "
            "clone() before changing"
        )
