"""The backward pass: from the roots down, each node once, its gradient complete."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from minidl.autograd.graph import (
    Leaf,
    Node,
    Output,
    Place,
    TensorBase,
    check_view,
    describe,
    fit,
    wrap,
)
from minidl.autograd.mode import invoke, mode, phase, run, set_grad_enabled


def add_hook(tensor: TensorBase, hook: Callable) -> RemovableHandle:
    """Call ``hook(gradient)`` when the tensor's gradient is complete; it may return a new one."""
    if tensor.place is None:
        raise RuntimeError("a hook needs a tensor that requires a gradient")
    node = tensor.place.node
    if node.hooks is None:
        node.hooks = {}
    hooks = node.hooks.setdefault(tensor.place.index, [])
    hooks.append(hook)
    return RemovableHandle(hooks, hook)


class RemovableHandle:
    """Takes a hook off again."""

    def __init__(self, hooks: list, hook: Callable):
        self.hooks, self.hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        if self.hook is not None:
            self.hooks.remove(self.hook)
            self.hook = None

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def backward(
    tensors: TensorBase | Sequence[TensorBase],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradient of the sum of ``tensors`` to the ``grad`` of every leaf.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate.
    grad_tensors : Tensor or sequence of Tensor, optional
        The gradient of each; may be left out for tensors with a single element.
    retain_graph : bool, optional
        Keep the graph for another pass; by default it is kept if ``create_graph``.
    create_graph : bool
        Record the pass itself, so that the gradients can be differentiated.

    Raises
    ------
    RuntimeError
        If a tensor requires no gradient, has several elements and no ``grad_tensors``, or
        the graph was freed or its saved tensors were changed in place.
    """
    roots = _roots(tensors, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph):
        phase("backward", _backward, roots, retain)


def grad(
    outputs: TensorBase | Sequence[TensorBase],
    inputs: TensorBase | Sequence[TensorBase],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple:
    """The gradients of the sum of ``outputs`` in ``inputs``, as a tuple of tensors.

    Arguments are those of `backward`; nothing is added to any ``grad``. An input that the
    outputs do not depend on is an error unless ``allow_unused``, and then its gradient is None.
    """
    inputs = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    roots = _roots(outputs, grad_outputs)
    for i, tensor in enumerate(inputs):
        if tensor.place is None:
            raise RuntimeError(f"grad: input {i}, {describe([tensor])}, requires no gradient")
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph):
        targets = [(t.place.node, t.place.index) for t in inputs]
        found = phase("grad", _propagate_to, set(targets), roots, retain)
        results = tuple(None if g is None else _as_tensor(g) for g in map(found.get, targets))
    missing = [i for i, result in enumerate(results) if result is None]
    if missing and not allow_unused:
        i = missing[0]
        raise RuntimeError(
            f"grad: the outputs do not depend on input {i}, {describe([inputs[i]])}; "
            "pass allow_unused=True to get None for it"
        )
    return results


def _roots(tensors: Any, grad_tensors: Any) -> list[tuple[Place, TensorBase]]:
    tensors = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    if grad_tensors is None:
        grad_tensors = [None] * len(tensors)
    elif isinstance(grad_tensors, TensorBase):
        grad_tensors = [grad_tensors]
    if len(grad_tensors) != len(tensors):
        raise ValueError(f"{len(tensors)} tensors to differentiate, {len(grad_tensors)} gradients")
    return [
        (tensor.place, _start(tensor, gradient)) for tensor, gradient in zip(tensors, grad_tensors)
    ]


def _start(tensor: TensorBase, gradient: Any) -> TensorBase:
    """The gradient that the pass starts with at ``tensor``: the given one, or 1 for a scalar."""
    if tensor.place is None:
        raise RuntimeError(
            f"backward from {describe([tensor])}, which does not require a gradient: nothing "
            "that requires one went into it, or it was computed under no_grad()"
        )
    check_view(tensor)
    if gradient is None:
        if tensor.array.size != 1:
            raise RuntimeError(
                f"backward from {describe([tensor])}, which is not a scalar: reduce it first "
                "(mean() or sum()), or pass the gradient it should start from"
            )
        return wrap(run("initial gradient", _ones, tensor.array))
    _check_gradient(gradient, tensor.array.shape, f"backward from {describe([tensor])} got")
    return gradient.to(tensor.array.dtype)


def _ones(array: Any) -> Any:
    ones = array.copy()
    ones.fill(1)
    return ones


def _check_gradient(gradient: Any, shape: tuple[int, ...], got: str) -> None:
    if not isinstance(gradient, TensorBase):
        raise TypeError(f"{got} a {type(gradient).__name__} for a gradient, which is a tensor")
    if gradient.array.shape != shape:
        raise RuntimeError(f"{got} a gradient of shape {gradient.array.shape}, not {shape}")


# A pass that is recorded is made of tensors. In any other all gradients are bare arrays, or
# NumPy's scalars where they have no dimensions.


def _as_tensor(gradient: Any) -> TensorBase:
    return gradient if mode.enabled else wrap(gradient)


def _as_found(tensor: TensorBase) -> Any:
    return tensor if mode.enabled else tensor.array


def _sum(first: Any, second: Any) -> Any:
    return first + second if mode.enabled else run("add", operator.add, first, second)


class _Gradients:
    """Gradients that wait for their nodes, which come out from the youngest to the oldest.

    All nodes that depend on a node are younger, so when it comes out its gradient is complete.
    Leaves do not come out: in the end their gradients are those that are left.
    """

    def __init__(self, roots: list[tuple[Place, TensorBase]]):
        self.waiting: dict = {}  # by node; if it has several results, a dict by their number
        self.ages: list[tuple[int, Node]] = []
        for place, gradient in roots:
            self.add(place, _as_found(gradient))

    def add(self, place: Place, gradient: Any) -> None:
        """Add ``gradient`` to that of the values at ``place``."""
        if gradient.shape != place.shape or gradient.dtype is not place.dtype:
            gradient = fit(gradient, place)
        if type(place) is Output:
            before = self.waiting.get(place.node)
            self.add_to_output(place, gradient)
            place = place.node
        else:
            before = self.waiting.get(place)
            self.waiting[place] = gradient if before is None else _sum(before, gradient)
        if before is None and type(place) is not Leaf:
            heappush(self.ages, (-place.order, place))

    def add_to_output(self, place: Output, gradient: Any) -> None:
        """Add ``gradient`` to that of one of several results."""
        found = self.waiting.setdefault(place.node, {})
        before = found.get(place.index)
        found[place.index] = gradient if before is None else _sum(before, gradient)

    def __iter__(self) -> Iterator[tuple[Node, Any]]:
        """The nodes, the youngest first, and their gradients after their hooks."""
        ages, waiting = self.ages, self.waiting
        while ages:
            _, node = heappop(ages)
            gradient = waiting.pop(node)
            yield node, gradient if node.hooks is None else _hooked(node, gradient)


def _backward(roots: list, retain: bool) -> None:
    """Run the rules from the roots down, and add what they find to the leaves' ``grad``."""
    _deliver(_propagate(roots, retain))


def _propagate(roots: list, retain: bool) -> dict[Leaf, Any]:
    """Run the rules from the roots down; the gradients of the leaves."""
    gradients = _Gradients(roots)
    for node, gradient in gradients:
        for (_, place), found in zip(node.edges, node.gradients(gradient, node.edges)):
            if found is not None:
                gradients.add(place, found)
        if not retain:
            node.release()
    return gradients.waiting


def _propagate_to(targets: set, roots: list, retain: bool) -> dict:
    """Run the rules from the roots down to the targets, (node, index) each; their gradients."""
    nodes = {node for node, _ in targets}
    leading = _leading_to(nodes, [place.node for place, _ in roots])
    gradients, results = _Gradients(roots), {}
    for node, gradient in gradients:
        if node in nodes:
            slots = gradient if node.multiple else {0: gradient}
            results.update(((node, i), g) for i, g in slots.items() if (node, i) in targets)
        edges = leading.get(node)  # none of a root that leads to no target
        if not edges:
            continue
        for (_, place), found in zip(edges, node.gradients(gradient, edges)):
            if found is not None:
                gradients.add(place, found)
        if not retain:
            node.release()
    for leaf, gradient in gradients.waiting.items():
        if leaf in nodes:
            results[leaf, 0] = gradient if leaf.hooks is None else _hooked(leaf, gradient)
    return results


def _deliver(gradients: dict[Leaf, Any]) -> None:
    """Add the gradients to the leaves' ``grad``; those that only ``gradients`` holds, uncopied."""
    for leaf in list(gradients):
        gradient = gradients.pop(leaf)
        if leaf.hooks is not None:
            gradient = _hooked(leaf, gradient)
        owned = not mode.enabled and _is_whole(gradient) and _holders(gradient) == _ONE_HOLDER
        leaf.accumulate(_as_tensor(gradient), owned)


def _holders(array: Any) -> int:
    """The number of references to an array, some of them from here."""
    return getrefcount(array)


def _holders_of_new() -> int:
    array = np.empty(0)
    return _holders(array)


_ONE_HOLDER = _holders_of_new()
"""What `_holders` finds of an array that its caller alone has."""


def _is_whole(array: Any) -> bool:
    """Whether an array has all of its memory, in row-major order."""
    return array.base is None and array.flags.c_contiguous


def _hooked(node: Node | Leaf, gradient: Any) -> Any:
    """The gradient (or dict of them) after the node's hooks."""
    slots = gradient if node.multiple else {0: gradient}
    for index, hooks in node.hooks.items():
        for hook in list(hooks):
            if index not in slots:
                continue
            replaced = invoke(hook, _as_tensor(slots[index]))
            if replaced is not None:
                _check_gradient(replaced, slots[index].shape, "a hook returned")
                slots[index] = _as_found(replaced)
    return slots if node.multiple else slots[0]


def _leading_to(targets: set, roots: list) -> dict[Node | Leaf, list]:
    """Of the nodes behind the roots, the targets and all that depend on one.

    With each come the edges that lead on to such nodes.
    """
    seen = set(roots)
    stack = list(seen)
    while stack:
        for _, place in stack.pop().edges:
            node = place.node if type(place) is Output else place
            if node not in seen:
                seen.add(node)
                stack.append(node)
    if all(node in targets for node in seen if type(node) is Leaf):
        return {node: node.edges for node in seen}  # every edge leads on to a leaf
    leading: dict[Node | Leaf, list] = {}
    for node in sorted(seen, key=operator.attrgetter("order")):
        edges = []
        for edge in node.edges:
            place = edge[1]
            if place in leading or (type(place) is Output and place.node in leading):
                edges.append(edge)
        if edges or node in targets:
            leading[node] = edges
    return leading
