"""The module that an ONNX file becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minidl.autograd import RemovableHandle
from minidl.nn import Module, Parameter
from minidl.onnx.metadata import Metadata
from minidl.tensor import Tensor

_PATH = re.compile(r"[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)*")


class Step(NamedTuple):
    """One node: from values at ``inputs`` (-1 for none) to values at ``outputs``.

    Its ``name`` is that of its first value in the file, which no other step has.
    """

    function: Callable
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    unused: tuple[int, ...]  # values that no later step takes
    name: str


class OnnxModule(Module):
    """Computes what an ONNX graph does, one step after the other.

    Attributes
    ----------
    metadata : Metadata
        What the file says of classes, preprocessing and results.
    input_names, output_names : list of str
        In the order of ``forward``'s arguments and results.
    input_shapes : list of list
        Sizes, None where the file leaves them open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metadata = Metadata()
        self.input_names: list[str] = []
        self.output_names: list[str] = []
        self.input_shapes: list[list[int | None]] = []
        self._steps: list[Step] = []
        self._owned: list[tuple[int, Module, str]] = []  # where the tensors of the graph are
        self._step_hooks: list[Callable] = []
        self._results: tuple[int, ...] = ()
        self._size = 0

    def hold(self, slot: int, path: str, tensor: Tensor) -> None:
        """Own a tensor of the graph under its name, or near it if no module can have that."""
        *folders, name = path.split(".") if _PATH.fullmatch(path) else [f"tensor_{slot}"]
        owner: Module = self
        for folder in folders:
            owner = _child(owner, folder)
        while hasattr(owner, name):
            name += "_"
        if isinstance(tensor, Parameter):
            owner.register_parameter(name, tensor)
        else:
            owner.register_buffer(name, tensor)
        self._owned.append((slot, owner, name))

    def plan(self, steps: Sequence[Step], results: Sequence[int], size: int) -> None:
        """Compute ``steps`` over ``size`` values, of which the ``results`` are returned."""
        self._steps, self._results, self._size = list(steps), tuple(results), size

    def register_step_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(name, result)`` after each step; it may return a new result.

        A step's name is that of its (first) result in the file; if it has several results,
        ``result`` is a sequence.
        """
        self._step_hooks.append(hook)
        return RemovableHandle(self._step_hooks, hook)

    def forward(self, *inputs: Tensor) -> Any:
        if len(inputs) != len(self.input_names):
            raise TypeError(f"the model takes {self.input_names}, got {len(inputs)} inputs")
        values: list[Any] = [*inputs, *[None] * (self._size - len(inputs))]
        for slot, owner, name in self._owned:
            values[slot] = getattr(owner, name)
        for step in self._steps:
            found = step.function(*[None if i < 0 else values[i] for i in step.inputs])
            for hook in self._step_hooks:
                changed = hook(step.name, found)
                found = found if changed is None else changed
            if len(step.outputs) == 1:
                values[step.outputs[0]] = found
            else:
                for i, value in zip(step.outputs, found):
                    values[i] = value
            for i in step.unused:
                values[i] = None
        results = tuple(values[i] for i in self._results)
        return results if len(results) > 1 else results[0]

    def extra_repr(self) -> str:
        return f"{', '.join(self.input_names)} -> {', '.join(self.output_names)}"


def _child(owner: Module, name: str) -> Module:
    """The module ``name`` of ``owner``, an empty one made if there is none."""
    while hasattr(owner, name) and not isinstance(getattr(owner, name), Module):
        name += "_"
    if not hasattr(owner, name):
        owner.add_module(name, Module())
    return getattr(owner, name)
