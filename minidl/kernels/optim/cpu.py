"""Updates of parameters in Numba: one pass over memory instead of one per operation."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minidl.backend import float32, float64
from minidl.kernels.jit import threaded
from minidl.kernels.optim import reference


@threaded
def _sgd(param, grad, velocity, lr, momentum, kept, decay, nesterov):
    if velocity.size == 0:
        for i in prange(param.size):
            param[i] -= lr * (grad[i] + decay * param[i])
    else:
        for i in prange(param.size):
            g = grad[i] + decay * param[i]
            v = momentum * velocity[i] + kept * g
            velocity[i] = v
            param[i] -= lr * (g + momentum * v if nesterov else v)


def sgd(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum: see the reference."""
    reference.check(param, grad=grad, velocity=velocity)
    if not _covered(param, velocity):
        reference.sgd(param, grad, velocity, lr, momentum, dampening, weight_decay, nesterov)
        return
    one = param.dtype.type
    _sgd(
        4 * param.size,
        *_flat(param, grad, velocity),
        one(lr),
        one(momentum),
        one(1 - dampening),
        one(weight_decay),
        nesterov,
    )


@threaded
def _adam(param, grad, mean, square, largest, mean_kept, square_decay, square_kept, scalars):
    rate, root, eps, shrink, decay = scalars
    for i in prange(param.size):
        p = param[i] * shrink
        g = grad[i] + decay * p
        m = mean[i] + mean_kept * (g - mean[i])
        s = square_decay * square[i] + square_kept * g * g
        mean[i] = m
        square[i] = s
        if largest.size:
            s = largest[i] if largest[i] > s else s  # NaN in s stays
            largest[i] = s
        param[i] = p - rate * m / (math.sqrt(s) / root + eps)


def adam(
    param: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    largest: np.ndarray | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam, AdamW and AMSGrad: see the reference."""
    reference.check(param, grad=grad, mean=mean, square=square, largest=largest)
    if not _covered(param, mean, square, largest):
        state, betas = (mean, square, largest, step), (beta1, beta2)
        reference.adam(param, grad, *state, lr, *betas, eps, weight_decay, decoupled)
        return
    one = param.dtype.type
    scalars = (
        one(lr / (1 - beta1**step)),
        one(math.sqrt(1 - beta2**step)),
        one(eps),
        one(1 - lr * weight_decay if decoupled else 1),
        one(0 if decoupled else weight_decay),
    )
    _adam(
        20 * param.size,
        *_flat(param, grad, mean, square, largest),
        one(1 - beta1),  # a difference of two float32 numbers would keep five digits
        one(beta2),
        one(1 - beta2),
        scalars,
    )


def _covered(*changed: np.ndarray | None) -> bool:
    """Whether the kernels can write into these arrays."""
    return changed[0].dtype in (float32, float64) and all(
        array is None or array.flags.carray for array in changed
    )


def _flat(param: np.ndarray, grad: np.ndarray, *state: np.ndarray | None) -> list[np.ndarray]:
    """One-dimensional views; an empty one for a state that there is not."""
    grad = (grad if grad.flags.carray else grad.copy()).reshape(-1)
    missing = grad[:0]
    views = (missing if array is None else array.reshape(-1) for array in state)
    return [param.reshape(-1), grad, *views]
