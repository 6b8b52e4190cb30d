"""Activation functions.

Those with a formula of their own are one fused operator: `kernels.activation`, which can add
a bias on the way, and `FORMULAS`, the compositions that are differentiated for derivatives of
higher order.
"""

from __future__ import annotations

import math
from typing import Any

from minidl import kernels
from minidl.autograd import describe, fused, op, quiet
from minidl.backend import xp
from minidl.kernels.launch import planned
from minidl.ops.comparison import where
from minidl.ops.elementwise import erf, expm1, tanh
from minidl.ops.operands import floating
from minidl.ops.shape import reshape

# --------------------------------------------------------------------------- operators


@op
@planned
def relu(input):
    """max(0, x); its gradient at 0 is 0."""
    return kernels.relu(input)


@op
@planned
def relu_grad(g, y):
    """The gradient of `relu`, whose result ``y`` has the shape of ``g``: 0 where y <= 0, else g."""
    return kernels.relu_grad(g, y)


relu.vjp(lambda g, y, _x: relu_grad(g, y), arrays=[lambda g, y, _x: kernels.relu_grad(g, y)])
relu_grad.vjp(lambda gg, _result, _g, y: relu_grad(gg, y))


@op
def sigmoid(input):
    """1 / (1 + exp(-x))."""
    return kernels.activation(floating(input), None, "sigmoid", ())


sigmoid.vjp(lambda g, y, _x: g * (y * (1 - y)))


@op
@quiet
def _softplus(x):
    return xp(x).logaddexp(x, x.dtype.type(0))


_softplus.vjp(lambda g, _y, x: g * sigmoid(x))


def _elu_formula(x: Any, alpha: float) -> Any:
    positive = x > 0
    # exp of a large x is infinite, and 0 times its gradient would be NaN
    return where(positive, x, expm1(where(positive, 0.0, x)) * alpha)


def _gelu_tanh_formula(x: Any) -> Any:
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _softplus_formula(x: Any, beta: float, threshold: float) -> Any:
    return where(x * beta > threshold, x, _softplus(x * beta) / beta)


FORMULAS = {
    "relu": relu,
    "leaky_relu": lambda x, slope: where(x > 0, x, x * slope),
    "elu": _elu_formula,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: x * (0.5 * (1 + erf(x * math.sqrt(0.5)))),
    "gelu_tanh": _gelu_tanh_formula,
    "softplus": _softplus_formula,
}


def _composed(input: Any, bias: Any, name: str, parameters: tuple[float, ...]) -> Any:
    if bias is not None:
        input = input + reshape(bias, (-1,) + (1,) * (input.ndim - 2))
    return FORMULAS[name](input, *parameters)


@fused(reference=_composed)
@planned
def _activation(input, bias, name, parameters):
    """The function ``name`` of x + bias, by channel of (N, C, ...)."""
    return kernels.activation(floating(input), bias, name, parameters), None


@_activation.backward("input", "bias")
@planned
def _(g, _residuals, input, bias, name, parameters):
    g_x = kernels.activation_grad(g, input, bias, name, parameters)
    if bias is None:
        return g_x, None
    return g_x, kernels.reduce_sum(g_x, (0, *range(2, g_x.ndim)), False, g_x.dtype)


# --------------------------------------------------------------------------- functions


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, ``negative_slope * x`` elsewhere."""
    return _activation(input, None, "leaky_relu", (negative_slope,))


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    return _activation(input, None, "elu", (alpha,))


def silu(input: Any) -> Any:
    """x * sigmoid(x)."""
    return _activation(input, None, "silu", ())


def gelu(input: Any, approximate: str = "none") -> Any:
    """x * Phi(x) with the normal distribution function Phi.

    ``approximate="tanh"`` uses 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    Source: https://arxiv.org/abs/1606.08415
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')
    return _activation(input, None, "gelu" if approximate == "none" else "gelu_tanh", ())


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; x itself where ``beta * x > threshold``."""
    return _activation(input, None, "softplus", (beta, threshold))


def bias_activation(
    input: Any, bias: Any, activation: str = "relu", *parameters: float, dim: int = 1
) -> Any:
    """``activation(input + bias)`` in one pass, the bias along dimension ``dim``.

    What follows a convolution or a linear layer (``dim=-1``) that adds no bias itself.

    Parameters
    ----------
    input : Tensor
        Any shape; its dimension ``dim`` has C elements.
    bias : Tensor
        Shape (C,).
    activation : str
        "relu", "leaky_relu", "elu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh" or
        "softplus".
    *parameters : float
        All those that the function called ``activation`` has.

    Raises
    ------
    ValueError
        For another activation, or shapes that do not fit.
    """
    if activation not in FORMULAS:
        known = ", ".join(FORMULAS)
        raise ValueError(f"bias_activation: there is no {activation!r}; there are {known}")
    shape = input.shape
    if tuple(bias.shape) != shape[dim:][:1]:
        raise ValueError(
            f"bias_activation({describe([input, bias])}): the bias must have the size of "
            f"dimension {dim}"
        )
    dim %= len(shape)
    rows = reshape(input, (math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])))
    return reshape(_activation(rows, bias, activation, parameters), shape)
