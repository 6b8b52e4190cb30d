"""The backward pass: from the roots down, each node once, its gradient complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np

from minidl.autograd.graph import Leaf, Node, TensorBase, check_view, describe, wrap
from minidl.autograd.mode import phase, run, set_grad_enabled


def add_hook(tensor: TensorBase, hook: Callable) -> RemovableHandle:
    """Call ``hook(gradient)`` when the tensor's gradient is complete; it may return a new one."""
    if tensor.node is None:
        raise RuntimeError("a hook needs a tensor that requires a gradient")
    if tensor.node.hooks is None:
        tensor.node.hooks = {}
    hooks = tensor.node.hooks.setdefault(tensor.output, [])
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
        if tensor.node is None:
            raise RuntimeError(f"grad: input {i}, {describe([tensor])}, requires no gradient")
    retain = create_graph if retain_graph is None else retain_graph
    with set_grad_enabled(create_graph):
        targets = {(t.node, t.output) for t in inputs}
        found = phase("grad", _propagate_to, targets, roots, retain)
    results = tuple(found.get((t.node, t.output)) for t in inputs)
    missing = [i for i, result in enumerate(results) if result is None]
    if missing and not allow_unused:
        i = missing[0]
        raise RuntimeError(
            f"grad: the outputs do not depend on input {i}, {describe([inputs[i]])}; "
            "pass allow_unused=True to get None for it"
        )
    return results


def _roots(tensors: Any, grad_tensors: Any) -> list[tuple[Node, int, TensorBase]]:
    tensors = [tensors] if isinstance(tensors, TensorBase) else list(tensors)
    if grad_tensors is None:
        grad_tensors = [None] * len(tensors)
    elif isinstance(grad_tensors, TensorBase):
        grad_tensors = [grad_tensors]
    if len(grad_tensors) != len(tensors):
        raise ValueError(f"{len(tensors)} tensors to differentiate, {len(grad_tensors)} gradients")
    return [
        (tensor.node, tensor.output, _start(tensor, gradient))
        for tensor, gradient in zip(tensors, grad_tensors)
    ]


def _start(tensor: TensorBase, gradient: Any) -> TensorBase:
    """The gradient that the pass starts with at ``tensor``: the given one, or 1 for a scalar."""
    if tensor.node is None:
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
        return wrap(run("ones", _ones, tensor.array))
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


class _Gradients:
    """Gradients that wait for their nodes, which come out from the youngest to the oldest.

    All nodes that depend on a node are younger, so when it comes out its gradient is complete.
    Leaves do not come out: in the end their gradients are those that are left.
    """

    def __init__(self, roots: list[tuple[Node | Leaf, int, TensorBase]]):
        self.waiting: dict = {}  # by node; if it has several results, a dict by their number
        self.ages: list[tuple[int, Node]] = []
        for root in roots:
            self.add(*root)

    def add(self, node: Node | Leaf, output: int, gradient: TensorBase) -> None:
        """Add ``gradient`` to that of the node's result ``output``."""
        before = self.waiting.get(node)
        if before is None:
            self.waiting[node] = {output: gradient} if node.multiple else gradient
            if type(node) is not Leaf:
                heappush(self.ages, (-node.order, node))
        elif node.multiple:
            before[output] = before[output] + gradient if output in before else gradient
        else:
            self.waiting[node] = before + gradient

    def next(self) -> tuple[Node, Any]:
        """The youngest node, and its gradient after its hooks."""
        _, node = heappop(self.ages)
        gradient = self.waiting.pop(node)
        return node, gradient if node.hooks is None else _hooked(node, gradient)


def _backward(roots: list, retain: bool) -> None:
    """Run the rules from the roots down, and add what they find to the leaves' ``grad``."""
    _deliver(_propagate(roots, retain))


def _propagate(roots: list, retain: bool) -> dict[Leaf, TensorBase]:
    """Run the rules from the roots down; the gradients of the leaves."""
    gradients = _Gradients(roots)
    while gradients.ages:
        node, gradient = gradients.next()
        for edge, found in zip(node.edges, node.gradients(gradient, node.edges)):
            if found is not None:
                gradients.add(edge.node, edge.output, found)
        if not retain:
            node.release()
    return gradients.waiting


def _propagate_to(targets: set, roots: list, retain: bool) -> dict:
    """Run the rules from the roots down to the targets, (node, output) each; their gradients."""
    needed = _leading_to({node for node, _ in targets}, [node for node, _, _ in roots])
    gradients, results = _Gradients(roots), {}
    while gradients.ages:
        node, gradient = gradients.next()
        slots = gradient if node.multiple else {0: gradient}
        results.update(((node, i), g) for i, g in slots.items() if (node, i) in targets)
        edges = [edge for edge in node.edges if edge.node in needed]
        if not edges:
            continue
        for edge, found in zip(edges, node.gradients(gradient, edges)):
            if found is not None:
                gradients.add(edge.node, edge.output, found)
        if not retain:
            node.release()
    for leaf, gradient in gradients.waiting.items():
        if (leaf, 0) in targets:
            results[leaf, 0] = gradient if leaf.hooks is None else _hooked(leaf, gradient)
    return results


def _deliver(gradients: dict[Leaf, TensorBase]) -> None:
    """Add the gradients to the leaves' ``grad``; those that only ``gradients`` holds, uncopied."""
    for leaf in list(gradients):
        gradient = gradients.pop(leaf)
        if leaf.hooks is not None:
            gradient = _hooked(leaf, gradient)
        owned = _holders(gradient) == _ONE_HOLDER and _is_whole(gradient)
        leaf.accumulate(gradient, owned)


def _holders(gradient: TensorBase) -> tuple[int, int]:
    """The number of references to a tensor and to its array, some of them from here."""
    array = gradient.array
    return getrefcount(gradient), getrefcount(array)


def _holders_of_new() -> tuple[int, int]:
    gradient = wrap(np.empty(0))
    return _holders(gradient)


_ONE_HOLDER = _holders_of_new()
"""What `_holders` finds if its caller alone has the tensor, and the tensor alone the array."""


def _is_whole(gradient: TensorBase) -> bool:
    """Whether a tensor outside the graph has all of its memory, in row-major order."""
    array = gradient.array
    return gradient.node is None and array.base is None and array.flags.c_contiguous


def _hooked(node: Node | Leaf, gradient: Any) -> Any:
    """The gradient (or dict of them) after the node's hooks."""
    slots = gradient if node.multiple else {0: gradient}
    for output, hooks in node.hooks.items():
        for hook in list(hooks):
            if output not in slots:
                continue
            replaced = hook(slots[output])
            if replaced is not None:
                _check_gradient(replaced, slots[output].array.shape, "a hook returned")
                slots[output] = replaced
    return slots if node.multiple else slots[0]


def _leading_to(targets: set, roots: list) -> set:
    """Of the nodes behind the roots, the targets and all that depend on one."""
    seen = dict.fromkeys(roots)
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge.node not in seen:
                seen[edge.node] = None
                stack.append(edge.node)
    leading: set = set()
    for node in sorted(seen, key=attrgetter("order")):
        if node in targets or any(edge.node in leading for edge in node.edges):
            leading.add(node)
    return leading
