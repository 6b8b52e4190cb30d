"""Reads of tensors: what of a tensor a plan depends on."""

from __future__ import annotations

from typing import Any

from minidl.autograd import Leaf, TensorBase
from minidl.compiler.errors import CaptureError
from minidl.compiler.trace import layout_of
from minidl.compiler.watch.guards import (
    MISSING,
    static_attribute,
    text_of,
)
from minidl.compiler.watch.trust import is_own

_PLACE_FACTS = frozenset({"requires_grad", "is_leaf", "grad_fn", "place", "retains_grad"})


class TensorReads:
    """The part of a `Watch` that guards facts of tensors."""

    def tensor_attribute(self, tensor: Any, name: str) -> Any:
        """An attribute of a tensor: facts that a replay depends on are guarded."""
        if name in ("grad", "version", "view_version"):
            self.by_identity(tensor)
        if name == "grad":
            return self.tensor_gradient(tensor)
        own = getattr(tensor, "__dict__", None)
        if own is not None and name in own:
            return self.instance_attribute(tensor, name)
        self.recorder.register(tensor)
        if name in ("version", "view_version"):
            if not self.is_own_line():
                self.recorder.read(tensor, f".{name}")
            return self.make_inside(getattr(tensor, name))
        outside = self.is_outside_tensor(tensor)
        if outside and name in _PLACE_FACTS:
            self.guard_place(tensor)
        elif outside:
            self.guard_array(tensor)
        found = static_attribute(type(tensor), name)
        if type(found) is property and not is_own(found.fget.__code__):
            return self.instance_attribute(tensor, name)
        if found is MISSING:
            return self.instance_attribute(tensor, name)
        self.patched(type(tensor), name, found)
        return self.vouched(getattr(tensor, name), (tensor,))

    def patched(self, kind: type, name: str, found: Any) -> None:
        """Guard a method of a class of minidl's, which the program may replace."""
        self.guard_class(kind, name, found)

    def tensor_gradient(self, tensor: Any) -> Any:
        """The gradient of a tensor, which may be one from before the run."""
        gradient = tensor.grad
        self.recorder.register(tensor)
        if self.is_outside_tensor(tensor):
            self.recorder.accumulates(tensor)
        if gradient is not None and not self.recorder.is_known(gradient):
            self.recorder.register(gradient)
        return gradient

    def is_outside_tensor(self, tensor: Any) -> bool:
        """Whether a tensor may have been there before the run."""
        if id(tensor) in self.new_tensors:
            return False
        return id(tensor) in self.recorder.foreign and id(tensor) not in self.recorder.wrappers

    def shape_of(self, tensor: Any) -> None:
        """Guard the memory of a tensor of which more is looked at than operators note."""
        self.recorder.register(tensor)
        if self.is_outside_tensor(tensor) and id(tensor.array) not in self.recorder.prior:
            self.guard_array(tensor)

    def guard_array(self, tensor: Any) -> None:
        """Guard that a tensor has its memory still."""
        array = tensor.array
        const = self.guards.constant(tensor)
        key = ("tensor", id(tensor), "array")
        if key in self.written:
            return
        if key in self.dynamic:
            facts = self.guards.constant(tensor_facts(tensor))
            test = f"tensor_facts({const}) == {facts}"
            self.guard_test(key, test, f"the layout of {text_of(tensor)}")
        elif key not in self.guards.all:
            self.guard(key, f"{const}.array", array, f"the memory of {text_of(tensor)}")

    def guard_place(self, tensor: Any) -> None:
        """Guard whether a tensor requires a gradient, and that it has no hooks but those seen."""
        key = ("tensor", id(tensor), "requires_grad")
        if key in self.guards.all or key in self.written:
            return
        place = tensor.place
        const = self.guards.constant(tensor)
        if place is None:
            self.guard(key, f"{const}.place", None, f"requires_grad of {text_of(tensor)}")
            return
        if not isinstance(place, Leaf):
            if place.node.args is None:  # its graph is used up: as good as a leaf without one
                return
            raise CaptureError(
                f"{self.line()}: {text_of(tensor)} belongs to a graph from before the step "
                f"(the result of {place.node.op.name}), which a replay could not follow: pass "
                "detach() of it, or compute it inside the step"
            )
        hooks = (place.hooks or {}).get(0)
        test = f"hooks_of({const}.place) == {self.guards.constant(list(hooks or ()))}"
        if not hooks:
            test = f"not {const}.place.hooks or {test}"
        what = f"requires_grad, or the hooks, of {text_of(tensor)}"
        self.guard_test(key, f"({test})", what)  # no place has no hooks: that is an error as well


def tensor_facts(tensor: Any) -> tuple | None:
    """What a plan depends on of a tensor that is read again: class, layout, no graph."""
    if not isinstance(tensor, TensorBase):
        return None
    return type(tensor), layout_of(tensor.array), tensor.place is None


def hooks_of(place: Any) -> list:
    """The hooks of a leaf."""
    return list((place.hooks or {}).get(0, ()))
