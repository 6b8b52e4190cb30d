"""Updates of parameters in Numba: one pass over memory instead of one per operation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

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
    params: list[np.ndarray],
    grads: list[np.ndarray],
    velocities: list[np.ndarray] | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum: see the reference."""
    changed = params, velocities
    if not _covered(*changed):
        reference.sgd(params, grads, velocities, lr, momentum, dampening, weight_decay, nesterov)
        return
    reference.check(params, grad=grads, velocity=velocities)
    one = params[0].dtype.type
    scalars = one(lr), one(momentum), one(1 - dampening), one(weight_decay), nesterov
    for arrays in _flat(grads, *changed):
        _sgd(4 * arrays[0].size, *arrays, *scalars)


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
    params: list[np.ndarray],
    grads: list[np.ndarray],
    means: list[np.ndarray],
    squares: list[np.ndarray],
    largests: list[np.ndarray] | None,
    steps: list[int],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Adam, AdamW and AMSGrad: see the reference."""
    changed = params, means, squares, largests
    if not _covered(*changed):
        options = lr, beta1, beta2, eps, weight_decay, decoupled
        reference.adam(params, grads, means, squares, largests, steps, *options)
        return
    reference.check(params, grad=grads, mean=means, square=squares, largest=largests)
    one = params[0].dtype.type
    # 1 - beta: a difference of two float32 numbers would keep five digits
    kept = one(1 - beta1), one(beta2), one(1 - beta2)
    shrink = one(1 - lr * weight_decay if decoupled else 1)
    decay = one(0 if decoupled else weight_decay)
    for arrays, step in zip(_flat(grads, *changed), steps, strict=True):
        rate, root = one(lr / (1 - beta1**step)), one(math.sqrt(1 - beta2**step))
        _adam(20 * arrays[0].size, *arrays, *kept, (rate, root, one(eps), shrink, decay))


def _covered(*changed: list[np.ndarray] | None) -> bool:
    """Whether the kernels can write into these arrays."""
    return changed[0][0].dtype in (float32, float64) and all(
        array.flags.carray for arrays in changed if arrays is not None for array in arrays
    )


def _flat(
    grads: list[np.ndarray], params: list[np.ndarray], *states: list[np.ndarray] | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """For each parameter one-dimensional views: its own, its gradient's and its state's.

    A state that there is not is an empty array.
    """
    missing = itertools.repeat(np.empty(0, params[0].dtype))
    grads = [grad if grad.flags.carray else grad.copy() for grad in grads]
    columns = (
        missing if arrays is None else [array.reshape(-1) for array in arrays]
        for arrays in (params, grads, *states)
    )
    return zip(*columns)
