"""Masks that hold weights at zero, under the names of PyTorch's ``torch.nn.utils.prune``.

A pruned parameter ``weight`` is two things: the parameter ``weight_orig``, which is learnt, and the
buffer ``weight_mask`` of ones and zeros. The attribute ``weight`` is their product, made whenever
somebody asks: the module gets a class that says so. Both are part of the state dict, so that masks
survive training, saving and loading (into a model pruned the same way: `prune_like` does that).
`remove` makes the zeros permanent.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import minidl
from minidl import nn, ops
from minidl.tensor import Tensor

Amount = float | int
"""A share of the weights that are left (a float from 0 to 1), or a number of them."""

Where = tuple[nn.Module, str]
"""A module and the name of one of its parameters."""


def masked(module: nn.Module, name: str) -> Tensor:
    """The pruned tensor of a module: what is learnt times its mask."""
    return getattr(module, f"{name}_orig") * getattr(module, f"{name}_mask")


@functools.cache
def _class_with(kind: type, names: frozenset[str]) -> type:
    """A module's class, with products in the place of these parameters."""
    if not names:
        return kind
    products = {name: property(functools.partial(masked, name=name)) for name in names}
    facts = {"__module__": kind.__module__, "_plain_class": kind, "_masked": names, **products}
    return type(kind.__name__, (kind,), facts)


def _set_masked(module: nn.Module, names: frozenset[str]) -> None:
    module.__class__ = _class_with(getattr(module, "_plain_class", type(module)), names)


def custom_from_mask(module: nn.Module, name: str, mask: Tensor) -> nn.Module:
    """Hold the weights at zero where ``mask`` is 0, besides those that are already.

    ValueError if there is no such parameter or the mask has another shape.
    """
    weight = _values(module, name)
    if tuple(mask.shape) != tuple(weight.shape):
        raise ValueError(
            f"the mask of {name!r} must have shape {list(weight.shape)}, got {list(mask.shape)}"
        )
    with minidl.no_grad():
        mask = (mask != 0).to(weight.dtype)
        if is_masked(module, name):
            getattr(module, f"{name}_mask").copy_(getattr(module, f"{name}_mask") * mask)
        else:
            _split(module, name, mask)
    return module


def _values(module: nn.Module, name: str) -> Tensor:
    """The tensor that is learnt; ValueError if there is none."""
    learnt = f"{name}_orig" if is_masked(module, name) else name
    found = dict(module.named_parameters(recurse=False)).get(learnt)
    if found is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}")
    return found.detach()


def _split(module: nn.Module, name: str, mask: Tensor) -> None:
    """Put parameter and mask in the place of a parameter."""
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_mask", mask)
    _set_masked(module, getattr(module, "_masked", frozenset()) | {name})


def is_masked(module: nn.Module, name: str) -> bool:
    """Whether a parameter of a module is pruned."""
    return f"{name}_mask" in dict(module.named_buffers(recurse=False))


def is_pruned(module: nn.Module) -> bool:
    """Whether a parameter of the module, or of one inside, is pruned."""
    return bool(pruned(module))


def pruned(model: nn.Module) -> list[Where]:
    """The pruned parameters of a model."""
    return [
        (module, name.removesuffix("_mask"))
        for module in model.modules()
        for name, _ in module.named_buffers(recurse=False)
        if name.endswith("_mask")
    ]


def remove(module: nn.Module, name: str) -> nn.Module:
    """Make the zeros permanent: the parameter is a plain one again.

    ValueError if it is not pruned.
    """
    if not is_masked(module, name):
        raise ValueError(f"{name!r} of {type(module).__name__} is not pruned")
    weight = getattr(module, f"{name}_orig")
    with minidl.no_grad():
        weight.copy_(masked(module, name))
    _set_masked(module, module._masked - {name})
    for each in (f"{name}_orig", f"{name}_mask"):
        delattr(module, each)
    module.register_parameter(name, weight)
    return module


def prune_like(model: nn.Module, state: Mapping[str, Any]) -> nn.Module:
    """Prune what is pruned in a state dict, so that ``model.load_state_dict(state)`` fits."""
    for path in [key.removesuffix("_mask") for key in state if key.endswith("_mask")]:
        owner, _, name = path.rpartition(".")
        module = model.get_submodule(owner)
        if not is_masked(module, name):
            custom_from_mask(module, name, ops.ones_like(_values(module, name)))
    return model


def sparsity(parameters: Iterable[Where]) -> float:
    """The share of the weights that are zero."""
    total = zeros = 0
    for module, name in parameters:
        weight = getattr(module, name)
        total += weight.numel()
        zeros += int((weight == 0).sum())
    return zeros / max(total, 1)
