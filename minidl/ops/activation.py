"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

from minidl import kernels
from minidl.autograd import op
from minidl.backend import xp
from minidl.ops.comparison import where
from minidl.ops.elementwise import erf, expm1, tanh
from minidl.ops.operands import floating, quiet


@op
def relu(input):
    """max(0, x); its gradient at 0 is 0."""
    return kernels.relu(input)


@op
def _relu_grad(g, y):
    return kernels.relu_grad(g, y)


relu.vjp(lambda g, y, _x: _relu_grad(g, y))
_relu_grad.vjp(lambda gg, _result, _g, y: _relu_grad(gg, y))


@op
@quiet
def sigmoid(input):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + xp(input).exp(-floating(input)))


sigmoid.vjp(lambda g, y, _x: g * (y * (1 - y)))


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, ``negative_slope * x`` elsewhere."""
    return where(input > 0, input, input * negative_slope)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    positive = input > 0
    # exp of a large x is infinite, and 0 times its gradient would be NaN
    return where(positive, input, expm1(where(positive, 0.0, input)) * alpha)


def silu(input: Any) -> Any:
    """x * sigmoid(x)."""
    return input * sigmoid(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x * Phi(x) with the normal distribution function Phi.

    ``approximate="tanh"`` uses 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    Source: https://arxiv.org/abs/1606.08415
    """
    if approximate == "none":
        return input * (0.5 * (1 + erf(input * math.sqrt(0.5))))
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
        return 0.5 * input * (1 + tanh(inner))
    raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')


@op
@quiet
def _softplus(x):
    return xp(x).logaddexp(x, x.dtype.type(0))


_softplus.vjp(lambda g, _y, x: g * sigmoid(x))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; x itself where ``beta * x > threshold``."""
    scaled = input * beta
    return where(scaled > threshold, input, _softplus(scaled) / beta)
