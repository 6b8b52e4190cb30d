"""Softmax and its logarithm along one dimension."""

from __future__ import annotations

from typing import Any

from minidl import kernels
from minidl.autograd import op
from minidl.kernels.launch import planned
from minidl.ops.elementwise import exp
from minidl.ops.operands import fractional
from minidl.ops.reduce import sum
from minidl.ops.shape import axis_of


@op
@planned
def _softmax(input, dim):
    return kernels.softmax(fractional(input), axis_of(dim, input.ndim))


@op
@planned
def _softmax_grad(grad, y, dim):
    """The gradient of x, given that of y = softmax(x)."""
    return kernels.softmax_grad(grad, y, axis_of(dim, y.ndim))


_softmax.vjp(lambda g, y, _x, dim: _softmax_grad(g, y, dim))
_softmax_grad.vjp(
    lambda g, _dx, _grad, y, dim: _softmax_grad(g, y, dim),
    lambda g, _dx, grad, y, dim: (
        g * (grad - sum(grad * y, dim, True)) - grad * sum(g * y, dim, True)
    ),
)


@op
@planned
def _log_softmax(input, dim):
    return kernels.log_softmax(fractional(input), axis_of(dim, input.ndim))


@op
@planned
def _log_softmax_grad(grad, y, dim):
    """The gradient of x, given that of y = log_softmax(x)."""
    return kernels.log_softmax_grad(grad, y, axis_of(dim, y.ndim))


_log_softmax.vjp(lambda g, y, _x, dim: _log_softmax_grad(g, y, dim))
_log_softmax_grad.vjp(
    lambda g, _dx, _grad, y, dim: g - sum(g * exp(y), dim, True),
    lambda g, _dx, grad, y, dim: -g * exp(y) * sum(grad, dim, True),
)


def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along ``dim``, computed in ``dtype`` if given."""
    return _softmax(input if dtype is None else input.to(dtype), dim)


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """log(softmax(x)) along ``dim`` without its loss of precision, in ``dtype`` if given."""
    return _log_softmax(input if dtype is None else input.to(dtype), dim)
