"""Activations, the definitions.

`FUNCTIONS` holds each function and its gradient ``g f'(x)``; some have parameters.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import xp
from minidl.kernels.special import erf


def relu(x: np.ndarray) -> np.ndarray:
    """max(0, x); NaN stays NaN."""
    return xp(x).maximum(x, x.dtype.type(0))


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``g`` where ReLU's result ``y``, or what it was made of, is not 0 or less, else 0."""
    return xp(y).where(y <= 0, g.dtype.type(0), g)


def _leaky_relu(x, slope):
    return xp(x).where(x > 0, x, x * slope)


def _leaky_relu_grad(g, x, slope):
    return xp(x).where(x > 0, g, g * slope)


def _elu(x, alpha):
    return xp(x).where(x > 0, x, alpha * xp(x).expm1(x))


def _elu_grad(g, x, alpha):
    return xp(x).where(x > 0, g, g * (alpha * xp(x).exp(x)))


def _sigmoid(x):
    return 1 / (1 + xp(x).exp(-x))


def _sigmoid_grad(g, x):
    y = _sigmoid(x)
    return g * (y * (1 - y))


def _tanh(x):
    return xp(x).tanh(x)


def _tanh_grad(g, x):
    y = xp(x).tanh(x)
    return g * (1 - y * y)


def _silu(x):
    return x * _sigmoid(x)


def _silu_grad(g, x):
    y = _sigmoid(x)
    return g * (y * (1 + x * (1 - y)))


def _below(x):
    """The normal distribution function."""
    return 0.5 * (1 + erf(xp(x).asarray(x * math.sqrt(0.5))))


def _gelu(x):
    return x * _below(x)


def _gelu_grad(g, x):
    density = math.sqrt(0.5 / math.pi) * xp(x).exp(-0.5 * x * x)
    return g * (_below(x) + x * density)


def _gelu_tanh(x):
    return 0.5 * x * (1 + xp(x).tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _gelu_tanh_grad(g, x):
    y = xp(x).tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return g * (0.5 * (1 + y + x * (1 - y * y) * slope))


def _softplus(x, beta, threshold):
    scaled = x * beta
    return xp(x).where(scaled > threshold, x, xp(x).logaddexp(scaled, x.dtype.type(0)) / beta)


def _softplus_grad(g, x, beta, threshold):
    scaled = x * beta
    return xp(x).where(scaled > threshold, g, g * _sigmoid(scaled))


FUNCTIONS = {
    "relu": (relu, relu_grad),
    "leaky_relu": (_leaky_relu, _leaky_relu_grad),
    "elu": (_elu, _elu_grad),
    "sigmoid": (_sigmoid, _sigmoid_grad),
    "tanh": (_tanh, _tanh_grad),
    "silu": (_silu, _silu_grad),
    "gelu": (_gelu, _gelu_grad),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_grad),
    "softplus": (_softplus, _softplus_grad),
}
"""Each activation's value and gradient; `activation.cu` numbers them in this order."""


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.promote_types(array.dtype, np.float32), copy=False)


def biased(x: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """``x`` (N, C, ...) with ``bias`` (C,) added by channel."""
    return x if bias is None else x + bias.reshape((-1,) + (1,) * (x.ndim - 2))


@np.errstate(all="ignore")
def activation(
    x: np.ndarray, bias: np.ndarray | None, name: str, parameters: tuple[float, ...]
) -> np.ndarray:
    """The function called ``name`` of x + bias; ``bias`` (C,) goes by channel of (N, C, ...)."""
    y = FUNCTIONS[name][0](biased(_wide(x), bias), *parameters)
    return y.astype(x.dtype, copy=False)


@np.errstate(all="ignore")
def activation_grad(
    g: np.ndarray,
    x: np.ndarray,
    bias: np.ndarray | None,
    name: str,
    parameters: tuple[float, ...],
) -> np.ndarray:
    """The gradient of ``x`` in `activation`."""
    g_x = FUNCTIONS[name][1](_wide(g), biased(_wide(x), bias), *parameters)
    return g_x.astype(x.dtype, copy=False)
