"""From a float model to one that computes in 8-bit integers, by PyTorch's steps.

Static: `prepare`, run the model on some data, `convert`; `quantize_static` does all three.
Quantization-aware training: `prepare_qat`, train, `convert`. Dynamic: `quantize_dynamic`.
Each returns a new model, and leaves the old one as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import minidl
from minidl import nn
from minidl.compress.quantization.histograms import MSEObserver
from minidl.compress.quantization.layers import (
    ObservedConv2d,
    ObservedLinear,
    QConfig,
    observed,
    per_channel,
    quantized,
)
from minidl.compress.quantization.observers import MovingAverageMinMaxObserver
from minidl.tensor import Tensor

default_qconfig = QConfig(MSEObserver, per_channel)
"""For calibration: the range with the smallest error; weights channel by channel."""

default_qat_qconfig = QConfig(MovingAverageMinMaxObserver, per_channel)
"""For training: ranges that follow; weights channel by channel."""


def prepare(model: nn.Module, qconfig: QConfig = default_qconfig) -> nn.Module:
    """A copy of the model, in evaluation mode, whose layers observe what they get."""
    return _replaced(model, lambda layer: observed(layer, qconfig, rounding=False)).eval()


def prepare_qat(model: nn.Module, qconfig: QConfig = default_qat_qconfig) -> nn.Module:
    """A copy of the model for training, whose layers round as the integers will."""
    return _replaced(model, lambda layer: observed(layer, qconfig, rounding=True)).train()


def convert(model: nn.Module) -> nn.Module:
    """The model of integers, of one from `prepare` or `prepare_qat` that has seen data.

    RuntimeError if a layer has seen none.
    """
    return _replaced(model, _converted, (ObservedConv2d, ObservedLinear)).eval()


def quantize_static(
    model: nn.Module, batches: Iterable[Tensor], qconfig: QConfig = default_qconfig
) -> nn.Module:
    """The model of integers, calibrated on ``batches`` of inputs."""
    prepared = prepare(model, qconfig)
    with minidl.no_grad():
        for batch in batches:
            prepared(batch)
    return convert(prepared)


def quantize_dynamic(
    model: nn.Module, kinds: tuple[type, ...] = (nn.Linear,), qconfig: QConfig = default_qconfig
) -> nn.Module:
    """The model with layers of integers that find the range of each input anew.

    It needs no data, and a pass over every input more; ``kinds`` are the layers to replace.
    """
    return _replaced(model, lambda layer: quantized(layer, qconfig.weight()), kinds).eval()


def _converted(layer: ObservedConv2d | ObservedLinear) -> nn.Module:
    observer = layer.input_quantizer.observer
    if bool((observer.min_val > observer.max_val).any()):
        raise RuntimeError("a layer has seen no data: run the prepared model on some first")
    made = quantized(layer, layer.weight_quantizer.observer)
    made.scale, made.zero_point = observer.calculate_qparams()
    return made


def _replaced(
    model: nn.Module,
    replace: Callable[[Any], nn.Module],
    kinds: tuple[type, ...] = (nn.Conv2d, nn.Linear),
) -> nn.Module:
    """A copy of the model with other modules in the place of those of these kinds."""
    model = copy.deepcopy(model)
    if isinstance(model, kinds):
        return replace(model)
    made: dict[int, nn.Module] = {}  # one that is used twice stays one
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, kinds):
            owner, _, name = path.rpartition(".")
            if id(module) not in made:
                made[id(module)] = replace(module)
            setattr(model.get_submodule(owner), name, made[id(module)])
    return model
