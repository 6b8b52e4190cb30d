"""The backward pass: from the roots down, each node once, its gradient complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
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
        phase("backward", _propagate, roots, None, retain)


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
        targets = [(t.node, t.output) for t in inputs]
        found = phase("grad", _propagate, roots, targets, retain)
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
        return wrap(run("ones", np.ones_like, tensor.array))
    _check_gradient(gradient, tensor.array.shape, f"backward from {describe([tensor])} got")
    return gradient.to(tensor.array.dtype)


def _check_gradient(gradient: Any, shape: tuple[int, ...], got: str) -> None:
    if not isinstance(gradient, TensorBase):
        raise TypeError(f"{got} a {type(gradient).__name__} for a gradient, which is a tensor")
    if gradient.array.shape != shape:
        raise RuntimeError(f"{got} a gradient of shape {gradient.array.shape}, not {shape}")


def _propagate(roots: list, targets: list | None, retain: bool) -> dict:
    """Run the rules from the roots down; to all leaves, or only towards ``targets``."""
    order = _reachable([node for node, _, _ in roots])
    needed = None if targets is None else _leading_to(order, {node for node, _ in targets})
    wanted = set(targets or ())
    found: dict = {}
    pending: dict = {}
    for node, output, gradient in roots:
        _add(pending, node, output, gradient)
    for node in order:
        if node not in pending:
            continue
        slots = pending.pop(node)
        if node.hooks is not None:
            _run_hooks(node, slots)
        edges = node.edges
        if targets is not None:
            found.update(((node, i), g) for i, g in slots.items() if (node, i) in wanted)
            edges = [edge for edge in edges if edge.node in needed]
        elif isinstance(node, Leaf):
            node.accumulate(slots[0])
        if not edges:
            continue
        for edge, gradient in zip(edges, node.gradients(slots, edges)):
            if gradient is not None:
                _add(pending, edge.node, edge.output, gradient)
        if not retain:
            node.release()
    return found


def _add(pending: dict, node: Any, output: int, gradient: TensorBase) -> None:
    slots = pending.get(node)
    if slots is None:
        pending[node] = {output: gradient}
    else:
        slots[output] = slots[output] + gradient if output in slots else gradient


def _run_hooks(node: Any, slots: dict) -> None:
    for output, hooks in node.hooks.items():
        for hook in list(hooks):
            if output not in slots:
                continue
            replaced = hook(slots[output])
            if replaced is not None:
                _check_gradient(replaced, slots[output].array.shape, "a hook returned")
                slots[output] = replaced


def _reachable(roots: list) -> list:
    """All nodes behind the roots, each before those that it depends on."""
    seen = dict.fromkeys(roots)  # in the order in which they are found: every run the same
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge.node not in seen:
                seen[edge.node] = None
                stack.append(edge.node)
    return sorted(seen, key=attrgetter("order"), reverse=True)


def _leading_to(order: list, targets: set) -> set:
    """Of the nodes in ``order``, the targets and all that depend on one."""
    leading: set = set()
    for node in reversed(order):
        if node in targets or any(edge.node in leading for edge in node.edges):
            leading.add(node)
    return leading
