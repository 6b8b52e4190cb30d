"""The layers of the networks that are trained: their parameters' shapes and their work.

The work is that of convolutions and linear layers, in floating-point operations (two for each
multiply-add), for pictures of 32x32 pixels; everything else is small beside it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution with square filters, or a linear layer, whose ``kernel`` is 0.

    ``size`` is the height and width of the result.
    """

    inputs: int
    outputs: int
    kernel: int = 0
    size: int = 1

    @property
    def multiply_adds(self) -> int:
        """For one picture, forward."""
        return self.inputs * self.outputs * max(self.kernel, 1) ** 2 * self.size**2


def _resnet18() -> list[Layer]:
    layers = [Layer(3, 64, 7, 16)]
    stages = ((64, 64, 8), (64, 128, 4), (128, 256, 2), (256, 512, 1))
    for inputs, outputs, size in stages:
        layers += [Layer(inputs, outputs, 3, size), *[Layer(outputs, outputs, 3, size)] * 3]
        if inputs != outputs:
            layers.append(Layer(inputs, outputs, 1, size))
    return [*layers, Layer(512, 10)]


def _vgg11() -> list[Layer]:
    channels = (3, 64, 128, 256, 256, 512, 512, 512, 512)
    sizes = (32, 16, 8, 8, 4, 4, 2, 2)
    pairs = itertools.pairwise(channels)
    layers = [Layer(*pair, 3, size) for pair, size in zip(pairs, sizes, strict=True)]
    return [*layers, Layer(512 * 7 * 7, 4096), Layer(4096, 4096), Layer(4096, 10)]


def _fast() -> list[Layer]:
    pairs = zip(itertools.pairwise((3, 24, 48, 96, 192)), (32, 16, 8, 4), strict=True)
    return [*(Layer(*pair, 3, size) for pair, size in pairs), Layer(192 * 2 * 2, 10)]


LAYERS = {
    "article": [
        Layer(3, 6, 5, 28),
        Layer(6, 16, 5, 10),
        Layer(400, 120),
        Layer(120, 84),
        Layer(84, 10),
    ],
    "fast": _fast(),
    "resnet18": _resnet18(),
    "vgg11": _vgg11(),
}


def inference_flops(network: str, batch: int) -> int:
    """One pass forward."""
    return 2 * batch * sum(layer.multiply_adds for layer in LAYERS[network])


def training_flops(network: str, batch: int) -> int:
    """Forward, and both gradients but for the pictures', which nobody wants."""
    return 3 * inference_flops(network, batch) - 2 * batch * LAYERS[network][0].multiply_adds


def shapes(network: str) -> list[tuple[int, ...]]:
    """The shapes of the filters and matrices, and of one bias for each."""
    found: list[tuple[int, ...]] = []
    for layer in LAYERS[network]:
        square = (layer.kernel, layer.kernel) if layer.kernel else ()
        found += [(layer.outputs, layer.inputs, *square), (layer.outputs,)]
    return found
