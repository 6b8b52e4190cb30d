"""Updates of parameters, the definitions.

Each kernel updates many parameters at once, all of one dtype and on one device. Arguments in
the plural are lists with one array for each parameter, of its shape and dtype; parameters
and their state change in place, gradients do not. Scalars are Python numbers. A state that is
too small for all its digits, below 1.2e-38 in float32, becomes 0.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.backend import device_of, float16, float32, xp


def check(params: list[np.ndarray], **others: list[np.ndarray] | None) -> None:
    """ValueError if an array differs from its parameter in shape, dtype or kind of device."""
    wanted = list(map(_kind, params))
    for name, arrays in others.items():
        if arrays is None or list(map(_kind, arrays)) == wanted:
            continue
        for param, array in zip(params, arrays, strict=True):
            if _kind(array) != _kind(param):
                raise ValueError(
                    f"the {name}, {_described(array)}, does not fit the parameter, "
                    f"{_described(param)}"
                )


def _kind(array: np.ndarray) -> tuple:
    return array.shape, array.dtype, xp(array)


def _described(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)} on {device_of(array)}"


@np.errstate(all="ignore")
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
    """Stochastic gradient descent with momentum.

    ``g = grad + weight_decay * param; v = momentum * v + (1 - dampening) * g``, then
    ``param -= lr * v``, or with Nesterov's momentum ``lr * (g + momentum * v)``. Without
    ``velocities``, ``param -= lr * g``.

    Source: I. Sutskever et al., "On the importance of initialization and momentum", ICML 2013
    """
    check(params, grad=grads, velocity=velocities)
    for i, (param, grad) in enumerate(zip(params, grads)):
        step = _wide(grad) + weight_decay * _wide(param)
        if velocities is not None:
            velocity = _normal(momentum * _wide(velocities[i]) + (1 - dampening) * step)
            velocities[i][...] = velocity
            step = step + momentum * velocity if nesterov else velocity
        param[...] = _wide(param) - lr * step


@np.errstate(all="ignore")
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
    """Adam; AdamW if ``decoupled``; AMSGrad if there are ``largests``, the squares so far.

    ``m = beta1 * m + (1 - beta1) * g``, ``s = beta2 * s + (1 - beta2) * g^2``, then
    ``param -= lr * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + eps)`` in step t = 1, 2, ...,
    which each parameter counts for itself. Weight decay is added to the gradient or,
    decoupled, shrinks ``param`` by itself.

    Sources: D. Kingma, J. Ba, https://arxiv.org/abs/1412.6980; I. Loshchilov, F. Hutter,
    https://arxiv.org/abs/1711.05101; S. Reddi et al., https://arxiv.org/abs/1904.09237
    """
    check(params, grad=grads, mean=means, square=squares, largest=largests)
    for i, (param, step) in enumerate(zip(params, steps, strict=True)):
        values, grad = _wide(param), _wide(grads[i])
        if decoupled:
            values = values * (1 - lr * weight_decay)
        else:
            grad = grad + weight_decay * values
        mean = _wide(means[i])
        mean = _normal(mean + (1 - beta1) * (grad - mean))
        square = _normal(beta2 * _wide(squares[i]) + (1 - beta2) * grad * grad)
        means[i][...], squares[i][...] = mean, square
        if largests is not None:
            square = xp(param).maximum(_wide(largests[i]), square)
            largests[i][...] = square
        denominator = xp(param).sqrt(square) / math.sqrt(1 - beta2**step) + eps
        param[...] = values - lr / (1 - beta1**step) * mean / denominator


def _wide(array: np.ndarray) -> np.ndarray:
    """The numbers to compute with: float16 has too few digits to add up small changes."""
    return array.astype(float32) if array.dtype == float16 else array


def _normal(array: np.ndarray) -> np.ndarray:
    """The numbers, 0 in the place of those that have lost digits."""
    return xp(array).where(abs(array) < np.finfo(array.dtype).tiny, array.dtype.type(0), array)
