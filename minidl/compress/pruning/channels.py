"""Which channels of which layers belong together: what one cannot remove without the others.

Each channel of each value in a network gets a label. A convolution or linear layer labels its
results anew; activations and pooling pass labels on; batch norm does, and has weights for them; an
addition makes the labels of its two terms one, and so a residual connection ties the layers on both
of its ends. Labels that meet an operator which is not known here, and those of the network's inputs
and outputs, are fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import nn
from minidl.compress.trace import Network, Node, Value

_PASSING = {
    "relu", "sigmoid", "tanh", "activation", "max_pool2d", "avg_pool2d", "dropout", "exp", "abs",
    "clamp", "neg", "square", "sqrt", "clone", "to", "rectified", "softplus",
}  # fmt: skip
_TYING = {"add", "sub", "mul", "div", "maximum", "minimum"}
_NORMS = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(eq=False)
class Use:
    """A layer whose tensors have a dimension of channels: rows of weights (out) or columns (in)."""

    module: nn.Module
    side: str  # "out", "in" or, of norms and depthwise filters, "both"
    labels: np.ndarray


class Channels:
    """The labels of a network's values, and who uses them."""

    def __init__(self, network: Network):
        self.network = network
        self.parents: list[int] = []
        self.fixed: set[int] = set()
        self.labels: dict[Value, np.ndarray] = {}
        self.uses: list[Use] = []
        for value in network.inputs:
            self._fix(self._new(value))
        for node in network.nodes:
            self._follow(node)
        for value in network.outputs:
            self._fix(self.labels.get(value))

    def root(self, label: int) -> int:
        """What stands for all labels that are one with this one."""
        while self.parents[label] != label:
            self.parents[label] = self.parents[self.parents[label]]
            label = self.parents[label]
        return label

    def roots(self, labels: np.ndarray) -> np.ndarray:
        """The root of each label."""
        return np.array([self.root(int(label)) for label in labels])

    def removable(self) -> set[int]:
        """The roots that may go."""
        fixed = {self.root(label) for label in self.fixed}
        outs = [self.roots(use.labels) for use in self.uses if use.side == "out"]
        return {int(root) for roots in outs for root in roots} - fixed

    # ----------------------------------------------------------------- labels

    def _new(self, value: Value) -> np.ndarray:
        size = value.shape[1] if len(value.shape) > 1 else 0
        labels = np.arange(len(self.parents), len(self.parents) + size)
        self.parents.extend(labels.tolist())
        self.labels[value] = labels
        return labels

    def _tie(self, a: np.ndarray, b: np.ndarray) -> None:
        for x, y in zip(a, b):
            self.parents[self.root(int(x))] = self.root(int(y))

    def _fix(self, labels: np.ndarray | None) -> None:
        if labels is not None:
            self.fixed.update(labels.tolist())

    # ----------------------------------------------------------------- nodes

    def _follow(self, node: Node) -> None:
        if node.module is not None:
            self._follow_layer(node)
        elif node.name in _PASSING:
            self._pass(node)
        elif node.name in _TYING:
            self._tie_terms(node)
        elif node.name in ("reshape", "view"):
            self._reshape(node)
        elif node.name == "cat":
            self._join(node)
        elif node.name == "mean":
            self._average(node)
        else:
            self._give_up(node)

    def _give_up(self, node: Node) -> None:
        for value in node.inputs:
            self._fix(self.labels.get(value))

    def _pass(self, node: Node) -> None:
        known = [self.labels[value] for value in node.inputs if value in self.labels]
        if len(known) != 1:
            self._give_up(node)
            return
        for value in node.outputs:
            self.labels[value] = known[0]

    def _tie_terms(self, node: Node) -> None:
        values = node.inputs
        (made,) = node.outputs
        shapes = {value.shape[1:2] for value in values}
        numbers = [value for value in values if math.prod(value.shape) == 1]
        if len(values) - len(numbers) == 1 and len(values) <= 2:
            (only,) = (value for value in values if value not in numbers)
            if only in self.labels:
                self.labels[made] = self.labels[only]
            return
        if len(values) != 2 or len(shapes) != 1 or not all(v in self.labels for v in values):
            self._give_up(node)
            return
        self._tie(*(self.labels[value] for value in values))
        self.labels[made] = self.labels[values[0]]

    def _reshape(self, node: Node) -> None:
        (source, made) = node.inputs[0], node.outputs[0]
        labels = self.labels.get(source)
        before, after = source.shape, made.shape
        if labels is None:
            return
        if len(after) > 1 and before[:2] == after[:2]:
            self.labels[made] = labels
        elif len(after) == 2 and before[0] == after[0]:
            self.labels[made] = np.repeat(labels, math.prod(before[2:]))
        else:
            self._give_up(node)

    def _join(self, node: Node) -> None:
        values, (made,) = node.inputs, node.outputs
        if node.args[-1].get("dim") == 1 and all(value in self.labels for value in values):
            self.labels[made] = np.concatenate([self.labels[value] for value in values])
        else:
            self._give_up(node)

    def _average(self, node: Node) -> None:
        (source, *_), (made,) = node.inputs, node.outputs
        if source in self.labels and made.shape[:2] == source.shape[:2]:
            self.labels[made] = self.labels[source]
        else:
            self._give_up(node)

    # ----------------------------------------------------------------- layers

    def _follow_layer(self, node: Node) -> None:
        module = node.module
        (source, *_), (made,) = node.inputs, node.outputs
        labels = self.labels.get(source)
        plain = isinstance(module, nn.Linear) and len(source.shape) == 2
        if isinstance(module, _NORMS) and labels is not None:
            self._use(module, "both", labels)
            self.labels[made] = labels
        elif plain or (isinstance(module, nn.Conv2d) and module.groups == 1):
            if labels is not None:
                self._use(module, "in", labels)
            self._use(module, "out", self._new(made))
        elif isinstance(module, nn.Conv2d) and _is_depthwise(module) and labels is not None:
            self._use(module, "both", labels)
            self.labels[made] = labels
        else:
            self._give_up(node)
            self._fix(self._new(made))

    def _use(self, module: nn.Module, side: str, labels: np.ndarray) -> None:
        """Note a layer; one that is used twice has the same channels both times."""
        for use in self.uses:
            if use.module is module and use.side == side:
                self._tie(use.labels, labels)
                return
        self.uses.append(Use(module, side, labels))


def _is_depthwise(module: Any) -> bool:
    return module.groups == module.in_channels == module.out_channels
