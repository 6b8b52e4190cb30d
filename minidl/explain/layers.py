"""The maps that a layer returns on the way to the logits, by the layer's name.

The layers of a module are its submodules, by their paths, such as "features.0"; those of an
`OnnxModule` are its steps, each by the name of its result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from minidl.explain.scores import logits_of
from minidl.nn import Module
from minidl.onnx import OnnxModule
from minidl.tensor import Tensor

_FINE = 4
"""Maps of fewer pixels a side say little of places."""


def logits_and_maps(
    model: Module, input: Tensor, layer: Module | str | None
) -> tuple[Tensor, Tensor]:
    """The logits (N, classes), and what ``layer`` returned for them, (N, K, H, W).

    By default it is the last layer that returns maps of at least `_FINE` pixels a side, or if there
    is none, of more than one. Of a layer that is called several times, the last call counts.
    ValueError if there are no such maps.
    """
    name = _name_of(layer, model) if isinstance(layer, Module) else layer
    returned: dict[str, Tensor | None] = {}

    def look(name: str, result: Any) -> Tensor | None:
        returned.pop(name, None)  # to come last again
        returned[name] = result if _is_maps(result, len(input)) else None
        # a copy goes on, for the next layer may work in place
        return result if returned[name] is None else result.clone()

    with _seen_by(look, model):
        logits = logits_of(model, input)
    return logits, _chosen(returned, name)


@contextlib.contextmanager
def _seen_by(look: Callable, model: Module) -> Iterator[None]:
    """Within the block, ``look(name, result)`` is called for each layer and returns a result."""
    with contextlib.ExitStack() as handles:
        for path, module in model.named_modules():
            if path:
                hook = _hook(look, path)
                handles.enter_context(module.register_forward_hook(hook))
            if isinstance(module, OnnxModule):
                hook = _step_hook(look, path)
                handles.enter_context(module.register_step_hook(hook))
        yield


def _hook(look: Callable, path: str) -> Callable:
    return lambda _module, _args, result: look(path, result)


def _step_hook(look: Callable, path: str) -> Callable:
    return lambda name, result: look(f"{path}.{name}" if path else name, result)


def _is_maps(result: Any, count: int) -> bool:
    return (
        isinstance(result, Tensor)
        and result.ndim == 4
        and len(result) == count
        and min(result.shape[2:]) > 1
    )


def _name_of(layer: Module, model: Module) -> str:
    for path, module in model.named_modules():
        if module is layer and path:
            return path
    raise ValueError(
        f"layer is none of the model's own: this {type(layer).__name__} does not belong to it"
    )


def _chosen(returned: dict[str, Tensor | None], name: str | None) -> Tensor:
    """The maps of the layer ``name``, or the last ones."""
    maps = {each: result for each, result in returned.items() if result is not None}
    if name is None and maps:
        fine = [each for each in maps.values() if min(each.shape[2:]) >= _FINE]
        return (fine or list(maps.values()))[-1]
    if name in maps:
        return maps[name]
    reason = "" if name is None else f"the model calls no layer {name!r}: "
    if name in returned:
        reason = f"the layer {name!r} returns something else: "
    raise ValueError(
        f"{reason}maps (N, K, H, W) of more than one pixel are returned by "
        f"{', '.join(map(repr, maps)) or 'no layer of the model'}"
    )
