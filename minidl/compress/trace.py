"""What feeds what in a model: one run, as a graph of layers and of the operators between them.

A layer is a module with parameters or buffers of its own and no modules inside: what it computes
is one node. Everything else is a node for each operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minidl.autograd import Observer, TensorBase, no_grad, observed_by
from minidl.backend import is_array
from minidl.compiler.structure import leaves, mapped
from minidl.nn import Module
from minidl.tensor import Tensor


class Value:
    """An array of the run, known by its identity."""

    def __init__(self, array: Any):
        self.array = array  # kept, so that no other array gets its identity
        self.shape = tuple(array.shape)


@dataclass(eq=False)
class Node:
    """A layer's call or an operator's.

    Attributes
    ----------
    name : str
        The operator's, or the layer's class.
    module : Module or None
        The layer.
    args : tuple
        What it was called with, values in the place of arrays and tensors.
    outputs : list of Value
        What it made.
    """

    name: str
    module: Module | None
    args: tuple
    outputs: list[Value]

    @property
    def inputs(self) -> list[Value]:
        """The values among the arguments."""
        return [leaf for leaf in leaves(self.args) if isinstance(leaf, Value)]


class Network:
    """Nodes in the order in which they ran, and the values of the whole.

    Attributes
    ----------
    nodes : list of Node
    inputs, outputs : list of Value
        What the model got and returned.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self._known: dict[int, Value] = {}

    def maker(self, value: Value) -> Node | None:
        """The node that made a value; None for inputs and for tensors of the model."""
        return next((node for node in self.nodes if value in node.outputs), None)

    def users(self, value: Value) -> list[Node]:
        """The nodes that take a value."""
        return [node for node in self.nodes if value in node.inputs]

    def seen(self, leaf: Any) -> Any:
        """The value of an array or tensor; anything else itself."""
        array = leaf.array if isinstance(leaf, TensorBase) else leaf
        if not is_array(array):
            return leaf
        if id(array) not in self._known:
            self._known[id(array)] = Value(array)
        return self._known[id(array)]

    def add(self, name: str, module: Module | None, args: tuple, result: Any) -> None:
        """Note what ran; a result that is one of the arguments is not made."""
        args = mapped(self.seen, args)
        outputs = [leaf for leaf in leaves(mapped(self.seen, result)) if isinstance(leaf, Value)]
        node = Node(name, module, args, [])
        node.outputs = [value for value in outputs if value not in node.inputs]
        self.nodes.append(node)


class _Watcher(Observer):
    """Adds operators to a network, except those inside a layer."""

    def __init__(self, network: Network):
        self.network = network
        self.inside = 0

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        result = function(*args, **options)
        if not self.inside:
            self.network.add(name, None, (*args, options), result)
        return result

    def enter(self, _module: Module, _args: tuple) -> None:
        self.inside += 1

    def leave(self, module: Module, args: tuple, result: Any) -> None:
        self.inside -= 1
        if not self.inside:
            self.network.add(type(module).__name__, module, args, result)


def trace(model: Module, example: Tensor) -> Network:
    """The network that ``model`` is, seen in a run on ``example`` without gradients."""
    network = Network()
    watcher = _Watcher(network)
    hooks = []
    for module in model.modules():
        if is_layer(module):
            hooks.append(module.register_forward_pre_hook(watcher.enter))
            hooks.append(module.register_forward_hook(watcher.leave))
    example = example.detach()
    network.inputs = [network.seen(example)]
    try:
        with no_grad(), observed_by(watcher):
            result = model(example)
    finally:
        for hook in hooks:
            hook.remove()
    network.outputs = [v for v in leaves(mapped(network.seen, result)) if isinstance(v, Value)]
    return network


def is_layer(module: Module) -> bool:
    """Whether a module has tensors of its own and no modules inside."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return bool(own) and not list(module.children())
