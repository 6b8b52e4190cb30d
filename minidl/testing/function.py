"""A sample as a function of its inputs, and what comes of running it forward and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import random
from minidl.autograd import Node, TensorBase, backward
from minidl.backend import CPU, Device, to_device
from minidl.ops import as_tensor
from minidl.testing.samples import Case, Sample


def is_input(value: Any) -> bool:
    """Whether this part of a sample's arguments is one to differentiate in."""
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def mapped(value: Any, convert: Callable) -> Any:
    """``value`` with ``convert`` applied to it, or to each part of a list or tuple."""
    if type(value) in (list, tuple):
        return type(value)(mapped(part, convert) for part in value)
    return convert(value)


def flattened(value: Any) -> list:
    """The parts of lists and tuples within lists and tuples, in order."""
    if isinstance(value, list | tuple):
        return [part for item in value for part in flattened(item)]
    return [value]


class SampleFunction:
    """The operator as a function of the sample's float64 arrays: tensors in, a list out.

    Parameters
    ----------
    case, sample : Case, Sample
        The operator and its arguments.
    constant : callable
        Applied to all other arrays before they become tensors.
    place : Device
        Where the arrays are put first.
    """

    def __init__(
        self, case: Case, sample: Sample, constant: Callable = np.copy, place: Device = CPU
    ):
        self.op = case.op
        self.sample = sample
        self.constant = constant
        self.place = place
        self.differentiable = case.differentiable
        self.inputs = [part for part in flattened(list(sample.args)) if is_input(part)]

    def __call__(self, *tensors: Any) -> list:
        """The results in a flat list; random operators draw the same numbers every time."""
        given = iter(tensors)
        args = mapped(
            self.sample.args, lambda part: next(given) if is_input(part) else self._fixed(part)
        )
        kwargs = {name: mapped(value, self._fixed) for name, value in self.sample.kwargs.items()}
        with random.using(random.Generator(0)), self.place:
            return flattened(self.op(*args, **kwargs))

    def _fixed(self, part: Any) -> Any:
        if not isinstance(part, np.ndarray):
            return part
        return as_tensor(self.constant(to_device(part, self.place)))

    def arrays(self) -> list:
        """Copies of the inputs, on the device."""
        return [to_device(array.copy(), self.place) for array in self.inputs]


@dataclass
class Run:
    """One call forward and, where there is a gradient, back from random weights.

    ``weights`` are the gradients of the results that require one, ``gradients`` those of
    the inputs (None for an input without one).
    """

    leaves: list
    results: list
    weights: list
    gradients: list

    @property
    def values(self) -> list:
        """The results as arrays."""
        return [r.array if isinstance(r, TensorBase) else np.asarray(r) for r in self.results]


def recorded(function: SampleFunction, arrays: Sequence | None = None) -> tuple[list, list]:
    """Leaves around ``arrays`` (by default copies of the inputs), and the function's results."""
    leaves = [as_tensor(array) for array in (function.arrays() if arrays is None else arrays)]
    for leaf in leaves:
        leaf.requires_grad = function.differentiable
    return leaves, function(*leaves)


def run(function: SampleFunction, arrays: Sequence, retain_graph: bool = False) -> Run:
    """Run ``function`` on ``arrays``, as they lie in memory, and backward."""
    leaves, results = recorded(function, arrays)
    roots = requiring_grad(results)
    weights = [to_device(weight_for(i, root.array), function.place) for i, root in enumerate(roots)]
    if roots:
        backward(roots, list(map(as_tensor, weights)), retain_graph=retain_graph)
    gradients = [None if leaf.grad is None else leaf.grad.array for leaf in leaves]
    return Run(leaves, results, weights, gradients)


def requiring_grad(results: Sequence) -> list:
    """The results that have a gradient."""
    return [r for r in results if isinstance(r, TensorBase) and r.requires_grad]


def weight_for(i: int, array: Any) -> np.ndarray:
    """The gradient of result ``i``: random, and the same for the same shape."""
    weight = np.random.default_rng(i).uniform(-1, 1, array.shape)
    return weight.astype(array.dtype)


def nodes_behind(tensors: Sequence) -> list[Node]:
    """All recorded calls that ``tensors`` depend on."""
    stack = [t.place.node for t in requiring_grad(tensors)]
    seen = set(stack)
    while stack:
        for _, place in stack.pop().edges:
            if place.node not in seen:
                seen.add(place.node)
                stack.append(place.node)
    return [node for node in seen if isinstance(node, Node)]
