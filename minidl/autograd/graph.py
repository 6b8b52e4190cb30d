"""The graph: tensors' places in it, the nodes, and what the nodes keep.

The graph holds `Node` objects, never the tensors that came out of them, so dropping the
last tensor frees the graph at once; there is no reference cycle for a collector to find.
"""

from __future__ import annotations

import itertools
import math
import operator
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy import asarray, generic

from minidl.autograd.mode import change, mode
from minidl.backend import device_of


class Differentiable(Protocol):
    """What a node asks of the operator that made it."""

    name: str
    multiple: bool  # whether it returns a tuple (known after its first call)

    def differentiate(self, node: Node, g: Any, edges: list[Edge]) -> list:
        """The gradients of the arguments behind ``edges``, given that of the result.

        Tensors if the pass is recorded, else arrays.
        """


class TensorBase:
    """What the graph knows of a tensor; `minidl.Tensor` adds the methods.

    Attributes
    ----------
    array : ndarray
        The values. They are changed by the tensor's methods, which count changes; what writes
        into the array itself goes unnoticed by whoever has saved or packed it.
    place : Leaf, Node, Output or None
        Its place in the graph: the node whose result it is, or one of several results. A leaf
        that requires a gradient has a `Leaf`; a tensor that requires none has no place.
    version : list[int]
        For all tensors that share this memory: how many changes in place there were, how many
        of those the graph recorded, and whether (1) changes by NumPy's code may be uncounted.
    view_version : int or None
        For a view: the count of recorded changes that its own history knows of.
    """

    __slots__ = ("__weakref__", "array", "grad", "place", "version", "view_version")


_tensor_type: type[TensorBase] = TensorBase
_new = object.__new__


def set_tensor_type(cls: type[TensorBase]) -> None:
    """Have operators return ``cls``: the class with the methods, which lives above this file."""
    global _tensor_type
    _tensor_type = cls


def wrap(array: Any, place: Place | None = None) -> Any:
    """A tensor around ``array`` (shared, not copied), at a place in the graph or at none."""
    tensor = _new(_tensor_type)
    tensor.array = asarray(array) if isinstance(array, generic) else array
    tensor.grad = None
    tensor.place = place
    tensor.version = [0, 0, 0]
    tensor.view_version = None
    return tensor


def alias(tensor: TensorBase) -> Any:
    """A second handle on the same values, version counter and place in the graph."""
    twin = wrap(tensor.array, tensor.place)
    twin.version = tensor.version
    twin.view_version = tensor.view_version
    return twin


def replace_array(tensor: TensorBase, array: Any, version: list[int] | None = None) -> None:
    """Give a tensor another array, of any shape, dtype and device, and its leaf the same facts.

    Graphs that have saved the old values notice. ``version`` is the counter of whoever shares
    the memory of ``array``. RuntimeError if the tensor is the result of an operator and the array
    has another shape or dtype: the gradient of that operator would not fit.
    """
    place = tensor.place
    if isinstance(place, Leaf):
        place.shape, place.dtype = array.shape, array.dtype
    elif place is not None and (place.shape, place.dtype) != (array.shape, array.dtype):
        raise RuntimeError(
            f"a result of {place.node.op.name}, {place.dtype}{list(place.shape)}, cannot become "
            f"{array.dtype}{list(array.shape)} while its graph exists: detach() it first"
        )
    tensor.version[0] += 1
    tensor.array = array
    if version is not None:
        tensor.version, tensor.view_version = version, None


class Spec:
    """The shape and dtype of a tensor whose values were not kept."""

    __slots__ = ("dtype", "shape")

    def __init__(self, array: Any):
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype = array.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def alone(self) -> Spec:
        """The shape and dtype of it, whatever else it is."""
        return Spec(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        return self.shape == other.shape and self.dtype == other.dtype

    __hash__ = object.__hash__


_accumulating = threading.RLock()  # threads may run backward to the same leaf


class Place(Spec):
    """Where a tensor stands in the graph, with the shape and dtype of its values and gradient.

    Where the values are not kept, their place stands for them.
    """

    __slots__ = ()
    index = 0
    """Which of the node's results is here."""

    @property
    def node(self) -> Any:
        """The `Node` or `Leaf` to which the gradient goes."""
        return self

    __eq__, __hash__ = object.__eq__, object.__hash__


class Leaf(Place):
    """Where a backward pass ends: gradients add up in the tensor's ``grad``."""

    __slots__ = ("hooks", "tensor")
    order = 0  # older than every node, whenever the leaf was made
    edges = ()
    multiple = False

    def __init__(self, tensor: TensorBase):
        super().__init__(tensor.array)
        self.tensor = weakref.ref(tensor)
        self.hooks: dict[int, list[Callable]] | None = None

    def accumulate(self, gradient: TensorBase, owned: bool = False) -> None:
        """Add ``gradient`` to the tensor's ``grad``, which never aliases another array.

        ``owned`` says that nobody else has ``gradient`` or looks into its memory.
        """
        tensor = self.tensor()
        if tensor is None:
            return
        if mode.observer is not None:
            mode.observer.accumulates(tensor)
        with _accumulating:
            if tensor.grad is None:
                tensor.grad = gradient if owned else gradient.clone()
            elif gradient.place is not None or tensor.grad.place is not None:
                tensor.grad = tensor.grad + gradient
            else:
                change("accumulate", operator.iadd, tensor.grad.array, gradient.array)
                tensor.grad.version[0] += 1


class Saving(NamedTuple):
    """What a node keeps of a call, which depends on the kinds of its arguments."""

    recorded: bool
    """Whether one of them is in the graph and has a rule."""
    tensors: tuple[tuple[int, bool, bool], ...]
    """The position of each tensor, whether that is so, and whether its values are needed."""
    result: bool
    """Whether the values of the result are needed."""


_order = itertools.count(1)


class Node(Place):
    """One recorded call of an operator: where it came from and what its rules need.

    Its shape and dtype are those of its result; those of several have an `Output` each.

    Attributes
    ----------
    op : Differentiable
        The operator.
    order : int
        A node is younger than all nodes that it depends on.
    args : list or None
        The arguments; a `Spec` for a tensor whose values no rule needs. None once freed.
    edges : list of (int, Place)
        The positions of the arguments that want a gradient, and where they came from.
    kept : dict or any
        The operator's options, or what a fused one keeps for its backward kernel.
    results : array or None, or list of array or Spec
        What it returned, where a rule needs it. (Arrays: the tensors would close a cycle.)
    versions : list of list
        The version counters of all tensors whose values are kept.
    changes : int
        What these counted when the values were kept. Counters only grow, so their sum tells.
    hooks : dict or None
        Functions to call with the gradient, by the number of the result.
    """

    __slots__ = (
        "args", "changes", "edges", "hooks", "kept", "op", "order", "results", "versions",
    )  # fmt: skip

    def __init__(self, op: Differentiable, args: tuple, kept: Any, saving: Saving, like: Any):
        self.shape = like.shape
        self.dtype = like.dtype
        self.op = op
        self.order = next(_order)
        self.kept = kept
        self.results: Any = None
        self.hooks: dict[int, list[Callable]] | None = None
        saved, edges, versions, changes = list(args), [], [], 0
        for i, wanted, needed in saving.tensors:
            arg = args[i]
            if arg.view_version is not None:
                check_view(arg)
            if wanted:
                edges.append((i, arg.place))
            if needed:
                versions.append(arg.version)
                changes += arg.version[0]
            else:
                saved[i] = arg.place if wanted else Spec(arg.array)
        self.args: list | None = saved
        self.edges: list[Edge] = edges
        self.versions: Sequence[list[int]] = versions
        self.changes = changes

    def watch(self, tensor: TensorBase) -> None:
        """The values of ``tensor``, a result, are kept as well."""
        self.versions.append(tensor.version)
        self.changes += tensor.version[0]

    @property
    def multiple(self) -> bool:
        """Whether it has several results."""
        return self.op.multiple

    def release(self) -> None:
        """Free what was saved; a second backward pass through here is then an error."""
        self.args = self.kept = self.results = None
        self.versions, self.changes = (), 0

    def gradients(self, incoming: Any, edges: list[Edge]) -> list:
        """For each of ``edges``, the gradient (None for 0) before `fit`.

        ``incoming`` is the gradient of the result, or a dict of those of several. All are
        tensors if the pass is recorded, else arrays.
        RuntimeError if what was saved is gone or was changed in place since.
        """
        if self.args is None:
            raise RuntimeError(
                f"backward went through {self.op.name} a second time, but the first pass freed "
                "what it had saved; pass retain_graph=True to the first one"
            )
        changes = 0
        for version in self.versions:
            changes += version[0]
        if changes != self.changes:
            raise RuntimeError(
                f"a tensor that {self.op.name}({describe(self.args)}) saved for its gradient "
                "was changed in place before backward reached it; change a clone() instead, or "
                "change it after backward"
            )
        if self.op.multiple:
            incoming = tuple(incoming.get(i) for i in range(len(self.results)))
        return self.op.differentiate(self, incoming, edges)

    def restored(self) -> Any:
        """The results again, connected to this node; `Spec` for those not saved."""
        saved = self.results
        if saved is None:
            return self
        if not self.multiple:
            return wrap(saved, self)
        return tuple(
            each if type(each) is Spec else wrap(each, Output(self, i, each))
            for i, each in enumerate(saved)
        )


class Output(Place):
    """The place of one of several results of a node."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int, array: Any):
        super().__init__(array)
        self.node, self.index = node, index


Edge = tuple[int, Place]
"""From a node to where its argument at a position came from."""


def fit(gradient: Any, place: Place) -> Any:
    """Undo broadcasting and dtype promotion: the one place where this is done."""
    if gradient.shape == place.shape and gradient.dtype is place.dtype:
        return gradient
    if isinstance(gradient, TensorBase):
        return gradient.sum_to_size(place.shape).to(place.dtype)
    return fit(wrap(gradient), place).array


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
