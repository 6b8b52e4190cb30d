"""Initial values of parameters, set in place.

The scaled ones keep the variance of activations (``fan_in``) or of gradients (``fan_out``)
the same from layer to layer. A weight's fan-in is the number of inputs of one of its
outputs: ``in_channels x receptive field``; its fan-out that of outputs of one input.
"""

from __future__ import annotations

import math

from minidl import random
from minidl.autograd import no_grad
from minidl.random import Generator
from minidl.tensor import Tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill ``tensor`` with numbers uniform in [a, b), and return it.

    Parameters
    ----------
    tensor : Tensor
        Of any shape and a floating-point dtype.
    a, b : float
        The bounds.
    generator : Generator, optional
        Where the numbers come from; by default from this thread's generator.
    """
    generator = generator or random.current_generator()
    return _fill(tensor, generator.uniform(tensor.shape, a, b, tensor.dtype, tensor.device))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill ``tensor`` with normally distributed numbers, and return it."""
    generator = generator or random.current_generator()
    return _fill(tensor, generator.normal(tensor.shape, mean, std, tensor.dtype, tensor.device))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill ``tensor`` with ``val``, and return it."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with 1, and return it."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with 0, and return it."""
    return constant_(tensor, 0.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None):
    """Uniform numbers with the variance of `xavier_normal_`: bound ``sqrt(3) std``."""
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None):
    """Normal numbers of ``std = gain sqrt(2 / (fan_in + fan_out))``.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", AISTATS 2010
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers with the variance of `kaiming_normal_`: bound ``sqrt(3) std``."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of ``std = gain / sqrt(fan)``, and return the tensor.

    Parameters
    ----------
    tensor : Tensor
        A weight of at least two dimensions, ``(out, in, ...)``.
    a : float
        The slope of a leaky ReLU where its input is negative.
    mode : {"fan_in", "fan_out"}
        Which fan to divide by.
    nonlinearity : str
        What follows the layer: see `calculate_gain`.
    generator : Generator, optional
        Where the numbers come from; by default from this thread's generator.

    Source: K. He et al., "Delving deep into rectifiers", ICCV 2015, https://arxiv.org/abs/1502.01852
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv_transpose2d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity shrinks the standard deviation, to make up for.

    ``leaky_relu`` with slope ``param`` (0.01 if None): ``sqrt(2 / (1 + param^2))``.
    ValueError for a name that is not known.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: no nonlinearity {nonlinearity!r}; there are {known}")
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ValueError(
            f"fan in and fan out need a weight of 2 or more dimensions, got shape {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _xavier_std(tensor: Tensor, gain: float) -> float:
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return gain * math.sqrt(2.0 / max(fan_in + fan_out, 1))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'kaiming: the mode is "fan_in" or "fan_out", got {mode!r}')
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    fan = fan_in if mode == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def default_(weight: Tensor, bias: Tensor | None) -> None:
    """The initial values of linear and convolutional layers: uniform within 1 / sqrt(fan_in).

    For the weight this is `kaiming_uniform_` for a leaky ReLU of slope sqrt(5).
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(max(fan_in, 1))
        uniform_(bias, -bound, bound)


def _fill(tensor: Tensor, values: object) -> Tensor:
    with no_grad():
        return tensor.copy_(values)
