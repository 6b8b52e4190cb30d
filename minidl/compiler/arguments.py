"""Arguments of a call: their tensors, and a key of everything else that decides on the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd import Leaf, TensorBase, is_grad_enabled
from minidl.backend import Device, get_default_device, get_default_dtype, is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import Record, closed, is_dataclass, mapped, opened
from minidl.compiler.watch.guards import is_plain
from minidl.kernels import active_sets
from minidl.random import current_generator


class Arguments:
    """The arguments of one call, taken apart.

    Parameters
    ----------
    args, kwargs
        The arguments.
    dynamic : dict, optional
        The positions of numbers that are inputs, and their types: their values are not in the key.
    graphs : bool
        Whether a tensor may be the result of a graph; otherwise that is a CaptureError.

    Attributes
    ----------
    tensors : list of Tensor
        The tensors among them.
    leaves : list
        All that is not a container.
    key : tuple
        Structure, types, layouts, values of what is plain, and the modes of the thread.
    containers, objects : list
        The containers among them, and what is neither a tensor nor plain.
    """

    __slots__ = ("containers", "graphs", "key", "leaves", "objects", "tensors")

    def __init__(
        self,
        args: tuple,
        kwargs: dict,
        dynamic: dict[int, type] | None = None,
        graphs: bool = False,
    ):
        self.graphs = graphs
        self.tensors: list[Any] = []
        self.leaves: list[Any] = []
        self.containers: list[Any] = []
        self.objects: list[Any] = []
        parts: list[Any] = []
        for arg in args:
            if isinstance(arg, TensorBase):
                self._take_tensor(arg, parts)
            else:
                self._take(arg, parts, dynamic)
        for name, arg in kwargs.items():
            parts.append(name)
            self._take(arg, parts, dynamic)
        tensors = self.tensors
        if len(tensors) > 1:
            places = {id(tensor.array): i for i, tensor in enumerate(tensors)}
            if len(places) < len(tensors):
                parts.append(tuple(places[id(tensor.array)] for tensor in tensors))
                same = {id(tensor): i for i, tensor in enumerate(tensors)}
                parts.append(tuple(same[id(tensor)] for tensor in tensors))
        parts += (
            is_grad_enabled(),
            id(current_generator()),
            get_default_dtype(),
            get_default_device(),
            active_sets(),
        )
        self.key = tuple(parts)

    def _take(self, arg: Any, parts: list, dynamic: dict[int, type] | None) -> None:
        if isinstance(arg, TensorBase):
            self._take_tensor(arg, parts)
            return
        kind = arg.__class__
        if isinstance(arg, tuple | list | dict):
            self._take_container(arg, parts, dynamic)
        elif is_dataclass(arg) and kind is not Device:
            self.containers.append(arg)
            self._take_container(opened(arg), parts, dynamic)
        elif dynamic and dynamic.get(len(self.leaves)) is kind:
            self.leaves.append(arg)
            parts.append(kind)
        elif is_plain(arg):
            self.leaves.append(arg)
            parts.append((kind, _plain_key(arg)))
        elif is_array(arg) or isinstance(arg, set):
            raise CaptureError(
                "the arguments of a compiled step are tensors, numbers, strings, objects, and "
                f"tuples, lists, dicts or dataclasses of these; got a {kind.__name__}"
            )
        else:
            self.leaves.append(arg)
            self.objects.append(arg)
            parts.append((kind, id(arg)))

    def _take_tensor(self, tensor: Any, parts: list) -> None:
        self.leaves.append(tensor)
        self.tensors.append(tensor)
        array, place = tensor.array, tensor.place
        if place is None:
            parts.append(
                (
                    array.shape, array.dtype.char, array.strides, type(array), type(tensor),
                    tensor.grad is None,
                )
            )  # fmt: skip
            return
        if not self.graphs and not isinstance(place, Leaf) and place.node.args is not None:
            raise CaptureError(
                f"argument {len(self.leaves) - 1} is the result of {place.node.op.name}, whose "
                "graph a replayed step could not continue: pass detach() of it, or compile the "
                "module and not the step"
            )
        fact = (type(tensor), tensor.grad is None, bool(getattr(place, "hooks", None)))
        parts.append((array.shape, array.dtype.char, array.strides, type(array), fact))

    def _take_container(self, arg: Any, parts: list, dynamic: dict[int, type] | None) -> None:
        self.containers.append(arg)
        if type(arg) is Record:
            parts.append((arg.kind, tuple(arg.parts)))
            values = arg.parts.values()
        elif isinstance(arg, dict):
            parts.append((type(arg), tuple(arg)))
            values = arg.values()
        else:
            parts.append((type(arg), len(arg)))
            values = arg
        for value in values:
            self._take(value, parts, dynamic)


def _plain_key(value: Any) -> Any:
    """A plain value as a part of a key: equal only if it is the same to the last bit."""
    kind = type(value)
    if kind is float:
        return value.hex()
    if kind is complex:
        return value.real.hex(), value.imag.hex()
    if kind is slice:
        return tuple(map(_plain_key, (value.start, value.stop, value.step)))
    if kind is tuple or kind is frozenset:  # of a set also the order, which loops see
        return tuple((type(part), _plain_key(part)) for part in value)
    return value


def with_leaves(structure: Any, replace: Callable[[int, Any], Any]) -> Any:
    """``structure`` with ``replace(i, leaf)`` for leaf ``i``, in the order of `Arguments`."""
    counter = iter(range(1 << 60))

    def leaf_replaced(part: Any) -> Any:
        if not isinstance(part, TensorBase) and is_dataclass(part) and type(part) is not Device:
            values = {name: getattr(part, name) for name in opened(part).parts}
            new = mapped(leaf_replaced, values)
            return part if new is values else closed(Record(type(part), new))
        return replace(next(counter), part)

    return mapped(leaf_replaced, structure)
