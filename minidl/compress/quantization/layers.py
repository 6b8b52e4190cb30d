"""Layers on the way to integers, and layers of integers.

`ObservedConv2d` and `ObservedLinear` are what calibration and quantization-aware training work
with: floats, whose inputs and weights go through a `FakeQuantize` each. `QuantizedConv2d` and
`QuantizedLinear` compute in 8-bit integers. State dicts keep the names of the plain layers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import minidl
from minidl import nn, ops
from minidl.compress.quantization.fake import FakeQuantize
from minidl.compress.quantization.observers import (
    MovingAverageMinMaxObserver,
    Observer,
    qparams,
)
from minidl.tensor import Tensor


class QConfig(NamedTuple):
    """What makes the observers of a layer's input and of its weight."""

    activation: Callable[[], Observer]
    weight: Callable[[], Observer]


per_channel = functools.partial(
    MovingAverageMinMaxObserver, symmetric=True, axis=0, averaging_constant=1
)
"""Of weights: a symmetric range for each output, that of the last weights seen."""

per_tensor = functools.partial(MovingAverageMinMaxObserver, symmetric=True, averaging_constant=1)
"""Of weights: one symmetric range for all."""


class ObservedConv2d(nn.Conv2d):
    """A convolution whose input and weight are observed, and rounded if that is enabled."""

    input_quantizer: FakeQuantize
    weight_quantizer: FakeQuantize

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight_quantizer(self.weight)
        return self._convolved(ops.conv2d, self.input_quantizer(input), weight)


class ObservedLinear(nn.Linear):
    """A linear layer whose input and weight are observed, and rounded if that is enabled."""

    input_quantizer: FakeQuantize
    weight_quantizer: FakeQuantize

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight_quantizer(self.weight)
        return ops.linear(self.input_quantizer(input), weight, self.bias)


def observed(layer: nn.Conv2d | nn.Linear, config: QConfig, rounding: bool) -> nn.Module:
    """The layer with observers; it shares its parameters."""
    kind = ObservedConv2d if isinstance(layer, nn.Conv2d) else ObservedLinear
    made = _like(layer, kind)
    made.register_parameter("weight", layer.weight)
    made.register_parameter("bias", layer.bias)
    made.input_quantizer = FakeQuantize(config.activation, rounding)
    made.weight_quantizer = FakeQuantize(config.weight, rounding)
    return made


def _like(layer: nn.Module, kind: type) -> Any:
    """A module of another kind with the settings of ``layer``: all but what it has learnt."""
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    learnt = set(layer._roles)
    for name, value in vars(layer).items():
        if name not in learnt and name not in vars(made):
            setattr(made, name, value)
    made.training = layer.training
    return made


class _Quantized(nn.Module):
    """What layers of integers share.

    Attributes
    ----------
    weight : Tensor
        int8, with a zero point of 0.
    weight_scale : Tensor
        Of each output, or one.
    scale, zero_point : Tensor or None
        Of the input; None if they are found anew for each input.
    bias : Tensor or None
        float32.
    """

    def hold(self, weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> None:
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", weight_scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.register_buffer("scale", None)
        self.register_buffer("zero_point", None)

    def input_parameters(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and zero point of an input."""
        if self.scale is not None:
            return self.scale, self.zero_point
        return qparams(input.amin(), input.amax(), symmetric=False)


class QuantizedConv2d(_Quantized, nn.Conv2d):
    """A convolution in 8-bit integers with 32-bit sums; see `minidl.quantized_conv2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(self._convolution, input, self.weight)

    def _convolution(self, input: Tensor, weight: Tensor, bias: Any, *how: Any) -> Tensor:
        numbers = self.input_parameters(input)
        return ops.quantized_conv2d(input, *numbers, weight, self.weight_scale, bias, *how)


class QuantizedLinear(_Quantized, nn.Linear):
    """A linear layer in 8-bit integers with 32-bit sums; see `minidl.quantized_linear`."""

    def forward(self, input: Tensor) -> Tensor:
        numbers = self.input_parameters(input)
        return ops.quantized_linear(input, *numbers, self.weight, self.weight_scale, self.bias)


def quantized(layer: nn.Conv2d | nn.Linear, weight_observer: Observer) -> Any:
    """The layer of integers for the weights of ``layer``; its input's scale is still to be set."""
    made = _like(layer, QuantizedConv2d if isinstance(layer, nn.Conv2d) else QuantizedLinear)
    with minidl.no_grad():
        weight = layer.weight.detach()
        weight_observer(weight)
        scale, zero_point = weight_observer.calculate_qparams()
        if not weight_observer.symmetric:
            raise ValueError("weights are quantized symmetrically: their zero point is 0")
        integers = ops.quantize(weight, scale, zero_point, weight_observer.axis)
        made.hold(integers, scale, layer.bias)
    return made
