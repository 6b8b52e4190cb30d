"""Batch norms folded into the convolutions and linear layers before them.

In evaluation mode ``norm(layer(x))`` is one layer:
``weight' = weight * s`` and ``bias' = (bias - mean) * s + b`` with ``s = w / sqrt(var + eps)``.
"""

from __future__ import annotations

import copy

import minidl
from minidl import nn
from minidl.compress.trace import Network, trace
from minidl.tensor import Tensor


def fold_batch_norm(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy of the model, in evaluation mode, without the batch norms that can be folded.

    The model runs once, on ``example``, to see which batch norm comes right behind which layer:
    those take the layer's result, and nothing else does. `Identity` stands in their places.
    """
    model = copy.deepcopy(model).eval()
    network = trace(model, example)
    names = {id(module): name for name, module in model.named_modules()}
    for layer, norm in _pairs(network):
        _fold(layer, norm)
        path, _, name = names[id(norm)].rpartition(".")
        setattr(model.get_submodule(path), name, nn.Identity())
    return model


def _pairs(network: Network) -> list[tuple[nn.Module, nn.Module]]:
    """Layers and the batch norms right behind them, each module once."""
    found = []
    for node in network.nodes:
        if not isinstance(node.module, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        (source,) = node.inputs
        before = network.maker(source)
        alone = before and len(network.users(source)) == 1 and source not in network.outputs
        if alone and isinstance(before.module, nn.Conv2d | nn.Linear):
            found.append((before.module, node.module))
    used = [id(node.module) for node in network.nodes]
    return [pair for pair in found if all(used.count(id(module)) == 1 for module in pair)]


def _fold(layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d) -> None:
    with minidl.no_grad():
        factor = (norm.running_var + norm.eps).rsqrt()
        if norm.weight is not None:
            factor = factor * norm.weight
        shift = -norm.running_mean if layer.bias is None else layer.bias - norm.running_mean
        bias = shift * factor
        if norm.bias is not None:
            bias = bias + norm.bias
        weight = layer.weight * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
