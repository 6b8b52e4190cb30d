"""Masks that hold weights at zero, under the names of PyTorch's ``torch.nn.utils.prune``.

A pruned parameter ``weight`` is two things: the parameter ``weight_orig``, which is learnt, and the
buffer ``weight_mask`` of ones and zeros. Before each call of the module ``weight`` is made as their
product. Both are part of the state dict, so that masks survive training, saving and loading (into
a model pruned the same way: `prune_like` does that). `remove` makes the zeros permanent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import minidl
from minidl import nn, ops
from minidl.tensor import Tensor

Amount = float | int
"""A share of the weights that are left (a float from 0 to 1), or a number of them."""

Where = tuple[nn.Module, str]
"""A module and the name of one of its parameters."""


class _Masking:
    """Makes the pruned tensor before a module runs, and lets go of its graph afterwards."""

    def __init__(self, name: str):
        self.name = name

    def before(self, module: nn.Module, _args: tuple) -> None:
        setattr(module, self.name, masked(module, self.name))

    def after(self, module: nn.Module, _args: tuple, _result: Any) -> None:
        setattr(module, self.name, getattr(module, self.name).detach())


def masked(module: nn.Module, name: str) -> Tensor:
    """The pruned tensor of a module: what is learnt times its mask."""
    return getattr(module, f"{name}_orig") * getattr(module, f"{name}_mask")


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
        setattr(module, name, masked(module, name).detach())
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
    masking = _Masking(name)
    module.register_forward_pre_hook(masking.before)
    module.register_forward_hook(masking.after)


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
    for hooks in (module._pre_hooks, module._hooks):
        hooks[:] = [hook for hook in hooks if not _is_for(hook, name)]
    for each in (name, f"{name}_orig", f"{name}_mask"):
        delattr(module, each)
    module.register_parameter(name, weight)
    return module


def _is_for(hook: Callable, name: str) -> bool:
    owner = getattr(hook, "__self__", None)
    return isinstance(owner, _Masking) and owner.name == name


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
